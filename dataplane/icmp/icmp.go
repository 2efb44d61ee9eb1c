// Package icmp makes ICMP errors and echo replies in place: it turns the received frame into the answer to its sender.
//
// It writes an error in front of the offending IP packet, into the frame's headroom, and copies nothing:
//
//	before            [Ethernet][IP packet ...                    ]
//	after   [Ethernet][IP][ICMP][IP packet, cut to what is allowed]
//
// may.go decides which packets may be answered. The callers (packages route, overlay and uplink) choose the source
// addresses of the answer, with the functions in back.go.
package icmp

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Error is a kind of ICMP error.
type Error uint8

// The errors.
const (
	NetUnreachable  Error = iota // no route to the destination
	HostUnreachable              // the destination address cannot be resolved
	PortUnreachable              // no service at the destination port
	AdminProhibited              // forbidden by configuration
	TimeExceeded                 // TTL or hop limit ran out in transit
	TooBig                       // larger than the MTU given (RFC 1191; RFC 4443, 3.2)
	errorCount
)

// Sizes in octets. maxIPv4 and maxIPv6 are the largest IP packets that carry an error.
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
	AdminProhibited: {wire.ICMPv4Unreachable, wire.ICMPv4AdminProhibited,
		wire.ICMPv6Unreachable, wire.ICMPv6AdminProhibited},
	TimeExceeded: {wire.ICMPv4TimeExceeded, wire.ICMPv4TransitTTLExceeded, wire.ICMPv6TimeExceeded, 0},
	TooBig:       {wire.ICMPv4Unreachable, wire.ICMPv4FragmentationNeed, wire.ICMPv6TooBig, 0},
}

// Answer turns the parsed, untagged packet p into the ICMP error e about p: to the source addresses of p, from srcMAC
// and src4 or src6. Only TooBig uses mtu (octets of an IP packet). now is in nanoseconds, for the rate limit of
// errors. Answer sets FlagGenerated and leaves Next to the caller. If there is no answer, Answer leaves p unchanged
// and returns the reason: drop.ICMPSuppressed if MayAnswer forbids an answer or there is no source address, or
// drop.ICMPLimit.
//
// p.Seg is a segment of the tenant. The limit is the limit of the VIF that sent p; for a sender that is no VIF, of the
// attachment; for a packet from the fabric or from outside, of the tenant.
func Answer(mem []byte, p *frame.Packet, s *fib.Snapshot, now int64, e Error, mtu uint16,
	src4 uint32, src6 [2]uint64, srcMAC uint64) drop.Reason {
	v4 := p.Has(frame.FlagIPv4)
	if v4 && src4 == 0 || !v4 && wire.Unspecified6(src6) || !MayAnswer(mem, p, e, s.RouterOf(p.Seg)) {
		return drop.ICMPSuppressed // before a token is spent on it
	}
	if !allowed(p, s, now) {
		return drop.ICMPLimit
	}
	undoReply(mem, p)
	reply(mem, p, e, mtu, src4, src6, srcMAC)
	return drop.None
}

// undoReply puts the server's source port back into a reply that the agent has rewritten. The error quotes the packet
// as the server has sent it: by the service's port the server would not find its connection.
func undoReply(mem []byte, p *frame.Packet) {
	if !p.Has(frame.FlagReply | frame.FlagL4) {
		return
	}
	checksum.SetPort(mem[p.Off+uint32(p.L4):p.Off+uint32(p.Len)], p.Proto, checksum.SrcPort, p.OldPort)
}

// allowed takes a token for an answer to p, see Answer.
func allowed(p *frame.Packet, s *fib.Snapshot, now int64) bool {
	router := fib.None
	if uint(p.Seg) < uint(len(s.Segments)) {
		router = s.Segments[p.Seg].Router
	}
	bucket := s.Limits.TenantICMP.At(router)
	switch {
	case p.VIF != frame.NoIndex:
		bucket = s.Limits.ICMP.At(p.VIF)
	case p.Attach != frame.NoIndex:
		bucket = s.Limits.StrangerICMP.At(p.Attach)
	}
	return bucket.Take(now, s.ICMPRate, s.ICMPBurst, 1)
}

// reply turns p into the error e, without any check.
func reply(mem []byte, p *frame.Packet, e Error, mtu uint16, src4 uint32, src6 [2]uint64, srcMAC uint64) {
	m := &messages[e]
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	var rest uint32
	if e == TooBig {
		rest = uint32(mtu)
	}
	if p.Has(frame.FlagIPv4) {
		dst := wire.IPv4(l3).Src()
		n := min(int(wire.IPv4(l3).TotalLen()), maxIPv4-head4)
		b := rehead(mem, p, head4, n, srcMAC, wire.EtherTypeIPv4)
		putIPv4(b, uint16(head4+n), src4, dst)
		c := wire.ICMPv4(b[wire.IPv4Len:])
		c.Set(m.type4, m.code4, rest)
		c.SetChecksum(checksum.Checksum(c, 0))
		generated(p, frame.FlagIPv4, wire.IPv4Len, wire.ProtoICMP, control)
		return
	}
	dst := wire.IPv6(l3).Src()
	n := min(wire.IPv6Len+int(wire.IPv6(l3).PayloadLen()), maxIPv6-head6)
	b := rehead(mem, p, head6, n, srcMAC, wire.EtherTypeIPv6)
	putIPv6(b, uint16(wire.ICMPLen+n), src6, dst)
	c := wire.ICMPv6(b[wire.IPv6Len:])
	c.Set(m.type6, m.code6, rest)
	c.SetChecksum(checksum.Checksum(c, checksum.Sum(wire.IPv6(b).Addrs(), wire.ProtoICMPv6+uint32(len(c)))))
	generated(p, frame.FlagIPv6, wire.IPv6Len, wire.ProtoICMPv6, control)
}

// rehead keeps the first keep octets of p's IP packet, cuts the rest, and prepends an Ethernet header, back to the
// source MAC of p, and n octets of room. It returns the room and the kept octets.
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

// generated sets the fields of p that the parser would set for the answer.
func generated(p *frame.Packet, version uint16, ipLen uint16, proto, tos uint8) {
	p.L4 = p.L3 + ipLen
	p.Flags = p.Flags&frame.FlagFromFabric | version | frame.FlagL4 | frame.FlagGenerated
	p.Proto = proto
	p.TOS = tos
}

// putIPv4 writes the header of an ICMP packet of total octets. The packet is an atomic datagram, hence its ID is 0 (RFC
// 6864, 4.1).
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

// putIPv6 writes the header of an ICMPv6 packet with n octets of payload.
func putIPv6(b []byte, n uint16, src, dst [2]uint64) {
	h := wire.IPv6(b)
	h.SetFlow(control, 0)
	h.SetPayloadLen(n)
	h.SetNextHeader(wire.ProtoICMPv6)
	h.SetHopLimit(ttl)
	h.SetSrc(src)
	h.SetDst(dst)
}
