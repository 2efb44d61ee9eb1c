package neigh

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// The segment of the tests: a on attachment 0, b on attachment 1, c on another box, d beside a on attachment 0.
// Segment 1 has the same addresses with other MACs; segment 2 has no router.
const (
	macA, macB, macC, macD uint64 = 0x02000000000a, 0x02000000000b, 0x02000000000c, 0x02000000000d
	otherB                 uint64 = 0x0200000001bb
	routerMAC              uint64 = 0x0200000000fe
	chunk                         = 2048
)

func halves(s string) [2]uint64 {
	b := netip.MustParseAddr(s).As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func ip4(s string) uint32 {
	b := netip.MustParseAddr(s).As4()
	return binary.BigEndian.Uint32(b[:])
}

func hw(m uint64) net.HardwareAddr {
	b := make([]byte, 6)
	wire.PutMAC(b, m)
	return b
}

func snapshot(tb testing.TB) *fib.Snapshot {
	tb.Helper()
	t, err := table.NewBindings(table.Config{Capacity: 100})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { t.Close() })
	for _, b := range []table.Binding{
		{Seg: 0, MAC: macA, Loc: fib.LocLocal, IP4: []uint32{ip4("10.1.0.10")}, IP6: [][2]uint64{halves("fd00::a"), halves("fe80::a")}},
		{Seg: 0, MAC: macB, Loc: fib.LocLocal | 1, IP4: []uint32{ip4("10.1.0.11")}, IP6: [][2]uint64{halves("fd00::b"), halves("fe80::b")}},
		{Seg: 0, MAC: macC, Loc: fib.RemoteLoc(3, 7), IP4: []uint32{ip4("10.1.0.12")}, IP6: [][2]uint64{halves("fd00::c"), halves("fe80::c")}},
		{Seg: 0, MAC: macD, Loc: fib.LocLocal | 2, IP4: []uint32{ip4("10.1.0.13")}, IP6: [][2]uint64{halves("fd00::d")}},
		{Seg: 1, MAC: otherB, Loc: fib.RemoteLoc(4, 7), IP4: []uint32{ip4("10.1.0.11")}, IP6: [][2]uint64{halves("fd00::b")}},
	} {
		if err := t.Upsert(&b); err != nil {
			tb.Fatal(err)
		}
	}
	return &fib.Snapshot{
		Bindings:    t,
		Attachments: []fib.Attachment{{Seg: 0}, {Seg: 0}},
		VIFs:        []fib.VIF{{MAC: macA, Attach: 0}, {MAC: macB, Attach: 1}, {MAC: macD, Attach: 0}},
		Routers:     []fib.Router{{MAC: routerMAC}},
		Segments: []fib.Segment{
			{Tenant: 5, Router: 0,
				Subnets4: []fib.Subnet4{
					{Start: ip4("10.9.0.0"), End: ip4("10.9.0.255")},
					{Start: ip4("10.1.0.0"), End: ip4("10.1.0.255"), RouterIP: ip4("10.1.0.254")}},
				Subnets6: []fib.Subnet6{{Start: halves("fd00::"), End: halves("fd00::ffff:ffff:ffff:ffff"), RouterIP: halves("fd00::fe")}}},
			{Tenant: 6, Router: fib.None},
			{Tenant: 7, Router: fib.None, Subnets4: []fib.Subnet4{{RouterIP: ip4("10.1.0.254")}}},
		},
	}
}

func build(tb testing.TB, ls ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func arp(tb testing.TB, op uint16, dst, src uint64, senderIP, targetIP string) []byte {
	a := &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: hw(src), SourceProtAddress: net.ParseIP(senderIP).To4(), DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(targetIP).To4()}
	return build(tb, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeARP}, a)
}

func request(tb testing.TB, src uint64, senderIP, targetIP string) []byte {
	return arp(tb, wire.ARPRequest, wire.Broadcast, src, senderIP, targetIP)
}

