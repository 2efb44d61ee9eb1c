package icmp

import (
	"encoding/binary"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// MayAnswer reports whether the packet may be answered with the ICMP error e (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7; RFC
// 4443, 2.4 (e)). It may not if the packet is not IP, is an ICMP error, is a fragment but not the first, or has a
// source or destination that is not the address of one host. Such addresses are broadcast, multicast, unspecified,
// loopback and class E addresses, and in the subnets of r (which may be nil) a subnet's broadcast or network address,
// or an IPv6 subnet's anycast address. A frame to several stations is answered with "packet too big" only, and only
// in IPv6.
func MayAnswer(mem []byte, p *frame.Packet, e Error, r *fib.Router) bool {
	// The frame needs headroom for the longer of the two answers. A received frame has it.
	if e >= errorCount || p.Off+uint32(p.L3) < wire.EthernetLen+head6 {
		return false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	group := p.Flags&frame.FlagGroup != 0 || wire.GroupMAC(p.DstMAC)
	if p.Has(frame.FlagIPv4) {
		h := wire.IPv4(l3)
		src, dst := h.Src(), h.Dst()
		if group || !Host4(src) || dst>>28 >= 0xe || h.FlagsFragment()&wire.IPv4OffsetMask != 0 {
			return false
		}
		if r != nil && (broadcast4(r.Subnets4, src) || broadcast4(r.Subnets4, dst)) {
			return false
		}
		return h.Proto() != wire.ProtoICMP || p.Has(frame.FlagL4) && query4(l3[p.L4-p.L3])
	}
	if !p.Has(frame.FlagIPv6) {
		return false
	}
	h := wire.IPv6(l3)
	if (group || wire.Multicast6(h.Dst())) && e != TooBig {
		return false
	}
	src := h.Src()
	if wire.Multicast6(src) || wire.Unspecified6(src) || wire.Loopback6(src) ||
		p.Flags&frame.FlagFragment != 0 && later6(h) {
		return false
	}
	if r != nil && anycast6(r.Subnets6, src) {
		return false
	}
	if p.Proto != wire.ProtoICMPv6 {
		return true
	}
	if !p.Has(frame.FlagL4) {
		return false
	}
	t := l3[p.L4-p.L3] // below 128 are the errors (RFC 4443, 2.1)
	return t >= wire.ICMPv6Echo && t != wire.ICMPv6Redirect
}

// broadcast4 reports whether ip is the broadcast or the network address of its subnet; /31 and /32 have none (RFC
// 3021).
func broadcast4(subnets []fib.Subnet4, ip uint32) bool {
	n := fib.FindSubnet4(subnets, ip)
	return n != nil && n.End-n.Start >= 3 && (ip == n.Start || ip == n.End)
}

// anycast6 reports whether ip is the anycast address of its subnet's routers (RFC 4291, 2.6.1); /127 and /128 have none
// (RFC 6164).
func anycast6(subnets []fib.Subnet6, ip [2]uint64) bool {
	n := fib.FindSubnet6(subnets, ip)
	return n != nil && ip == n.Start && (n.End[0] != n.Start[0] || n.End[1]-n.Start[1] >= 3)
}

// Host4 reports whether the IPv4 address a can be the address of one host: it is not in 0.0.0.0/8 or 127.0.0.0/8, and
// is not multicast, reserved or broadcast (RFC 1812, 5.3.7).
func Host4(a uint32) bool {
	net := a >> 24
	return net != 0 && net != 127 && net < 224
}

// query4 reports whether the ICMPv4 type t is a query or a reply. All other types, unknown ones included, count as
// errors.
func query4(t uint8) bool {
	switch t {
	case wire.ICMPv4Echo, wire.ICMPv4EchoReply, 13, 14, 17, 18: // timestamp, address mask
		return true
	}
	return false
}

// later6 reports whether the fragment h is not the first one. The parser has checked the chain of extension headers
// up to the fragment header.
func later6(h wire.IPv6) bool {
	proto, at := h.NextHeader(), wire.IPv6Len
	for at+8 <= len(h) {
		switch proto {
		case wire.ProtoFragment:
			return binary.BigEndian.Uint16(h[at+2:])&wire.IPv6FragOffsetMask != 0
		case wire.ProtoAH:
			proto, at = h[at], at+int(h[at+1])*4+8
		default:
			proto, at = h[at], at+int(h[at+1])*8+8
		}
	}
	return true
}
