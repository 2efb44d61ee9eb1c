package keeper

import (
	"math/rand/v2"
	"testing"
)

// naive is a set of timers that is gone through from end to end.
type naive map[uint32]int64

func (n naive) next() (id uint32, time int64) {
	time = Never
	for i, t := range n {
		if t < time || t == time && i < id {
			id, time = i, t
		}
	}
	return id, time
}

// TestTimersAgainstNaive: after every one of many random operations the heap and a naive set agree on what is next, and
// on which timers run. Few times make ties, few ids make changes of timers that run.
func TestTimersAgainstNaive(t *testing.T) {
	for _, tc := range []struct {
		ids, times, ops int
	}{{1, 2, 1000}, {5, 3, 20_000}, {40, 10, 20_000}, {300, 1 << 40, 20_000}} {
		r := rand.New(rand.NewPCG(uint64(tc.ids), 1))
		var h Timers
		room, n := 0, naive{}
		for op := range tc.ops {
			id, time := uint32(r.IntN(tc.ids)), r.Int64N(int64(tc.times))-int64(tc.times)/4
			switch r.IntN(10) {
			case 0:
				room = max(room, r.IntN(tc.ids+1))
				h.Grow(room)
			case 1, 2, 3:
				h.Stop(id)
				delete(n, id)
			case 4:
				id, _ = h.Next()
				h.Stop(id)
				delete(n, id)
			case 5:
				h.Set(id, Never)
				delete(n, id)
			default:
				h.Set(id, time)
				if int(id) < room {
					n[id] = time
				}
			}
			gotID, got := h.Next()
			wantID, want := n.next()
			if got != want || want != Never && gotID != wantID {
				t.Fatalf("%d ids, operation %d: timer %d is next at %d, want %d at %d",
					tc.ids, op, gotID, got, wantID, want)
			}
			if _, runs := n[id]; h.Runs(id) != runs || h.Len() != len(n) {
				t.Fatalf("%d ids, operation %d: timer %d runs: %v, want %v; %d run, want %d",
					tc.ids, op, id, h.Runs(id), runs, h.Len(), len(n))
			}
		}
		for len(n) > 0 { // all others, in order
			id, time := n.next()
			if gotID, got := h.Next(); gotID != id || got != time {
				t.Fatalf("%d ids, at the end: timer %d is next at %d, want %d at %d", tc.ids, gotID, got, id, time)
			}
			h.Stop(id)
			delete(n, id)
		}
		want(t, "timers left", h.Len(), 0)
	}
}
