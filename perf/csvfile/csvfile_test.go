package csvfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.csv")
	for range 2 {
		if err := Append(path, []string{"a", "b"}, [][]string{{"1", "x, y"}, {"2", ""}}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "a,b\n1,\"x, y\"\n2,\n1,\"x, y\"\n2,\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
	if err := Append(path, []string{"a", "c"}, [][]string{{"1", "2"}}); err == nil {
		t.Error("appended to other columns")
	}
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("the refused file is now %q", got)
	}
	if err := Append(filepath.Join(path, "below"), nil, nil); err == nil {
		t.Error("a file below a file")
	}
}
