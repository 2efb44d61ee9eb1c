package compare

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"penstock/perf/csvfile"
	"penstock/perf/machine"
)

const written = `goos: linux
pkg: penstock/perf
BenchmarkEncap/bindings=1k-2   100	  57.2 ns/op	 48.5 median-ns/op	 45.2 min-ns/op	 0 B/op	 0 allocs/op
BenchmarkEncap/bindings=1k-2   100	  90.1 ns/op	 80.7 median-ns/op	 46.0 min-ns/op	 0 B/op	 0 allocs/op
BenchmarkEncap/bindings=1k-2   100	  58.0 ns/op	 49.5 median-ns/op	 44.1 min-ns/op	 8 B/op	 1 allocs/op
BenchmarkStages/all-2          100	  35.5 ns/op
BenchmarkStages/all-2          100	  36.5 ns/op
BenchmarkRate-2                100	  36.5 frames/s
PASS
`

func TestRecord(t *testing.T) {
	m := machine.Machine{CPU: "some, CPU", Cores: 2, Kernel: "6.1"}
	rows, err := Rows([]byte(written), time.Unix(0, 0), "c0ffee", m)
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	path := filepath.Join(t.TempDir(), "pipeline.csv")
	for range 2 {
		if err := Append(path, rows); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := csvfile.Read(path)
	if err != nil || len(lines) != 5 {
		t.Fatal(lines, err)
	}
	for i, want := range [][]string{
		columns,
		{
			"1970-01-01T00:00:00Z", "c0ffee", "some, CPU", "2", "6.1",
			"Encap/bindings=1k-2", "3", "49.5", "44.1", "8", "1",
		},
		{"1970-01-01T00:00:00Z", "c0ffee", "some, CPU", "2", "6.1", "Stages/all-2", "2", "36", "35.5", "", ""},
	} {
		if !slices.Equal(lines[i], want) {
			t.Errorf("line %d: %q, want %q", i, lines[i], want)
		}
	}
	if !slices.Equal(lines[1], lines[3]) {
		t.Error("the second time differs")
	}
	for name, text := range map[string]string{
		"nothing": "", "no benchmark": "PASS\n", "a line cut off": "BenchmarkX-2 100 5.0\n",
	} {
		if rows, err := Rows([]byte(text), time.Now(), "", machine.Machine{}); err == nil {
			t.Errorf("%s: rows %v, want an error", name, rows)
		}
	}
	if err := os.WriteFile(path, []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Append(path, rows); err == nil {
		t.Error("appended to a file with other columns")
	}
}
