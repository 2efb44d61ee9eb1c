package neigh

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

func TestARP(t *testing.T) {
	s := snapshot(t)
	longer := append(request(t, macA, "10.1.0.10", "10.1.0.11"), 1, 2, 3, 4)
	for _, tt := range []struct {
		name   string
		data   []byte
		seg    uint32
		drop   drop.Reason
		mac    uint64
		target string
	}{
		{"local", request(t, macA, "10.1.0.10", "10.1.0.11"), 0, 0, macB, "10.1.0.11"},
		{"with padding", longer, 0, 0, macB, "10.1.0.11"},
		{"remote", request(t, macA, "10.1.0.10", "10.1.0.12"), 0, 0, macC, "10.1.0.12"},
		{"another tenant's", request(t, macA, "10.1.0.10", "10.1.0.11"), 1, 0, otherB, "10.1.0.11"},
		{"router", request(t, macA, "10.1.0.10", "10.1.0.254"), 0, 0, routerMAC, "10.1.0.254"},
		{"unicast", arp(t, 1, macB, macA, "10.1.0.10", "10.1.0.11"), 0, 0, macB, "10.1.0.11"},
		{"probe of another's address", request(t, macA, "0.0.0.0", "10.1.0.12"), 0, 0, macC, "10.1.0.12"},
		{"probe of the router's address", request(t, macA, "0.0.0.0", "10.1.0.254"), 0, 0, routerMAC, "10.1.0.254"},
		{"claim to the router's address", request(t, macA, "10.1.0.254", "10.1.0.254"), 0, 0, routerMAC, "10.1.0.254"},
		{"claim to the router's address in an answer",
			arp(t, 2, wire.Broadcast, macA, "10.1.0.254", "10.1.0.254"), 0, drop.SpoofARP, 0, ""},
		{"probe", request(t, macA, "0.0.0.0", "10.1.0.10"), 0, drop.ARPForeign, 0, ""},
		{"the router requests its own address",
			request(t, routerMAC, "10.1.0.254", "10.1.0.254"), 0, drop.ARPForeign, 0, ""},
		{"reply", arp(t, 2, macB, macA, "10.1.0.10", "10.1.0.11"), 0, drop.ARPForeign, 0, ""},
		{"RARP", arp(t, 3, wire.Broadcast, macA, "10.1.0.10", "10.1.0.11"), 0, drop.ARPForeign, 0, ""},
		{"unknown", request(t, macA, "10.1.0.10", "10.1.0.99"), 0, drop.ARPUnresolved, 0, ""},
		{"unknown here, known elsewhere", request(t, macA, "10.1.0.10", "10.1.0.12"), 1, drop.ARPUnresolved, 0, ""},
		{"0.0.0.0", request(t, macA, "10.1.0.10", "0.0.0.0"), 0, drop.ARPUnresolved, 0, ""},
		{"same attachment", request(t, macA, "10.1.0.10", "10.1.0.13"), 0, drop.Hairpin, 0, ""},
		{"a segment without router", request(t, macA, "10.1.0.10", "10.1.0.254"), 2, drop.ARPUnresolved, 0, ""},
		{"no such segment", request(t, macA, "10.1.0.10", "10.1.0.11"), 3, drop.ARPForeign, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, b := parsed(t, tt.data, tt.seg, 0, 0)
			newState(mem, s).Answer(b)
			p := &b.Pkt[0]
			if tt.drop != 0 {
				if p.Next != frame.NextDrop || p.Drop != tt.drop {
					t.Errorf("Next %d, drop reason %v; want it dropped as %v", p.Next, p.Drop, tt.drop)
				}
				return
			}
			if p.Next != frame.NextDeliver {
				t.Fatalf("Next %d, drop reason %v; want an answer at Next %d", p.Next, p.Drop, frame.NextDeliver)
			}
			pkt := answer(t, mem, p)
			e := pkt.LinkLayer().(*layers.Ethernet)
			a := pkt.Layer(layers.LayerTypeARP).(*layers.ARP)
			request := gopacket.NewPacket(tt.data, layers.LayerTypeEthernet, gopacket.Default).
				Layer(layers.LayerTypeARP).(*layers.ARP)
			if !bytes.Equal(e.DstMAC, hw(macA)) || !bytes.Equal(e.SrcMAC, hw(tt.mac)) {
				t.Errorf("answer from %v to %v, want from %v to %v", e.SrcMAC, e.DstMAC, hw(tt.mac), hw(macA))
			}
			if a.Operation != layers.ARPReply || a.AddrType != 1 || a.Protocol != 0x800 ||
				!bytes.Equal(a.SourceHwAddress, hw(tt.mac)) ||
				!bytes.Equal(a.SourceProtAddress, net.ParseIP(tt.target).To4()) ||
				!bytes.Equal(a.DstHwAddress, hw(macA)) || !bytes.Equal(a.DstProtAddress, request.SourceProtAddress) {
				t.Errorf("answer %+v, want a reply to %v at %v that %s is at %v",
					a, request.SourceProtAddress, hw(macA), tt.target, hw(tt.mac))
			}
		})
	}
}

