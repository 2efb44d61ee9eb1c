package resolve

import (
	"net/netip"
	"testing"
	"time"
)

// TestFlapping: a VIF that two boxes claim in turn is held where it is after five moves, and followed again after nine
// minutes, or when somebody says so.
func TestFlapping(t *testing.T) {
	for _, released := range []bool{false, true} {
		w := newWorld(t, 3)
		key, other := vif(100, 1), w.nodes[2]
		step := func(i int) {
			w.nodes[i%2].put(key, netip.AddrFrom4([4]byte{10, 8, 0, byte(i)})) // changed: it is claimed anew
			w.pass(20 * time.Second)
		}
		for i := range 5 { // four moves
			step(i)
		}
		if other.alarms["vif_flapping"] != "" || other.rows[key].At != w.nodes[0].at {
			t.Fatalf("after four moves: alarms %v, the VIF at %v, want none, at box 0", other.alarms,
				other.rows[key].At)
		}
		step(5)
		if other.alarms["vif_flapping"] == "" {
			t.Fatal("five moves within three minutes raise no alarm")
		}
		held := other.rows[key]
		for i := 6; i < 10; i++ {
			step(i)
			if r := other.rows[key]; r.At != held.At || r.Sequence != held.Sequence {
				t.Fatalf("the held row: got %s, want %s", &r, &held)
			}
		}
		if until, ok := other.s.Held(key); !ok || until.UnixNano() <= w.now {
			t.Errorf("held: got %v until %s, want the VIF to be held", ok, until)
		}
		if released {
			for _, n := range w.nodes {
				n.s.Release(key)
			}
			if other.s.Release(key) {
				t.Error("a VIF is released twice")
			}
		} else {
			w.pass(540 * time.Second)
		}
		w.settle(30 * time.Second)
		if _, ok := other.s.Held(key); ok || other.alarms["vif_flapping"] != "" {
			t.Errorf("afterwards: alarms %v, held %v, want none", other.alarms, ok)
		}
	}
}

// TestNotFlapping: five moves in more time are no fault.
func TestNotFlapping(t *testing.T) {
	w := newWorld(t, 3)
	for i := range 12 {
		w.nodes[i%2].put(vif(100, 1), netip.AddrFrom4([4]byte{10, 8, 0, byte(i)}))
		w.pass(50 * time.Second)
	}
	if _, ok := w.nodes[2].s.Held(vif(100, 1)); ok || w.nodes[2].alarms["vif_flapping"] != "" {
		t.Error("a move every 50 s raises an alarm")
	}
}
