package frame

// Desc says where a frame lies in the UMEM and how long it is. The layout is struct xdp_desc of linux/if_xdp.h.
type Desc struct {
	Addr    uint64 // position of the first octet in the UMEM
	Len     uint32 // octets
	Options uint32 // set by the kernel on reception, ignored when sent
}

// QueueSize is how many frames wait for one transmit ring before they are flushed to it.
const QueueSize = 256

// Queue is the frames that one thread has on their way to a transmit ring.
type Queue struct {
	n    uint32
	desc [QueueSize]Desc
}

// Put appends the n octets at off; false when the queue is full.
func (q *Queue) Put(off uint32, n uint16) bool {
	if q.n >= QueueSize {
		return false
	}
	d := &q.desc[q.n&(QueueSize-1)]
	d.Addr, d.Len = uint64(off), uint32(n) // Options is never set
	q.n++
	return true
}

// Len returns how many frames wait.
func (q *Queue) Len() int { return int(q.n) }

// Take empties the queue; what it returns is valid until the next Put.
func (q *Queue) Take() []Desc {
	d := q.desc[:min(q.n, QueueSize)]
	q.n = 0
	return d
}