// nd is a neighbour discovery message from src at address from to address to.
func nd(tb testing.TB, typ uint8, dst, src uint64, from, to string, body gopacket.SerializableLayer) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(from), DstIP: net.ParseIP(to)}
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
	if err := c.SetNetworkLayerForChecksum(ip); err != nil {
		tb.Fatal(err)
	}
	return build(tb, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv6}, ip, c, body)
}

// solicit asks for target by multicast, with n source address options (more than one makes the question longer than
// the answer).
func solicit(tb testing.TB, src uint64, from, target string, n int) []byte {
	t := halves(target)
	body := &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP(target)}
	for range n {
		body.Options = append(body.Options, layers.ICMPv6Option{Type: layers.ICMPv6OptSourceAddress, Data: hw(src)})
	}
	g := wire.SolicitedNode(t)
	group := make([]byte, 16)
	wire.PutAddr6(group, g)
	return nd(tb, wire.ICMPv6NeighborSolicit, wire.MulticastMAC(g), src, from, net.IP(group).String(), body)
}

// asked is what Answer finds after overlay.Ingress: the frame parsed, from attachment and VIF.
func asked(tb testing.TB, b []byte, seg, attach, vif uint32) ([]byte, *frame.Batch) {
	tb.Helper()
	mem := make([]byte, chunk)
	for i := range mem {
		mem[i] = 0xee
	}
	copy(mem[frame.Headroom:], b)
	batch := &frame.Batch{N: 1}
	p := &batch.Pkt[0]
	p.Off, p.Len = frame.Headroom, uint16(len(b))
	if !parse.Inner(mem, p) {
		tb.Fatal(p.Drop)
	}
	p.Seg, p.Attach, p.VIF, p.Next = seg, attach, vif, frame.NextNeigh
	return mem, batch
}