// TestForwarded: messages that stations need from each other go to all stations of the segment, or to the station that
// they are addressed to.
func TestForwarded(t *testing.T) {
	s := snapshot(t)
	solicited := &layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: net.ParseIP("fd00::a")}
	flooding := *s
	flooding.Segments = slices.Clone(s.Segments)
	flooding.Segments[0].UnknownUnicast = true
	for _, tt := range []struct {
		name string
		s    *fib.Snapshot
		data []byte
		next frame.Next
		drop drop.Reason
	}{
		{"announcement", s, request(t, macA, "10.1.0.10", "10.1.0.10"), frame.NextFlood, 0},
		{"announcement of an unknown address", s, request(t, macA, "10.1.0.99", "10.1.0.99"), frame.NextFlood, 0},
		{"announcement of another's address", s, request(t, macA, "10.1.0.12", "10.1.0.12"), frame.NextFlood, 0},
		{"gratuitous reply", s, arp(t, 2, wire.Broadcast, macA, "10.1.0.10", "10.1.0.10"), frame.NextFlood, 0},
		{"gratuitous reply to one", s, arp(t, 2, macB, macA, "10.1.0.10", "10.1.0.10"), frame.NextDeliver, 0},
		{"unknown, flooding", &flooding, request(t, macA, "10.1.0.10", "10.1.0.99"), frame.NextFlood, 0},
		{"probe of an unknown address, flooding", &flooding,
			request(t, macA, "0.0.0.0", "10.1.0.99"), frame.NextFlood, 0},
		{"unknown, with the router's address as sender, flooding", &flooding,
			request(t, macA, "10.1.0.254", "10.1.0.99"), frame.NextDrop, drop.ARPUnresolved},
		{"reply, flooding", &flooding, arp(t, 2, macB, macA, "10.1.0.10", "10.1.0.11"), frame.NextDeliver, 0},
		{"reply to a station of another box, flooding", &flooding,
			arp(t, 2, macC, macA, "10.1.0.10", "10.1.0.12"), frame.NextEncap, 0},
		{"reply to an unknown station, flooding", &flooding,
			arp(t, 2, 0x0200000000ee, macA, "10.1.0.10", "10.1.0.12"), frame.NextFlood, 0},
		{"unknown link-local", s, solicit(t, macA, "fd00::a", "fe80::99", 1), frame.NextFlood, 0},
		{"advertisement", s, nd(t, 136, macB, macA, "fd00::a", "fd00::b", solicited), frame.NextDeliver, 0},
		{"advertisement to a station of another box", s,
			nd(t, 136, macC, macA, "fd00::a", "fd00::c", solicited), frame.NextEncap, 0},
		{"advertisement to the same attachment", s,
			nd(t, 136, macD, macA, "fd00::a", "fd00::d", solicited), frame.NextDrop, drop.Hairpin},
		{"advertisement to an unknown station", s,
			nd(t, 136, 0x0200000000ee, macA, "fd00::a", "fd00::e", solicited), frame.NextDrop, drop.Unresolved},
		{"advertisement to the router", s,
			nd(t, 136, routerMAC, macA, "fd00::a", "fd00::fe", solicited), frame.NextDrop, drop.ARPForeign},
		{"router solicitation", s,
			nd(t, 133, 0x333300000002, macA, "fe80::a", "ff02::2", &layers.ICMPv6RouterSolicitation{}),
			frame.NextFlood, 0},
	} {
		mem, b := parsed(t, tt.data, 0, 0, 0)
		before := bytes.Clone(mem)
		newState(mem, tt.s).Answer(b)
		if p := &b.Pkt[0]; p.Next != tt.next || p.Drop != tt.drop {
			t.Errorf("%s: Next %d, drop reason %v; want %d, %v", tt.name, p.Next, p.Drop, tt.next, tt.drop)
		}
		if !bytes.Equal(mem, before) {
			t.Errorf("%s: the frame is % x, want it unchanged % x", tt.name, mem, before)
		}
	}
}

