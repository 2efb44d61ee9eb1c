package checksum

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// Complete finishes the TCP or UDP checksum of the parsed frame b of p, if its sender's stack left that to
// hardware: the field then holds the folded sum of the pseudo-header alone. It reports whether it wrote the field.
//
// A right checksum that happens to equal that sum is computed anew to the same value. Fragments are left alone:
// a stack finishes checksums before it fragments.
func Complete(b []byte, p *frame.Packet) bool {
	if !p.Has(frame.FlagL4) || p.Flags&frame.FlagFragment != 0 {
		return false
	}
	at := wire.TCPChecksumOffset
	if p.Proto != wire.ProtoTCP {
		if p.Proto != wire.ProtoUDP {
			return false
		}
		at = wire.UDPChecksumOffset
	}
	l3 := b[p.L3:]
	var pseudo uint32
	var end int
	if p.Has(frame.FlagIPv4) {
		h := wire.IPv4(l3)
		end = int(p.L3) + int(h.TotalLen())
		pseudo = PseudoIPv4(h.Src(), h.Dst(), p.Proto, uint16(end-int(p.L4)))
	} else {
		h := wire.IPv6(l3)
		end = int(p.L3) + wire.IPv6Len + int(h.PayloadLen())
		pseudo = Sum(h.Addrs(), uint32(p.Proto)+uint32(end-int(p.L4)))
	}
	l4 := b[p.L4:end]
	field := l4[at : at+2]
	if binary.BigEndian.Uint16(field) != Fold(pseudo) {
		return false
	}
	// The field holds the pseudo-header's sum already: summing over it adds the pseudo-header.
	c := Checksum(l4, 0)
	if p.Proto == wire.ProtoUDP {
		c = NonZero(c)
	}
	binary.BigEndian.PutUint16(field, c)
	return true
}
