package route

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// routeOne routes a single packet.
func routeOne(t *testing.T, s *fib.Snapshot, seg uint32, data []byte) ([]byte, *frame.Packet, *State) {
	t.Helper()
	mem, b := parsed(t, seg, data)
	st := newState(mem, s)
	st.Route(b)
	return mem, &b.Pkt[0], st
}

func TestForward(t *testing.T) {
	s := snapshot(t)
	for _, tt := range []struct {
		name string
		data []byte
		from uint32
		seg  uint32
		mac  uint64
		via  uint64
		loc  fib.Loc
	}{
		{"local", packet(t, "10.1.0.10", "10.2.0.11", 64), 0, 1, macB, routerMAC, locB},
		{"remote", packet(t, "10.1.0.10", "10.2.0.12", 64), 0, 1, macC, routerMAC, locC},
		{"last hop of TTL", packet(t, "10.1.0.10", "10.2.0.12", 2), 0, 1, macC, routerMAC, locC},
		{"highest TTL", packet(t, "10.1.0.10", "10.2.0.12", 255), 0, 1, macC, routerMAC, locC},
		{"back", packet(t, "10.2.0.11", "10.1.0.10", 64), 1, 0, macA, routerMAC, locA},
		{"same segment", packet(t, "10.2.0.11", "10.2.0.12", 64), 1, 1, macC, routerMAC, locC},
		{"upper half of a /31", packet(t, "10.1.0.10", "10.3.0.1", 64), 0, 1, macB, routerMAC, locB},
		{"a subnet without router address", packet(t, "10.1.0.10", "10.4.0.12", 64), 0, 2, macC, routerMAC, locC},
		{"another tenant", packet(t, "10.1.0.10", "10.2.0.11", 64), 3, 3, otherB, otherRouter, locC},
		{"TCP", packetOf(t, layers.IPProtocolTCP, "10.1.0.10", "10.2.0.11", 64), 0, 1, macB, routerMAC, locB},
		{"ping", packetOf(t, layers.IPProtocolICMPv4, "10.1.0.10", "10.2.0.11", 64), 0, 1, macB, routerMAC, locB},
		{"any protocol", packetOf(t, 50, "10.1.0.10", "10.2.0.11", 64), 0, 1, macB, routerMAC, locB},
		{"v6 local", packet(t, "fd01::a", "fd02::b", 64), 0, 1, macB, routerMAC, locB},
		{"v6 remote", packet(t, "fd01::a", "fd02::c", 64), 0, 1, macC, routerMAC, locC},
		{"v6 last hop", packet(t, "fd01::a", "fd02::c", 2), 0, 1, macC, routerMAC, locC},
		{"v6 TCP", packetOf(t, layers.IPProtocolTCP, "fd01::a", "fd02::c", 64), 0, 1, macC, routerMAC, locC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, p, st := routeOne(t, s, tt.from, tt.data)
			next := frame.NextEncap
			if tt.loc&fib.LocLocal != 0 {
				next = frame.NextDeliver
			}
			if p.Next != next || p.Seg != tt.seg || p.Loc != tt.loc || p.DstMAC != tt.mac ||
				p.SrcMAC != wire.MAC(tt.data[6:]) || st.Counters.Routed != 1 {
				t.Fatalf("Next %d, segment %d, location %#x, from %012x to %012x, drop reason %v, %d routed; "+
					"want %d, %d, %#x, from the sender to %012x, 1 routed",
					p.Next, p.Seg, p.Loc, p.SrcMAC, p.DstMAC, p.Drop, st.Counters.Routed, next, tt.seg, tt.loc, tt.mac)
			}
			sent := *p
			sent.SrcMAC = tt.via // the sender's MAC stays in the metadata
			decoded(t, mem, &sent)
			want := bytes.Clone(tt.data)
			wire.PutMAC(want, tt.mac)
			wire.PutMAC(want[6:], tt.via)
			if p.Has(frame.FlagIPv4) {
				want[22]--
				want[24], want[25] = p.Bytes(mem)[24], p.Bytes(mem)[25] // the checksum, which the parser has checked
			} else {
				want[21]--
			}
			if !bytes.Equal(p.Bytes(mem), want) {
				t.Errorf("frame\n%x, want\n%x", p.Bytes(mem), want)
			}
		})
	}
}