// eui64 is the link-local address that follows from a MAC.
func eui64(mac uint64) string {
	b := make([]byte, 16)
	wire.PutAddr6(b, wire.EUI64LinkLocal(mac))
	return net.IP(b).String()
}

func TestND(t *testing.T) {
	s := snapshot(t)
	routerLL := make([]byte, 16)
	wire.PutAddr6(routerLL, wire.EUI64LinkLocal(routerMAC))
	router := net.IP(routerLL).String()
	const plain, solicited, fromRouter = 0x20, 0x60, 0x80 // flags: O, S|O, R
	unicast := &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP("fd00::c")}
	for _, tt := range []struct {
		name   string
		data   []byte
		seg    uint32
		drop   drop.Reason
		mac    uint64
		target string
		flags  uint8
		to     string
		toMAC  uint64
	}{
		{"local", solicit(t, macA, "fd00::a", "fd00::b", 1), 0, 0, macB, "fd00::b", solicited, "fd00::a", macA},
		{"remote", solicit(t, macA, "fe80::a", "fd00::c", 1), 0, 0, macC, "fd00::c", solicited, "fe80::a", macA},
		{"shorter than the answer",
			solicit(t, macA, "fd00::a", "fd00::c", 0), 0, 0, macC, "fd00::c", solicited, "fd00::a", macA},
		{"longer than the answer",
			solicit(t, macA, "fd00::a", "fd00::c", 5), 0, 0, macC, "fd00::c", solicited, "fd00::a", macA},
		{"link-local", solicit(t, macA, "fe80::a", "fe80::c", 1), 0, 0, macC, "fe80::c", solicited, "fe80::a", macA},
		{"another tenant's",
			solicit(t, macA, "fd00::a", "fd00::b", 1), 1, 0, otherB, "fd00::b", solicited, "fd00::a", macA},
		{"router",
			solicit(t, macA, "fd00::a", "fd00::fe", 1), 0,
			0, routerMAC, "fd00::fe", fromRouter | solicited, "fd00::a", macA},
		{"router's link-local",
			solicit(t, macA, "fe80::a", router, 1), 0, 0, routerMAC, router, fromRouter | solicited, "fe80::a", macA},
		{"unreachability detection",
			nd(t, 135, macC, macA, "fd00::a", "fd00::c", unicast), 0, 0, macC, "fd00::c", solicited, "fd00::a", macA},
		{"DAD for another's address",
			solicit(t, macA, "::", "fd00::c", 0), 0, 0, macC, "fd00::c", plain, "ff02::1", 0x333300000001},
		{"DAD for the router's address",
			solicit(t, macA, "::", "fd00::fe", 0), 0,
			0, routerMAC, "fd00::fe", fromRouter | plain, "ff02::1", 0x333300000001},
		{"DAD", solicit(t, macA, "::", "fd00::a", 0), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"DAD for a free address", solicit(t, macA, "::", "fd00::99", 0), 0, drop.ARPUnresolved, 0, "", 0, "", 0},
		{"own address", solicit(t, macA, "fd00::a", "fd00::a", 1), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"own unknown address", solicit(t, macA, "fd00::99", "fd00::99", 1), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"unknown", solicit(t, macA, "fd00::a", "fd00::99", 1), 0, drop.ARPUnresolved, 0, "", 0, "", 0},
		{"same attachment", solicit(t, macA, "fd00::a", "fd00::d", 1), 0, drop.Hairpin, 0, "", 0, "", 0},
		{"link-local that follows from a MAC",
			solicit(t, macA, "fe80::a", eui64(macB), 1), 0, 0, macB, eui64(macB), solicited, "fe80::a", macA},
		{"link-local that follows from another tenant's",
			solicit(t, macA, "fe80::a", eui64(otherB), 1), 1, 0, otherB, eui64(otherB), solicited, "fe80::a", macA},
		{"own link-local that follows from the MAC",
			solicit(t, macA, "::", eui64(macA), 0), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"router's, in the name of the router",
			nd(t, 136, macB, macA, "fd00::a", "fd00::b", &layers.ICMPv6NeighborAdvertisement{Flags: 0x60,
				TargetAddress: net.ParseIP("fd00::fe")}), 0, drop.SpoofND, 0, "", 0, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, b := parsed(t, tt.data, tt.seg, 0, 0)
			newState(mem, s).Answer(b)
			p := &b.Pkt[0]
			if tt.drop != 0 {
				if p.Next != frame.NextDrop || p.Drop != tt.drop {
					t.Errorf("Next %d, drop reason %v; want it dropped as %v", p.Next, p.Drop, tt.drop)
				}
				return
			}
			if p.Next != frame.NextDeliver {
				t.Fatalf("Next %d, drop reason %v; want an answer at Next %d", p.Next, p.Drop, frame.NextDeliver)
			}
			if p.Len != 86 {
				t.Errorf("answer of %d octets, want 86", p.Len)
			}
			pkt := answer(t, mem, p) // the parser checks the checksum and RFC 4861, 7.1.2
			if p.Flags&frame.FlagND == 0 {
				t.Errorf("flags %#x of the answer, want FlagND among them", p.Flags)
			}
			e := pkt.LinkLayer().(*layers.Ethernet)
			ip := pkt.NetworkLayer().(*layers.IPv6)
			a, ok := pkt.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
			if !ok {
				t.Fatalf("the answer is %v, want a neighbour advertisement", pkt)
			}
			if !bytes.Equal(e.DstMAC, hw(tt.toMAC)) || !bytes.Equal(e.SrcMAC, hw(tt.mac)) {
				t.Errorf("answer from %v to %v, want from %v to %v", e.SrcMAC, e.DstMAC, hw(tt.mac), hw(tt.toMAC))
			}
			if !ip.SrcIP.Equal(net.ParseIP(tt.target)) || !ip.DstIP.Equal(net.ParseIP(tt.to)) || ip.HopLimit != 255 {
				t.Errorf("IPv6 header %+v, want from %s to %s with hop limit 255", ip, tt.target, tt.to)
			}
			if a.Flags != tt.flags || !a.TargetAddress.Equal(net.ParseIP(tt.target)) || len(a.Options) != 1 ||
				a.Options[0].Type != layers.ICMPv6OptTargetAddress || !bytes.Equal(a.Options[0].Data, hw(tt.mac)) {
				t.Errorf("advertisement %+v, want flags %#x and %s at %v", a, tt.flags, tt.target, hw(tt.mac))
			}
		})
	}
}

