package icmp

import (
	"bytes"
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
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func eth(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: hw(hostMAC), DstMAC: hw(routerMAC), EthernetType: t}
}

func ip4(proto layers.IPProtocol, src, dst string) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 1, TOS: 0x20, Id: 77, Protocol: proto, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

func ip6(proto layers.IPProtocol, src, dst string) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 1, TrafficClass: 0x20, NextHeader: proto, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
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
	return build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254"), c, data(n))
}

func icmp6(tb testing.TB, typ uint8, n int) []byte {
	ip := ip6(layers.IPProtocolICMPv6, "fd00::10", "fd00::fe")
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
	c.SetNetworkLayerForChecksum(ip)
	return build(tb, eth(layers.EthernetTypeIPv6), ip, c, gopacket.Payload(append([]byte{0, 5, 0, 6}, data(n)...)))
}

// received puts a frame into a buffer as it comes from a port, parsed.
func received(tb testing.TB, b []byte) ([]byte, *frame.Packet) {
	tb.Helper()
	mem := make([]byte, chunk)
	for i := range mem {
		mem[i] = 0xee
	}
	copy(mem[frame.Headroom:], b)
	p := &frame.Packet{Off: frame.Headroom, Len: uint16(len(b))}
	if !parse.Inner(mem, p) {
		tb.Fatal("the frame does not parse:", p.Drop)
	}
	return mem, p
}

// reparsed checks that the answer is what its packet says it is, and returns it with all checksums verified.
func reparsed(t *testing.T, mem []byte, p *frame.Packet) gopacket.Packet {
	t.Helper()
	if !p.Has(frame.FlagGenerated) {
		t.Error("FlagGenerated is missing")
	}
	q := &frame.Packet{Off: p.Off, Len: p.Len}
	if !parse.Inner(mem, q) {
		t.Fatal("the answer does not parse:", q.Drop)
	}
	if q.L3 != p.L3 || q.L4 != p.L4 || q.Flags|frame.FlagGenerated != p.Flags || q.Proto != p.Proto || q.DSCP != p.DSCP ||
		q.SrcMAC != p.SrcMAC || q.DstMAC != p.DstMAC || q.EtherType != p.EtherType {
		t.Errorf("the packet says\n%+v, the frame\n%+v", *p, *q)
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
		t.Errorf("ICMP checksum is wrong: sum %#x", s)
	}
	return pkt
}

func TestErrors4(t *testing.T) {
	for _, tt := range []struct {
		e          Error
		typ, code  uint8
		mtu, field uint16
	}{
		{NetUnreachable, 3, 0, 1400, 0},
		{HostUnreachable, 3, 1, 1400, 0},
		{PortUnreachable, 3, 3, 1400, 0},
		{AdminProhibited, 3, 13, 1400, 0},
		{TimeExceeded, 11, 0, 1400, 0},
		{TooBig, 3, 4, 1400, 1400},
	} {
		for _, n := range []int{18, 19, 100, 519, 520, 521, 1400} {
			b := udp4(t, n, "10.1.0.10", "10.2.0.10")
			mem, p := received(t, b)
			if !Reply(mem, p, tt.e, tt.mtu, router4, router6, routerMAC) {
				t.Fatal("no reply")
			}
			pkt := reparsed(t, mem, p)
			e := pkt.LinkLayer().(*layers.Ethernet)
			ip := pkt.NetworkLayer().(*layers.IPv4)
			c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			if !bytes.Equal(e.SrcMAC, hw(routerMAC)) || !bytes.Equal(e.DstMAC, hw(hostMAC)) {
				t.Errorf("MACs %v → %v", e.SrcMAC, e.DstMAC)
			}
			if ip.SrcIP.String() != "10.1.0.254" || ip.DstIP.String() != "10.1.0.10" || ip.TTL != 64 || ip.TOS != 0xc0 {
				t.Errorf("IP %+v", ip)
			}
			if c.TypeCode != layers.CreateICMPv4TypeCode(tt.typ, tt.code) || c.Seq != tt.field || c.Id != 0 {
				t.Errorf("ICMP %+v", c)
			}
			want := b[14:]
			if len(want) > 548 {
				want = want[:548]
			}
			if !bytes.Equal(c.Payload, want) || int(ip.Length) > 576 {
				t.Errorf("%d octets: %d octets of the packet inside, want %d; total %d", n, len(c.Payload), len(want), ip.Length)
			}
		}
	}
}