// TestTTLChecksum: the updated checksum is right for every TTL and many checksums.
func TestTTLChecksum(t *testing.T) {
	s := snapshot(t)
	base := packet(t, "10.1.0.10", "10.2.0.11", 64)
	for ttl := 2; ttl < 256; ttl++ {
		for id := 0; id < 1<<16; id += 1777 {
			data := bytes.Clone(base)
			h := wire.IPv4(data[14:34])
			h.SetTTL(uint8(ttl))
			h.SetID(uint16(id))
			h.SetChecksum(0)
			var sum uint32
			for i := 0; i < 20; i += 2 {
				sum += uint32(h[i])<<8 | uint32(h[i+1])
			}
			sum = sum>>16 + sum&0xffff
			h.SetChecksum(^uint16(sum>>16 + sum))
			mem, p, _ := routeOne(t, s, 0, data)
			q := frame.Packet{Off: p.Off, Len: p.Len}
			if p.Next != frame.NextDeliver || !parseOK(mem, &q) {
				t.Fatalf("TTL %d, ID %d: Next %d, drop reason %v, the parser then drops it as %v; "+
					"want it delivered with a valid header", ttl, id, p.Next, p.Drop, q.Drop)
			}
		}
	}
}

func TestFragmentsAreRouted(t *testing.T) {
	data := packet(t, "10.1.0.10", "10.2.0.11", 64)
	h := wire.IPv4(data[14:])
	h.SetChecksum(h.Checksum() - 5) // offset 5
	h.SetFlagsFragment(5)
	_, p, _ := routeOne(t, snapshot(t), 0, data)
	if p.Next != frame.NextDeliver || !p.Has(frame.FlagFragment) || p.DstMAC != macB {
		t.Errorf("Next %d, drop reason %v, flags %#x, to %012x; want a fragment delivered to %012x",
			p.Next, p.Drop, p.Flags, p.DstMAC, macB)
	}
}

