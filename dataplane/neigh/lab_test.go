package neigh

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stage"
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
		{Seg: 0, MAC: macA, Loc: fib.LocLocal,
			IP4: []uint32{ip4("10.1.0.10")}, IP6: [][2]uint64{halves("fd00::a"), halves("fe80::a")}},
		{Seg: 0, MAC: macB, Loc: fib.LocLocal | 1,
			IP4: []uint32{ip4("10.1.0.11")}, IP6: [][2]uint64{halves("fd00::b"), halves("fe80::b")}},
		{Seg: 0, MAC: macC, Loc: fib.RemoteLoc(3, 7),
			IP4: []uint32{ip4("10.1.0.12")}, IP6: [][2]uint64{halves("fd00::c"), halves("fe80::c")}},
		{Seg: 0, MAC: macD, Loc: fib.LocLocal | 2,
			IP4: []uint32{ip4("10.1.0.13")}, IP6: [][2]uint64{halves("fd00::d")}},
		{Seg: 1, MAC: otherB, Loc: fib.RemoteLoc(4, 7),
			IP4: []uint32{ip4("10.1.0.11")}, IP6: [][2]uint64{halves("fd00::b")}},
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
				Subnets6: []fib.Subnet6{
					{Start: halves("fd00::"), End: halves("fd00::ffff:ffff:ffff:ffff"), RouterIP: halves("fd00::fe")}}},
			{Tenant: 6, Router: fib.None},
			{Tenant: 7, Router: fib.None, Subnets4: []fib.Subnet4{{RouterIP: ip4("10.1.0.254")}}},
		},
	}
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

func arp(tb testing.TB, op uint16, dst, src uint64, senderIP, targetIP string) []byte {
	a := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation:       op,
		SourceHwAddress: hw(src), SourceProtAddress: net.ParseIP(senderIP).To4(),
		DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(targetIP).To4(),
	}
	return build(tb, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeARP}, a)
}

func request(tb testing.TB, src uint64, senderIP, targetIP string) []byte {
	return arp(tb, wire.ARPRequest, wire.Broadcast, src, senderIP, targetIP)
}

// nd returns a frame with a neighbour discovery message from address from, at MAC src, to address to.
func nd(tb testing.TB, typ uint8, dst, src uint64, from, to string, body gopacket.SerializableLayer) []byte {
	ip := &layers.IPv6{
		Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: net.ParseIP(from), DstIP: net.ParseIP(to),
	}
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
	if err := c.SetNetworkLayerForChecksum(ip); err != nil {
		tb.Fatal(err)
	}
	e := &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv6}
	return build(tb, e, ip, c, body)
}

// solicit returns a multicast solicitation of target with n source address options. With more than one, the
// solicitation is longer than its answer.
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

// newState returns a worker's state with this memory and these tables.
func newState(mem []byte, s *fib.Snapshot) *State { return &State{&stage.Env{Mem: mem, Snap: s}} }

// parsed returns memory and batch with frame b as overlay.Access leaves it for Answer: parsed, from this attachment and
// VIF.
func parsed(tb testing.TB, b []byte, seg, attach, vif uint32) ([]byte, *frame.Batch) {
	tb.Helper()
	mem := make([]byte, chunk)
	for i := range mem {
		mem[i] = 0xee
	}
	copy(mem[frame.Headroom:], b)
	batch := &frame.Batch{N: 1}
	p := &batch.Pkt[0]
	p.Off, p.Len = frame.Headroom, uint16(len(b))
	if !parse.Access(mem, p) {
		tb.Fatal(p.Drop)
	}
	p.Seg, p.Attach, p.VIF, p.Next = seg, attach, vif, frame.NextNeigh
	return mem, batch
}

// answer decodes the answer p and compares its metadata with the parser's.
func answer(t *testing.T, mem []byte, p *frame.Packet) gopacket.Packet {
	t.Helper()
	q := &frame.Packet{Off: p.Off, Len: p.Len}
	if !parse.Access(mem, q) {
		t.Fatal("the answer does not parse:", q.Drop)
	}
	if !p.Has(frame.FlagGenerated) || q.Flags|frame.FlagGenerated != p.Flags || q.L3 != p.L3 ||
		q.SrcMAC != p.SrcMAC || q.DstMAC != p.DstMAC || q.EtherType != p.EtherType ||
		q.Proto != p.Proto || q.TOS != p.TOS || q.Has(frame.FlagL4) && q.L4 != p.L4 {
		t.Errorf("metadata of the answer\n%+v, want FlagGenerated and what the parser finds\n%+v", *p, *q)
	}
	return gopacket.NewPacket(p.Bytes(mem), layers.LayerTypeEthernet, gopacket.Default)
}

// requests returns a full batch of requests of all kinds, each in its own buffer. renew undoes what Answer has changed.
func requests(tb testing.TB) (mem []byte, b *frame.Batch, renew func()) {
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
		if !parse.Access(mem, p) {
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
