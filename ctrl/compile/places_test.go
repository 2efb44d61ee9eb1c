package compile

import (
	"errors"
	"testing"
)

// An attachment index that does not fit into the key of a VIF is refused, before anything is live.
func TestTooManyAttachments(t *testing.T) {
	w := newWorld(t, "", testPorts()[:3], 100)
	x := small(w)
	before := w.c.Snapshot()
	w.c.attachIDs.next = maxAttachments
	if _, err := w.c.Plan(x.next, x.ch); !errors.Is(err, ErrPlaces) {
		t.Errorf("%v, want ErrPlaces", err)
	}
	if w.c.Snapshot() != before {
		t.Error("something was published")
	}
	w.c.attachIDs.next = 0
	x.commit()
	w.check()
}
