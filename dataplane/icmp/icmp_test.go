package icmp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

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
			if !answered(mem, p, tt.e, tt.mtu, router4, router6, routerMAC) {
				t.Fatal("no reply")
			}
			pkt := reparsed(t, mem, p)
			e := pkt.LinkLayer().(*layers.Ethernet)
			ip := pkt.NetworkLayer().(*layers.IPv4)
			c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			if !bytes.Equal(e.SrcMAC, hw(routerMAC)) || !bytes.Equal(e.DstMAC, hw(hostMAC)) {
				t.Errorf("error from %v to %v, want from %v to %v", e.SrcMAC, e.DstMAC, hw(routerMAC), hw(hostMAC))
			}
			if ip.SrcIP.String() != "10.1.0.254" || ip.DstIP.String() != "10.1.0.10" || ip.TTL != 64 || ip.TOS != 0xc0 {
				t.Errorf("header %+v, want from 10.1.0.254 to 10.1.0.10, TTL 64, TOS 0xc0", ip)
			}
			if c.TypeCode != layers.CreateICMPv4TypeCode(tt.typ, tt.code) || c.Seq != tt.field || c.Id != 0 {
				t.Errorf("message %+v, want type %d, code %d, MTU %d", c, tt.typ, tt.code, tt.field)
			}
			want := b[14:]
			if len(want) > 548 {
				want = want[:548]
			}
			if !bytes.Equal(c.Payload, want) || int(ip.Length) > 576 {
				t.Errorf("%d octets: %d octets of the packet quoted in an error of %d, want %d, and 576 in all at most",
					n, len(c.Payload), ip.Length, len(want))
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
			if !answered(mem, p, tt.e, 1400, router4, router6, routerMAC) {
				t.Fatal("no reply")
			}
			pkt := reparsed(t, mem, p)
			ip := pkt.NetworkLayer().(*layers.IPv6)
			c := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
			if ip.SrcIP.String() != "fd00::fe" || ip.DstIP.String() != "fd00::10" ||
				ip.HopLimit != 64 || ip.TrafficClass != 0xc0 {
				t.Errorf("header %+v, want from fd00::fe to fd00::10, hop limit 64, traffic class 0xc0", ip)
			}
			if c.TypeCode != layers.CreateICMPv6TypeCode(tt.typ, tt.code) ||
				binary.BigEndian.Uint32(c.Payload) != tt.field {
				t.Errorf("message %+v, want type %d, code %d, MTU %d", c, tt.typ, tt.code, tt.field)
			}
			want := b[14:]
			if len(want) > 1232 {
				want = want[:1232]
			}
			if !bytes.Equal(c.Payload[4:], want) || int(ip.Length)+40 > 1280 {
				t.Errorf("%d octets: %d octets of the packet quoted in an error of %d, want %d, 1280 in all at most",
					n, len(c.Payload)-4, ip.Length+40, len(want))
			}
		}
	}
}

// TestPaddingStaysOut: the error does not quote Ethernet padding.
func TestPaddingStaysOut(t *testing.T) {
	b := append(udp4(t, 30, "10.1.0.10", "10.2.0.10"), 1, 2, 3, 4)
	mem, p := received(t, b)
	if !answered(mem, p, TimeExceeded, 0, router4, router6, routerMAC) {
		t.Fatal("no reply")
	}
	if want := 14 + 28 + len(b) - 4 - 14; int(p.Len) != want {
		t.Errorf("error of %d octets, want %d", p.Len, want)
	}
}

