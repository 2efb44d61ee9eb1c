package parse

import (
	"encoding/binary"
	"math/bits"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// ipv4 parses an IPv4 packet at l3, and the transport header.
func ipv4(f []byte, p *frame.Packet, l3 int) bool {
	ip := f[l3:]
	if len(ip) < wire.IPv4Len {
		return dropIP(p, drop.IPv4Truncated)
	}
	h := (*[wire.IPv4Len]byte)(ip)
	w0 := binary.BigEndian.Uint64(h[0:8])   // version, IHL, TOS, total length, ID, fragment
	w1 := binary.BigEndian.Uint64(h[8:16])  // TTL, protocol, checksum, source
	w2 := binary.BigEndian.Uint32(h[16:20]) // destination
	total := uint16(w0 >> 32)
	hl := uint(wire.IPv4Len)
	if w0>>56 != 0x45 { // options, or not IPv4 at all
		if w0>>60 != 4 || w0>>56&0x0f < 5 {
			return dropIP(p, drop.IPv4Header)
		}
		hl = uint(w0>>56&0x0f) * 4
		if hl > uint(len(ip)) {
			return dropIP(p, drop.IPv4Truncated)
		}
		if checksum.Checksum(ip[:hl], 0) != 0 {
			return dropIP(p, drop.IPv4Checksum)
		}
	} else if !SumOK(w0, w1, w2) {
		return dropIP(p, drop.IPv4Checksum)
	}
	if uint(total) < hl || uint(total) > uint(len(ip)) {
		return dropIP(p, drop.IPv4Length)
	}
	proto := uint8(w1 >> 48)
	p.Proto = proto
	p.TOS = uint8(w0 >> 48)
	p.Flags |= frame.FlagIPv4
	addrs := w1<<32 | uint64(w2)
	p.Hash = mix(addrs, uint64(proto))
	if w0&wire.IPv4OffsetMask != 0 {
		p.Flags |= frame.FlagFragment
		return true
	}
	if !transport(ip[:total], p, l3, hl, proto) {
		return false
	}
	if w0&wire.IPv4MF != 0 {
		p.Flags |= frame.FlagFragment // the hash is without ports, so that all fragments have the same hash
	} else if proto == wire.ProtoTCP || proto == wire.ProtoUDP {
		p.Hash = FlowHash(addrs, binary.BigEndian.Uint32(ip[hl:]), proto)
	}
	return true
}

// SumOK verifies the checksum of a 20-octet header given as words in network order.
func SumOK(w0, w1 uint64, w2 uint32) bool {
	s, c := bits.Add64(w0, w1, 0)
	s, c = bits.Add64(s, uint64(w2), c)
	s += c
	// The high half of a word plus the same word with swapped halves is the sum of the halves, carry included.
	v := uint32((s + bits.RotateLeft64(s, 32)) >> 32)
	return (v+bits.RotateLeft32(v, 16))>>16 == 0xffff // the sum is not 0: the version is in it
}

// dropIP drops a packet with a malformed IP header.
func dropIP(p *frame.Packet, r drop.Reason) bool {
	p.Hash = 0
	p.DropFor(r)
	return false
}

// transport checks that the header of a known protocol at offset at of the IP packet ip is whole.
func transport(ip []byte, p *frame.Packet, l3 int, at uint, proto uint8) bool {
	l4 := ip[at:]
	need := 0
	switch proto {
	case wire.ProtoTCP:
		need = wire.TCPLen
		if len(l4) >= wire.TCPLen {
			need = wire.TCP(l4).HeaderLen()
			if need < wire.TCPLen {
				need = len(l4) + 1 // malformed: a header is not shorter than its fixed part
			}
		}
	case wire.ProtoUDP:
		need = wire.UDPLen
	case wire.ProtoICMP:
		if p.Flags&frame.FlagIPv6 != 0 {
			return true
		}
		need = wire.ICMPLen
	case wire.ProtoICMPv6:
		if p.Flags&frame.FlagIPv4 != 0 {
			return true
		}
		need = wire.ICMPLen
	default:
		return true
	}
	if len(l4) < need {
		p.DropFor(drop.L4Truncated)
		return false
	}
	p.L4 = uint16(l3) + uint16(at)
	p.Flags |= frame.FlagL4
	return true
}
