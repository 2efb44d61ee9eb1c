package agent_test

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
)

// The world of the tests: tenant 100 with segment "web" (10.10.1.0/24, fd00:10::/64). Behind port srv is the real
// server web1 (10.10.1.20), behind port cli a client (10.10.1.10), behind port tag, in VLAN 5, the server web2
// (10.10.1.21). The virtual addresses 10.10.1.100 and fd00:10::100 are directed by another box.
const (
	srv, cli, tag, fab = 0, 1, 2, 3

	clientMAC uint64 = 0x02000000010a
	web1MAC   uint64 = 0x020000000114
	web2MAC   uint64 = 0x020000000115
	vipMAC    uint64 = 0x02560a0a0164
	vip6MAC   uint64 = 0x025600000100
	switchA   uint64 = 0x02000000000a
	boxMAC    uint64 = 0x020000000f02

	vip4, vip6 = 0, 1

	chunk  = 2048
	frames = 256
)

func ip4(s string) uint32 {
	b := netip.MustParseAddr(s).As4()
	return binary.BigEndian.Uint32(b[:])
}

func ip6(s string) [2]uint64 {
	b := netip.MustParseAddr(s).As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// world is a pipeline with its tables.
type world struct {
	*dataplane.Pipeline
	t       testing.TB
	mem     []byte
	snap    *fib.Snapshot
	check   *frame.Verify
	now     int64
	sent    [4][][]byte
	counted map[string]uint64
}

// newWorld makes web1 and web2 servers by the given rules.
func newWorld(t testing.TB, policy fib.Policy, rules ...fib.ReplyRule) *world {
	t.Helper()
	pool, err := frame.NewPool(frames, chunk, 2)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, mem: make([]byte, frames*chunk), check: frame.NewVerify(frames, chunk), now: 1e9}
	w.snap = tables(t, policy, rules)
	w.Pipeline = dataplane.NewPipeline(w.mem, pool, w.check, 4, 8, 8)
	w.Pipeline.Flush = w.take
	w.Overlay.Agent.Notes = flow.NewNotes(1024)
	w.Prepare(stats.Indices{Services: stats.Used{N: 8}, Servers: stats.Used{N: 8}})
	t.Cleanup(func() {
		if n, first := w.check.Violations(); n > 0 {
			t.Errorf("%d transfers of frames against the rules, want none: %v", n, first)
		}
		if n := w.check.Count()[frame.OwnerPool.String()]; n != frames {
			t.Errorf("frames by owner %v, want all %d in the pool", w.check.Count(), frames)
		}
	})
	return w
}

