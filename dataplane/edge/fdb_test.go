package edge

import (
	"math/rand/v2"
	"sync"
	"testing"

	"penstock/dataplane/wire"
)

// TestFDBModel holds the FDB to a map that never forgets before MaxAge. There is room enough that nothing is evicted.
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
			t.Fatalf("step %d: vid %d mac %x: %d, %v; model %+v, %v at %d", step, vid, mac, got, ok, m, has, now)
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
			t.Errorf("%+v, model %+v at %d", e, m, now)
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
		t.Errorf("%d entries, want %d; %d evicted", n, want, f.Evicted())
	}
}

// TestFDBSpread: as many addresses as the FDB is made for fit, in whatever pattern they come.
func TestFDBSpread(t *testing.T) {
	const n = 1 << 16
	for name, vidBits := range map[string]int{"one VLAN": 0, "16 VLANs": 4, "4,096 VLANs": 12} {
		for _, stride := range []uint64{1, 1 << 8, 1 << 16, 1 << 24, 0x10001} {
			f := NewFDB(n)
			for i := range uint64(n) {
				f.learn(uint16(i&(1<<vidBits-1)), 0x020000000000|(i>>vidBits*stride)&(1<<40-1)+1, 1, 0)
			}
			// Chance leaves a few keys of some ten thousand without a row at half load.
			if f.Evicted() > n/1000 {
				t.Errorf("%s, stride %#x: %d of %d evicted", name, stride, f.Evicted(), n)
			}
		}
	}
}

// TestFDBFull: far more addresses than rows. The table stays within its bound, the newest address is always there,
// and addresses in use push out those that are not.
func TestFDBFull(t *testing.T) {
	f := NewFDB(64)
	if f.Cap() != 128 {
		t.Fatalf("%d rows for 64 entries, want 128", f.Cap())
	}
	for i := range uint64(100_000) {
		f.learn(1, 0x020000000000|i, uint16(i%7), uint32(i/1000))
		if p, ok := f.lookup(1, 0x020000000000|i, uint32(i/1000)); !ok || p != uint16(i%7) {
			t.Fatalf("address %d: %d, %v", i, p, ok)
		}
	}
	n := 0
	f.Entries(99, func(e Entry) bool { n++; return true })
	if n > f.Cap() || n < f.Cap()/2 || f.Evicted() == 0 {
		t.Errorf("%d entries in %d rows, %d evicted", n, f.Cap(), f.Evicted())
	}

	f = NewFDB(4) // two buckets: both choices of every key
	for i := range uint64(250) {
		f.learn(1, 0x02, 1, uint32(i)) // in use
		f.learn(1, 0x0200|i<<16, 2, uint32(i))
		if p, ok := f.lookup(1, 0x02, uint32(i)); !ok || p != 1 {
			t.Fatal("the address in use was evicted")
		}
	}
}

func TestFDBRefusesGroupAndZero(t *testing.T) {
	f := NewFDB(16)
	for _, mac := range []uint64{0, wire.Broadcast, 0x01005e000001} {
		f.learn(1, mac, 1, 0)
		if _, ok := f.lookup(1, mac, 0); ok {
			t.Errorf("%012x was learned", mac)
		}
	}
}

// TestFDBWritesSparingly: the same sighting in the same second, or one from a worker whose clock is behind, writes
// nothing; the value word shows it.
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
		t.Error("written without need")
	}
	f.learn(1, 0x02, 1, 11)
	if value() == v {
		t.Error("not refreshed")
	}
	f.learn(1, 0x02, 2, 11)
	if p, _ := f.lookup(1, 0x02, 11); p != 2 {
		t.Error("a move was not noted")
	}
}

// TestFDBConcurrent: several workers learn and look up in a table so small that rows change hands all the time. The
// port is a function of the address, so a value read under the wrong key shows. The seed is fixed and gives no two of
// the addresses the same 16 bits to check by, which with a random seed happens now and then.
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
			t.Errorf("worker %d found nothing", w)
		}
	}
}
