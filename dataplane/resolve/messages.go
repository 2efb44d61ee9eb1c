package resolve

import (
	"encoding/binary"
	"sync/atomic"
)

// messages is a ring of messages with one writer and one reader. A record is 8-aligned and whole: one that does not fit
// in front of the ring's end begins at its start.
//
//	octets 0–1 length of the payload, skip = the ring goes on at its start | 2–3 port | 4–7 sender's box address |
//	8–15 MAC << 16 | source port | 16 broadcast | from 24 on the payload
type messages struct {
	mem  []byte
	_    [40]byte
	head uint64 // the writer's: octets written
	seen uint64 // tail as the writer has last read it
	_    [48]byte
	pub  atomic.Uint64 // head as the reader may see it
	_    [56]byte
	tail atomic.Uint64 // octets read
	_    [56]byte
}

const (
	recordLen = 24
	skip      = 0xffff
)

// put copies a message into the ring; false when there is no room. The reader sees it after publish.
func (r *messages) put(a *Arrival) bool {
	size, need := uint64(len(r.mem)), uint64(recordLen+len(a.Payload)+7)&^7
	at := r.head & (size - 1)
	gap := uint64(0)
	if size-at < need {
		gap = size - at
	}
	if need > size/2 || len(a.Payload) >= skip {
		return false
	}
	if r.head+gap+need-r.seen > size {
		if r.seen = r.tail.Load(); r.head+gap+need-r.seen > size {
			return false
		}
	}
	if gap != 0 {
		binary.LittleEndian.PutUint16(r.mem[at:], skip)
		r.head, at = r.head+gap, 0
	}
	b := r.mem[at : at+need]
	binary.LittleEndian.PutUint64(b[0:],
		uint64(a.From)<<32|uint64(a.Port)<<16|uint64(len(a.Payload)))
	binary.LittleEndian.PutUint64(b[8:], a.MAC<<16|uint64(a.Source))
	b[16] = 0
	if a.Broadcast {
		b[16] = 1
	}
	copy(b[recordLen:], a.Payload)
	r.head += need
	return true
}

// publish shows the reader what has been put, and reports whether there was anything new.
func (r *messages) publish() bool {
	if r.pub.Load() == r.head {
		return false
	}
	r.pub.Store(r.head)
	return true
}

// empty is for the reader.
func (r *messages) empty() bool { return r.pub.Load() == r.tail.Load() }

// take calls fn for up to most messages, and returns their number.
func (r *messages) take(most int, fn func(Arrival)) (n int) {
	size, head, tail := uint64(len(r.mem)), r.pub.Load(), r.tail.Load()
	for ; n < most && tail != head; n++ {
		at := tail & (size - 1)
		length := uint64(binary.LittleEndian.Uint16(r.mem[at:]))
		if length == skip {
			tail += size - at
			at, length = 0, uint64(binary.LittleEndian.Uint16(r.mem))
		}
		b := r.mem[at:]
		w0, w1 := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:])
		fn(Arrival{
			Port: uint16(w0 >> 16), From: uint32(w0 >> 32), MAC: w1 >> 16, Source: uint16(w1), Broadcast: b[16] != 0,
			Payload: b[recordLen : recordLen+length : recordLen+length],
		})
		tail += (recordLen + length + 7) &^ 7
	}
	if n > 0 {
		r.tail.Store(tail)
	}
	return n
}