func tables(t testing.TB, policy fib.Policy, rules []fib.ReplyRule) *fib.Snapshot {
	t.Helper()
	b, err := table.NewBindings(table.Config{Capacity: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, row := range []table.Binding{
		{MAC: web1MAC, Loc: fib.LocLocal, IP4: []uint32{ip4("10.10.1.20")}, IP6: [][2]uint64{ip6("fd00:10::20")}},
		{MAC: clientMAC, Loc: fib.LocLocal | 1,
			IP4: []uint32{ip4("10.10.1.10")}, IP6: [][2]uint64{ip6("fd00:10::10")}},
		{MAC: web2MAC, Loc: fib.LocLocal | 2, IP4: []uint32{ip4("10.10.1.21")}},
	} {
		if err := b.Upsert(&row); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortStableFunc(rules, func(a, b fib.ReplyRule) int {
		return cmp.Or(cmp.Compare(a.VIP, b.VIP), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.First, b.First))
	})
	shared := false
	for i := range rules {
		shared = shared || rules[i].Shared
	}
	agent := &fib.Agent{
		VIPs4: []fib.SegmentVIP4{{IP: ip4("10.10.1.100"), VIP: vip4}},
		VIPs6: []fib.SegmentVIP6{{IP: ip6("fd00:10::100"), VIP: vip6}}, Rules: rules, Shared: shared,
	}
	tagged := new([4096]uint32)
	for i := range tagged {
		tagged[i] = fib.None
	}
	tagged[5] = 2
	v6 := func(s string) [][2]uint64 { return [][2]uint64{ip6(s)} }
	return &fib.Snapshot{
		Generation: 1, Bindings: b,
		Ports: []fib.Port{
			srv: {Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 0, ClampMSS: true},
			cli: {Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 1},
			tag: {Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: fib.None, Tagged: tagged},
			fab: {Role: fib.RoleFabric, Up: true, MTU: 1400, MAC: boxMAC, Untagged: fib.None, Fabric: fib.Fabric{
				SwitchMAC: switchA, OwnMAC: boxMAC, Prefix: ip4("10.2.0.0"), HostMask: 0xffff, Number: 2,
			}},
		},
		Attachments: []fib.Attachment{{Port: srv}, {Port: cli, Open: true}, {Port: tag, VID: 5}},
		VIFs: []fib.VIF{
			{MAC: web1MAC, Attach: 0, Policy: policy, Agent: agent, IP4: []uint32{ip4("10.10.1.20")},
				IP6: v6("fd00:10::20")},
			{MAC: clientMAC, Attach: 1, Policy: fib.PolicyOff},
			{MAC: web2MAC, Attach: 2, Policy: policy, Agent: agent, IP4: []uint32{ip4("10.10.1.21")}},
		},
		VIFByMAC: table.NewStatic([]uint64{
			fib.VIFKey(0, web1MAC), fib.VIFKey(1, clientMAC), fib.VIFKey(2, web2MAC),
		}, []uint32{0, 1, 2}),
		Segments: []fib.Segment{{
			Tenant: 100, ID: 1, Router: fib.None, UnknownUnicast: true, Local: []uint32{0, 1, 2},
			VIPs4: []fib.SegmentVIP4{{IP: ip4("10.10.1.100"), VIP: vip4}},
			VIPs6: []fib.SegmentVIP6{{IP: ip6("fd00:10::100"), VIP: vip6}},
		}},
		SegmentByID: table.NewStatic([]uint64{fib.SegmentKey(100, 1)}, []uint32{0}),
		Tenants:     table.NewStatic([]uint64{100}, []uint32{0}),
		Switches:    []fib.Switch{{MAC: switchA}},
		ICMPRate:    1000, ICMPBurst: 1000, Limits: fib.Limits{}.Room(3, 3, 1),
		VIPs: []fib.VIP{
			{Ref: vip4 | 1<<fib.RefBits, Tenant: 100, MAC: vipMAC, IP4: ip4("10.10.1.100")},
			{Ref: vip6 | 1<<fib.RefBits, Tenant: 100, MAC: vip6MAC, V6: true, IP6: ip6("fd00:10::100")},
		},
	}
}

// rule is a reply rule of the service with an ID.
func rule(vip uint32, proto uint8, first, last, to uint16, id uint32) fib.ReplyRule {
	return fib.ReplyRule{VIP: vip, Proto: proto, First: first, Last: last, To: to, ID: id, Service: id % 8, Server: 1}
}

// receive takes frames through the pipeline, each as a batch of its own.
func (w *world) receive(port int, list ...[]byte) {
	w.t.Helper()
	for _, f := range list {
		w.now += 1e6
		w.SetTime(w.now)
		addr, ok := w.Cache.Get()
		if !ok {
			w.t.Fatal("no free frame")
		}
		w.check.Move(addr, frame.OwnerPool, frame.OwnerBatch)
		b := &frame.Batch{N: 1}
		b.Pkt[0] = frame.Packet{Off: addr + frame.Headroom, Port: uint16(port), Len: uint16(len(f))}
		copy(w.mem[b.Pkt[0].Off:], f)
		w.Process(uint16(port), b, w.snap)
		for p := range uint16(4) {
			w.take(p)
		}
	}
	w.Publish()
}

func (w *world) take(port uint16) {
	for _, d := range w.Out(port) {
		w.sent[port] = append(w.sent[port], append([]byte(nil), w.mem[d.Addr:d.Addr+uint64(d.Len)]...))
		w.Free(uint32(d.Addr))
	}
}

// one returns the only frame that was sent, which was sent from the given port.
func (w *world) one(port int) []byte {
	w.t.Helper()
	var got []byte
	for p := range w.sent {
		for _, f := range w.sent[p] {
			if p != port || got != nil {
				w.t.Fatalf("port %d sent %x, want one frame from port %d alone", p, f, port)
			}
			got = f
		}
		w.sent[p] = nil
	}
	if got == nil {
		w.t.Fatalf("no frame was sent, want one from port %d (drops: %v)", port, w.drops())
	}
	return got
}

// dropped checks that nothing was sent, and that the frame was counted for a reason.
func (w *world) dropped(r drop.Reason) {
	w.t.Helper()
	for p := range w.sent {
		if len(w.sent[p]) > 0 {
			w.t.Errorf("port %d sent %x, want nothing", p, w.sent[p])
		}
		w.sent[p] = nil
	}
	got := w.drops()
	if n := got[r.String()] - w.counted[r.String()]; n != 1 {
		w.t.Errorf("%d more drops for %v, want 1 (all: %v, before: %v)", n, r, got, w.counted)
	}
	w.counted = got
}

func (w *world) drops() map[string]uint64 {
	m := map[string]uint64{}
	for p := range 4 {
		for r := range int(drop.Count) {
			if n := w.Ports.Of(p, stats.Drops+r); n > 0 {
				m[drop.Reason(r).String()] += n
			}
		}
	}
	return m
}

// build serializes layers with right lengths and checksums.
func build(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		list...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hw(mac uint64) net.HardwareAddr {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], mac)
	return b[2:]
}

// tcp4 is a TCP packet over IPv4 with a right checksum.
func tcp4(t testing.TB, dst, src uint64, from string, fromPort uint16, to string, toPort uint16,
	change func(*layers.TCP)) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Id: 1, Protocol: layers.IPProtocolTCP, SrcIP: net.ParseIP(from),
		DstIP: net.ParseIP(to)}
	l4 := &layers.TCP{SrcPort: layers.TCPPort(fromPort), DstPort: layers.TCPPort(toPort), ACK: true, Window: 1000}
	if change != nil {
		change(l4)
	}
	_ = l4.SetNetworkLayerForChecksum(ip)
	return build(t, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv4}, ip, l4,
		gopacket.Payload("answer"))
}

// tcp6 is a TCP packet over IPv6 with a right checksum.
func tcp6(t testing.TB, dst, src uint64, from string, fromPort uint16, to string, toPort uint16) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: net.ParseIP(from),
		DstIP: net.ParseIP(to)}
	l4 := &layers.TCP{SrcPort: layers.TCPPort(fromPort), DstPort: layers.TCPPort(toPort), ACK: true, Window: 1000}
	_ = l4.SetNetworkLayerForChecksum(ip)
	return build(t, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv6}, ip, l4,
		gopacket.Payload("answer"))
}
