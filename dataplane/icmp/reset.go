package icmp

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Reset turns the parsed, untagged TCP segment p into the reset that a host without such a connection sends (RFC 9293,
// 3.5.2, group 1): back to the source of p, from srcMAC, within the limit of ICMP errors. It sets FlagGenerated and
// leaves Next to the caller. If there is no answer, Reset leaves p unchanged and returns the reason:
// drop.ICMPSuppressed for a reset, a fragment, or a source that is not the address of a host; or drop.ICMPLimit.
func Reset(mem []byte, p *frame.Packet, s *fib.Snapshot, now int64, srcMAC uint64) drop.Reason {
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	v4 := p.Has(frame.FlagIPv4)
	if !p.Has(frame.FlagL4) || p.Proto != wire.ProtoTCP || p.Has(frame.FlagFragment) ||
		p.Off+uint32(p.L3) < wire.EthernetLen || !MayAnswer(mem, p, PortUnreachable, s.RouterOf(p.Seg)) {
		return drop.ICMPSuppressed
	}
	in := wire.TCP(l3[p.L4-p.L3:])
	if in.Flags()&wire.TCPRst != 0 {
		return drop.ICMPSuppressed
	}
	if !allowed(p, s, now) {
		return drop.ICMPLimit
	}
	end := int(wire.IPv4(l3).TotalLen())
	if !v4 {
		end = wire.IPv6Len + int(wire.IPv6(l3).PayloadLen())
	}
	seq, ack, flags := in.AckNum(), uint32(0), uint8(wire.TCPRst)
	if in.Flags()&wire.TCPAck == 0 {
		n := uint32(end - int(p.L4-p.L3) - in.HeaderLen()) // octets of the segment, with SYN and FIN
		n += uint32(in.Flags()>>1&1) + uint32(in.Flags()&1)
		seq, ack, flags = 0, in.Seq()+n, wire.TCPRst|wire.TCPAck
	}
	ports := uint32(in.DstPort())<<16 | uint32(in.SrcPort())
	if v4 {
		src, dst := wire.IPv4(l3).Dst(), wire.IPv4(l3).Src()
		b := rehead(mem, p, wire.IPv4Len+wire.TCPLen, 0, srcMAC, wire.EtherTypeIPv4)
		putIPv4(b, wire.IPv4Len+wire.TCPLen, src, dst)
		h := wire.IPv4(b)
		h.SetTOS(0)
		h.SetProto(wire.ProtoTCP)
		h.SetChecksum(0)
		h.SetChecksum(checksum.Checksum(h[:wire.IPv4Len], 0))
		putReset(b[wire.IPv4Len:], ports, seq, ack, flags, checksum.PseudoIPv4(src, dst, wire.ProtoTCP, wire.TCPLen))
		generated(p, frame.FlagIPv4, wire.IPv4Len, wire.ProtoTCP, 0)
		return drop.None
	}
	src, dst := wire.IPv6(l3).Dst(), wire.IPv6(l3).Src()
	b := rehead(mem, p, wire.IPv6Len+wire.TCPLen, 0, srcMAC, wire.EtherTypeIPv6)
	putIPv6(b, wire.TCPLen, src, dst)
	h := wire.IPv6(b)
	h.SetFlow(0, 0)
	h.SetNextHeader(wire.ProtoTCP)
	putReset(b[wire.IPv6Len:], ports, seq, ack, flags, checksum.PseudoIPv6(src, dst, wire.ProtoTCP, wire.TCPLen))
	generated(p, frame.FlagIPv6, wire.IPv6Len, wire.ProtoTCP, 0)
	return drop.None
}

// putReset writes a TCP header without options; pseudo is the sum of the pseudo-header.
func putReset(b []byte, ports, seq, ack uint32, flags uint8, pseudo uint32) {
	h := wire.TCP(b[:wire.TCPLen])
	binary.BigEndian.PutUint32(h[0:], ports)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ack)
	binary.BigEndian.PutUint64(h[12:], uint64(wire.TCPLen/4)<<60|uint64(flags)<<48)
	h.SetChecksum(checksum.Checksum(h, pseudo))
}
