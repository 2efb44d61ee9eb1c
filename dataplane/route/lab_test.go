package route

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

// The tenant of the tests: segment 0 with 10.1.0.0/24 and fd01::/64, segment 1 with 10.2.0.0/24 and fd02::/64, a
// point-to-point 10.3.0.0/31 in segment 1, and 10.4.0.0/24 in segment 2, where the router has no address. Host a is in
// segment 0, b and c are in segment 1, b on this box, c on another. Segment 3 belongs to a second tenant with the same
// addresses, segment 4 to a tenant without router.
const (
	macA, macB, macC uint64 = 0x02000000000a, 0x02000000000b, 0x02000000000c
	otherB           uint64 = 0x0200000001bb
	routerMAC        uint64 = 0x0200000000fe
	otherRouter      uint64 = 0x0200000001fe
	chunk                   = 2048
)

var (
	locA = fib.LocLocal
	locB = fib.LocLocal | 1
	locC = fib.RemoteLoc(3, 7)
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

func net4(seg uint32, prefix, router string) fib.Subnet4 {
	p := netip.MustParsePrefix(prefix)
	start := ip4(p.Addr().String())
	n := fib.Subnet4{Start: start, End: start | uint32(1<<(32-p.Bits())-1), Seg: seg}
	if router != "" {
		n.RouterIP = ip4(router)
	}
	return n
}

func net6(seg uint32, start, router string) fib.Subnet6 {
	a := halves(start)
	return fib.Subnet6{Start: a, End: [2]uint64{a[0], ^uint64(0)}, RouterIP: halves(router), Seg: seg}
}

func snapshot(tb testing.TB, more ...table.Binding) *fib.Snapshot {
	tb.Helper()
	t, err := table.NewBindings(table.Config{Capacity: 2000})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { t.Close() })
	for _, b := range append([]table.Binding{
		{Seg: 0, MAC: macA, Loc: locA, IP4: []uint32{ip4("10.1.0.10")}, IP6: [][2]uint64{halves("fd01::a")}},
		{Seg: 1, MAC: macB, Loc: locB,
			IP4: []uint32{ip4("10.2.0.11"), ip4("10.3.0.1")}, IP6: [][2]uint64{halves("fd02::b"), halves("fe80::b")}},
		{Seg: 1, MAC: macC, Loc: locC, IP4: []uint32{ip4("10.2.0.12")}, IP6: [][2]uint64{halves("fd02::c")}},
		{Seg: 2, MAC: macC, Loc: locC, IP4: []uint32{ip4("10.4.0.12")}},
		{Seg: 3, MAC: otherB, Loc: locC, IP4: []uint32{ip4("10.2.0.11")}},
	}, more...) {
		if err := t.Upsert(&b); err != nil {
			tb.Fatal(err)
		}
	}
	web4, db4 := net4(0, "10.1.0.0/24", "10.1.0.254"), net4(1, "10.2.0.0/24", "10.2.0.254")
	pair4, silent4 := net4(1, "10.3.0.0/31", "10.3.0.0"), net4(2, "10.4.0.0/24", "")
	web6, db6 := net6(0, "fd01::", "fd01::fe"), net6(1, "fd02::", "fd02::fe")
	return &fib.Snapshot{
		Bindings: t,
		Routers: []fib.Router{
			{Tenant: 5, MAC: routerMAC,
				Subnets4: []fib.Subnet4{web4, db4, pair4, silent4}, Subnets6: []fib.Subnet6{web6, db6}},
			{Tenant: 6, MAC: otherRouter, Subnets4: []fib.Subnet4{net4(3, "10.2.0.0/24", "10.2.0.254")}},
		},
		Segments: []fib.Segment{
			{Tenant: 5, Router: 0, Subnets4: []fib.Subnet4{web4}, Subnets6: []fib.Subnet6{web6}},
			{Tenant: 5, Router: 0, Subnets4: []fib.Subnet4{db4, pair4}, Subnets6: []fib.Subnet6{db6}},
			{Tenant: 5, Router: 0, Subnets4: []fib.Subnet4{silent4}},
			{Tenant: 6, Router: 1, Subnets4: []fib.Subnet4{net4(3, "10.2.0.0/24", "10.2.0.254")}},
			{Tenant: 7, Router: fib.None},
		},
		ICMPRate: 1000, ICMPBurst: 100, Limits: fib.Limits{}.Room(1, 1, 2),
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

// packet returns a frame to the router with a UDP datagram from src to dst, IPv4 or IPv6.
func packet(tb testing.TB, src, dst string, ttl uint8) []byte {
	return packetOf(tb, layers.IPProtocolUDP, src, dst, ttl)
}

func packetOf(tb testing.TB, proto layers.IPProtocol, src, dst string, ttl uint8) []byte {
	tb.Helper()
	e := &layers.Ethernet{SrcMAC: hw(macA), DstMAC: hw(routerMAC), EthernetType: layers.EthernetTypeIPv4}
	s, d := net.ParseIP(src), net.ParseIP(dst)
	var ip gopacket.NetworkLayer = &layers.IPv4{
		Version: 4, TTL: ttl, Id: 9, Protocol: proto, SrcIP: s.To4(), DstIP: d.To4(),
	}
	if s.To4() == nil {
		e.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: proto, SrcIP: s, DstIP: d}
	}
	ls := []gopacket.SerializableLayer{e, ip.(gopacket.SerializableLayer)}
	switch proto {
	case layers.IPProtocolUDP:
		u := &layers.UDP{SrcPort: 40000, DstPort: 33434}
		u.SetNetworkLayerForChecksum(ip)
		ls = append(ls, u)
	case layers.IPProtocolTCP:
		c := &layers.TCP{SrcPort: 40000, DstPort: 22, SYN: true}
		c.SetNetworkLayerForChecksum(ip)
		ls = append(ls, c)
	case layers.IPProtocolICMPv4:
		ls = append(ls, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 3, Seq: 4})
	case layers.IPProtocolICMPv6:
		c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
		c.SetNetworkLayerForChecksum(ip)
		ls = append(ls, c, &layers.ICMPv6Echo{Identifier: 3, SeqNumber: 4})
	}
	return build(tb, append(ls, gopacket.Payload("0123456789012345678901234567890123456789"))...)
}

