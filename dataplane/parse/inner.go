package parse

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// Inner parses an inner frame, after decapsulation, as Access does. It keeps Seg, Loc, Next, Kind and the flags of the
// packet. The hash is 0 before and the inner flow's afterwards; Inner does not parse a packet with a hash again. Inner
// leaves the packet of a malformed frame unchanged and returns the reason, otherwise drop.None.
//
// The MACs suffice to forward nearly all frames from the fabric. A stage calls Inner only if it needs other fields.
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

// InnerHash returns the flow hash of the inner frame of n octets at offset at, which Inner would set. The hash of a
// malformed frame covers what the parser could read. The hash selects the worker of a frame before the outer headers
// have been checked.
func InnerHash(mem []byte, p *frame.Packet, at, n uint16) uint32 {
	q := frame.Packet{Off: p.Off + uint32(at), Len: n}
	Access(mem, &q)
	return q.Hash
}