func TestTagGoes(t *testing.T) {
	b := udp4(t, 30, "10.1.0.10", "10.2.0.10")
	tagged := append(append(append([]byte(nil), b[:12]...), 0x81, 0, 0, 5), b[12:]...)
	mem, p := received(t, tagged)
	if !answered(mem, p, TimeExceeded, 0, router4, router6, routerMAC) {
		t.Fatal("no reply")
	}
	if c := reparsed(t, mem, p).Layer(layers.LayerTypeICMPv4); !bytes.Equal(c.LayerPayload(), b[14:]) {
		t.Errorf("quoted packet %x, want the offending one %x", c.LayerPayload(), b[14:])
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
	arp := build(t, eth(layers.EthernetTypeARP), &layers.ARP{
		AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
		SourceHwAddress: hw(1), SourceProtAddress: make([]byte, 4),
		DstHwAddress: hw(0), DstProtAddress: make([]byte, 4),
	})
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
		{"ARP", arp, TimeExceeded, false},
		{"not an error", u4, errorCount, false},

		{"v6 UDP", u6, TimeExceeded, true},
		{"v6 link multicast", change(u6, func(b []byte) { b[0] = 0x33 }), TimeExceeded, false},
		{"v6 to multicast", udp6(t, 0, "fd00::10", "ff05::1"), TimeExceeded, false},
		{"v6 to multicast, too big",
			change(udp6(t, 0, "fd00::10", "ff05::1"), func(b []byte) { b[0] = 0x33 }), TooBig, true},
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
		got := answered(mem, p, tt.e, 1400, router4, router6, routerMAC)
		if got != tt.want {
			t.Errorf("%s: answered %v, want %v", tt.name, got, tt.want)
		}
		if !got && (*p != was || !bytes.Equal(mem, before)) {
			t.Errorf("%s: not answered, but changed to %+v; want it unchanged %+v", tt.name, *p, was)
		}
	}
}

// world returns tables with a tenant's router that has a subnet of each kind, and with limits.
func world() *fib.Snapshot {
	v4 := func(start uint32, size uint32) fib.Subnet4 { return fib.Subnet4{Start: start, End: start + size - 1} }
	return &fib.Snapshot{
		Segments: []fib.Segment{{Tenant: 7}},
		Routers: []fib.Router{{
			Tenant:   7,
			Subnets4: []fib.Subnet4{v4(0x0a010000, 256), v4(0x0a020000, 2), v4(0x0a020010, 4)},
			Subnets6: []fib.Subnet6{{Start: [2]uint64{0xfd00 << 48, 0}, End: [2]uint64{0xfd00 << 48, ^uint64(0)}},
				{Start: [2]uint64{0xfd01 << 48, 0}, End: [2]uint64{0xfd01 << 48, 1}}},
		}},
		ICMPRate: 10, ICMPBurst: 2, Limits: fib.Limits{}.Room(2, 2, 1),
	}
}

// TestAnswerKnowsSubnets: no error is due about a packet from or to an address of several hosts in the tenant's
// subnets.
func TestAnswerKnowsSubnets(t *testing.T) {
	for _, tc := range []struct {
		name, src, dst string
		want           drop.Reason
	}{
		{"hosts", "10.1.0.10", "10.1.0.20", drop.None},
		{"from a broadcast", "10.1.0.255", "10.9.0.20", drop.ICMPSuppressed},
		{"from a network address", "10.1.0.0", "10.9.0.20", drop.ICMPSuppressed},
		{"from a small subnet's broadcast", "10.2.0.19", "10.9.0.20", drop.ICMPSuppressed},
		{"from a small subnet's host", "10.2.0.18", "10.9.0.20", drop.None},
		{"from the last of a /31", "10.2.0.1", "10.9.0.20", drop.None},
		{"from the first of a /31", "10.2.0.0", "10.9.0.20", drop.None},
		{"to a broadcast", "10.1.0.10", "10.1.0.255", drop.ICMPSuppressed},
		{"from a broadcast of no subnet of the tenant", "10.3.0.255", "10.9.0.20", drop.None},
		{"v6 hosts", "fd00::10", "fd02::10", drop.None},
		{"v6 from an anycast address", "fd00::", "fd02::10", drop.ICMPSuppressed},
		{"v6 from the first of a /127", "fd01::", "fd02::10", drop.None},
	} {
		b := udp6
		if tc.name[0] != 'v' {
			b = udp4
		}
		mem, p := received(t, b(t, 0, tc.src, tc.dst))
		p.Seg, p.VIF = 0, 0
		was, before := *p, bytes.Clone(mem)
		if got := Answer(mem, p, world(), 1, TimeExceeded, 0, router4, router6, routerMAC); got != tc.want {
			t.Errorf("%s: dropped for %q, want %q", tc.name, got, tc.want)
		}
		if tc.want != drop.None && (*p != was || !bytes.Equal(mem, before)) {
			t.Errorf("%s: not answered, but changed to %+v; want it unchanged %+v", tc.name, *p, was)
		}
	}
}