func TestDropped(t *testing.T) {
	s := snapshot(t)
	u := layers.IPProtocolUDP
	for _, tt := range []struct {
		name     string
		seg      uint32
		proto    layers.IPProtocol
		src, dst string
		ttl      uint8
		want     drop.Reason
	}{
		{"from nobody", 0, u, "0.0.0.0", "10.2.0.11", 64, drop.RouterSource},
		{"from 0/8", 0, u, "0.1.2.3", "10.2.0.11", 64, drop.RouterSource},
		{"from loopback", 0, u, "127.0.0.1", "10.2.0.11", 64, drop.RouterSource},
		{"from multicast", 0, u, "224.0.0.1", "10.2.0.11", 64, drop.RouterSource},
		{"from broadcast", 0, u, "255.255.255.255", "10.2.0.11", 64, drop.RouterSource},
		{"from loopback to the router", 0, layers.IPProtocolICMPv4, "127.0.0.1", "10.1.0.254", 64, drop.RouterSource},
		{"to multicast", 0, u, "10.1.0.10", "224.0.0.251", 64, drop.NoRoute},
		{"to multicast, TTL 1", 0, u, "10.1.0.10", "224.0.0.251", 1, drop.NoRoute},
		{"to broadcast", 0, u, "10.1.0.10", "255.255.255.255", 64, drop.NoRoute},
		{"to loopback", 0, u, "10.1.0.10", "127.0.0.1", 64, drop.NoRoute},
		{"to nobody", 0, u, "10.1.0.10", "0.0.0.0", 64, drop.NoRoute},
		{"to a directed broadcast", 0, u, "10.1.0.10", "10.2.0.255", 64, drop.NoRoute},
		{"to a directed broadcast, TTL 1", 0, u, "10.1.0.10", "10.2.0.255", 1, drop.NoRoute},
		{"to a network's own address", 0, u, "10.1.0.10", "10.2.0.0", 64, drop.NoRoute},
		{"no subnet, router without address here", 2, u, "10.4.0.12", "10.9.0.1", 64, drop.NoRoute},
		{"TTL 1, router without address here", 2, u, "10.4.0.12", "10.1.0.10", 1, drop.TTLExceeded},
		{"unresolved, router without address here", 2, u, "10.4.0.12", "10.2.0.99", 64, drop.RouteUnresolved},
		{"OSPF to the router", 0, 89, "10.1.0.10", "10.1.0.254", 64, drop.RouterProtocol},
		{"no such segment", 9, u, "10.1.0.10", "10.2.0.11", 64, drop.NoRoute},
		{"no router", 4, u, "10.1.0.10", "10.2.0.11", 64, drop.NoRoute},

		{"v6 from nobody", 0, u, "::", "fd02::b", 64, drop.RouterSource},
		{"v6 from loopback", 0, u, "::1", "fd02::b", 64, drop.RouterSource},
		{"v6 from multicast", 0, u, "ff02::1", "fd02::b", 64, drop.RouterSource},
		{"v6 from a link-local address", 0, u, "fe80::a", "fd02::b", 64, drop.RouterSource},
		{"v6 to a link-local address", 0, u, "fd01::a", "fe80::b", 64, drop.NoRoute},
		{"v6 to multicast", 0, u, "fd01::a", "ff05::1", 64, drop.NoRoute},
		{"v6 to loopback", 0, u, "fd01::a", "::1", 64, drop.NoRoute},
		{"v6 to nobody", 0, u, "fd01::a", "::", 64, drop.NoRoute},
		{"v6 without any subnet", 3, u, "fd01::a", "fd02::b", 64, drop.NoRoute},
		{"v6 TTL 1, router without address here", 3, u, "fd01::a", "fd02::b", 1, drop.TTLExceeded},
		{"v6 OSPF to the router", 0, 89, "fd01::a", "fd01::fe", 64, drop.RouterProtocol},
	} {
		_, p, st := routeOne(t, s, tt.seg, packetOf(t, tt.proto, tt.src, tt.dst, tt.ttl))
		if p.Next != frame.NextDrop || p.Drop != tt.want || st.Counters != (Counters{}) {
			t.Errorf("%s: Next %d, drop reason %v, counters %+v; want it dropped as %v, all counters 0",
				tt.name, p.Next, p.Drop, st.Counters, tt.want)
		}
	}
	mem, b := parsed(t, 0, packet(t, "10.1.0.10", "10.2.0.11", 64))
	b.Pkt[0].Flags = 0
	if newState(mem, s).Route(b); b.Pkt[0].Drop != drop.RouterProtocol {
		t.Errorf("without IP: Next %d, drop reason %v; want it dropped as %v",
			b.Pkt[0].Next, b.Pkt[0].Drop, drop.RouterProtocol)
	}
}

