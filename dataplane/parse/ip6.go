package parse

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// maxExtensions is the largest number of extension headers. Legitimate packets have fewer (RFC 7045, RFC 9098).
const maxExtensions = 8

// ipv6 parses an IPv6 packet at l3, its extension headers, and the transport header.
func ipv6(f []byte, p *frame.Packet, l3 int) bool {
	ip := f[l3:]
	if len(ip) < wire.IPv6Len {
		return dropIP(p, drop.IPv6Truncated)
	}
	h := (*[wire.IPv6Len]byte)(ip)
	w := binary.BigEndian.Uint64(h[:8])
	if w>>60 != 6 {
		return dropIP(p, drop.IPv6Header)
	}
	end := uint(w>>16&0xffff) + wire.IPv6Len
	if end > uint(len(ip)) {
		return dropIP(p, drop.IPv6Length)
	}
	ip = ip[:end]
	p.Flags |= frame.FlagIPv6
	p.TOS = uint8(w >> 52)
	proto := uint8(w >> 8)
	src := binary.BigEndian.Uint64(h[8:16])*mixC ^ binary.BigEndian.Uint64(h[16:24])
	dst := binary.BigEndian.Uint64(h[24:32])*mixC ^ binary.BigEndian.Uint64(h[32:40])

	at := uint(wire.IPv6Len)
	fragmented := false // the packet has a fragment header, possibly as an atomic fragment (RFC 6946)
	if extension(proto) {
		var ok, later bool
		proto, at, fragmented, later, ok = extensions(ip, p, proto)
		p.Proto = proto
		if !ok {
			return dropIP(p, drop.IPv6Extensions)
		}
		if later {
			p.Hash = mix3(src, dst, uint64(proto))
			return true
		}
	}
	p.Proto = proto
	p.Hash = mix3(src, dst, uint64(proto))
	if !transport(ip, p, l3, at, proto) {
		return false
	}
	if p.Flags&frame.FlagL4 == 0 {
		return true
	}
	if proto == wire.ProtoICMPv6 {
		if t := ip[at]; t >= wire.ICMPv6RouterSolicit && t <= wire.ICMPv6Redirect {
			return discovery(ip, p, at, fragmented)
		}
		return true
	}
	if p.Flags&frame.FlagFragment == 0 {
		p.Hash = mix3(src, dst, uint64(binary.BigEndian.Uint32(ip[at:]))<<8|uint64(proto))
	}
	return true
}

func extension(proto uint8) bool {
	switch proto {
	case wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoDestOptions, wire.ProtoFragment, wire.ProtoAH:
		return true
	}
	return false
}

// extensions parses the chain of extension headers of ip, the first of which has type proto. It returns the protocol
// behind the chain and its offset, whether there is a fragment header, and whether the packet is a later fragment. The
// chain of a first fragment must be whole (RFC 7112). ok is false for a chain that is truncated or too long.
func extensions(ip []byte, p *frame.Packet, proto uint8) (last uint8, at uint, fragmented, later, ok bool) {
	at = wire.IPv6Len
	for range maxExtensions {
		if !extension(proto) {
			return proto, at, fragmented, false, true
		}
		e := ip[at:]
		if len(e) < 8 {
			return proto, at, fragmented, false, false
		}
		n := uint(e[1])*8 + 8
		switch proto {
		case wire.ProtoFragment:
			n = wire.IPv6FragmentLen
			fragmented = true
			v := binary.BigEndian.Uint16(e[2:4])
			if v&(wire.IPv6FragOffsetMask|wire.IPv6FragMF) != 0 {
				p.Flags |= frame.FlagFragment
			}
			if v&wire.IPv6FragOffsetMask != 0 {
				return e[0], at + n, true, true, true
			}
		case wire.ProtoAH:
			n = uint(e[1])*4 + 8 // RFC 4302, 2.2
		}
		if n > uint(len(e)) {
			return proto, at, fragmented, false, false
		}
		proto = e[0]
		at += n
	}
	return proto, at, fragmented, false, !extension(proto)
}

// discovery checks a neighbour discovery message: RFC 4861, 6.1, 7.1 and 8.1; RFC 6980 forbids fragment headers.
func discovery(ip []byte, p *frame.Packet, at uint, fragmented bool) bool {
	h, m := wire.IPv6(ip), ip[at:]
	if fragmented || h.HopLimit() != 255 || wire.ICMPv6(m).Code() != 0 || !messageOK(h, m) ||
		checksum.Checksum(m, checksum.Sum(h.Addrs(), wire.ProtoICMPv6+uint32(len(m)))) != 0 {
		p.DropFor(drop.NDMalformed)
		return false
	}
	p.Flags |= frame.FlagND
	return true
}

// messageOK checks length, options and addresses of the neighbour discovery message m in the packet h.
func messageOK(h wire.IPv6, m []byte) bool {
	var n int
	switch wire.ICMPv6(m).Type() {
	case wire.ICMPv6RouterSolicit:
		n = wire.RouterSolicitLen
	case wire.ICMPv6RouterAdvert:
		n = wire.RouterAdvertLen
	case wire.ICMPv6Redirect:
		n = wire.RedirectLen
	default:
		n = wire.NeighborLen
	}
	if len(m) < n || !wire.NDOptions(m[n:]).Valid() {
		return false
	}
	src, dst := h.Src(), h.Dst()
	if wire.Multicast6(src) {
		return false
	}
	_, hasSource := wire.NDOptions(m[n:]).LinkAddr(wire.NDOptionSourceAddr)
	switch wire.ICMPv6(m).Type() {
	case wire.ICMPv6RouterSolicit:
		return !wire.Unspecified6(src) || !hasSource
	case wire.ICMPv6NeighborSolicit:
		t := wire.NeighborSolicit(m).Target()
		if wire.Multicast6(t) {
			return false
		}
		return !wire.Unspecified6(src) || !hasSource && dst == wire.SolicitedNode(t)
	case wire.ICMPv6NeighborAdvert:
		a := wire.NeighborAdvert(m)
		return !wire.Multicast6(a.Target()) && !(wire.Multicast6(dst) && a.Flags()&wire.NAFlagSolicited != 0)
	default: // router advertisement, redirect
		return wire.LinkLocal6(src)
	}
}
