package file

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// sample is a file with every structure of bbolt: branches, overflow pages, small and large tables, free pages.
func sample(tb testing.TB) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "db")
	f, err := Open(path, Options{What: "the file", NoSync: true}, makeBucket)
	if err != nil {
		tb.Fatal(err)
	}
	for round := range 4 {
		if err := f.Update(func(tx *bbolt.Tx) error {
			small, err := tx.CreateBucketIfNotExists([]byte("small"))
			if err != nil {
				return err
			}
			if err := small.Put([]byte("x"), []byte{byte(round)}); err != nil {
				return err
			}
			for i := range 300 {
				k := fmt.Appendf(nil, "%d/%d", i%7, i)
				if err := tx.Bucket(bucket).Put(k,
					Seal(k, bytes.Repeat([]byte{byte(i)}, i%5*(1+i%4)*700+9))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			tb.Fatal(err)
		}
	}
	f.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// use does with a file what a box does: it reads, replaces and reads all entries. Errors are damage found.
func use(path string) error {
	f, err := Open(path, Options{What: "the file", Remedy: "Do something.", NoSync: true}, makeBucket)
	if err != nil {
		return err
	}
	defer f.Close()
	read := func() error {
		return f.View(func(tx *bbolt.Tx) error {
			if tx.Bucket(bucket) == nil {
				return f.Corrupted("no table")
			}
			return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
				_, err := f.Unseal(k, v)
				return err
			})
		})
	}
	if err := read(); err != nil {
		return err
	}
	if err := f.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bucket); err != nil {
			return err
		}
		b, err := tx.CreateBucket(bucket)
		for i := 0; i < 50 && err == nil; i++ {
			err = b.Put(injectEntry(i))
		}
		return err
	}); err != nil {
		return err
	}
	return read()
}

// within a time that only a loop takes. A panic takes the test with it.
func tryFile(tb testing.TB, what, path string, data []byte) (found bool) {
	tb.Helper()
	os.Remove(path)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- use(path) }()
	select {
	case err := <-done:
		var ce *CorruptError
		if err != nil && !errors.As(err, &ce) {
			tb.Errorf("%s: got error %v, want a CorruptError", what, err)
		}
		return err != nil
	case <-time.After(20 * time.Second):
		tb.Fatalf("%s: the file is not opened in time, want an error or its content", what)
	}
	return false
}

// A file that is overwritten anywhere is refused, or the damage is harmless; no use of it hangs or panics.
func TestPages(t *testing.T) {
	good := sample(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "bad")
	if tryFile(t, "undamaged", path, good) {
		t.Fatal("a sound file is refused, want no error")
	}
	if err := checkPages(bytes.NewReader(good), uint64(len(good))); err != nil {
		t.Fatalf("a sound file is refused: %v, want no error", err)
	}
	page := os.Getpagesize()
	n := len(good) / page
	refused, cycles := 0, 0
	// Every entry of every branch page, and of every list, refers to every kind of page, its own included.
	for id := 2; id < n; id++ {
		p := good[id*page:]
		kind, count := native.Uint16(p[8:]), int(native.Uint16(p[10:]))
		if native.Uint64(p) != uint64(id) || count == 0 || kind != kindBranch && kind != kindFree {
			continue
		}
		for _, to := range []uint64{uint64(id), 0, 1, 2, uint64(n - 1), uint64(n), 1 << 40, 1<<64 - 1} {
			bad := bytes.Clone(good)
			at := id*page + pageHead + 8
			if kind == kindFree {
				at -= 8
			}
			native.PutUint64(bad[at:], to)
			cycles++
			if tryFile(t, fmt.Sprintf("page %d leads to %d", id, to), path, bad) {
				refused++
			}
		}
	}
	if cycles < 16 || refused < cycles/4 {
		t.Errorf("%d of %d wrong references were refused, want a quarter of at least 16: old pages stay in the file",
			refused, cycles)
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	for i := range 300 {
		bad := bytes.Clone(good)
		at := rnd.IntN(len(bad) - 16)
		switch i % 4 {
		case 0:
			bad[at] ^= 1 << rnd.IntN(8)
		case 1: // a page over another one
			copy(bad[rnd.IntN(n)*page:], good[rnd.IntN(n)*page:][:page])
		case 2: // heads and elements of pages
			at = rnd.IntN(n)*page + rnd.IntN(64)
			native.PutUint16(bad[at:], uint16(rnd.Uint32()))
		case 3:
			bad = bad[:at]
		}
		if tryFile(t, fmt.Sprintf("damage %d at %d", i, at), path, bad) {
			refused++
		}
	}
	t.Logf("%d damages refused", refused)
}

// FuzzPages overwrites a sound file with octets: (offset, text) pairs.
func FuzzPages(f *testing.F) {
	good := sample(f)
	f.Add(uint32(0), []byte{1, 2, 3}, uint32(4096*3+8), []byte{1, 0})
	f.Add(uint32(4096*2+16), []byte{0xff, 0xff}, uint32(4096*4+10), []byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, a uint32, x []byte, b uint32, y []byte) {
		bad := bytes.Clone(good)
		copy(bad[int(a)%len(bad):], x)
		copy(bad[int(b)%len(bad):], y)
		tryFile(t, "fuzzed", filepath.Join(t.TempDir(), "bad"), bad)
	})
}
