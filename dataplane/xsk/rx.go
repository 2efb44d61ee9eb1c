package xsk

import "sync/atomic"

// rxRing hands received frames to the process.
type rxRing struct {
	slots    []Desc  // written by the kernel, read by the process; length is a power of two
	producer *uint32 // written by the kernel
	consumer *uint32 // written by the process
	prod     uint32  // *producer when last read
	cons     uint32  // our next slot; equals *consumer between calls
}

// get moves up to len(d) descriptors to d and takes their frames out of held.
func (r *rxRing) get(d []Desc, held *frameSet) int {
	slots := r.slots
	n := r.prod - r.cons
	if n < uint32(len(d)) {
		r.prod = atomic.LoadUint32(r.producer)
		n = r.prod - r.cons
	}
	if n < uint32(len(d)) {
		d = d[:n]
	}
	if len(d) == 0 {
		return 0
	}
	mask := uint32(len(slots) - 1)
	cons := r.cons
	for i := range d {
		e := slots[cons&mask]
		d[i] = e
		held.remove(e.Addr)
		cons++
	}
	r.cons = cons
	atomic.StoreUint32(r.consumer, cons)
	return len(d)
}
