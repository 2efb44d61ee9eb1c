package xsk

import "sync/atomic"

// fillRing gives empty frames to the kernel.
type fillRing struct {
	slots    []uint64 // written by the process, read by the kernel; length is a power of two
	producer *uint32  // written by the process
	consumer *uint32  // written by the kernel
	flags    *uint32  // written by the kernel
	prod     uint32   // our next slot; equals *producer between calls
	cons     uint32   // *consumer when last read
}

// free returns the number of free slots, as of now.
func (r *fillRing) free() uint32 {
	r.cons = atomic.LoadUint32(r.consumer)
	return uint32(len(r.slots)) - (r.prod - r.cons)
}

// put appends as many of addrs as fit, notes them in held and returns their number.
func (r *fillRing) put(addrs []uint64, held *frameSet) int {
	slots := r.slots
	room := uint32(len(slots)) - (r.prod - r.cons)
	if room < uint32(len(addrs)) {
		room = r.free()
		if room < uint32(len(addrs)) {
			addrs = addrs[:room]
		}
	}
	if len(addrs) == 0 {
		return 0
	}
	mask := uint32(len(slots) - 1)
	prod := r.prod
	for _, a := range addrs {
		slots[prod&mask] = a
		held.add(a)
		prod++
	}
	r.prod = prod
	atomic.StoreUint32(r.producer, prod)
	return len(addrs)
}

// needWakeup reports whether the kernel waits for a wakeup before it takes frames.
func (r *fillRing) needWakeup() bool { return atomic.LoadUint32(r.flags)&ringNeedWakeup != 0 }
