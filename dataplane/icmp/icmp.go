// Package icmp makes ICMP errors and echo replies in place: the received frame becomes the answer to its sender.
//
// An error is written in front of the offending IP packet, into the frame's headroom, so that nothing is copied:
//
//	before            [Ethernet][IP packet ...                    ]
//	after   [Ethernet][IP][ICMP][IP packet, cut to what is allowed]
//
// The callers (packages route and overlay) own the rate limit and the question of who is the answer's source.
package icmp

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Error is what an ICMP error says.
type Error uint8

// The errors.
const (
	NetUnreachable  Error = iota // no route to the destination
	HostUnreachable              // the destination does not answer for its address
	PortUnreachable              // nobody listens there
	AdminProhibited              // forbidden by configuration
	TimeExceeded                 // TTL or hop limit ran out in transit
	TooBig                       // larger than the MTU given (RFC 1191; RFC 4443, 3.2)
	errorCount
)

// Limits of what an error may be long, in octets of the IP packet.
const (
	maxIPv4 = 576  // RFC 1812, 4.3.2.3
	maxIPv6 = 1280 // RFC 4443, 2.4 (c): the minimum MTU

	head4 = wire.IPv4Len + wire.ICMPLen
	head6 = wire.IPv6Len + wire.ICMPLen

	ttl     = 64
	control = 48 << 2 // TOS: DSCP CS6, internetwork control (RFC 1812, 4.3.2.5)
)

// message is the type and code of an error in each version.
type message struct{ type4, code4, type6, code6 uint8 }

var messages = [errorCount]message{
	NetUnreachable:  {wire.ICMPv4Unreachable, wire.ICMPv4Net, wire.ICMPv6Unreachable, wire.ICMPv6NoRoute},
	HostUnreachable: {wire.ICMPv4Unreachable, wire.ICMPv4Host, wire.ICMPv6Unreachable, wire.ICMPv6AddressUnreach},
	PortUnreachable: {wire.ICMPv4Unreachable, wire.ICMPv4Port, wire.ICMPv6Unreachable, wire.ICMPv6PortUnreach},
	AdminProhibited: {wire.ICMPv4Unreachable, wire.ICMPv4AdminProhibited, wire.ICMPv6Unreachable, wire.ICMPv6AdminProhibited},
	TimeExceeded:    {wire.ICMPv4TimeExceeded, wire.ICMPv4TransitTTLExceeded, wire.ICMPv6TimeExceeded, 0},
	TooBig:          {wire.ICMPv4Unreachable, wire.ICMPv4FragmentationNeed, wire.ICMPv6TooBig, 0},
}

// Reply turns the parsed, untagged packet p into the ICMP error e about itself: to its source addresses, from srcMAC
// and src4 or src6. mtu (octets of an IP packet) counts for TooBig only. It sets FlagGenerated and leaves Next to the
// caller. It returns false, with p as it was, where MayReply does, or when the source address is 0.
func Reply(mem []byte, p *frame.Packet, e Error, mtu uint16, src4 uint32, src6 [2]uint64, srcMAC uint64) bool {
	if !MayReply(mem, p, e) {
		return false
	}
	m := &messages[e]
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	var rest uint32
	if e == TooBig {
		rest = uint32(mtu)
	}
	if p.Has(frame.FlagIPv4) {
		if src4 == 0 {
			return false
		}
		dst := wire.IPv4(l3).Src()
		n := min(int(wire.IPv4(l3).TotalLen()), maxIPv4-head4)
		b := rehead(mem, p, head4, n, srcMAC, wire.EtherTypeIPv4)
		putIPv4(b, uint16(head4+n), src4, dst)
		c := wire.ICMPv4(b[wire.IPv4Len:])
		c.Set(m.type4, m.code4, rest)
		c.SetChecksum(checksum.Checksum(c, 0))
		generated(p, frame.FlagIPv4, wire.IPv4Len, wire.ProtoICMP, control)
		return true
	}
	if wire.Unspecified6(src6) {
		return false
	}
	dst := wire.IPv6(l3).Src()
	n := min(wire.IPv6Len+int(wire.IPv6(l3).PayloadLen()), maxIPv6-head6)
	b := rehead(mem, p, head6, n, srcMAC, wire.EtherTypeIPv6)
	putIPv6(b, uint16(wire.ICMPLen+n), src6, dst)
	c := wire.ICMPv6(b[wire.IPv6Len:])
	c.Set(m.type6, m.code6, rest)
	c.SetChecksum(checksum.Checksum(c, checksum.Sum(wire.IPv6(b).Addrs(), wire.ProtoICMPv6+uint32(len(c)))))
	generated(p, frame.FlagIPv6, wire.IPv6Len, wire.ProtoICMPv6, control)
	return true
}