// TestAnswerLimits: each VIF, the unknown senders of each attachment, and each tenant have limits that are
// independent of each other. A packet that must not be answered takes no token.
func TestAnswerLimits(t *testing.T) {
	s := world()
	answers := func(vif, attach uint32, src string) (n int) {
		for range 10 {
			mem, p := received(t, udp4(t, 0, src, "10.9.0.20"))
			p.Seg, p.VIF, p.Attach = 0, vif, attach
			if Answer(mem, p, s, 1, TimeExceeded, 0, router4, router6, routerMAC) == drop.None {
				n++
			}
		}
		return n
	}
	const none = frame.NoIndex
	for _, tc := range []struct {
		name        string
		vif, attach uint32
		src         string
		want        int
	}{
		{"not to be answered", 0, 0, "10.1.0.255", 0},
		{"a VIF", 0, 0, "10.1.0.10", 2},
		{"the same again", 0, 0, "10.1.0.10", 0},
		{"another VIF of the attachment", 1, 0, "10.1.0.10", 2},
		{"unknown senders of the attachment", none, 0, "10.1.0.10", 2},
		{"unknown senders of another one", none, 1, "10.1.0.10", 2},
		{"from the fabric or outside", none, none, "10.1.0.10", 2},
		{"an index without a bucket", 1 << 20, 0, "10.1.0.10", 0},
	} {
		if got := answers(tc.vif, tc.attach, tc.src); got != tc.want {
			t.Errorf("%s: %d answers to 10 packets, want %d", tc.name, got, tc.want)
		}
	}
}

func TestNoSourceNoAnswer(t *testing.T) {
	for _, b := range [][]byte{udp4(t, 0, "10.1.0.10", "10.2.0.10"), udp6(t, 0, "fd00::10", "fd01::10")} {
		mem, p := received(t, b)
		was := *p
		why := Answer(mem, p, world(), 1, TimeExceeded, 0, 0, [2]uint64{}, routerMAC)
		if why != drop.ICMPSuppressed || *p != was {
			t.Errorf("without a source address dropped as %q, want %q and an unchanged packet",
				why, drop.ICMPSuppressed)
		}
	}
}

// TestNoHeadroom: a frame without headroom for the answer is not answered.
func TestNoHeadroom(t *testing.T) {
	b := udp4(t, 30, "10.1.0.10", "10.2.0.10")
	for off := range uint32(100) {
		mem := make([]byte, chunk)
		copy(mem[off:], b)
		p := &frame.Packet{Off: off, Len: uint16(len(b))}
		if !parse.Access(mem, p) {
			t.Fatal(p.Drop)
		}
		if ok := answered(mem, p, TimeExceeded, 0, router4, router6, routerMAC); ok != (off >= 48) {
			t.Errorf("frame at offset %d answered %v, want %v", off, ok, off >= 48)
		}
	}
}

// FuzzReply gives damaged packets that the parser accepts to errors and echo replies: neither may panic or write
// outside the buffer.
func FuzzReply(f *testing.F) {
	for _, b := range [][]byte{
		udp4(f, 9, "10.1.0.10", "10.2.0.10"), udp6(f, 9, "fd00::10", "fd01::10"), icmp4(f, 8, 0, 9), icmp6(f, 128, 9),
	} {
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
			if !parse.Access(mem, p) {
				return
			}
			if echo && !Echo(mem, p, routerMAC) ||
				!echo && !answered(mem, p, Error(e), 1400, router4, router6, routerMAC) {
				continue
			}
			reparsed(t, mem, p)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	b4, b6, e4 := udp4(t, 30, "10.1.0.10", "10.2.0.10"), udp6(t, 30, "fd00::10", "fd01::10"), icmp4(t, 8, 0, 20)
	mem := make([]byte, chunk)
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range [...][]byte{b4, b6, e4} {
			copy(mem[frame.Headroom:], b)
			p := frame.Packet{Off: frame.Headroom, Len: uint16(len(b))}
			if !parse.Access(mem, &p) ||
				!(Echo(mem, &p, routerMAC) || answered(mem, &p, TimeExceeded, 0, router4, router6, routerMAC)) {
				panic("no answer")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
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
		return answered(mem, p, TimeExceeded, 0, router4, router6, routerMAC)
	})
}

func BenchmarkEcho(b *testing.B) {
	benchmark(b, icmp4(b, 8, 0, 56), func(mem []byte, p *frame.Packet) bool { return Echo(mem, p, routerMAC) })
}
