package table

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// These tests let two entries change places without a pause, and interrupt readers in the midst: there are more of
// them than cores. They look below the fast paths too, which find nearly everything at the first attempt.

func hotReaders(t *testing.T, check func() error) *readers {
	was := runtime.GOMAXPROCS(runtime.NumCPU() + 6)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
	return startReaders(t, 6, func(*rand.Rand) error { return check() })
}

// twins returns n rows of one segment for which key gives the same value.
func twins(n int, key func(b *Binding) [2]uint64) []Binding {
	groups := map[[2]uint64][]Binding{}
	for i := uint32(1); ; i++ {
		b := Binding{Seg: 9, MAC: uint64(i), Loc: i, IP4: []uint32{i << 8}}
		k := key(&b)
		if groups[k] = append(groups[k], b); len(groups[k]) == n {
			return groups[k]
		}
	}
}

// TestHotRows moves two rows between the same two buckets; each goes to where the other was.
func TestHotRows(t *testing.T) {
	b := newTable(t, 8)
	a := b.cur.Load()
	rows := twins(2, func(r *Binding) [2]uint64 {
		first, second := pair(b.HashMAC(r.Seg, r.MAC), len(a.rows))
		if first == second {
			return [2]uint64{r.MAC, 1 << 32} // of no use, alone in its group
		}
		return [2]uint64{first, second}
	})
	if _, err := b.UpsertAll(rows); err != nil {
		t.Fatal(err)
	}
	rd := hotReaders(t, func() error {
		for i := range rows {
			r := &rows[i]
			h, h4 := b.HashMAC(r.Seg, r.MAC), b.HashIP4(r.Seg, r.IP4[0])
			if loc, ok := b.FindMAC(r.Seg, r.MAC); !ok || loc != r.Loc {
				return fmt.Errorf("FindMAC of row %d: %d, %v", r.Loc, loc, ok)
			}
			if loc, ok := a.searchMAC(h, r.Seg, r.MAC); !ok || loc != r.Loc {
				return fmt.Errorf("searchMAC of row %d: %d, %v", r.Loc, loc, ok)
			}
			if mac, loc, ok := b.FindIP4(r.Seg, r.IP4[0]); !ok || loc != r.Loc || mac != r.MAC {
				return fmt.Errorf("FindIP4 of row %d: %d, %d, %v", r.Loc, mac, loc, ok)
			}
			if mac, loc, ok := b.searchIP4(h4, r.Seg, r.IP4[0]); !ok || loc != r.Loc || mac != r.MAC {
				return fmt.Errorf("searchIP4 of row %d: %d, %d, %v", r.Loc, mac, loc, ok)
			}
		}
		return nil
	})
	s := &rowShelf{b, a}
	find := func(r *Binding) row {
		at, ok := a.lookup(b.HashMAC(r.Seg, r.MAC), r.Seg, r.MAC)
		if !ok {
			t.Fatalf("row %d is lost", r.Loc)
		}
		return at
	}
	away := func(at row) (uint64, int) { // a free slot of the other bucket
		to := s.other(uint64(at.slot/rowSlots), at.i)
		return to, s.free(to)
	}
	if p, q := find(&rows[0]), find(&rows[1]); p.b == q.b {
		to, j := away(q)
		s.move(uint64(q.slot/rowSlots), q.i, to, j)
	}
	for end := time.Now().Add(testTime(t)); !rd.done.Load() && time.Now().Before(end); {
		for range 1000 {
			p, q := find(&rows[0]), find(&rows[1])
			to, j := away(p)
			s.move(uint64(p.slot/rowSlots), p.i, to, j)
			s.move(uint64(q.slot/rowSlots), q.i, uint64(p.slot/rowSlots), p.i)
		}
	}
	rd.stop(t)
	checkInside(t, b)
}

