package icmp

import (
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Echo turns the parsed, untagged echo request p into the reply, from srcMAC to the source MAC of p, with TTL 64 (RFC
// 792; RFC 4443, 4.2). The reply has no options, no extension headers and no padding. Echo sets FlagGenerated and
// leaves Next to the caller. It returns false and leaves p unchanged if p is not a whole echo request, has a wrong
// checksum, or has an address that is not the address of one host.
func Echo(mem []byte, p *frame.Packet, srcMAC uint64) bool {
	if !p.Has(frame.FlagL4) || p.Flags&(frame.FlagFragment|frame.FlagGroup) != 0 {
		return false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	switch {
	case p.Has(frame.FlagIPv4) && p.Proto == wire.ProtoICMP:
		return echo4(mem, p, l3, srcMAC)
	case p.Has(frame.FlagIPv6) && p.Proto == wire.ProtoICMPv6:
		return echo6(mem, p, l3, srcMAC)
	}
	return false
}

func echo4(mem []byte, p *frame.Packet, l3 []byte, srcMAC uint64) bool {
	h := wire.IPv4(l3)
	at, total := int(p.L4-p.L3), int(h.TotalLen())
	c := wire.ICMPv4(l3[at:total])
	src, dst := h.Src(), h.Dst()
	if c.Type() != wire.ICMPv4Echo || c.Code() != 0 || !Host4(src) || dst>>28 >= 0xe || checksum.Checksum(c, 0) != 0 {
		return false
	}
	reply4(c)
	tos := h.TOS()
	if at == wire.IPv4Len {
		// Swapping the addresses does not change the checksum.
		h.SetSrc(dst)
		h.SetDst(src)
		h.SetChecksum(checksum.Update16(h.Checksum(), uint16(h.TTL())<<8, ttl<<8))
		h.SetTTL(ttl)
		rehead(mem, p, 0, total, srcMAC, wire.EtherTypeIPv4)
	} else {
		rehead4(mem, p, at, len(c), srcMAC, wire.IPv4DF)
	}
	generated(p, frame.FlagIPv4, wire.IPv4Len, wire.ProtoICMP, tos)
	return true
}

func echo6(mem []byte, p *frame.Packet, l3 []byte, srcMAC uint64) bool {
	h := wire.IPv6(l3)
	at := int(p.L4 - p.L3)
	c := wire.ICMPv6(l3[at : wire.IPv6Len+int(h.PayloadLen())])
	src, dst := h.Src(), h.Dst()
	if c.Type() != wire.ICMPv6Echo || c.Code() != 0 || !hosts6(src, dst) ||
		checksum.Checksum(c, checksum.Sum(h.Addrs(), wire.ProtoICMPv6+uint32(len(c)))) != 0 {
		return false
	}
	reply6(c)
	class := h.TrafficClass()
	skipHeader(p, at)
	b := rehead(mem, p, wire.IPv6Len, len(c), srcMAC, wire.EtherTypeIPv6)
	putIPv6(b, uint16(len(c)), dst, src)
	wire.IPv6(b).SetFlow(class, 0)
	generated(p, frame.FlagIPv6, wire.IPv6Len, wire.ProtoICMPv6, class)
	return true
}

// reply4 makes an echo request the reply. A wrong checksum stays wrong (RFC 1624).
func reply4(c wire.ICMPv4) {
	c.SetType(wire.ICMPv4EchoReply)
	c.SetChecksum(checksum.Update16(c.Checksum(), wire.ICMPv4Echo<<8, wire.ICMPv4EchoReply<<8))
}

// reply6 is reply4 of ICMPv6. Swapping the addresses does not change the sum of the pseudo-header.
func reply6(c wire.ICMPv6) {
	c.SetType(wire.ICMPv6EchoReply)
	c.SetChecksum(checksum.Update16(c.Checksum(), wire.ICMPv6Echo<<8, wire.ICMPv6EchoReply<<8))
}

// hosts6 reports whether both addresses can be those of one host each.
func hosts6(src, dst [2]uint64) bool {
	return !wire.Unspecified6(src) && !wire.Multicast6(src) && !wire.Loopback6(src) && !wire.Multicast6(dst)
}

// rehead4 replaces the IPv4 header of p, at octets long, by one without options in front of the n octets behind it:
// back to the sender, with the same TOS and identification, and with these flags and this offset.
func rehead4(mem []byte, p *frame.Packet, at, n int, srcMAC uint64, place uint16) {
	h := wire.IPv4(mem[p.Off+uint32(p.L3):])
	src, dst, tos, id := h.Src(), h.Dst(), h.TOS(), h.ID()
	skipHeader(p, at)
	b := rehead(mem, p, wire.IPv4Len, n, srcMAC, wire.EtherTypeIPv4)
	putIPv4(b, uint16(len(b)), dst, src)
	r := wire.IPv4(b[:wire.IPv4Len])
	r.SetTOS(tos)
	r.SetID(id)
	r.SetFlagsFragment(place)
	r.SetChecksum(0)
	r.SetChecksum(checksum.Checksum(r, 0))
}

// skipHeader moves the offset of the network header behind the n octets of the old header, so that rehead replaces it.
func skipHeader(p *frame.Packet, n int) { p.L3 += uint16(n) }
