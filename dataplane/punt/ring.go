package punt

import (
	"sync/atomic"

	"penstock/dataplane/bell"
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/limit"
)

// Ring carries copies of frames from one worker to control. The slots of all kinds of all ports fit at once.
type Ring struct {
	limits *limit.Table // by port and kind
	slots  *frame.Slots
	put    []uint32        // by port and kind: frames put, the worker's
	taken  []atomic.Uint32 // likewise: frames taken, the reader's
	bell   *bell.Bell
	fresh  bool // frames were put since the last Wake
}

// NewRing returns an empty ring for the given number of ports. Nobody is woken for it until NewReader has it.
func NewRing(ports int) *Ring {
	total := uint32(0)
	for k := range table {
		n := table[k].slots()
		if !table[k].Box {
			n *= uint32(ports)
		}
		total += n
	}
	size := 1
	for size < int(total) {
		size *= 2
	}
	n := ports * int(Count)
	return &Ring{
		limits: limit.NewTable(n), slots: frame.NewSlots(size), put: make([]uint32, n), taken: make([]atomic.Uint32, n),
	}
}

// ShareLimits makes r use the limits of another ring for as many ports: a rate then holds for both together.
func (r *Ring) ShareLimits(of *Ring) { r.limits = of.limits }

// share returns the index of a kind's limit and counts: those of the port, or those of the box.
func share(port uint16, k Kind) uint32 {
	if k < Count && table[k].Box {
		port = 0
	}
	return uint32(port)*uint32(Count) + uint32(k)
}

// Put copies a frame of kind k, received on port at now (nanoseconds, see limit.Bucket.Take), into the ring. It returns
// drop.None, or the reason to discard the frame. For the worker alone.
func (r *Ring) Put(now int64, port uint16, k Kind, data []byte) drop.Reason {
	return r.PutOf(now, 0, port, k, data)
}

// PutOf is Put for a frame of a tenant's segment seg (fib.SegmentKey).
func (r *Ring) PutOf(now int64, seg uint64, port uint16, k Kind, data []byte) drop.Reason {
	i := share(port, k)
	if k == None || k >= Count || uint64(i) >= uint64(len(r.put)) {
		return drop.PuntUnwanted
	}
	info := &table[k]
	switch {
	case len(data) > frame.SlotSize:
		return drop.FrameLong
	case !r.limits.At(i).Take(now, info.Rate, info.Burst, 1):
		return drop.PuntLimit
	case r.put[i]-r.taken[i].Load() >= info.slots() || !r.slots.PutOf(seg, port, uint8(k), data):
		return drop.PuntFull
	}
	r.put[i]++
	r.fresh = true
	return drop.None
}

// Wake wakes the reader if it waits and there is something new for it. For the worker alone, once per turn.
func (r *Ring) Wake() {
	if r.fresh {
		r.fresh = false
		if r.bell != nil {
			r.bell.Ring()
		}
	}
}

// Peek returns the oldest frame, or nil. It stays valid until Drop. For the reader alone.
func (r *Ring) Peek() *frame.Slot { return r.slots.Peek() }

// Drop removes the frame that Peek returned. For the reader alone.
func (r *Ring) Drop() {
	if s := r.slots.Peek(); s != nil {
		i := share(s.Port, Kind(s.Kind))
		r.slots.Drop()
		r.taken[i].Add(1)
	}
}