// TestHotAddresses does the same to two addresses of the index.
func TestHotAddresses(t *testing.T) {
	b := newTable(t, 8)
	a := b.cur.Load()
	rows := twins(2, func(r *Binding) [2]uint64 {
		first, second := pair(b.HashIP4(r.Seg, r.IP4[0]), len(a.ips))
		if first == second {
			return [2]uint64{r.MAC, 1 << 32}
		}
		return [2]uint64{first, second}
	})
	if _, err := b.UpsertAll(rows); err != nil {
		t.Fatal(err)
	}
	rd := hotReaders(t, func() error {
		for i := range rows {
			r := &rows[i]
			h := b.HashIP4(r.Seg, r.IP4[0])
			if mac, loc, ok := b.FindIP4(r.Seg, r.IP4[0]); !ok || loc != r.Loc || mac != r.MAC {
				return fmt.Errorf("FindIP4 of row %d: %d, %d, %v", r.Loc, mac, loc, ok)
			}
			if mac, loc, ok := b.searchIP4(h, r.Seg, r.IP4[0]); !ok || loc != r.Loc || mac != r.MAC {
				return fmt.Errorf("searchIP4 of row %d: %d, %d, %v", r.Loc, mac, loc, ok)
			}
		}
		return nil
	})
	s := &ipShelf{b, a}
	find := func(r *Binding) (uint64, int) {
		ib, i, ok := a.lookupIP4(&b.keys, r.Seg, r.IP4[0])
		if !ok {
			t.Fatalf("the address of row %d is lost", r.Loc)
		}
		first, second := pair(b.HashIP4(r.Seg, r.IP4[0]), len(a.ips))
		if ib == &a.ips[first] {
			return first, i
		}
		return second, i
	}
	p, _ := find(&rows[0])
	if q, i := find(&rows[1]); p == q {
		to := s.other(q, i)
		s.move(q, i, to, s.free(to))
	}
	for end := time.Now().Add(testTime(t)); !rd.done.Load() && time.Now().Before(end); {
		for range 1000 {
			p, i := find(&rows[0])
			q, j := find(&rows[1])
			to := s.other(p, i)
			s.move(p, i, to, s.free(to))
			s.move(q, j, p, i)
		}
	}
	rd.stop(t)
	checkInside(t, b)
}

// TestHotExtra lets two rows pass an address to and fro. They are at 101 and 102 only without it.
func TestHotExtra(t *testing.T) {
	const seg = 5
	b := newTable(t, 8)
	put := func(mac uint64, loc uint32, ip6 ...[2]uint64) {
		if err := b.Upsert(&Binding{Seg: seg, MAC: mac, Loc: loc, IP6: ip6}); err != nil {
			t.Error(err)
		}
	}
	passed := [2]uint64{0xfd, 2}
	put(1, 1, passed)
	put(2, 2)
	rd := hotReaders(t, func() error {
		if mac, loc, ok := b.FindIP6(seg, passed[0], passed[1]); !ok || uint64(loc) != mac || mac != 1 && mac != 2 {
			return fmt.Errorf("MAC %d, location %d, %v", mac, loc, ok)
		}
		return nil
	})
	for end := time.Now().Add(testTime(t)); !rd.done.Load() && time.Now().Before(end); {
		for range 1000 {
			put(2, 2, passed)
			put(1, 101)
			put(1, 1)
			put(1, 1, passed)
			put(2, 102)
			put(2, 2)
		}
	}
	rd.stop(t)
}

// TestHotGrow replaces the arrays without a pause, unmaps the old ones after each grace period (who is still in them
// would crash), and lets an address change tables in between.
func TestHotGrow(t *testing.T) {
	const seg, shared, own = 3, 0x0a000001, 0x0a000002
	b := newTable(t, 16)
	put := func(mac uint64, ip4 ...uint32) {
		row := Binding{Seg: seg, MAC: mac, Loc: uint32(mac), IP4: ip4, IP6: [][2]uint64{{1, mac}}}
		if err := b.Upsert(&row); err != nil {
			t.Errorf("row of MAC %d: %v", mac, err)
		}
	}
	put(1, shared)
	put(2, own)
	rd := hotReaders(t, func() error {
		for mac := uint64(1); mac <= 2; mac++ {
			if loc, ok := b.FindMAC(seg, mac); !ok || loc != uint32(mac) {
				return fmt.Errorf("row %d: %d, %v", mac, loc, ok)
			}
			if m, loc, ok := b.FindIP6(seg, 1, mac); !ok || m != mac || loc != uint32(mac) {
				return fmt.Errorf("row %d by IPv6: %d, %d, %v", mac, m, loc, ok)
			}
		}
		if m, loc, ok := b.FindIP4(seg, shared); !ok || uint64(loc) != m || m != 1 && m != 2 {
			return fmt.Errorf("shared address: %d, %d, %v", m, loc, ok)
		}
		if m, loc, ok := b.FindIP4(seg, own); !ok || m != 2 || loc != 2 {
			return fmt.Errorf("own address: %d, %d, %v", m, loc, ok)
		}
		return nil
	})
	grown := 0
	var releases []func() error
	for end := time.Now().Add(testTime(t)); !rd.done.Load() && time.Now().Before(end); grown++ {
		put(2, own, shared)
		release, err := b.Grow(16 + grown%3)
		if err != nil {
			t.Fatal(err)
		}
		put(1, shared)
		if releases = append(releases, release); len(releases) < 200 {
			continue
		}
		rd.grace()
		for _, release := range releases {
			if err := release(); err != nil {
				t.Fatal(err)
			}
		}
		releases = nil
	}
	rd.stop(t)
	for _, release := range releases {
		if err := release(); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Bytes(); n > 64<<10 {
		t.Fatalf("%d octets after growing %d times: old arrays were kept", n, grown)
	}
	t.Logf("grown %d times", grown)
}
