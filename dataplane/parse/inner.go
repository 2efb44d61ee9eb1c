package parse

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// Inner parses the frame that an encapsulation carried, after the outer headers have been taken off, as Access would. It
// keeps what is known already: Seg, Loc, Next, Kind and the flags. The hash is the inner flow's afterwards; before,
// it is 0, and a packet that has one is not parsed again. A malformed frame is left as it is, and Inner returns why;
// otherwise drop.None.
//
// Nearly all frames from the fabric go on by their MACs alone, so a stage calls Inner only where it needs to know more.
func Inner(mem []byte, p *frame.Packet) drop.Reason {
	if p.Hash != 0 {
		return drop.None
	}
	q := frame.Packet{Off: p.Off, Len: p.Len, Port: p.Port}
	if !Access(mem, &q) {
		return q.Drop
	}
	q.Flags |= p.Flags
	q.Seg, q.Loc, q.Next, q.Kind = p.Seg, p.Loc, p.Next, p.Kind
	*p = q
	return drop.None
}

// InnerHash returns the hash of the flow that the n octets from at on, in an encapsulation's frame, belong to: as Inner
// would set it, and of a malformed frame by what could be read. Which worker goes on with a frame is decided by it,
// before the outer headers have been checked.
func InnerHash(mem []byte, p *frame.Packet, at, n uint16) uint32 {
	q := frame.Packet{Off: p.Off + uint32(at), Len: n}
	Access(mem, &q)
	return q.Hash
}