// TestErrors: the router answers packets that it cannot forward with ICMP errors, for traceroute and for their senders.
func TestErrors(t *testing.T) {
	s := snapshot(t)
	router6LL := net.IP(make([]byte, 16))
	wire.PutAddr6(router6LL, wire.EUI64LinkLocal(routerMAC))
	const exceeded, unreachable = 1, 2
	u := layers.IPProtocolUDP
	for _, tt := range []struct {
		name      string
		seg       uint32
		proto     layers.IPProtocol
		src, dst  string
		ttl       uint8
		from      string
		typ, code uint8
		counter   int
	}{
		{"traceroute, first hop", 0, u, "10.1.0.10", "10.2.0.11", 1, "10.1.0.254", 11, 0, exceeded},
		{"TTL 0", 0, u, "10.1.0.10", "10.2.0.11", 0, "10.1.0.254", 11, 0, exceeded},
		{"traceroute by ping", 0, layers.IPProtocolICMPv4, "10.1.0.10", "10.2.0.11", 1, "10.1.0.254", 11, 0, exceeded},
		{"traceroute by TCP", 0, layers.IPProtocolTCP, "10.1.0.10", "10.2.0.11", 1, "10.1.0.254", 11, 0, exceeded},
		{"TTL before a missing route", 0, u, "10.1.0.10", "10.9.0.1", 1, "10.1.0.254", 11, 0, exceeded},
		{"traceroute to the router", 0, u, "10.1.0.10", "10.1.0.254", 1, "10.1.0.254", 3, 3, unreachable},
		{"traceroute to the router's other side", 0, u, "10.1.0.10", "10.2.0.254", 1, "10.2.0.254", 3, 3, unreachable},
		{"TCP to the router", 0, layers.IPProtocolTCP, "10.1.0.10", "10.1.0.254", 64, "10.1.0.254", 3, 3, unreachable},
		{"no subnet", 0, u, "10.1.0.10", "10.9.0.1", 64, "10.1.0.254", 3, 0, unreachable},
		{"below all subnets", 0, u, "10.1.0.10", "9.0.0.1", 64, "10.1.0.254", 3, 0, unreachable},
		{"no binding", 0, u, "10.1.0.10", "10.2.0.99", 64, "10.1.0.254", 3, 1, unreachable},
		{"second subnet of a segment", 1, u, "10.3.0.1", "10.1.0.10", 1, "10.3.0.0", 11, 0, exceeded},
		{"source of no subnet", 1, u, "10.77.0.1", "10.1.0.10", 1, "10.2.0.254", 11, 0, exceeded},
		{"v6 traceroute", 0, u, "fd01::a", "fd02::b", 1, "fd01::fe", 3, 0, exceeded},
		{"v6 to the router", 0, u, "fd01::a", "fd02::fe", 1, "fd02::fe", 1, 4, unreachable},
		{"v6 to the router's link-local", 0, u, "fe80::a", router6LL.String(), 64,
			router6LL.String(), 1, 4, unreachable},
		{"v6 no subnet", 0, u, "fd01::a", "fd09::1", 64, "fd01::fe", 1, 0, unreachable},
		{"v6 no binding", 0, u, "fd01::a", "fd02::99", 64, "fd01::fe", 1, 3, unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := packetOf(t, tt.proto, tt.src, tt.dst, tt.ttl)
			mem, p, st := routeOne(t, s, tt.seg, data)
			if p.Next != frame.NextDeliver || !p.Has(frame.FlagGenerated) || p.DstMAC != macA || p.SrcMAC != routerMAC {
				t.Fatalf("Next %d, drop reason %v, from %012x to %012x; want an answer from the router to %012x",
					p.Next, p.Drop, p.SrcMAC, p.DstMAC, macA)
			}
			want := Counters{TimeExceeded: 1}
			if tt.counter == unreachable {
				want = Counters{Unreachable: 1}
			}
			if st.Counters != want {
				t.Errorf("counters %+v, want %+v", st.Counters, want)
			}
			pkt := decoded(t, mem, p)
			var inside []byte
			switch ip := pkt.NetworkLayer().(type) {
			case *layers.IPv4:
				c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
				code := layers.CreateICMPv4TypeCode(tt.typ, tt.code)
				if ip.SrcIP.String() != tt.from || ip.DstIP.String() != tt.src || c.TypeCode != code {
					t.Errorf("%v from %v to %v, want %v from %s to %s",
						c.TypeCode, ip.SrcIP, ip.DstIP, code, tt.from, tt.src)
				}
				inside = c.Payload
			case *layers.IPv6:
				c := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
				code := layers.CreateICMPv6TypeCode(tt.typ, tt.code)
				if ip.SrcIP.String() != tt.from || ip.DstIP.String() != tt.src || c.TypeCode != code {
					t.Errorf("%v from %v to %v, want %v from %s to %s",
						c.TypeCode, ip.SrcIP, ip.DstIP, code, tt.from, tt.src)
				}
				inside = c.Payload[4:]
			}
			if !bytes.Equal(inside, data[14:]) {
				t.Errorf("quoted packet\n%x, want the offending one\n%x", inside, data[14:])
			}
		})
	}
}