func TestErrors6(t *testing.T) {
	for _, tt := range []struct {
		e         Error
		typ, code uint8
		field     uint32
	}{
		{NetUnreachable, 1, 0, 0},
		{HostUnreachable, 1, 3, 0},
		{PortUnreachable, 1, 4, 0},
		{AdminProhibited, 1, 1, 0},
		{TimeExceeded, 3, 0, 0},
		{TooBig, 2, 0, 1400},
	} {
		for _, n := range []int{0, 1, 1183, 1184, 1185, 1400} {
			b := udp6(t, n, "fd00::10", "fd01::10")
			mem, p := received(t, b)
			if !Reply(mem, p, tt.e, 1400, router4, router6, routerMAC) {
				t.Fatal("no reply")
			}
			pkt := reparsed(t, mem, p)
			ip := pkt.NetworkLayer().(*layers.IPv6)
			c := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
			if ip.SrcIP.String() != "fd00::fe" || ip.DstIP.String() != "fd00::10" || ip.HopLimit != 64 || ip.TrafficClass != 0xc0 {
				t.Errorf("IP %+v", ip)
			}
			if c.TypeCode != layers.CreateICMPv6TypeCode(tt.typ, tt.code) || binary.BigEndian.Uint32(c.Payload) != tt.field {
				t.Errorf("ICMPv6 %+v", c)
			}
			want := b[14:]
			if len(want) > 1232 {
				want = want[:1232]
			}
			if !bytes.Equal(c.Payload[4:], want) || int(ip.Length)+40 > 1280 {
				t.Errorf("%d octets: %d octets of the packet inside, want %d; total %d", n, len(c.Payload)-4, len(want), ip.Length+40)
			}
		}
	}
}

// TestPaddingStaysOut: Ethernet padding is no part of the offending packet.
func TestPaddingStaysOut(t *testing.T) {
	b := append(udp4(t, 30, "10.1.0.10", "10.2.0.10"), 1, 2, 3, 4)
	mem, p := received(t, b)
	if !Reply(mem, p, TimeExceeded, 0, router4, router6, routerMAC) {
		t.Fatal("no reply")
	}
	if want := 14 + 28 + len(b) - 4 - 14; int(p.Len) != want {
		t.Errorf("length %d, want %d", p.Len, want)
	}
}

func TestTagGoes(t *testing.T) {
	b := udp4(t, 30, "10.1.0.10", "10.2.0.10")
	tagged := append(append(append([]byte(nil), b[:12]...), 0x81, 0, 0, 5), b[12:]...)
	mem, p := received(t, tagged)
	if !Reply(mem, p, TimeExceeded, 0, router4, router6, routerMAC) {
		t.Fatal("no reply")
	}
	if c := reparsed(t, mem, p).Layer(layers.LayerTypeICMPv4); !bytes.Equal(c.LayerPayload(), b[14:]) {
		t.Errorf("inside: %x", c.LayerPayload())
	}
}

