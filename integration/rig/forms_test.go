package rig

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

const (
	udpPort = 7472
	added   = 8 // octets of the UDP header
)

// form is that of the fabric ports in worlds: TestInUDP changes it. translated counts what was changed in the worlds.
var (
	form       = fib.FormIP
	translated struct{ in, out int }
)

// inUDP gives the fabric ports of a world form "udp", with an MTU that leaves the tenants the same.
func inUDP(o *Options) {
	o.UDPPort = udpPort
	o.Ports, o.MTU = slices.Clone(o.Ports), slices.Clone(o.MTU)
	for i := range o.Ports {
		if o.Ports[i].Role == fib.RoleFabric {
			o.Ports[i].Encap = fib.FormUDP
			o.MTU = append(o.MTU, make([]uint16, max(0, i+1-len(o.MTU)))...)
			if o.MTU[i] == 0 {
				o.MTU[i] = 1600
			}
			o.MTU[i] += added
		}
	}
}

// translate lets tests that know form "ip" run with ports of form "udp".
func (r *Rig) translate(t *testing.T, ports []compile.Port) {
	r.Incoming = func(port int, f []byte) []byte {
		if ports[port].Role == fib.RoleFabric {
			return toUDP(f)
		}
		return f
	}
	r.Outgoing = func(port int, f []byte) []byte {
		if ports[port].Role == fib.RoleFabric {
			return fromUDP(t, f)
		}
		return f
	}
}

// toUDP puts a UDP header into an encapsulated frame of form "ip", as another box sends it. It returns any other frame
// as it is.
func toUDP(f []byte) []byte {
	if len(f) < 34 || binary.BigEndian.Uint16(f[12:]) != 0x0800 || f[14] != 0x45 || f[23] != 143 {
		return f
	}
	translated.in++
	g := append(slices.Clone(f[:34]), make([]byte, added)...)
	g = append(g, f[34:]...)
	ip, sound := wire.IPv4(g[14:]), checksum.Checksum(f[14:34], 0) == 0
	ip.SetTotalLen(ip.TotalLen() + added)
	ip.SetProto(17)
	udp := wire.UDP(g[34:])
	udp.SetSrcPort(40000)
	udp.SetDstPort(udpPort)
	udp.SetLength(ip.TotalLen() - 20)
	if sound {
		ip.SetChecksum(0)
		ip.SetChecksum(checksum.Checksum(g[14:34], 0))
	}
	return g
}

// fromUDP checks the outer header of a frame of form "udp" that the box sends, and returns the frame in form "ip". It
// returns any other frame as it is.
func fromUDP(t *testing.T, f []byte) []byte {
	t.Helper()
	if len(f) < 46 || binary.BigEndian.Uint16(f[12:]) != 0x8100 || f[27] != 17 ||
		binary.BigEndian.Uint16(f[40:]) != udpPort {
		if len(f) > 27 && f[27] == 143 && binary.BigEndian.Uint16(f[12:]) == 0x8100 {
			t.Errorf("a frame of form \"ip\" from a port of form \"udp\": % x", f[:46])
		}
		return f
	}
	translated.out++
	if sum := checksum.Checksum(f[18:38], 0); sum != 0 {
		t.Errorf("outer header % x: the sum is %#04x, want 0", f[18:38], sum)
	}
	ip, udp := wire.IPv4(f[18:]), wire.UDP(f[38:])
	if ip.TTL() != 64 || ip.FlagsFragment() != wire.IPv4DF || int(ip.TotalLen()) != len(f)-18 {
		t.Errorf("outer header % x: want TTL 64, DF and the length %d", f[18:38], len(f)-18)
	}
	if udp.SrcPort() < 49152 || int(udp.Length()) != len(f)-38 || udp.Checksum() != 0 {
		t.Errorf("UDP header % x: want a source port from 49152 on, the length %d and no checksum", f[38:46], len(f)-38)
	}
	g := append(slices.Clone(f[:38]), f[46:]...)
	ip = wire.IPv4(g[18:])
	ip.SetTotalLen(ip.TotalLen() - added)
	ip.SetProto(143)
	ip.SetChecksum(0)
	ip.SetChecksum(checksum.Checksum(g[18:38], 0))
	return g
}

