package parse

import (
	"encoding/binary"

	"penstock/dataplane/wire"
)

// Quoted is the packet in an ICMP error. Addresses are as in flow.Key: IPv4 in the low half, host order.
type Quoted struct {
	Src, Dst [2]uint64
	Ports    uint32 // source and destination port
	Proto    uint8
	L4       int // offset of the ports in the ICMP message
}

// Embedded parses the packet in an ICMP error, m from its ICMP header on (RFC 792; RFC 4443, 3). ok is false if the
// packet is no whole one or first fragment, or if its ports are not in the message. Checksums are not verified, since
// the message may be cut. The message has an ICMP header of 8 octets, which the parser has checked.
func Embedded(m []byte, v6 bool) (q Quoted, ok bool) {
	ip := m[wire.ICMPLen:]
	if !v6 {
		if len(ip) < wire.IPv4Len {
			return q, false
		}
		h := wire.IPv4(ip)
		n := h.HeaderLen()
		if h.Version() != 4 || n < wire.IPv4Len || len(ip) < n+4 || h.FlagsFragment()&wire.IPv4OffsetMask != 0 {
			return q, false
		}
		q.Src[1], q.Dst[1], q.Proto = uint64(h.Src()), uint64(h.Dst()), h.Proto()
		q.L4 = wire.ICMPLen + n
		q.Ports = binary.BigEndian.Uint32(ip[n:])
		return q, true
	}
	if len(ip) < wire.IPv6Len {
		return q, false
	}
	h := wire.IPv6(ip)
	if h.Version() != 6 {
		return q, false
	}
	proto, at := h.NextHeader(), wire.IPv6Len
	for n := 0; extension(proto); n++ {
		if n == maxExtensions || len(ip) < at+8 {
			return q, false
		}
		e := ip[at:]
		size := int(e[1])*8 + 8
		switch proto {
		case wire.ProtoFragment:
			size = wire.IPv6FragmentLen
			if binary.BigEndian.Uint16(e[2:4])&wire.IPv6FragOffsetMask != 0 {
				return q, false
			}
		case wire.ProtoAH:
			size = int(e[1])*4 + 8
		}
		proto, at = e[0], at+size
	}
	if len(ip) < at+4 {
		return q, false
	}
	q.Src, q.Dst, q.Proto = h.Src(), h.Dst(), proto
	q.L4 = wire.ICMPLen + at
	q.Ports = binary.BigEndian.Uint32(ip[at:])
	return q, true
}

// FragmentID returns the identification of the fragment ip, an IP packet from its header on that the parser has
// accepted as a fragment, and whether it is the first fragment.
func FragmentID(ip []byte, v6 bool) (id uint32, first bool) {
	if !v6 {
		h := wire.IPv4(ip)
		return uint32(h.ID()), h.FlagsFragment()&wire.IPv4OffsetMask == 0
	}
	at, ok := FragmentHeader(ip)
	if !ok {
		return 0, false
	}
	e := ip[at:]
	return binary.BigEndian.Uint32(e[4:8]), binary.BigEndian.Uint16(e[2:4])&wire.IPv6FragOffsetMask == 0
}

// FragmentHeader returns the offset of the fragment header in the IPv6 packet ip, and whether there is a whole one.
func FragmentHeader(ip []byte) (at int, ok bool) {
	proto, at := wire.IPv6(ip).NextHeader(), wire.IPv6Len
	for range maxExtensions {
		if len(ip) < at+8 || !extension(proto) {
			break
		}
		e := ip[at:]
		size := int(e[1])*8 + 8
		switch proto {
		case wire.ProtoFragment:
			return at, true
		case wire.ProtoAH:
			size = int(e[1])*4 + 8
		}
		proto, at = e[0], at+size
	}
	return 0, false
}
