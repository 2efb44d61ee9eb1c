package readfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Only a regular file of the allowed size is read, without waiting.
func TestRegular(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("file"), []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path("file"), path("link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(path("fifo"), os.O_RDWR, 0) // a writer that writes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	begin := time.Now()
	for _, c := range []struct {
		name string
		most int64
		want string // of the error
	}{
		{path("file"), 5, ""}, {path("link"), 5, ""}, {path("file"), 4, "larger than 4 octets"},
		{path("fifo"), 5, "no regular file"}, {"/dev/zero", 5, "no regular file"}, {dir, 5,
			"no regular file"}, {path("none"), 5, "no such file"},
	} {
		text, err := Regular(c.name, c.most)
		if c.want == "" && (err != nil || string(text) != "12345") {
			t.Errorf("%s: got %q, %v, want its content", c.name, text, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s, want no waiting", took)
	}
}