// MayReply reports whether the packet may be answered with the ICMP error e at all: not if it is itself an ICMP error
// or not IP, not a fragment but the first, not to or from an address that is no single host's (RFC 1122, 3.2.2;
// RFC 1812, 4.3.2.7; RFC 4443, 2.4). The caller, who knows the subnets, keeps directed broadcasts away.
func MayReply(mem []byte, p *frame.Packet, e Error) bool {
	// Without headroom for the longer of the two answers there is none; a received frame has it.
	if e >= errorCount || p.Off+uint32(p.L3) < wire.EthernetLen+head6 {
		return false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	group := p.Flags&frame.FlagGroup != 0 || wire.GroupMAC(p.DstMAC)
	if p.Has(frame.FlagIPv4) {
		h := wire.IPv4(l3)
		if group || !Host4(h.Src()) || h.Dst()>>28 >= 0xe || h.FlagsFragment()&wire.IPv4OffsetMask != 0 {
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
	if wire.Multicast6(src) || wire.Unspecified6(src) || wire.Loopback6(src) || p.Flags&frame.FlagFragment != 0 && later6(h) {
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

// Host4 reports whether the IPv4 address a can be that of a single host beyond its own link's broadcasts: not in
// 0.0.0.0/8 or 127.0.0.0/8, not multicast, reserved or broadcast (RFC 1812, 5.3.7).
func Host4(a uint32) bool {
	net := a >> 24
	return net != 0 && net != 127 && net < 224
}

// query4 reports whether t is an ICMPv4 type that asks or answers, and is no error; an unknown type counts as one.
func query4(t uint8) bool {
	switch t {
	case wire.ICMPv4Echo, wire.ICMPv4EchoReply, 13, 14, 17, 18: // timestamp, address mask
		return true
	}
	return false
}

// later6 reports whether h, a fragment, is not the first one. The parser has checked the chain up to the fragment
// header.
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

// rehead puts Ethernet and n octets of room in front of the first keep octets of p's IP packet, cuts what is behind
// them, and addresses the frame back to where it came from. It returns room and rest, from behind the Ethernet header.
func rehead(mem []byte, p *frame.Packet, n, keep int, srcMAC uint64, etherType uint16) []byte {
	l3 := p.Off + uint32(p.L3)
	p.Off = l3 - uint32(n) - wire.EthernetLen
	p.Len = uint16(wire.EthernetLen + n + keep)
	p.L3 = wire.EthernetLen
	p.DstMAC, p.SrcMAC = p.SrcMAC, srcMAC
	p.EtherType = etherType
	f := p.Bytes(mem)
	e := wire.Ethernet(f)
	e.SetDst(p.DstMAC)
	e.SetSrc(p.SrcMAC)
	e.SetType(etherType)
	return f[wire.EthernetLen:]
}

// generated sets what the parser would have found in the answer.
func generated(p *frame.Packet, version uint16, ipLen uint16, proto, tos uint8) {
	p.L4 = p.L3 + ipLen
	p.Flags = p.Flags&frame.FlagFromFabric | version | frame.FlagL4 | frame.FlagGenerated
	p.Proto = proto
	p.DSCP = tos >> 2
}

// putIPv4 writes the header of an ICMP error of total octets: atomic, hence without an ID (RFC 6864, 4.1).
func putIPv4(b []byte, total uint16, src, dst uint32) {
	h := wire.IPv4(b[:wire.IPv4Len])
	h.SetVersionIHL(wire.IPv4Len)
	h.SetTOS(control)
	h.SetTotalLen(total)
	h.SetID(0)
	h.SetFlagsFragment(wire.IPv4DF)
	h.SetTTL(ttl)
	h.SetProto(wire.ProtoICMP)
	h.SetChecksum(0)
	h.SetSrc(src)
	h.SetDst(dst)
	h.SetChecksum(checksum.Checksum(h, 0))
}

// putIPv6 writes the header of an ICMPv6 error of n octets.
func putIPv6(b []byte, n uint16, src, dst [2]uint64) {
	h := wire.IPv6(b)
	h.SetFlow(control, 0)
	h.SetPayloadLen(n)
	h.SetNextHeader(wire.ProtoICMPv6)
	h.SetHopLimit(ttl)
	h.SetSrc(src)
	h.SetDst(dst)
}
