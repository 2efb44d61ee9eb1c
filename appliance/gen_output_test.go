package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/perf/gen"
)

// TestGenOutput: a regular file is replaced as a whole, also behind a symbolic link; what is none is written to and
// stays what it is; a directory is refused before anything is measured.
func TestGenOutput(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	save := func(to string) {
		t.Helper()
		f := &genFlags{json: to}
		o, err := f.output()
		if err == nil {
			err = o.save([]byte("new"))
		}
		if err := errors.Join(err, o.discard()); err != nil {
			t.Errorf("output to %s: got %v, want no error", to, err)
		}
	}
	content := func(name, want string, mode fs.FileMode) {
		t.Helper()
		text, err := os.ReadFile(path(name))
		at, err2 := os.Lstat(path(name))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if string(text) != want || at.Mode() != mode {
			t.Errorf("%s: %q, %v, want %q, %v", name, text, at.Mode(), want, mode)
		}
	}
	if err := errors.Join(os.WriteFile(path("old"), []byte("longer than new"), 0o640), os.Symlink("old", path("link")),
		os.Symlink("gone", path("dangling")), unix.Mkfifo(path("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	save(path("absent"))
	content("absent", "new", 0o644)
	save(path("link"))
	content("old", "new", 0o640)
	if at, err := os.Readlink(path("link")); err != nil || at != "old" {
		t.Errorf("the link: %q, %v", at, err)
	}

	r, err := os.OpenFile(path("pipe"), os.O_RDWR, 0) // otherwise the opening of the writing end waits
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	save(path("pipe"))
	got := make([]byte, 8)
	if n, err := r.Read(got); err != nil || string(got[:n]) != "new" {
		t.Errorf("through the pipe: %q, %v", got[:n], err)
	}
	if at, err := os.Lstat(path("pipe")); err != nil || at.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe: %v, %v", at.Mode(), err)
	}

	for name, want := range map[string]string{".": "is a directory", "dangling": "does not exist"} {
		f := &genFlags{json: path(name)}
		var ee *exitError
		if _, err := f.output(); !errors.As(err, &ee) || ee.code != exitRefused ||
			!strings.Contains(err.Error(), "--json: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	o, err := (&genFlags{json: path("old")}).output() // measured nothing
	if err := errors.Join(err, o.discard()); err != nil {
		t.Error(err)
	}
	content("old", "new", 0o640)
	if left, err := filepath.Glob(path(".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestGenMajority: more than half of the full trials decide a rate, also if their number is even.
func TestGenMajority(t *testing.T) {
	for repeat := 1; repeat <= 1000; repeat++ {
		f := &genFlags{ndr: true, repeat: repeat, width: 0.5}
		g := f.goals()[0]
		if g.Sum != time.Duration(repeat)*g.Trial {
			t.Fatalf("%d trials: got %+v, want a sum of %v", repeat, g, time.Duration(repeat)*g.Trial)
		}
		most := (repeat - 1) / 2 // may fail
		if bad := float64(most) / float64(repeat); bad > g.Exceed {
			t.Errorf("of %d trials %d bad ones are too many for %g", repeat, most, g.Exceed)
		}
		if bad := float64(most+1) / float64(repeat); bad <= g.Exceed {
			t.Errorf("of %d trials %d bad ones pass with %g", repeat, most+1, g.Exceed)
		}
	}
}

// TestGenNotFollowed: of frames without a signature a result holds the number sent, and nothing else.
func TestGenNotFollowed(t *testing.T) {
	var b strings.Builder
	d := gen.Direction{From: "a", To: "b", Requested: 1000, Sent: 1000, Unsigned: 1000, TxRate: 1000,
		Sender: gen.Sender{Reached: true}}
	if err := runText(&b, &gen.Report{Took: 1e9, Directions: []gen.Direction{d}}); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if !strings.Contains(got, "\nnot followed  no frame carries a signature") ||
		!strings.Contains(got, "\nsent          1,000 frames") {
		t.Errorf("got\n%s\nwant 1,000 frames sent, and none followed", got)
	}
	for _, row := range []string{"received", "lost", "duplicates", "reordered", "latency", "longest gap"} {
		if strings.Contains(got, row) {
			t.Errorf("row %q is there, want none:\n%s", row, got)
		}
	}
	live := liveLine(&gen.Live{Directions: []gen.LiveDirection{{From: "a", To: "b", Sent: 5, Unsigned: 5}}})
	if !strings.Contains(live, "not followed") || strings.Contains(live, "missing") {
		t.Errorf("live line: got %q, want \"not followed\" and no number of missing frames", live)
	}
}
