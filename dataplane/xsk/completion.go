package xsk

import "sync/atomic"

// compRing returns transmitted frames to the process.
type compRing struct {
	slots    []uint64 // written by the kernel, read by the process; length is a power of two
	producer *uint32  // written by the kernel
	consumer *uint32  // written by the process
	prod     uint32   // *producer when last read
	cons     uint32   // our next slot; equals *consumer between calls
}

// get moves up to len(addrs) frames to addrs, each as the address of its chunk, and takes them out of held.
func (r *compRing) get(addrs []uint64, held *frameSet) int {
	slots := r.slots
	n := r.prod - r.cons
	if n < uint32(len(addrs)) {
		r.prod = atomic.LoadUint32(r.producer)
		n = r.prod - r.cons
	}
	if n < uint32(len(addrs)) {
		addrs = addrs[:n]
	}
	if len(addrs) == 0 {
		return 0
	}
	mask := uint32(len(slots) - 1)
	chunk := held.chunkMask()
	cons := r.cons
	for i := range addrs {
		a := slots[cons&mask] & chunk
		addrs[i] = a
		held.remove(a)
		cons++
	}
	r.cons = cons
	atomic.StoreUint32(r.consumer, cons)
	return len(addrs)
}
