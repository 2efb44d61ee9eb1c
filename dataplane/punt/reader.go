package punt

import (
	"context"

	"penstock/dataplane/bell"
	"penstock/dataplane/frame"
)

// Reader is control's end of the workers' rings. It is for one goroutine at a time.
type Reader struct {
	rings []*Ring
	bell  *bell.Bell
}

// NewReader returns the reader of the given rings. It is to be called before their workers run.
func NewReader(rings ...*Ring) *Reader {
	r := &Reader{rings: rings, bell: bell.New()}
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
func (r *Reader) Wait(ctx context.Context) bool { return r.bell.Wait(ctx, r.waiting) }

func (r *Reader) waiting() bool {
	for _, ring := range r.rings {
		if ring.Peek() != nil {
			return true
		}
	}
	return false
}
