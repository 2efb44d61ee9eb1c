package frame

import "sync/atomic"

// SlotSize is the largest frame that travels between a worker and control, in octets.
const SlotSize = 2048

// Slot is one frame copied out of, or to be copied into, the UMEM.
type Slot struct {
	Port uint16
	Seg  uint64 // fib.SegmentKey of the frame's segment, 0 = none: an index could have another owner by now
	Kind uint8
	Len  uint16
	Data [SlotSize]byte
}

// Slots is a bounded ring of copied frames between one worker and control: one side puts, the other takes.
type Slots struct {
	ring []Slot
	mask uint32
	_    [32]byte
	head atomic.Uint32
	_    [60]byte
	tail atomic.Uint32
	_    [60]byte
}

// NewSlots returns a ring of size slots, a power of two.
func NewSlots(size int) *Slots { return &Slots{ring: make([]Slot, size), mask: uint32(size - 1)} }

// Put copies data in; false when the ring is full or data longer than a slot.
func (r *Slots) Put(port uint16, kind uint8, data []byte) bool { return r.PutOf(0, port, kind, data) }

// PutOf is Put for a frame of segment seg (fib.SegmentKey).
func (r *Slots) PutOf(seg uint64, port uint16, kind uint8, data []byte) bool {
	h := r.head.Load()
	if h-r.tail.Load() > r.mask || len(data) > SlotSize {
		return false
	}
	s := &r.ring[h&r.mask]
	s.Port, s.Seg, s.Kind, s.Len = port, seg, kind, uint16(copy(s.Data[:], data))
	r.head.Store(h + 1)
	return true
}

// Peek returns the oldest slot, or nil. It stays valid until Drop.
func (r *Slots) Peek() *Slot {
	t := r.tail.Load()
	if r.head.Load() == t {
		return nil
	}
	return &r.ring[t&r.mask]
}

// Drop removes the slot that Peek returned.
func (r *Slots) Drop() { r.tail.Add(1) }

// Len returns the number of slots in use.
func (r *Slots) Len() int { return int(r.head.Load() - r.tail.Load()) }
