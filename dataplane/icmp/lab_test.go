package icmp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

const (
	hostMAC   uint64 = 0x02000000000a
	routerMAC uint64 = 0x0200000000fe
	router4   uint32 = 0x0a0100fe // 10.1.0.254
	chunk            = 2048
)

var router6 = halves("fd00::fe")

func halves(s string) [2]uint64 {
	b := netip.MustParseAddr(s).As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func hw(m uint64) net.HardwareAddr {
	b := make([]byte, 6)
	wire.PutMAC(b, m)
	return b
}

func build(tb testing.TB, ls ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func eth(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: hw(hostMAC), DstMAC: hw(routerMAC), EthernetType: t}
}

func ip4(proto layers.IPProtocol, src, dst string) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 1, TOS: 0x20, Id: 77, Protocol: proto,
		SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4(),
	}
}

func ip6(proto layers.IPProtocol, src, dst string) *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: 1, TrafficClass: 0x20, NextHeader: proto,
		SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst),
	}
}

func data(n int) gopacket.Payload {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + i>>8)
	}
	return b
}

func udp4(tb testing.TB, n int, src, dst string) []byte {
	ip := ip4(layers.IPProtocolUDP, src, dst)
	u := &layers.UDP{SrcPort: 33000, DstPort: 33434}
	u.SetNetworkLayerForChecksum(ip)
	return build(tb, eth(layers.EthernetTypeIPv4), ip, u, data(n))
}

func udp6(tb testing.TB, n int, src, dst string) []byte {
	ip := ip6(layers.IPProtocolUDP, src, dst)
	u := &layers.UDP{SrcPort: 33000, DstPort: 33434}
	u.SetNetworkLayerForChecksum(ip)
	return build(tb, eth(layers.EthernetTypeIPv6), ip, u, data(n))
}

func icmp4(tb testing.TB, typ, code uint8, n int) []byte {
	c := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: 5, Seq: 6}
	ip := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254")
	return build(tb, eth(layers.EthernetTypeIPv4), ip, c, data(n))
}

func icmp6(tb testing.TB, typ uint8, n int) []byte {
	ip := ip6(layers.IPProtocolICMPv6, "fd00::10", "fd00::fe")
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
	c.SetNetworkLayerForChecksum(ip)
	echo := gopacket.Payload(append([]byte{0, 5, 0, 6}, data(n)...))
	return build(tb, eth(layers.EthernetTypeIPv6), ip, c, echo)
}

// answered turns p into the error e if p may be answered, and reports whether it did.
func answered(mem []byte, p *frame.Packet, e Error, mtu uint16, src4 uint32, src6 [2]uint64, srcMAC uint64) bool {
	if !MayAnswer(mem, p, e, nil) {
		return false
	}
	reply(mem, p, e, mtu, src4, src6, srcMAC)
	return true
}

// received returns memory with the frame b as a port receives it, and its parsed packet.
func received(tb testing.TB, b []byte) ([]byte, *frame.Packet) {
	tb.Helper()
	mem := make([]byte, chunk)
	for i := range mem {
		mem[i] = 0xee
	}
	copy(mem[frame.Headroom:], b)
	p := &frame.Packet{Off: frame.Headroom, Len: uint16(len(b))}
	if !parse.Access(mem, p) {
		tb.Fatal("the frame does not parse:", p.Drop)
	}
	return mem, p
}

// reparsed decodes the answer p, compares its metadata with the parser's, and verifies all checksums.
func reparsed(t *testing.T, mem []byte, p *frame.Packet) gopacket.Packet {
	t.Helper()
	if !p.Has(frame.FlagGenerated) {
		t.Errorf("flags %#x of the answer, want FlagGenerated among them", p.Flags)
	}
	q := &frame.Packet{Off: p.Off, Len: p.Len}
	if !parse.Access(mem, q) {
		t.Fatal("the answer does not parse:", q.Drop)
	}
	if q.L3 != p.L3 || q.L4 != p.L4 || q.Flags|frame.FlagGenerated != p.Flags ||
		q.Proto != p.Proto || q.TOS != p.TOS ||
		q.SrcMAC != p.SrcMAC || q.DstMAC != p.DstMAC || q.EtherType != p.EtherType {
		t.Errorf("metadata of the answer\n%+v, want what the parser finds\n%+v", *p, *q)
	}
	pkt := gopacket.NewPacket(p.Bytes(mem), layers.LayerTypeEthernet, gopacket.Default)
	if e := pkt.ErrorLayer(); e != nil {
		t.Fatal(e.Error())
	}
	// The sum over a message with a right checksum, pseudo-header included, is 0xffff.
	f := p.Bytes(mem)
	var s uint32
	l4 := f[p.L4:]
	if p.Has(frame.FlagIPv6) {
		for i := 22; i < 54; i += 2 {
			s += uint32(f[i])<<8 | uint32(f[i+1])
		}
		s += 58 + uint32(len(l4))
	}
	for i, v := range l4 {
		s += uint32(v) << (8 * (1 - i&1))
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	if s != 0xffff {
		t.Errorf("sum over the ICMP message %#x, want 0xffff", s)
	}
	return pkt
}
