package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"penstock/ctrl/model"
)

// A file of which most was deleted gets small again and keeps its content; no other file is left in the directory.
func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "penstock.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows := NewRows(0)
	for i := range 100_000 {
		b := binding("RED", fmt.Sprint("s", i/1000), 0x020000000000+uint64(i), i)
		rows.Put(&b)
	}
	rows.Sort()
	puts := []model.Object{model.Tenant{Name: "RED", ID: 7}, model.Segment{Tenant: "RED", Name: "s1", ID: 1}}
	if _, err := s.Commit(&Batch{Puts: puts, Rows: rows}, nil); err != nil {
		t.Fatal(err)
	}
	few := NewRows(0)
	for i := range 500 {
		b := binding("RED", "s1", 0x020000001000+uint64(i), i)
		few.Put(&b)
	}
	few.Sort()
	if _, err := s.Commit(&Batch{Rows: few, Replace: true}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetEventMark(77); err != nil {
		t.Fatal(err)
	}
	want := all(t, s)
	state, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(path); !errors.Is(err, ErrLocked) {
		t.Errorf("compact a file in use: %v, want %v", err, ErrLocked)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	// The remains of an interrupted run do not disturb the next run.
	if err := os.WriteFile(path+compactSuffix, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(path)
	if err != nil || after > before/10 {
		t.Fatalf("%d octets before, %d after, %v, want a tenth at most", before, after, err)
	}
	if n, err := size(path); err != nil || n != after {
		t.Errorf("the file has %d octets, %v, want %d", n, err, after)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("the file has mode %v, %v, want 0640 as before", st.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("the directory holds %v, %v, want the file alone", list, err)
	}
	s = open(t, path)
	if got := all(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("%d bindings after, want %d, the same", len(got), len(want))
	}
	if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, state) {
		t.Errorf("the other tables differ: %v, want the same", err)
	}
	if mark, err := s.EventMark(); err != nil || mark != 77 {
		t.Errorf("event mark %d, %v, want 77", mark, err)
	}
	if rev, err := s.Revision(); err != nil || rev != 2 {
		t.Errorf("revision %d, %v, want 2", rev, err)
	}
}

// An absent file is not made, and a damaged one stays as it is.
func TestCompactRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "penstock.db")
	if _, _, err := Compact(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("compact an absent file: %v, want %v", err, os.ErrNotExist)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows := NewRows(0)
	for i := range 5000 {
		b := binding("RED", "web", 0x020000000000+uint64(i), 1)
		rows.Put(&b)
	}
	rows.Sort()
	if _, err := s.Commit(&Batch{Rows: rows}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// values, behind the heads of the pages
	for at := 4*os.Getpagesize() + 2000; at < len(text); at += os.Getpagesize() {
		text[at] ^= 0x55
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(path); err == nil {
		t.Error("a damaged file is compacted, want an error")
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(text) {
		t.Errorf("a damaged file was changed (%v)", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the directory holds %v, %v, want the file alone", list, err)
	}
}