// TestInUDP: whatever the box does over fabric ports of form "ip", it does over ports of form "udp": MTU, ICMP errors
// and their ways back, MSS, copies of broadcasts, gateways, the balancer, messages between boxes. Only the outer header
// differs.
func TestInUDP(t *testing.T) {
	form = fib.FormUDP
	defer func() { form = fib.FormIP }()
	for _, tc := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"MSS", TestMSS}, {"access MTU", TestAccessMTU},
		{"too big for uplink", TestTooBigForUplinkOverFabric},
		{"flood limit", TestFloodLimitCountsCopies},
		{"reply too big", TestReplyTooBigForUplink}, {"balanced", TestBalanceOneOfHundred},
		{"balancer pushes", TestBalanceRandomPushes}, {"storm", TestStorm}, {"wait", TestWaitForBinding},
		{"not here", TestNotHere},
	} {
		before := translated
		t.Run(tc.name, tc.run)
		if translated == before {
			t.Errorf("%s: no frame in UDP passed the fabric ports, want some", tc.name)
		}
	}
	if translated.in == 0 || translated.out == 0 {
		t.Errorf("%+v frames in UDP passed, want some both ways", translated)
	}
}

// TestFormsReceived: a fabric port accepts encapsulated frames of its own form alone, and what is wrong with them has
// reasons of their own.
func TestFormsReceived(t *testing.T) {
	ports := map[string]fib.Form{"ip": fib.FormIP, "udp": fib.FormUDP}
	sum := func(f []byte) []byte { // with the right checksum
		wire.UDP(f[34:]).SetChecksum(0)
		pseudo := checksum.PseudoIPv4(wire.IPv4(f[14:]).Src(), wire.IPv4(f[14:]).Dst(), 17, uint16(len(f)-34))
		wire.UDP(f[34:]).SetChecksum(checksum.NonZero(checksum.Checksum(f[34:], pseudo)))
		return f
	}
	for _, tc := range []struct {
		name    string
		port    string
		inUDP   bool
		change  func(f []byte) []byte // nil = none
		dropped drop.Reason           // None = delivered
	}{
		{"own form", "ip", false, nil, drop.None},
		{"UDP to a port of form ip", "ip", true, nil, drop.FabricForm},
		{"another UDP port", "ip", true, func(f []byte) []byte { f[37]++; return f }, drop.FabricProtocol},
		{"own form", "udp", true, nil, drop.None},
		{"protocol 143 to a port of form udp", "udp", false, nil, drop.FabricForm},
		{"another UDP port", "udp", true, func(f []byte) []byte { f[37]++; return f }, drop.FabricProtocol},
		{"any source port", "udp", true, func(f []byte) []byte { f[34], f[35] = 0, 1; return f }, drop.None},
		{"right checksum", "udp", true, sum, drop.None},
		{"wrong checksum", "udp", true, func(f []byte) []byte { f = sum(f); f[60]++; return f },
			drop.FabricUDPChecksum},
		{"length 7", "udp", true, func(f []byte) []byte { f[38], f[39] = 0, 7; return f }, drop.FabricUDP},
		{"length beyond the packet", "udp", true, func(f []byte) []byte { f[39]++; return f }, drop.FabricUDP},
		{"no inner frame", "udp", true, func(f []byte) []byte { f[38], f[39] = 0, 8+13; return f }, drop.FabricInner},
		{"padded", "udp", true, func(f []byte) []byte { return append(f, make([]byte, 20)...) }, drop.None},
		{"cut in the UDP header", "udp", true, func(f []byte) []byte { return shorter(f, 34+7) }, drop.FabricUDP},
		{"no UDP header on a port of form ip", "ip", true, func(f []byte) []byte { return shorter(f, 34) },
			drop.FabricProtocol},
		{"fragment", "udp", true, func(f []byte) []byte { f[20] |= 0x20; return resum(f) }, drop.FabricFragment},
		{"unknown tenant", "udp", true, func(f []byte) []byte { f[33] = 99; return resum(f) }, drop.FabricTenant},
		{"unknown segment", "udp", true, func(f []byte) []byte { f[29] = 99; return resum(f) }, drop.FabricSegment},
	} {
		t.Run(tc.port+" "+tc.name, func(t *testing.T) {
			o := world(1)
			o.UDPPort = udpPort
			o.Ports[fab0].Encap = ports[tc.port]
			r := start(t, o)
			in := udp(t, localMAC, remoteMAC(0), localIP, remoteIP(0), 100)
			f := encapsulated(t, 1, in)
			if tc.inUDP {
				f = toUDP(f)
			}
			if tc.change != nil {
				f = tc.change(f)
			}
			receive(t, r, fab0, f)
			out := r.Sent(acc0)
			if got := dropped(r, fab0)[tc.dropped.String()]; tc.dropped != drop.None && got != 1 {
				t.Errorf("%d frames dropped for %s, want 1; dropped %v", got, tc.dropped, dropped(r, fab0))
			}
			switch {
			case tc.dropped != drop.None && len(out) != 0:
				t.Errorf("%d frames delivered, want none", len(out))
			case tc.dropped == drop.None && (len(out) != 1 || string(out[0]) != string(in)):
				t.Errorf("delivered %x, want %x alone; dropped %v", out, in, dropped(r, fab0))
			}
		})
	}
}

