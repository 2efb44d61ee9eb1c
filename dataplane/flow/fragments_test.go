package flow

import (
	"math/rand/v2"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// TestFragments: the notes are what a map and a list in the order of time say, with any pauses.
func TestFragments(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var f Fragments
	type note struct {
		server fib.Ref
		at     int64
	}
	want := map[FragmentKey]note{}
	var order []FragmentKey
	now := int64(1)
	for step := range 60_000 {
		now += rng.Int64N(2e6)
		if rng.IntN(20_000) == 0 {
			now += 3e9
		}
		k := FragmentKey{Source: [2]uint64{0, uint64(rng.IntN(2))}, VIP: 1 << 20, ID: uint32(rng.IntN(6000)), Proto: 17}
		n, ok := want[k]
		live := ok && now-n.at < FragmentTime
		to, found := f.Find(&k, now)
		if found != live || live && to.Server != n.server {
			t.Fatalf("step %d: %+v: server %x, %v; want %x, %v", step, k, to.Server, found, n.server, live)
		}
		if rng.IntN(2) == 0 {
			continue
		}
		for len(order) > 0 && (len(order) == MaxFragments || now-want[order[0]].at >= FragmentTime) {
			delete(want, order[0])
			order = order[1:]
		}
		server := fib.Ref(step)
		f.Note(&k, Noted{Server: server}, now)
		if old, again := want[k]; again {
			want[k] = note{server, old.at}
		} else {
			want[k] = note{server, now}
			order = append(order, k)
		}
	}
	for i := range uint32(2 * MaxFragments) {
		f.Note(&FragmentKey{ID: i}, Noted{Server: i}, now)
	}
	for i := range uint32(2 * MaxFragments) {
		to, ok := f.Find(&FragmentKey{ID: i}, now)
		if want := i >= MaxFragments; ok != want || ok && to.Server != i {
			t.Fatalf("note %d of %d: found %v (%d), want %v", i, 2*MaxFragments, ok, to.Server, want)
		}
	}
}

// TestHeld: fragments leave in the order in which they came, or after their time, and there are never more than fit.
func TestHeld(t *testing.T) {
	var f Fragments
	var out [MaxHeld]frame.Packet
	a, b := FragmentKey{ID: 1}, FragmentKey{ID: 2}
	for i := range MaxHeld {
		k := &a
		if i%3 == 0 {
			k = &b
		}
		if !f.Hold(k, &frame.Packet{Off: uint32(i)}, int64(i)*1e6) {
			t.Fatalf("fragment %d was refused, want room for %d", i, MaxHeld)
		}
	}
	if f.Hold(&a, &frame.Packet{}, 64e6) {
		t.Fatalf("fragment %d was held, want at most %d", MaxHeld, MaxHeld)
	}
	n := f.Take(&b, &out)
	if n != 22 || f.Held() != MaxHeld-22 {
		t.Fatalf("took %d and %d are left, want 22 and %d", n, f.Held(), MaxHeld-22)
	}
	for i := range n {
		if out[i].Off != uint32(3*i) {
			t.Errorf("fragment %d of the datagram was the %d-th, want the %d-th", i, out[i].Off, 3*i)
		}
	}
	if n := f.Late(&out, 50e6+HeldTime); n != 34 {
		t.Errorf("%d fragments are late, want the 34 of the first 51 ms", n)
	}
	if n := f.Late(&out, 50e6+HeldTime); n != 0 {
		t.Errorf("%d fragments are late again, want 0", n)
	}
	if n := f.Drain(&out); n != 8 || f.Held() != 0 {
		t.Errorf("%d fragments were left and then %d, want 8 and 0", n, f.Held())
	}
}