func TestSuppressed(t *testing.T) {
	change := func(b []byte, f func([]byte)) []byte {
		b = bytes.Clone(b)
		f(b)
		if b[12] == 8 {
			h := wire.IPv4(b[14:34])
			h.SetChecksum(0)
			var s uint32
			for i := 0; i < 20; i += 2 {
				s += uint32(h[i])<<8 | uint32(h[i+1])
			}
			h.SetChecksum(^uint16(s + s>>16))
		}
		return b
	}
	u4, u6 := udp4(t, 30, "10.1.0.10", "10.2.0.10"), udp6(t, 30, "fd00::10", "fd01::10")
	frag6 := func(next byte, offset uint16, body ...byte) []byte {
		return build(t, eth(layers.EthernetTypeIPv6), ip6(44, "fd00::10", "fd01::10"),
			gopacket.Payload(append([]byte{next, 0, byte(offset >> 8), byte(offset) | 1, 0, 0, 0, 1}, body...)))
	}
	tests := []struct {
		name string
		data []byte
		e    Error
		want bool
	}{
		{"UDP", u4, TimeExceeded, true},
		{"first fragment", change(u4, func(b []byte) { b[20] = 0x20 }), TimeExceeded, true},
		{"later fragment", change(u4, func(b []byte) { b[21] = 1 }), TimeExceeded, false},
		{"link broadcast", change(u4, func(b []byte) { copy(b, "\xff\xff\xff\xff\xff\xff") }), TimeExceeded, false},
		{"link multicast", change(u4, func(b []byte) { b[0] = 1 }), TimeExceeded, false},
		{"to multicast", udp4(t, 0, "10.1.0.10", "224.0.0.5"), TimeExceeded, false},
		{"to broadcast", udp4(t, 0, "10.1.0.10", "255.255.255.255"), TimeExceeded, false},
		{"from nobody", udp4(t, 0, "0.0.0.0", "10.2.0.10"), TimeExceeded, false},
		{"from 0/8", udp4(t, 0, "0.1.2.3", "10.2.0.10"), TimeExceeded, false},
		{"from loopback", udp4(t, 0, "127.0.0.1", "10.2.0.10"), TimeExceeded, false},
		{"from multicast", udp4(t, 0, "224.1.1.1", "10.2.0.10"), TimeExceeded, false},
		{"from class E", udp4(t, 0, "240.0.0.1", "10.2.0.10"), TimeExceeded, false},
		{"from broadcast", udp4(t, 0, "255.255.255.255", "10.2.0.10"), TimeExceeded, false},
		{"echo", icmp4(t, 8, 0, 20), TimeExceeded, true},
		{"echo reply", icmp4(t, 0, 0, 20), TimeExceeded, true},
		{"timestamp", icmp4(t, 13, 0, 20), TimeExceeded, true},
		{"unreachable", icmp4(t, 3, 1, 20), TimeExceeded, false},
		{"source quench", icmp4(t, 4, 0, 20), TimeExceeded, false},
		{"redirect", icmp4(t, 5, 1, 20), TimeExceeded, false},
		{"time exceeded", icmp4(t, 11, 0, 20), HostUnreachable, false},
		{"parameter problem", icmp4(t, 12, 0, 20), HostUnreachable, false},
		{"unknown ICMP", icmp4(t, 200, 0, 20), HostUnreachable, false},
		{"ARP", build(t, eth(layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: 1, SourceHwAddress: hw(1), SourceProtAddress: make([]byte, 4), DstHwAddress: hw(0), DstProtAddress: make([]byte, 4)}), TimeExceeded, false},
		{"not an error", u4, errorCount, false},

		{"v6 UDP", u6, TimeExceeded, true},
		{"v6 link multicast", change(u6, func(b []byte) { b[0] = 0x33 }), TimeExceeded, false},
		{"v6 to multicast", udp6(t, 0, "fd00::10", "ff05::1"), TimeExceeded, false},
		{"v6 to multicast, too big", change(udp6(t, 0, "fd00::10", "ff05::1"), func(b []byte) { b[0] = 0x33 }), TooBig, true},
		{"v6 from nobody", udp6(t, 0, "::", "fd01::10"), TimeExceeded, false},
		{"v6 from loopback", udp6(t, 0, "::1", "fd01::10"), TimeExceeded, false},
		{"v6 from multicast", udp6(t, 0, "ff02::1", "fd01::10"), TooBig, false},
		{"v6 echo", icmp6(t, 128, 4), TimeExceeded, true},
		{"v6 unreachable", icmp6(t, 1, 4), TimeExceeded, false},
		{"v6 too big", icmp6(t, 2, 4), TimeExceeded, false},
		{"v6 time exceeded", icmp6(t, 3, 4), TimeExceeded, false},
		{"v6 unknown error", icmp6(t, 127, 4), TimeExceeded, false},
		{"v6 first fragment", frag6(17, 0, 1, 2, 3, 4, 0, 8, 0, 0), TooBig, true},
		{"v6 first fragment of an unknown protocol", frag6(99, 0, 1), TooBig, true},
		{"v6 later fragment", frag6(17, 8, 1), TooBig, false},
		{"v6 first fragment of an error", frag6(58, 0, 1, 0, 0, 0, 0, 0, 0, 0), TooBig, false},
	}
	for _, tt := range tests {
		mem, p := received(t, tt.data)
		before, was := bytes.Clone(mem), *p
		got := Reply(mem, p, tt.e, 1400, router4, router6, routerMAC)
		if got != tt.want {
			t.Errorf("%s: Reply says %v", tt.name, got)
		}
		if !got && (*p != was || !bytes.Equal(mem, before)) {
			t.Errorf("%s: no reply, but the packet was touched", tt.name)
		}
	}
}

