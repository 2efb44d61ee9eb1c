package csvfile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAppend(t *testing.T) {
	fields := func(line *[]string) []string { return *line }
	path := filepath.Join(t.TempDir(), "results.csv")
	for range 2 {
		if err := Append(path, []string{"a", "b"}, [][]string{{"1", "x, y"}, {"2", ""}}, fields); err != nil {
			t.Fatal(err)
		}
	}
	const want = "a,b\n1,\"x, y\"\n2,\n1,\"x, y\"\n2,\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Fatalf("file %q, error %v, want %q", got, err, want)
	}
	if err := Append(path, []string{"a", "c"}, [][]string{{"1", "2"}}, fields); err == nil {
		t.Error("appended to other columns")
	}
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("the refused file is now %q", got)
	}
	if err := Append(filepath.Join(path, "below"), nil, nil, fields); err == nil {
		t.Error("a file below a file")
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.csv")
	if lines, err := Read(path); err == nil {
		t.Errorf("read %q where there is no file", lines)
	}
	if err := os.WriteFile(path, []byte("a,b\n1,\"x, y\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := Read(path)
	if err != nil || len(lines) != 2 || !slices.Equal(lines[0], []string{"a", "b"}) ||
		!slices.Equal(lines[1], []string{"1", "x, y"}) {
		t.Error(lines, err)
	}
}
