package icmp

import (
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// EchoFragment turns the parsed, untagged packet p, a fragment of an echo request, into the fragment of the reply with
// the same place and identification, from srcMAC to the source MAC of p, with TTL 64. The caller knows from the first
// fragment that p belongs to an echo request. The checksum covers all fragments, so EchoFragment does not check it, but
// changes that of the first one by what the type changes (RFC 1624): a wrong one stays wrong. The reply has no options,
// and no extension headers but the fragment header. EchoFragment sets FlagGenerated and leaves Next to the caller. It
// returns false and leaves p unchanged if a first fragment is not of an echo request, if IPv6 has extension headers
// behind the fragment header, or if an address is not that of one host.
func EchoFragment(mem []byte, p *frame.Packet, srcMAC uint64) bool {
	if p.Flags&(frame.FlagFragment|frame.FlagGroup) != frame.FlagFragment {
		return false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	switch {
	case p.Has(frame.FlagIPv4) && p.Proto == wire.ProtoICMP:
		return echoFragment4(mem, p, l3, srcMAC)
	case p.Has(frame.FlagIPv6) && p.Proto == wire.ProtoICMPv6:
		return echoFragment6(mem, p, l3, srcMAC)
	}
	return false
}

func echoFragment4(mem []byte, p *frame.Packet, l3 []byte, srcMAC uint64) bool {
	h := wire.IPv4(l3)
	at, total := h.HeaderLen(), int(h.TotalLen())
	tos := h.TOS()
	place := h.FlagsFragment() & (wire.IPv4MF | wire.IPv4OffsetMask)
	first := place&wire.IPv4OffsetMask == 0
	if !Host4(h.Src()) || h.Dst()>>28 >= 0xe || first && !p.Has(frame.FlagL4) {
		return false
	}
	if first && !turn4(l3[at:total]) {
		return false
	}
	rehead4(mem, p, at, total-at, srcMAC, place)
	generated(p, frame.FlagIPv4, wire.IPv4Len, wire.ProtoICMP, tos)
	fragmented(p, first)
	return true
}

// turn4 makes the head of an echo request that of the reply.
func turn4(c wire.ICMPv4) bool {
	if c.Type() != wire.ICMPv4Echo || c.Code() != 0 {
		return false
	}
	reply4(c)
	return true
}

func echoFragment6(mem []byte, p *frame.Packet, l3 []byte, srcMAC uint64) bool {
	h := wire.IPv6(l3)
	end := wire.IPv6Len + int(h.PayloadLen())
	src, dst, class := h.Src(), h.Dst(), h.TrafficClass()
	at, ok := parse.FragmentHeader(l3[:end])
	if !ok || l3[at] != wire.ProtoICMPv6 || !hosts6(src, dst) {
		return false
	}
	_, first := parse.FragmentID(l3, true)
	if first {
		if !p.Has(frame.FlagL4) {
			return false
		}
		c := wire.ICMPv6(l3[at+wire.IPv6FragmentLen : end])
		if c.Type() != wire.ICMPv6Echo || c.Code() != 0 {
			return false
		}
		reply6(c)
	}
	skipHeader(p, at)
	b := rehead(mem, p, wire.IPv6Len, end-at, srcMAC, wire.EtherTypeIPv6)
	putIPv6(b, uint16(end-at), dst, src)
	r := wire.IPv6(b)
	r.SetNextHeader(wire.ProtoFragment)
	r.SetFlow(class, 0)
	generated(p, frame.FlagIPv6, wire.IPv6Len+wire.IPv6FragmentLen, wire.ProtoICMPv6, class)
	fragmented(p, first)
	return true
}

// fragmented sets the flags of an answer that is a fragment.
func fragmented(p *frame.Packet, first bool) {
	p.Flags |= frame.FlagFragment
	if !first {
		p.Flags &^= frame.FlagL4
	}
}