func TestNoSourceNoReply(t *testing.T) {
	for _, b := range [][]byte{udp4(t, 0, "10.1.0.10", "10.2.0.10"), udp6(t, 0, "fd00::10", "fd01::10")} {
		mem, p := received(t, b)
		was := *p
		if Reply(mem, p, TimeExceeded, 0, 0, [2]uint64{}, routerMAC) || *p != was {
			t.Error("a reply without a source address")
		}
	}
}

// TestNoHeadroom: a frame at the very start of memory cannot be answered, and nothing is written in front of it.
func TestNoHeadroom(t *testing.T) {
	b := udp4(t, 30, "10.1.0.10", "10.2.0.10")
	for off := range uint32(100) {
		mem := make([]byte, chunk)
		copy(mem[off:], b)
		p := &frame.Packet{Off: off, Len: uint16(len(b))}
		if !parse.Inner(mem, p) {
			t.Fatal(p.Drop)
		}
		if ok := Reply(mem, p, TimeExceeded, 0, router4, router6, routerMAC); ok != (off >= 48) {
			t.Errorf("at %d: %v", off, ok)
		}
	}
}

func TestEcho4(t *testing.T) {
	for _, n := range []int{0, 1, 56, 1400} {
		mem, p := received(t, icmp4(t, 8, 0, n))
		if !Echo(mem, p, routerMAC) {
			t.Fatal("no reply")
		}
		pkt := reparsed(t, mem, p)
		e := pkt.LinkLayer().(*layers.Ethernet)
		ip := pkt.NetworkLayer().(*layers.IPv4)
		c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if !bytes.Equal(e.SrcMAC, hw(routerMAC)) || !bytes.Equal(e.DstMAC, hw(hostMAC)) ||
			ip.SrcIP.String() != "10.1.0.254" || ip.DstIP.String() != "10.1.0.10" || ip.TTL != 64 || ip.TOS != 0x20 || ip.Id != 77 {
			t.Errorf("%v", pkt)
		}
		if c.TypeCode != layers.CreateICMPv4TypeCode(0, 0) || c.Id != 5 || c.Seq != 6 || !bytes.Equal(c.Payload, data(n)) {
			t.Errorf("%+v", c)
		}
	}
}

func TestEcho6(t *testing.T) {
	for _, n := range []int{0, 1, 56, 1400} {
		mem, p := received(t, icmp6(t, 128, n))
		if !Echo(mem, p, routerMAC) {
			t.Fatal("no reply")
		}
		pkt := reparsed(t, mem, p)
		ip := pkt.NetworkLayer().(*layers.IPv6)
		c := pkt.Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
		if ip.SrcIP.String() != "fd00::fe" || ip.DstIP.String() != "fd00::10" || ip.HopLimit != 64 || ip.TrafficClass != 0x20 {
			t.Errorf("%v", pkt)
		}
		if got := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); got.TypeCode != layers.CreateICMPv6TypeCode(129, 0) {
			t.Errorf("%+v", got)
		}
		if c.Identifier != 5 || c.SeqNumber != 6 || !bytes.Equal(p.Bytes(mem)[62:], data(n)) {
			t.Errorf("%+v", c)
		}
	}
}

