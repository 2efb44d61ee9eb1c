package store

import (
	"path/filepath"
	"testing"
)

// BenchmarkOpenMillion is what a start pays before it reads the tables: the check of every page.
func BenchmarkOpenMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "db")
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Commit(&Batch{Rows: million()}, nil); err != nil {
		b.Fatal(err)
	}
	s.Close()
	for b.Loop() {
		s, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
