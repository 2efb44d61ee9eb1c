package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"penstock/ctrl/model"
)

// scanned reads chunk after chunk, and calls a function between them.
func scanned(t *testing.T, s *Store, between func(chunk int)) (keys []string, first, last uint64) {
	t.Helper()
	c := s.Scan()
	for n := 0; ; n++ {
		bs, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(bs) == 0 {
			return keys, c.First, c.Last
		}
		for i := range bs {
			keys = append(keys, bs[i].Key())
		}
		between(n)
	}
}

// With any commits between the chunks, a binding that exists all the time is returned exactly once and in order, no
// binding twice, and none that never existed.
func TestScanWhileWriting(t *testing.T) {
	rnd := rand.New(rand.NewPCG(15, 1))
	for round := range 12 {
		s := open(t, filepath.Join(t.TempDir(), "db"))
		segments := []string{"a", "a-", "a.b", "b", "z"}
		at := func() model.Binding {
			return binding("RED", segments[rnd.IntN(len(segments))], 0x020000000000+rnd.Uint64N(20_000), rnd.IntN(200))
		}
		now := map[string]bool{}
		commit := func(puts, deletes int) {
			r := NewRows(puts + deletes)
			keys := slices.Sorted(maps.Keys(now))
			for range puts {
				b := at()
				r.Put(&b)
				now[b.Key()] = true
			}
			for range min(deletes, len(keys)) {
				k := keys[rnd.IntN(len(keys))]
				bk, err := model.ParseBindingKey(k)
				if err != nil {
					t.Fatal(err)
				}
				r.Delete(bk)
				delete(now, k)
			}
			r.Sort()
			if _, err := s.Commit(&Batch{Rows: r}, nil); err != nil {
				t.Fatal(err)
			}
		}
		commit(30_000, 0)
		always, ever := maps.Clone(now), maps.Clone(now)
		keys, first, last := scanned(t, s, func(int) {
			if round == 0 {
				return
			}
			commit(rnd.IntN(3000), rnd.IntN(3000))
			maps.Copy(ever, now)
			maps.DeleteFunc(always, func(k string, _ bool) bool { return !now[k] })
		})
		if round == 0 && (first != last || len(keys) != len(now)) {
			t.Errorf("nothing was committed: revisions %d to %d, %d keys, want one revision and %d keys", first, last,
				len(keys), len(now))
		}
		if round > 0 && last <= first {
			t.Errorf("revisions %d to %d, want two that differ", first, last)
		}
		seen := map[string]bool{}
		for i, k := range keys {
			if seen[k] || !ever[k] {
				t.Fatalf("round %d: key %d, %s, was returned before: %v, existed: %v", round, i, k, seen[k], ever[k])
			}
			seen[k] = true
		}
		for k := range always {
			if !seen[k] {
				t.Fatalf("round %d: %s existed all the time and was not returned", round, k)
			}
		}
	}
}

// A paused scan holds no page of the file: writes do not make the file grow.
func TestScanHoldsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	replace := func(port int) {
		r := NewRows(20_000)
		for i := range 20_000 {
			b := binding("RED", fmt.Sprint("s", i/1000), 0x020000000000+uint64(i), port)
			r.Put(&b)
		}
		r.Sort()
		if _, err := s.Commit(&Batch{Rows: r, Replace: true}, nil); err != nil {
			t.Fatal(err)
		}
	}
	size := func() int64 {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	for i := range 5 {
		replace(i)
	}
	settled := size()
	c := s.Scan()
	if bs, err := c.Next(); err != nil || len(bs) < chunk {
		t.Fatalf("%d bindings, %v, want at least %d", len(bs), err, chunk)
	}
	for i := range 40 {
		replace(5 + i)
	}
	if n := size(); n > 2*settled {
		t.Errorf("the file has grown from %d to %d octets while a scan stood still, want it to stay", settled, n)
	}
	if bs, err := c.Next(); err != nil || len(bs) == 0 || !reflect.DeepEqual(bs[0].Tenant, "RED") {
		t.Errorf("the paused scan returns %d bindings, error %v, want the next chunk", len(bs), err)
	}
}
