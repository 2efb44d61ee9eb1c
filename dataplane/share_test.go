package dataplane

import "testing"

// TestNotesForSharedRules: the agents note flows where rules of replies collide, also if no service says so: a service
// that is gone leaves its rules behind for a time, which those of its successor may collide with.
func TestNotesForSharedRules(t *testing.T) {
	x := newBench(t, 1, Config{Workers: 2, Frames: 256, RingSize: 64})
	if x.workers[0].Overlay.Agent.Notes != nil {
		t.Error("a box without shared rules has notes of flows, want none")
	}
	next := x.snap // a copy
	next.Generation = 2
	next.SharedReplies = true
	x.Publish(&next)
	for i, w := range x.workers {
		if w.Overlay.Agent.Notes == nil {
			t.Errorf("worker %d has no notes of flows: all replies that shared rules cover are dropped", i)
		}
	}
	x.end()
}
