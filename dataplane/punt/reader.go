package punt

import (
	"context"
	"sync/atomic"

	"penstock/dataplane/frame"
)

// bell wakes the reader. It is silent unless the reader waits, so that a busy reader costs the workers one load.
type bell struct {
	waits atomic.Bool
	c     chan struct{}
}

func (b *bell) ring() {
	if b.waits.Load() && b.waits.CompareAndSwap(true, false) {
		b.c <- struct{}{} // there is room: the reader takes it before it waits again
	}
}

// Reader is control's end of the workers' rings. It is for one goroutine at a time.
type Reader struct {
	rings []*Ring
	bell  *bell
}

// NewReader returns the reader of the given rings. It is to be called before their workers run.
func NewReader(rings ...*Ring) *Reader {
	r := &Reader{rings: rings, bell: &bell{c: make(chan struct{}, 1)}}
	for _, ring := range rings {
		ring.bell = r.bell
	}
	return r
}

// Take calls fn for every frame that has been put, per worker oldest first, and returns how many that were. data has no
// FCS and is valid only during the call.
func (r *Reader) Take(fn func(port int, k Kind, data []byte)) (n int) {
	return r.TakeSlots(func(s *frame.Slot) { fn(int(s.Port), Kind(s.Kind), s.Data[:s.Len]) })
}

// TakeSlots is Take with all that is known of a frame. The slot is valid only during the call.
func (r *Reader) TakeSlots(fn func(s *frame.Slot)) (n int) {
	for _, ring := range r.rings {
		for s := ring.Peek(); s != nil; s = ring.Peek() {
			fn(s)
			ring.Drop()
			n++
		}
	}
	return n
}

// Wait returns true when there is a frame to take, and false when ctx is done.
func (r *Reader) Wait(ctx context.Context) bool {
	b := r.bell
	b.waits.Store(true)
	for _, ring := range r.rings { // what was put before the line above rang no bell
		if ring.Peek() != nil {
			b.silence()
			return true
		}
	}
	select {
	case <-ctx.Done():
		b.silence()
		return false
	case <-b.c:
		return true
	}
}

// silence ends the wait for a ring; one that is under way is taken.
func (b *bell) silence() {
	if !b.waits.CompareAndSwap(true, false) {
		<-b.c
	}
}
