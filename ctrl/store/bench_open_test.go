package store

import (
	"path/filepath"
	"testing"
)

// BenchmarkOpenMillion measures the check of every page at a start, before the tables are read.
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
