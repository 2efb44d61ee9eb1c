package edge

import (
	"math/rand/v2"
	"sync"
	"testing"

	"penstock/dataplane/wire"
)

// TestFDBModel compares the FDB with a map that keeps entries until MaxAge. The FDB has rows enough for all entries.
func TestFDBModel(t *testing.T) {
	type seen struct {
		port uint16
		at   uint32
	}
	f := NewFDB(4096)
	model := map[uint64]seen{}
	rng := rand.New(rand.NewPCG(1, 2))
	now := uint32(5)
	for step := range 300_000 {
		vid, mac, port := uint16(1+rng.IntN(16)), 0x020000000000|uint64(rng.IntN(200)), uint16(rng.IntN(8))
		k := fdbKey(vid, mac)
		if rng.IntN(2) == 0 {
			f.learn(vid, mac, port, now)
			model[k] = seen{port, now}
		}
		got, ok := f.lookup(vid, mac, now)
		m, has := model[k]
		want := has && now-m.at <= MaxAge
		if ok != want || ok && got != m.port {
			t.Fatalf("step %d: VID %d MAC %x: port %d, found %v; want the model's %+v, found %v, at %d",
				step, vid, mac, got, ok, m, want, now)
		}
		if rng.IntN(20) == 0 {
			now += uint32(rng.IntN(4))
		}
	}
	n := 0
	f.Entries(now, func(e Entry) bool {
		n++
		m := model[fdbKey(e.VID, e.MAC)]
		if m.port != e.Port || now-m.at != e.Age {
			t.Errorf("entry %+v, want the model's %+v at %d", e, m, now)
		}
		return true
	})
	want := 0
	for _, m := range model {
		if now-m.at <= MaxAge {
			want++
		}
	}
	if n != want || n == 0 || f.Evicted() != 0 {
		t.Errorf("%d entries, %d evicted; want %d, 0", n, f.Evicted(), want)
	}
}

// TestFDBSpread: the FDB has rows for the given number of entries, for addresses in any pattern.
func TestFDBSpread(t *testing.T) {
	const n = 1 << 16
	for name, vidBits := range map[string]int{"one VLAN": 0, "16 VLANs": 4, "4,096 VLANs": 12} {
		for _, stride := range []uint64{1, 1 << 8, 1 << 16, 1 << 24, 0x10001} {
			f := NewFDB(n)
			for i := range uint64(n) {
				f.learn(uint16(i&(1<<vidBits-1)), 0x020000000000|(i>>vidBits*stride)&(1<<40-1)+1, 1, 0)
			}
			// At half load a few keys of some ten thousand have no row by chance.
			if f.Evicted() > n/1000 {
				t.Errorf("%s, stride %#x: %d of %d evicted, want %d at most", name, stride, f.Evicted(), n, n/1000)
			}
		}
	}
}

// TestFDBFull: with far more addresses than rows, the FDB keeps its size, always has the newest address, and evicts
// addresses that are not in use.
func TestFDBFull(t *testing.T) {
	f := NewFDB(64)
	if f.Cap() != 128 {
		t.Fatalf("%d rows for 64 entries, want 128", f.Cap())
	}
	for i := range uint64(100_000) {
		f.learn(1, 0x020000000000|i, uint16(i%7), uint32(i/1000))
		if p, ok := f.lookup(1, 0x020000000000|i, uint32(i/1000)); !ok || p != uint16(i%7) {
			t.Fatalf("address %d: port %d, found %v; want %d", i, p, ok, i%7)
		}
	}
	n := 0
	f.Entries(99, func(e Entry) bool { n++; return true })
	if n > f.Cap() || n < f.Cap()/2 || f.Evicted() == 0 {
		t.Errorf("%d entries in %d rows, %d evicted; want the rows half full at least, and evictions",
			n, f.Cap(), f.Evicted())
	}

	f = NewFDB(4) // two buckets: every key has both
	for i := range uint64(250) {
		f.learn(1, 0x02, 1, uint32(i)) // in use
		f.learn(1, 0x0200|i<<16, 2, uint32(i))
		if p, ok := f.lookup(1, 0x02, uint32(i)); !ok || p != 1 {
			t.Fatalf("address in use: port %d, found %v; want 1", p, ok)
		}
	}
}

func TestFDBRefusesGroupAndZero(t *testing.T) {
	f := NewFDB(16)
	for _, mac := range []uint64{0, wire.Broadcast, 0x01005e000001} {
		f.learn(1, mac, 1, 0)
		if _, ok := f.lookup(1, mac, 0); ok {
			t.Errorf("%012x was learned, want it ignored", mac)
		}
	}
}

// TestFDBWritesSparingly: a frame of a known address in the same second, or from a worker whose clock is behind, does
// not write the row.
func TestFDBWritesSparingly(t *testing.T) {
	f := NewFDB(16)
	f.learn(1, 0x02, 1, 10)
	k := fdbKey(1, 0x02)
	value := func() uint64 {
		_, v := f.first(f.hash(k)).find(k, f.hash(k))
		return v
	}
	v := value()
	f.learn(1, 0x02, 1, 10)
	f.learn(1, 0x02, 1, 9)
	if value() != v {
		t.Errorf("row %#x after a frame in the same second, want it unchanged %#x", value(), v)
	}
	f.learn(1, 0x02, 1, 11)
	if value() == v {
		t.Error("the row is unchanged after a frame in the next second, want it refreshed")
	}
	f.learn(1, 0x02, 2, 11)
	if p, _ := f.lookup(1, 0x02, 11); p != 2 {
		t.Errorf("port %d after a move to port 2, want 2", p)
	}
}

// TestFDBConcurrent: several workers learn and look up addresses in a table so small that rows change their key
// often. The port is a function of the address, so that the test detects a value of another key. The seed is fixed:
// with it, the 16 check bits of all addresses differ.
func TestFDBConcurrent(t *testing.T) {
	f := NewFDB(32)
	f.seed = [2]uint64{0x243f6a8885a308d3, 0x13198a2e03707345}
	portOf := func(mac uint64) uint16 { return uint16(mac * 31 % 1009) }
	const first, addresses = 0x02_0000_0000, 200
	checks := map[uint64]bool{}
	for i := range uint64(addresses) {
		checks[check(f.hash(fdbKey(7, first+i)))] = true
	}
	if len(checks) != addresses {
		t.Fatal("two addresses with the same check: choose another seed")
	}
	var (
		wg   sync.WaitGroup
		hits [4]int
	)
	for w := range hits {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			for i := range 200_000 {
				mac := first + uint64(rng.IntN(addresses))
				now := uint32(i / 1000)
				if rng.IntN(2) == 0 {
					f.learn(7, mac, portOf(mac), now)
				} else if p, ok := f.lookup(7, mac, now); ok {
					hits[w]++
					if p != portOf(mac) {
						t.Errorf("mac %x: port %d, want %d", mac, p, portOf(mac))
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for w, n := range hits {
		if n == 0 {
			t.Errorf("worker %d found no address, want some", w)
		}
	}
}