// newState returns a worker's state with this memory and these tables.
func newState(mem []byte, s *fib.Snapshot) *State {
	return &State{Env: &stage.Env{Mem: mem, Snap: s, Now: 1}}
}

// parsed puts frames into a batch as overlay.Access leaves them for the router, in segment seg.
func parsed(tb testing.TB, seg uint32, frames ...[]byte) ([]byte, *frame.Batch) {
	tb.Helper()
	mem := make([]byte, chunk*len(frames))
	b := &frame.Batch{N: len(frames)}
	for i, f := range frames {
		p := &b.Pkt[i]
		p.Off, p.Len = uint32(i*chunk+frame.Headroom), uint16(len(f))
		copy(mem[p.Off:], f)
		if !parse.Access(mem, p) {
			tb.Fatal("the frame does not parse:", p.Drop)
		}
		p.Seg, p.Attach, p.VIF, p.Next = seg, 0, 0, frame.NextRoute
	}
	return mem, b
}

// decoded decodes the frame of p and compares the metadata of p with the parser's.
func decoded(t *testing.T, mem []byte, p *frame.Packet) gopacket.Packet {
	t.Helper()
	q := &frame.Packet{Off: p.Off, Len: p.Len}
	if !parse.Access(mem, q) {
		t.Fatal("the parser drops the frame afterwards:", q.Drop)
	}
	if q.Flags != p.Flags&^frame.FlagGenerated || q.L3 != p.L3 || q.L4 != p.L4 && p.Has(frame.FlagL4) ||
		q.SrcMAC != p.SrcMAC || q.DstMAC != p.DstMAC || q.EtherType != p.EtherType ||
		q.Proto != p.Proto || q.TOS != p.TOS {
		t.Errorf("metadata of the packet\n%+v, want what the parser finds\n%+v", *p, *q)
	}
	return gopacket.NewPacket(p.Bytes(mem), layers.LayerTypeEthernet, gopacket.Default)
}