func TestPing(t *testing.T) {
	s := snapshot(t)
	for _, tt := range []struct{ src, dst string }{
		{"10.1.0.10", "10.1.0.254"}, {"10.1.0.10", "10.2.0.254"}, {"10.1.0.10", "10.3.0.0"},
		{"fd01::a", "fd01::fe"}, {"fd01::a", "fd02::fe"}, {"fe80::a", "fd01::fe"},
	} {
		for _, ttl := range []uint8{1, 64} {
			proto := layers.IPProtocolICMPv4
			if net.ParseIP(tt.src).To4() == nil {
				proto = layers.IPProtocolICMPv6
			}
			mem, p, st := routeOne(t, s, 0, packetOf(t, proto, tt.src, tt.dst, ttl))
			if p.Next != frame.NextDeliver || !p.Has(frame.FlagGenerated) || p.DstMAC != macA ||
				p.SrcMAC != routerMAC || st.Counters != (Counters{EchoReplies: 1}) {
				t.Fatalf("%v: Next %d, drop reason %v, from %012x to %012x, counters %+v; want an echo reply to %012x",
					tt, p.Next, p.Drop, p.SrcMAC, p.DstMAC, st.Counters, macA)
			}
			flow := decoded(t, mem, p).NetworkLayer().NetworkFlow()
			if flow.Src().String() != tt.dst || flow.Dst().String() != tt.src {
				t.Errorf("answer %v, want %s to %s", flow, tt.dst, tt.src)
			}
		}
	}
	// An echo request with a wrong checksum gets no answer.
	damaged := packetOf(t, layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254", 64)
	damaged[50]++
	if _, p, _ := routeOne(t, s, 0, damaged); p.Drop != drop.RouterProtocol {
		t.Errorf("damaged request: Next %d, drop reason %v; want it dropped as %v", p.Next, p.Drop, drop.RouterProtocol)
	}
}

func TestLimits(t *testing.T) {
	s := snapshot(t)
	s.ICMPRate, s.ICMPBurst = 10, 3
	var frames [][]byte
	for range 8 {
		frames = append(frames, packet(t, "10.1.0.10", "10.2.0.11", 1))
	}
	mem, b := parsed(t, 0, frames...)
	// The first packet is an ICMP error: the router does not answer it, and takes no token for it.
	isError := packetOf(t, layers.IPProtocolICMPv4, "10.1.0.10", "10.2.0.11", 1)
	isError[34], isError[36], isError[37] = 3, 0, 0
	copy(mem[frame.Headroom:], isError)
	b.Pkt[0].Len = uint16(len(isError))
	if !parseOK(mem, &b.Pkt[0]) {
		t.Fatal(b.Pkt[0].Drop)
	}
	b.Pkt[0].Seg, b.Pkt[0].Next = 0, frame.NextRoute

	st := newState(mem, s)
	st.Now = 5
	st.Route(b)
	var got []drop.Reason
	for i := range b.N {
		got = append(got, b.Pkt[i].Drop)
	}
	limit := drop.ICMPLimit
	if want := []drop.Reason{drop.ICMPSuppressed, 0, 0, 0, limit, limit, limit, limit}; !slices.Equal(got, want) {
		t.Errorf("drop reasons %v, want %v", got, want)
	}
	if st.Counters.TimeExceeded != 3 {
		t.Errorf("%d errors sent, want 3", st.Counters.TimeExceeded)
	}
	st.Now += 1e8
	st.Mem, b = parsed(t, 0, frames[:2]...)
	st.Route(b)
	if b.Pkt[0].Drop != 0 || b.Pkt[1].Drop != drop.ICMPLimit {
		t.Errorf("a tenth of a second later: drop reasons %v and %v, want none and %v",
			b.Pkt[0].Drop, b.Pkt[1].Drop, drop.ICMPLimit)
	}
}

// TestMixedBatch: the result of a packet does not depend on the other packets of its batch, and Route changes packets
// at NextRoute only.
func TestMixedBatch(t *testing.T) {
	s := snapshot(t)
	kinds := [][]byte{
		packet(t, "10.1.0.10", "10.2.0.11", 64), packet(t, "10.1.0.10", "10.2.0.12", 1),
		packet(t, "fd01::a", "fd02::c", 64),
		packetOf(t, layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254", 64), packet(t, "10.1.0.10", "10.2.0.99", 64),
		packet(t, "127.0.0.1", "10.2.0.12", 64), packet(t, "fd01::a", "fd09::c", 64),
	}
	r := rand.New(rand.NewPCG(1, 2))
	var frames [][]byte
	for range frame.BatchSize {
		frames = append(frames, kinds[r.IntN(len(kinds))])
	}
	mem, b := parsed(t, 0, frames...)
	for i := range b.N {
		if r.IntN(4) == 0 {
			b.Pkt[i].Next = frame.NextLookup
		}
	}
	was := *b
	newState(mem, s).Route(b)
	for i := range b.N {
		p := &b.Pkt[i]
		if was.Pkt[i].Next == frame.NextLookup {
			if *p != was.Pkt[i] || !bytes.Equal(p.Bytes(mem), frames[i]) {
				t.Errorf("packet %d at NextLookup:\n%+v, want it unchanged\n%+v", i, *p, was.Pkt[i])
			}
			continue
		}
		alone, q, _ := routeOne(t, s, 0, frames[i])
		q.Off += uint32(i * chunk)
		if *p != *q || !bytes.Equal(p.Bytes(mem), alone[q.Off-uint32(i*chunk):][:q.Len]) {
			t.Errorf("packet %d:\n%+v, want what it is alone\n%+v", i, p, q)
		}
	}
}

func TestDelta(t *testing.T) {
	s := snapshot(t)
	const moved uint64 = 0x0200000002bb
	loc := fib.RemoteLoc(1, 1)
	s.Delta = table.NewDelta(s.Bindings,
		[]table.Binding{{Seg: 1, MAC: moved, Loc: loc, IP4: []uint32{ip4("10.2.0.11")}}}, nil)
	if _, p, _ := routeOne(t, s, 0, packet(t, "10.1.0.10", "10.2.0.11", 64)); p.DstMAC != moved || p.Loc != loc {
		t.Errorf("to %012x at %#x, want the delta's %012x at %#x", p.DstMAC, p.Loc, moved, loc)
	}
}

// TestFind compares both searches with a scan, for random numbers of subnets.
func TestFind(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := r.IntN(40)
		points := map[uint32]bool{}
		for len(points) < 2*n {
			points[[]uint32{r.Uint32(), r.Uint32N(100), ^r.Uint32N(100)}[r.IntN(3)]] = true
		}
		var at []uint32
		for p := range points {
			at = append(at, p)
		}
		slices.Sort(at)
		var n4 []fib.Subnet4
		var n6 []fib.Subnet6
		wide := func(v uint32) [2]uint64 { return [2]uint64{uint64(v) >> 3, uint64(v)<<61 | 5} }
		for i := range n {
			n4 = append(n4, fib.Subnet4{Start: at[2*i], End: at[2*i+1]})
			n6 = append(n6, fib.Subnet6{Start: wide(at[2*i]), End: wide(at[2*i+1])})
		}
		probes := append(slices.Clone(at), 0, ^uint32(0))
		for _, p := range at {
			probes = append(probes, p-1, p+1, r.Uint32())
		}
		for _, ip := range probes {
			want := slices.IndexFunc(n4, func(n fib.Subnet4) bool { return n.Start <= ip && ip <= n.End })
			got4, got6 := fib.FindSubnet4(n4, ip), fib.FindSubnet6(n6, wide(ip))
			if want < 0 {
				if got4 != nil || got6 != nil {
					t.Fatalf("%d in %d subnets: found %v and %v, want none", ip, n, got4, got6)
				}
			} else if got4 != &n4[want] || got6 != &n6[want] {
				t.Fatalf("%d in %d subnets: found %v and %v, want %v", ip, n, got4, got6, n4[want])
			}
		}
	}
}