// answer holds a packet that Answer has taken over to its metadata and decodes it.
func answer(t *testing.T, mem []byte, p *frame.Packet) gopacket.Packet {
	t.Helper()
	q := &frame.Packet{Off: p.Off, Len: p.Len}
	if !parse.Inner(mem, q) {
		t.Fatal("the answer does not parse:", q.Drop)
	}
	if !p.Has(frame.FlagGenerated) || q.Flags|frame.FlagGenerated != p.Flags || q.L3 != p.L3 || q.SrcMAC != p.SrcMAC || q.DstMAC != p.DstMAC ||
		q.EtherType != p.EtherType || q.Proto != p.Proto || q.DSCP != p.DSCP || q.Has(frame.FlagL4) && q.L4 != p.L4 {
		t.Errorf("the packet says\n%+v, the frame\n%+v", *p, *q)
	}
	return gopacket.NewPacket(p.Bytes(mem), layers.LayerTypeEthernet, gopacket.Default)
}

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
		{"announcement of another's address", request(t, macA, "10.1.0.12", "10.1.0.12"), 0, 0, macC, "10.1.0.12"},
		{"probe of the router's address", request(t, macA, "0.0.0.0", "10.1.0.254"), 0, 0, routerMAC, "10.1.0.254"},
		{"announcement", request(t, macA, "10.1.0.10", "10.1.0.10"), 0, drop.ARPForeign, 0, ""},
		{"announcement of an unknown address", request(t, macA, "10.1.0.99", "10.1.0.99"), 0, drop.ARPForeign, 0, ""},
		{"probe", request(t, macA, "0.0.0.0", "10.1.0.10"), 0, drop.ARPForeign, 0, ""},
		{"router asks for itself", request(t, routerMAC, "10.1.0.254", "10.1.0.254"), 0, drop.ARPForeign, 0, ""},
		{"reply", arp(t, 2, macB, macA, "10.1.0.10", "10.1.0.11"), 0, drop.ARPForeign, 0, ""},
		{"gratuitous reply", arp(t, 2, wire.Broadcast, macA, "10.1.0.10", "10.1.0.10"), 0, drop.ARPForeign, 0, ""},
		{"RARP", arp(t, 3, wire.Broadcast, macA, "10.1.0.10", "10.1.0.11"), 0, drop.ARPForeign, 0, ""},
		{"unknown", request(t, macA, "10.1.0.10", "10.1.0.99"), 0, drop.ARPUnresolved, 0, ""},
		{"unknown here, known elsewhere", request(t, macA, "10.1.0.10", "10.1.0.12"), 1, drop.ARPUnresolved, 0, ""},
		{"0.0.0.0", request(t, macA, "10.1.0.10", "0.0.0.0"), 0, drop.ARPUnresolved, 0, ""},
		{"same attachment", request(t, macA, "10.1.0.10", "10.1.0.13"), 0, drop.Hairpin, 0, ""},
		{"a segment without router", request(t, macA, "10.1.0.10", "10.1.0.254"), 2, drop.ARPUnresolved, 0, ""},
		{"no such segment", request(t, macA, "10.1.0.10", "10.1.0.11"), 3, drop.ARPForeign, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, b := asked(t, tt.data, tt.seg, 0, 0)
			Answer(mem, b, s)
			p := &b.Pkt[0]
			if tt.drop != 0 {
				if p.Next != frame.NextDrop || p.Drop != tt.drop {
					t.Errorf("Next %d, %v, want %v", p.Next, p.Drop, tt.drop)
				}
				return
			}
			if p.Next != frame.NextDeliver {
				t.Fatalf("Next %d, %v", p.Next, p.Drop)
			}
			pkt := answer(t, mem, p)
			e := pkt.LinkLayer().(*layers.Ethernet)
			a := pkt.Layer(layers.LayerTypeARP).(*layers.ARP)
			question := gopacket.NewPacket(tt.data, layers.LayerTypeEthernet, gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
			if !bytes.Equal(e.DstMAC, hw(macA)) || !bytes.Equal(e.SrcMAC, hw(tt.mac)) {
				t.Errorf("%v → %v", e.SrcMAC, e.DstMAC)
			}
			if a.Operation != layers.ARPReply || a.AddrType != 1 || a.Protocol != 0x800 ||
				!bytes.Equal(a.SourceHwAddress, hw(tt.mac)) || !bytes.Equal(a.SourceProtAddress, net.ParseIP(tt.target).To4()) ||
				!bytes.Equal(a.DstHwAddress, hw(macA)) || !bytes.Equal(a.DstProtAddress, question.SourceProtAddress) {
				t.Errorf("%+v", a)
			}
		})
	}
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
		{"shorter than the answer", solicit(t, macA, "fd00::a", "fd00::c", 0), 0, 0, macC, "fd00::c", solicited, "fd00::a", macA},
		{"longer than the answer", solicit(t, macA, "fd00::a", "fd00::c", 5), 0, 0, macC, "fd00::c", solicited, "fd00::a", macA},
		{"link-local", solicit(t, macA, "fe80::a", "fe80::c", 1), 0, 0, macC, "fe80::c", solicited, "fe80::a", macA},
		{"another tenant's", solicit(t, macA, "fd00::a", "fd00::b", 1), 1, 0, otherB, "fd00::b", solicited, "fd00::a", macA},
		{"router", solicit(t, macA, "fd00::a", "fd00::fe", 1), 0, 0, routerMAC, "fd00::fe", fromRouter | solicited, "fd00::a", macA},
		{"router's link-local", solicit(t, macA, "fe80::a", router, 1), 0, 0, routerMAC, router, fromRouter | solicited, "fe80::a", macA},
		{"unreachability detection", nd(t, 135, macC, macA, "fd00::a", "fd00::c", unicast), 0, 0, macC, "fd00::c", solicited, "fd00::a", macA},
		{"DAD for another's address", solicit(t, macA, "::", "fd00::c", 0), 0, 0, macC, "fd00::c", plain, "ff02::1", 0x333300000001},
		{"DAD for the router's address", solicit(t, macA, "::", "fd00::fe", 0), 0, 0, routerMAC, "fd00::fe", fromRouter | plain, "ff02::1", 0x333300000001},
		{"DAD", solicit(t, macA, "::", "fd00::a", 0), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"DAD for a free address", solicit(t, macA, "::", "fd00::99", 0), 0, drop.ARPUnresolved, 0, "", 0, "", 0},
		{"own address", solicit(t, macA, "fd00::a", "fd00::a", 1), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"own unknown address", solicit(t, macA, "fd00::99", "fd00::99", 1), 0, drop.ARPForeign, 0, "", 0, "", 0},
		{"unknown", solicit(t, macA, "fd00::a", "fd00::99", 1), 0, drop.ARPUnresolved, 0, "", 0, "", 0},
		{"unknown link-local", solicit(t, macA, "fd00::a", "fe80::99", 1), 0, drop.ARPUnresolved, 0, "", 0, "", 0},
		{"same attachment", solicit(t, macA, "fd00::a", "fd00::d", 1), 0, drop.Hairpin, 0, "", 0, "", 0},
		{"router's, in a segment without", solicit(t, macA, "fd00::a", router, 1), 2, drop.ARPUnresolved, 0, "", 0, "", 0},
		{"advertisement", nd(t, 136, macB, macA, "fd00::a", "fd00::b", &layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: net.ParseIP("fd00::a")}),
			0, drop.ARPForeign, 0, "", 0, "", 0},
		{"router solicitation", nd(t, 133, 0x333300000002, macA, "fe80::a", "ff02::2", &layers.ICMPv6RouterSolicitation{}), 0, drop.ARPForeign, 0, "", 0, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, b := asked(t, tt.data, tt.seg, 0, 0)
			Answer(mem, b, s)
			p := &b.Pkt[0]
			if tt.drop != 0 {
				if p.Next != frame.NextDrop || p.Drop != tt.drop {
					t.Errorf("Next %d, %v, want %v", p.Next, p.Drop, tt.drop)
				}
				return
			}
			if p.Next != frame.NextDeliver {
				t.Fatalf("Next %d, %v", p.Next, p.Drop)
			}
			if p.Len != 86 {
				t.Errorf("length %d", p.Len)
			}
			pkt := answer(t, mem, p) // the parser checks the checksum and RFC 4861, 7.1.2
			if p.Flags&frame.FlagND == 0 {
				t.Error("the answer is no neighbour discovery message")
			}
			e := pkt.LinkLayer().(*layers.Ethernet)
			ip := pkt.NetworkLayer().(*layers.IPv6)
			a, ok := pkt.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
			if !ok {
				t.Fatal(pkt)
			}
			if !bytes.Equal(e.DstMAC, hw(tt.toMAC)) || !bytes.Equal(e.SrcMAC, hw(tt.mac)) {
				t.Errorf("%v → %v", e.SrcMAC, e.DstMAC)
			}
			if !ip.SrcIP.Equal(net.ParseIP(tt.target)) || !ip.DstIP.Equal(net.ParseIP(tt.to)) || ip.HopLimit != 255 {
				t.Errorf("%+v", ip)
			}
			if a.Flags != tt.flags || !a.TargetAddress.Equal(net.ParseIP(tt.target)) || len(a.Options) != 1 ||
				a.Options[0].Type != layers.ICMPv6OptTargetAddress || !bytes.Equal(a.Options[0].Data, hw(tt.mac)) {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestDelta: what a transaction brings counts before the table does.
func TestDelta(t *testing.T) {
	s := snapshot(t)
	const moved uint64 = 0x0200000002cc
	s.Delta = table.NewDelta(s.Bindings, []table.Binding{{Seg: 0, MAC: moved, Loc: fib.RemoteLoc(1, 1), IP4: []uint32{ip4("10.1.0.12")}}},
		[]table.Binding{{Seg: 0, MAC: macC}})
	mem, b := asked(t, request(t, macA, "10.1.0.10", "10.1.0.12"), 0, 0, 0)
	Answer(mem, b, s)
	if p := &b.Pkt[0]; p.Next != frame.NextDeliver || p.SrcMAC != moved {
		t.Errorf("%+v", p)
	}
	mem, b = asked(t, solicit(t, macA, "fd00::a", "fd00::c", 1), 0, 0, 0)
	Answer(mem, b, s)
	if p := &b.Pkt[0]; p.Drop != drop.ARPUnresolved {
		t.Errorf("%+v", p)
	}
}

// TestUnknownVIF: with the policy off the sender may be no VIF; it is answered all the same.
func TestUnknownVIF(t *testing.T) {
	mem, b := asked(t, request(t, 0x0200000000ee, "10.1.0.77", "10.1.0.13"), 0, 1, frame.NoIndex)
	Answer(mem, b, snapshot(t))
	if p := &b.Pkt[0]; p.Next != frame.NextDeliver || p.DstMAC != 0x0200000000ee || p.SrcMAC != macD {
		t.Errorf("%+v", p)
	}
}

// TestOthersUntouched: only packets at NextNeigh are looked at.
func TestOthersUntouched(t *testing.T) {
	s := snapshot(t)
	for next := frame.NextParsed; next <= frame.NextHandoff; next++ {
		if next == frame.NextNeigh {
			continue
		}
		mem, b := asked(t, request(t, macA, "10.1.0.10", "10.1.0.11"), 0, 0, 0)
		b.Pkt[0].Next = next
		before, was := bytes.Clone(mem), *b
		Answer(mem, b, s)
		if *b != was || !bytes.Equal(mem, before) {
			t.Errorf("Next %d was touched", next)
		}
	}
	mem, b := asked(t, request(t, macA, "10.1.0.10", "10.1.0.11"), 0, 0, 0)
	b.Pkt[0].Flags = frame.FlagIPv4
	Answer(mem, b, s)
	if b.Pkt[0].Drop != drop.ARPForeign {
		t.Errorf("%+v", b.Pkt[0])
	}
}

// TestEndOfMemory: a solicitation too near to the end of memory for the answer is dropped.
func TestEndOfMemory(t *testing.T) {
	data := solicit(t, macA, "fd00::a", "fd00::c", 0)
	mem, b := asked(t, data, 0, 0, 0)
	Answer(mem[:frame.Headroom+len(data)], b, snapshot(t))
	if p := &b.Pkt[0]; p.Drop != drop.FrameLong {
		t.Errorf("%+v", p)
	}
}

func TestBox(t *testing.T) {
	const switchMAC, ownMAC, foreign uint64 = 0x0200000000aa, 0x0200000000bb, 0x0200000000cc
	port := &fib.Port{Role: fib.RoleFabric, Fabric: fib.Fabric{SwitchMAC: switchMAC, OwnMAC: ownMAC, BoxIP: ip4("10.3.0.1")}}
	good := request(t, switchMAC, "10.3.0.254", "10.3.0.1")
	tagged := append(append(bytes.Clone(good[:12]), 0x81, 0, 0xe0, 0), good[12:]...)
	lies := bytes.Clone(good)
	wire.PutMAC(lies[22:], foreign)
	none := *port
	none.Fabric.BoxIP = 0
	for _, tt := range []struct {
		name string
		data []byte
		port *fib.Port
		want drop.Reason
	}{
		{"request", good, port, 0},
		{"unicast request", arp(t, 1, ownMAC, switchMAC, "10.3.0.254", "10.3.0.1"), port, 0},
		{"probe", request(t, switchMAC, "0.0.0.0", "10.3.0.1"), port, 0},
		{"priority tag", tagged, port, 0},
		{"from a foreign station", request(t, foreign, "10.3.0.254", "10.3.0.1"), port, drop.FabricSwitchMAC},
		{"sender is a foreign station", lies, port, drop.FabricSwitchMAC},
		{"another address", request(t, switchMAC, "10.3.0.254", "10.3.0.2"), port, drop.ARPForeign},
		{"reply", arp(t, 2, ownMAC, switchMAC, "10.3.0.254", "10.3.0.1"), port, drop.ARPForeign},
		{"to another station", arp(t, 1, foreign, switchMAC, "10.3.0.254", "10.3.0.1"), port, drop.ARPForeign},
		{"announcement of our address", request(t, switchMAC, "10.3.0.1", "10.3.0.1"), port, drop.ARPForeign},
		{"no address yet", request(t, switchMAC, "10.3.0.254", "0.0.0.0"), &none, drop.ARPForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, b := asked(t, tt.data, 0, 0, 0)
			p := &b.Pkt[0]
			p.Port = 6
			Box(mem, p, tt.port)
			if tt.want != 0 {
				if p.Next != frame.NextDrop || p.Drop != tt.want {
					t.Errorf("Next %d, %v, want %v", p.Next, p.Drop, tt.want)
				}
				return
			}
			if p.Next != frame.NextTx || p.Out != 6 {
				t.Fatalf("%+v", p)
			}
			pkt := answer(t, mem, p)
			e, a := pkt.LinkLayer().(*layers.Ethernet), pkt.Layer(layers.LayerTypeARP).(*layers.ARP)
			if !bytes.Equal(e.DstMAC, hw(switchMAC)) || !bytes.Equal(e.SrcMAC, hw(ownMAC)) || e.EthernetType != layers.EthernetTypeARP {
				t.Errorf("%+v", e)
			}
			if a.Operation != 2 || !bytes.Equal(a.SourceHwAddress, hw(ownMAC)) || !bytes.Equal(a.SourceProtAddress, []byte{10, 3, 0, 1}) ||
				!bytes.Equal(a.DstHwAddress, hw(switchMAC)) {
				t.Errorf("%+v", a)
			}
		})
	}
	mem, b := asked(t, solicit(t, switchMAC, "fd00::a", "fd00::b", 1), 0, 0, 0)
	if Box(mem, &b.Pkt[0], port); b.Pkt[0].Drop != drop.ARPForeign {
		t.Errorf("%+v", b.Pkt[0])
	}
}

// questions is a full batch of questions of all kinds, each in its own buffer; renew makes them questions again.
func questions(tb testing.TB) (mem []byte, b *frame.Batch, renew func()) {
	var data [][]byte
	for range 8 {
		data = append(data, request(tb, macA, "10.1.0.10", "10.1.0.11"), request(tb, macA, "10.1.0.10", "10.1.0.254"),
			request(tb, macA, "10.1.0.10", "10.1.0.99"), request(tb, macA, "10.1.0.10", "10.1.0.10"),
			solicit(tb, macA, "fd00::a", "fd00::b", 1), solicit(tb, macA, "::", "fd00::c", 0),
			solicit(tb, macA, "fd00::a", "fd00::fe", 1), solicit(tb, macA, "fd00::a", "fd00::99", 1))
	}
	mem = make([]byte, chunk*frame.BatchSize)
	b = &frame.Batch{N: frame.BatchSize}
	var was frame.Batch
	for i, d := range data {
		p := &b.Pkt[i]
		p.Off, p.Len = uint32(i*chunk+frame.Headroom), uint16(len(d))
		copy(mem[p.Off:], d)
		if !parse.Inner(mem, p) {
			tb.Fatal(p.Drop)
		}
		p.Seg, p.Attach, p.VIF, p.Next = 0, 0, 0, frame.NextNeigh
	}
	was = *b
	return mem, b, func() {
		*b = was
		for i, d := range data {
			copy(mem[was.Pkt[i].Off:], d)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	s := snapshot(t)
	mem, b, renew := questions(t)
	if n := testing.AllocsPerRun(100, func() { renew(); Answer(mem, b, s) }); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

func BenchmarkAnswer(b *testing.B) {
	s := snapshot(b)
	mem, batch, renew := questions(b)
	for b.Loop() {
		renew()
		Answer(mem, batch, s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
}

// BenchmarkNothing is what a batch without questions pays.
func BenchmarkNothing(b *testing.B) {
	s := snapshot(b)
	batch := &frame.Batch{N: frame.BatchSize}
	for b.Loop() {
		Answer(nil, batch, s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
}