// TestEchoWithoutExtras: options and extension headers are not sent back.
func TestEchoWithoutExtras(t *testing.T) {
	ip := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254")
	ip.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0}}
	mem, p := received(t, build(t, eth(layers.EthernetTypeIPv4), ip,
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 5, Seq: 6}, data(33)))
	if p.L4 != 42 || !Echo(mem, p, routerMAC) {
		t.Fatal("no reply")
	}
	pkt := reparsed(t, mem, p)
	got := pkt.NetworkLayer().(*layers.IPv4)
	if got.IHL != 5 || got.Length != 61 || got.TTL != 64 || got.Id != 77 || got.TOS != 0x20 || got.DstIP.String() != "10.1.0.10" {
		t.Errorf("%+v", got)
	}
	if c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); c.Seq != 6 || !bytes.Equal(c.Payload, data(33)) {
		t.Errorf("%+v", c)
	}

	plain := icmp6(t, 128, 33)
	b := append(append(bytes.Clone(plain[:54]), 58, 0, 1, 4, 0, 0, 0, 0), plain[54:]...)
	b[20] = 60
	wire.IPv6(b[14:]).SetPayloadLen(uint16(len(b) - 54))
	mem, p = received(t, b)
	if p.L4 != 62 || !Echo(mem, p, routerMAC) {
		t.Fatal("no reply")
	}
	pkt = reparsed(t, mem, p)
	if got := pkt.NetworkLayer().(*layers.IPv6); got.NextHeader != 58 || int(got.Length) != len(plain)-54 || got.DstIP.String() != "fd00::10" {
		t.Errorf("%+v", got)
	}
	if got := p.Bytes(mem)[62:]; !bytes.Equal(got, data(33)) {
		t.Errorf("%x", got)
	}
}

func TestNoEcho(t *testing.T) {
	edit := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	group := icmp4(t, 8, 0, 20)
	group[0] = 0xff
	multicast := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "224.0.0.1")
	loopback := ip4(layers.IPProtocolICMPv4, "127.0.0.1", "10.1.0.254")
	request := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}
	fragment := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254")
	fragment.Flags = layers.IPv4MoreFragments
	for name, b := range map[string][]byte{
		"reply":           icmp4(t, 0, 0, 20),
		"code":            icmp4(t, 8, 1, 20),
		"checksum":        edit(icmp4(t, 8, 0, 20), 50, 0x99),
		"group":           group,
		"UDP":             udp4(t, 20, "10.1.0.10", "10.1.0.254"),
		"to multicast":    build(t, eth(layers.EthernetTypeIPv4), multicast, request, data(20)),
		"from loopback":   build(t, eth(layers.EthernetTypeIPv4), loopback, request, data(20)),
		"fragment":        build(t, eth(layers.EthernetTypeIPv4), fragment, request, data(20)),
		"v6 reply":        icmp6(t, 129, 20),
		"v6 checksum":     edit(icmp6(t, 128, 20), 70, 0x99),
		"v6 UDP":          udp6(t, 20, "fd00::10", "fd00::fe"),
		"v6 source wrong": edit(icmp6(t, 128, 20), 37, 0x99),
	} {
		mem, p := received(t, b)
		before, was := bytes.Clone(mem), *p
		if Echo(mem, p, routerMAC) || *p != was || !bytes.Equal(mem, before) {
			t.Errorf("%s: answered or touched", name)
		}
	}
}