// TestDelta: bindings of a transaction's delta replace those of the table.
func TestDelta(t *testing.T) {
	s := snapshot(t)
	const moved uint64 = 0x0200000002cc
	s.Delta = table.NewDelta(s.Bindings,
		[]table.Binding{{Seg: 0, MAC: moved, Loc: fib.RemoteLoc(1, 1), IP4: []uint32{ip4("10.1.0.12")}}},
		[]table.Binding{{Seg: 0, MAC: macC}})
	mem, b := parsed(t, request(t, macA, "10.1.0.10", "10.1.0.12"), 0, 0, 0)
	newState(mem, s).Answer(b)
	if p := &b.Pkt[0]; p.Next != frame.NextDeliver || p.SrcMAC != moved {
		t.Errorf("ARP: Next %d from %012x; want an answer from %012x", p.Next, p.SrcMAC, moved)
	}
	mem, b = parsed(t, solicit(t, macA, "fd00::a", "fd00::c", 1), 0, 0, 0)
	newState(mem, s).Answer(b)
	if p := &b.Pkt[0]; p.Drop != drop.ARPUnresolved {
		t.Errorf("solicitation of a deleted binding: Next %d, drop reason %v; want it dropped as %v",
			p.Next, p.Drop, drop.ARPUnresolved)
	}
}

