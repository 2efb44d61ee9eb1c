package icmp

import (
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Echo turns the parsed, untagged echo request p into the reply, from srcMAC to where it came from, with TTL 64
// (RFC 792; RFC 4443, 4.2). Options and extension headers are not sent back; a frame's padding is cut. It sets
// FlagGenerated and leaves Next to the caller. It returns false, with p as it was, if p is no whole echo request, its
// checksum is wrong, or its addresses are not those of single hosts.
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
	c.SetType(wire.ICMPv4EchoReply)
	c.SetChecksum(checksum.Update16(c.Checksum(), wire.ICMPv4Echo<<8, wire.ICMPv4EchoReply<<8))
	tos := h.TOS()
	if at == wire.IPv4Len {
		// Swapped addresses leave the sum as it was.
		h.SetSrc(dst)
		h.SetDst(src)
		h.SetChecksum(checksum.Update16(h.Checksum(), uint16(h.TTL())<<8, ttl<<8))
		h.SetTTL(ttl)
		rehead(mem, p, 0, total, srcMAC, wire.EtherTypeIPv4)
	} else {
		id := h.ID()
		behind(p, at)
		b := rehead(mem, p, wire.IPv4Len, len(c), srcMAC, wire.EtherTypeIPv4)
		putIPv4(b, uint16(len(b)), dst, src)
		r := wire.IPv4(b[:wire.IPv4Len])
		r.SetTOS(tos)
		r.SetID(id)
		r.SetChecksum(0)
		r.SetChecksum(checksum.Checksum(r, 0))
	}
	generated(p, frame.FlagIPv4, wire.IPv4Len, wire.ProtoICMP, tos)
	return true
}

func echo6(mem []byte, p *frame.Packet, l3 []byte, srcMAC uint64) bool {
	h := wire.IPv6(l3)
	at := int(p.L4 - p.L3)
	c := wire.ICMPv6(l3[at : wire.IPv6Len+int(h.PayloadLen())])
	src, dst := h.Src(), h.Dst()
	if c.Type() != wire.ICMPv6Echo || c.Code() != 0 ||
		wire.Unspecified6(src) || wire.Multicast6(src) || wire.Loopback6(src) || wire.Multicast6(dst) ||
		checksum.Checksum(c, checksum.Sum(h.Addrs(), wire.ProtoICMPv6+uint32(len(c)))) != 0 {
		return false
	}
	c.SetType(wire.ICMPv6EchoReply)
	c.SetChecksum(checksum.Update16(c.Checksum(), wire.ICMPv6Echo<<8, wire.ICMPv6EchoReply<<8))
	class := h.TrafficClass()
	behind(p, at)
	b := rehead(mem, p, wire.IPv6Len, len(c), srcMAC, wire.EtherTypeIPv6)
	putIPv6(b, uint16(len(c)), dst, src)
	wire.IPv6(b).SetFlow(class, 0)
	generated(p, frame.FlagIPv6, wire.IPv6Len, wire.ProtoICMPv6, class)
	return true
}

// behind moves the network header's offset n octets further in, so that a new header can be written before that place.
func behind(p *frame.Packet, n int) { p.L3 += uint16(n) }
