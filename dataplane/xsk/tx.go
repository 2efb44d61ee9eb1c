package xsk

import "sync/atomic"

// txRing gives frames to the kernel for transmission.
type txRing struct {
	slots    []Desc  // written by the process, read by the kernel; length is a power of two
	producer *uint32 // written by the process
	consumer *uint32 // written by the kernel
	flags    *uint32 // written by the kernel
	prod     uint32  // our next slot; equals *producer between calls
	cons     uint32  // *consumer when last read
}

// free returns the number of free slots, as of now.
func (r *txRing) free() uint32 {
	r.cons = atomic.LoadUint32(r.consumer)
	return uint32(len(r.slots)) - (r.prod - r.cons)
}

// pending returns the number of descriptors that the kernel has not taken yet, as of now. In copy mode the kernel
// publishes its progress at the end of a system call, and not even then if every frame of that call was refused.
func (r *txRing) pending() uint32 {
	r.cons = atomic.LoadUint32(r.consumer)
	return r.prod - r.cons
}

// put appends as many of d as fit while leave slots stay free, notes their frames in held and returns their number.
func (r *txRing) put(d []Desc, leave uint32, held *frameSet) int {
	slots := r.slots
	room := uint32(len(slots)) - (r.prod - r.cons)
	if room < uint32(len(d))+leave {
		room = r.free()
		if room < uint32(len(d))+leave {
			d = d[:max(room, leave)-leave]
		}
	}
	if len(d) == 0 {
		return 0
	}
	mask := uint32(len(slots) - 1)
	prod := r.prod
	for i := range d {
		// Options stays zero: what came with a received descriptor means nothing, or something else, here,
		// and the kernel refuses unknown bits.
		slots[prod&mask] = Desc{Addr: d[i].Addr, Len: d[i].Len}
		held.add(d[i].Addr)
		prod++
	}
	r.prod = prod
	atomic.StoreUint32(r.producer, prod)
	return len(d)
}

// needWakeup reports whether the kernel waits for a wakeup before it transmits.
func (r *txRing) needWakeup() bool { return atomic.LoadUint32(r.flags)&ringNeedWakeup != 0 }
