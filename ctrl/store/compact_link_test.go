package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A symbolic link stays one: the file that it names is compacted, where it is.
func TestCompactLink(t *testing.T) {
	real, link := filepath.Join(t.TempDir(), "real.db"), filepath.Join(t.TempDir(), "penstock.db")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	s, err := Open(real, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, after, err := Compact(link)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != real {
		t.Errorf("the link leads to %q, %v, want %q as before", to, err, real)
	}
	if n, err := size(real); err != nil || n != after {
		t.Errorf("the file behind the link has %d octets, %v, want %d", n, err, after)
	}
}