// FuzzReply feeds damaged packets, which the parser lets pass, to both: nothing may panic or leave the buffer.
func FuzzReply(f *testing.F) {
	for _, b := range [][]byte{udp4(f, 9, "10.1.0.10", "10.2.0.10"), udp6(f, 9, "fd00::10", "fd01::10"), icmp4(f, 8, 0, 9), icmp6(f, 128, 9)} {
		f.Add(b, uint8(TimeExceeded))
	}
	f.Fuzz(func(t *testing.T, b []byte, e uint8) {
		if len(b) > chunk-frame.Headroom {
			return
		}
		for _, echo := range []bool{false, true} {
			mem := make([]byte, chunk)
			copy(mem[frame.Headroom:], b)
			p := &frame.Packet{Off: frame.Headroom, Len: uint16(len(b))}
			if !parse.Inner(mem, p) {
				return
			}
			if echo && !Echo(mem, p, routerMAC) || !echo && !Reply(mem, p, Error(e), 1400, router4, router6, routerMAC) {
				continue
			}
			reparsed(t, mem, p)
		}
	})
}

func TestLimiter(t *testing.T) {
	var l Limiter
	take := func(now int64, rate, burst uint32) (n int) {
		for l.Allow(now, rate, burst) {
			n++
		}
		return n
	}
	const second = 1_000_000_000
	now := int64(5)
	for _, tt := range []struct {
		after       int64
		rate, burst uint32
		want        int
	}{
		{0, 100, 10, 10},               // full at first
		{0, 100, 10, 0},                // and then empty
		{second / 100, 100, 10, 1},     // one token after its time
		{second/100 - 1, 100, 10, 0},   // not a nanosecond before
		{1, 100, 10, 1},                // but then: nothing is lost in between
		{second / 20, 100, 10, 5},      //
		{3600 * second, 100, 10, 10},   // never more than the burst
		{-second, 100, 10, 0},          // a clock that goes back gives nothing
		{2 * second, 0, 10, 0},         // rate 0: none
		{2 * second, 1, 0, 1},          // burst 0 counts as 1
		{second, 1 << 31, 1 << 31, -1}, // no overflow, see below
	} {
		now += tt.after
		if tt.want < 0 {
			if !l.Allow(now, tt.rate, tt.burst) {
				t.Error("the largest rate allows nothing")
			}
			continue
		}
		if got := take(now, tt.rate, tt.burst); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}

	// Over a long time it is the rate, whatever the steps.
	l = Limiter{}
	got, step := 0, int64(1)
	for now = 0; now < 100*second; now += step {
		step = step*48271%2147483647%300_000 + 1
		if l.Allow(now, 1000, 50) {
			got++
		}
	}
	if got < 99_950 || got > 100_050 {
		t.Errorf("%d in 100 s at 1000 a second", got)
	}
}

func TestNoAllocation(t *testing.T) {
	b4, b6, e4 := udp4(t, 30, "10.1.0.10", "10.2.0.10"), udp6(t, 30, "fd00::10", "fd01::10"), icmp4(t, 8, 0, 20)
	mem := make([]byte, chunk)
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range [...][]byte{b4, b6, e4} {
			copy(mem[frame.Headroom:], b)
			p := frame.Packet{Off: frame.Headroom, Len: uint16(len(b))}
			if !parse.Inner(mem, &p) || !(Echo(mem, &p, routerMAC) || Reply(mem, &p, TimeExceeded, 0, router4, router6, routerMAC)) {
				panic("no answer")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchmark(b *testing.B, data []byte, answer func(mem []byte, p *frame.Packet) bool) {
	mem, p := received(b, data)
	was := *p
	for b.Loop() {
		copy(mem[frame.Headroom:], data[:64])
		*p = was
		if !answer(mem, p) {
			b.Fatal("no answer")
		}
	}
}

func BenchmarkReply(b *testing.B) {
	benchmark(b, udp4(b, 30, "10.1.0.10", "10.2.0.10"), func(mem []byte, p *frame.Packet) bool {
		return Reply(mem, p, TimeExceeded, 0, router4, router6, routerMAC)
	})
}

func BenchmarkEcho(b *testing.B) {
	benchmark(b, icmp4(b, 8, 0, 56), func(mem []byte, p *frame.Packet) bool { return Echo(mem, p, routerMAC) })
}