// TestUnknownVIF: the box also answers a sender that is no VIF, as on an attachment with PolicyOff.
func TestUnknownVIF(t *testing.T) {
	mem, b := parsed(t, request(t, 0x0200000000ee, "10.1.0.77", "10.1.0.13"), 0, 1, frame.NoIndex)
	newState(mem, snapshot(t)).Answer(b)
	if p := &b.Pkt[0]; p.Next != frame.NextDeliver || p.DstMAC != 0x0200000000ee || p.SrcMAC != macD {
		t.Errorf("Next %d from %012x to %012x; want an answer from %012x to the sender",
			p.Next, p.SrcMAC, p.DstMAC, macD)
	}
}

// TestOthersUntouched: Answer changes packets at NextNeigh only.
func TestOthersUntouched(t *testing.T) {
	s := snapshot(t)
	for next := frame.NextParsed; next <= frame.NextHandoff; next++ {
		if next == frame.NextNeigh {
			continue
		}
		mem, b := parsed(t, request(t, macA, "10.1.0.10", "10.1.0.11"), 0, 0, 0)
		b.Pkt[0].Next = next
		before, was := bytes.Clone(mem), *b
		newState(mem, s).Answer(b)
		if *b != was || !bytes.Equal(mem, before) {
			t.Errorf("a packet at Next %d is %+v afterwards, want it unchanged %+v", next, b.Pkt[0], was.Pkt[0])
		}
	}
	mem, b := parsed(t, request(t, macA, "10.1.0.10", "10.1.0.11"), 0, 0, 0)
	b.Pkt[0].Flags = frame.FlagIPv4
	newState(mem, s).Answer(b)
	if b.Pkt[0].Drop != drop.ARPForeign {
		t.Errorf("neither ARP nor ND: Next %d, drop reason %v; want it dropped as %v",
			b.Pkt[0].Next, b.Pkt[0].Drop, drop.ARPForeign)
	}
}

// TestEndOfMemory: Answer drops a solicitation if the memory behind it is too short for the answer.
func TestEndOfMemory(t *testing.T) {
	data := solicit(t, macA, "fd00::a", "fd00::c", 0)
	mem, b := parsed(t, data, 0, 0, 0)
	newState(mem[:frame.Headroom+len(data)], snapshot(t)).Answer(b)
	if p := &b.Pkt[0]; p.Drop != drop.FrameLong {
		t.Errorf("Next %d, drop reason %v; want it dropped as %v", p.Next, p.Drop, drop.FrameLong)
	}
}

func TestNoAllocation(t *testing.T) {
	s := snapshot(t)
	mem, b, renew := requests(t)
	st := newState(mem, s)
	if n := testing.AllocsPerRun(100, func() { renew(); st.Answer(b) }); n != 0 {
		t.Errorf("%v allocations per batch, want none", n)
	}
}

func BenchmarkAnswer(b *testing.B) {
	s := snapshot(b)
	mem, batch, renew := requests(b)
	st := newState(mem, s)
	for b.Loop() {
		renew()
		st.Answer(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
}

// BenchmarkNothing measures the cost of the stage for a batch without requests.
func BenchmarkNothing(b *testing.B) {
	s := snapshot(b)
	batch := &frame.Batch{N: frame.BatchSize}
	st := newState(nil, s)
	for b.Loop() {
		st.Answer(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
}