// resum corrects the checksum of the outer IPv4 header.
func resum(f []byte) []byte {
	wire.IPv4(f[14:]).SetChecksum(0)
	wire.IPv4(f[14:]).SetChecksum(checksum.Checksum(f[14:34], 0))
	return f
}

// shorter cuts the outer packet, so that the frame has n octets.
func shorter(f []byte, n int) []byte {
	wire.IPv4(f[14:]).SetTotalLen(uint16(n - 14))
	return resum(f[:n])
}

// TestUDPSpread: the flows between two boxes in one segment have many outer source ports, which a NIC spreads over its
// receive queues (receive side scaling: Toeplitz hash of addresses and ports). With form "ip" they have one queue.
func TestUDPSpread(t *testing.T) {
	for _, f := range []fib.Form{fib.FormIP, fib.FormUDP} {
		o := world(1)
		o.UDPPort = udpPort
		o.Ports[fab0].Encap = f
		r := start(t, o)
		const flows = 200
		for i := range flows {
			receive(t, r, acc0, build(t, &layers.Ethernet{DstMAC: hw(remoteMAC(0)), SrcMAC: hw(localMAC),
				EthernetType: layers.EthernetTypeIPv4},
				&layers.IPv4{Version: 4, TTL: 64, Protocol: 17, SrcIP: net.ParseIP(localIP).To4(),
					DstIP: net.ParseIP(remoteIP(0)).To4()},
				&layers.UDP{SrcPort: layers.UDPPort(1000 + i), DstPort: 9}, gopacket.Payload("12345678")))
		}
		ports, queues := map[uint16]bool{}, map[uint32]int{}
		sent := r.Sent(fab0)
		for _, frame := range sent {
			tuple := slices.Clone(frame[30:38])
			if frame[27] == 17 {
				tuple = append(tuple, frame[38:42]...)
				ports[binary.BigEndian.Uint16(frame[38:])] = true
			}
			queues[toeplitz(tuple)&1]++
		}
		if len(sent) != flows {
			t.Fatalf("form %d: %d frames sent, want %d", f, len(sent), flows)
		}
		if f == fib.FormIP && len(queues) != 1 {
			t.Errorf("form ip: frames by queue %v, want one queue", queues)
		}
		if f == fib.FormUDP && (len(ports) < flows*9/10 || min(queues[0], queues[1]) < flows/4) {
			t.Errorf("form udp: %d source ports, frames by queue %v; want nearly %d ports and two queues", len(ports),
				queues, flows)
		}
	}
}

// toeplitz is the hash of receive side scaling with Microsoft's key.
func toeplitz(b []byte) (hash uint32) {
	key := []byte{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
		0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4}
	for i := range len(b) * 8 {
		if b[i/8]>>(7-i%8)&1 == 1 {
			w := binary.BigEndian.Uint64(append(slices.Clone(key[i/8:min(i/8+8, len(key))]), make([]byte, 8)...))
			hash ^= uint32(w << (i % 8) >> 32)
		}
	}
	return hash
}
