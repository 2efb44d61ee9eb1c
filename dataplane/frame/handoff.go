package frame

import "sync/atomic"

// Handed is one frame on its way from one worker to another.
type Handed struct {
	Off  uint32
	Len  uint16
	Port uint16 // of receipt, or to send from
	Send bool   // only to be sent from Port, all stages are done
	Hop  uint8  // go on with the balancer's stage, see Packet.HandOver; 0 = begin with the parser
}

// Handoff is a ring between exactly two workers: one puts, one takes. Each side caches the other's index and reads the
// shared word only when its own view runs out; it publishes its index once per batch.
type Handoff struct {
	slots []Handed
	mask  uint32
	_     [40]byte

	head       atomic.Uint32 // written by the producer
	localHead  uint32        // producer: entries put, published or not
	cachedTail uint32        // producer: last tail seen
	_          [52]byte

	tail       atomic.Uint32 // written by the consumer
	localTail  uint32
	cachedHead uint32
	_          [52]byte
}

// NewHandoff returns a ring of size entries, a power of two.
func NewHandoff(size int) *Handoff {
	return &Handoff{slots: make([]Handed, size), mask: uint32(size - 1)}
}

// Put appends h without making it visible yet; false when the ring is full.
func (r *Handoff) Put(h Handed) bool {
	if r.localHead-r.cachedTail > r.mask {
		r.cachedTail = r.tail.Load()
		if r.localHead-r.cachedTail > r.mask {
			return false
		}
	}
	r.slots[r.localHead&r.mask] = h
	r.localHead++
	return true
}

// Publish makes everything put so far visible and reports whether there was anything new.
func (r *Handoff) Publish() bool {
	if r.head.Load() == r.localHead {
		return false
	}
	r.head.Store(r.localHead)
	return true
}

// Take removes up to len(out) entries and returns how many.
func (r *Handoff) Take(out []Handed) int {
	if r.cachedHead == r.localTail {
		r.cachedHead = r.head.Load()
	}
	n := min(uint32(len(out)), r.cachedHead-r.localTail)
	if n == 0 {
		return 0
	}
	for i := range n {
		out[i] = r.slots[(r.localTail+i)&r.mask]
	}
	r.localTail += n
	r.tail.Store(r.localTail)
	return int(n)
}

// Len returns the number of visible entries; exact only when both sides rest.
func (r *Handoff) Len() int { return int(r.head.Load() - r.tail.Load()) }
