package perf

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/gateway"
	"penstock/integration/rig"
)

const (
	groupMAC   = model.MAC(0x02ff00000001)
	gatewayMAC = model.MAC(0x020000aa0001)
	up         = 2 // port
)

// benchUplink is a box with a gateway group whose first member is active. The public tenant's hosts have the group as
// their gateway; tenant red, with so many bindings behind an edge switch, is behind it by its virtual router.
func benchUplink(b *testing.B, bindings int) *rig.Rig {
	b.Helper()
	member := func(name string, vlan uint16, ip string) compile.GroupMember {
		return compile.GroupMember{
			Name: name, Port: "up", VLAN: vlan, Gateway: netip.MustParseAddr(ip),
			Sources: []netip.Addr{netip.MustParseAddr("192.0.2.9")},
		}
	}
	r, err := rig.New(rig.Options{
		Ports: []compile.Port{
			{Name: "acc", Role: fib.RoleAccess},
			{Name: "fab", Role: fib.RoleFabric, SwitchMAC: switchA, SwitchPort: 1},
			{Name: "up", Role: fib.RoleUplink},
		},
		MAC: []model.MAC{0, boxMAC, 0}, Capacity: bindings + 16, Frames: frames + 64, FrameSize: frameSize,
		Groups: []compile.Group{{
			Name: "outside", MAC: groupMAC, IPs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}, Public: true,
			Policy:  gateway.DefaultPolicy(),
			Members: []compile.GroupMember{member("a", 0, "192.0.2.1"), member("b", 7, "192.0.2.2")},
		}},
		State: &model.State{
			Tenants: map[string]model.Tenant{
				"red": {Name: "red", ID: 100, Gateway: "outside"}, "pub": {Name: "pub", ID: 2},
			},
			Segments: map[string]model.Segment{
				"red/db": {Tenant: "red", Name: "db", ID: 8}, "pub/net": {Tenant: "pub", Name: "net", ID: 1},
			},
			Subnets: map[string]model.Subnet{
				"red/db": {
					Tenant: "red", Name: "db", Segment: "db", Prefix: netip.MustParsePrefix("10.128.0.0/9"),
					Router: netip.MustParseAddr("10.255.255.254"),
				},
				"pub/net": {
					Tenant: "pub", Name: "net", Segment: "net", Prefix: netip.MustParsePrefix("203.0.113.0/24"),
				},
			},
			VIFs: map[string]model.VIF{
				"pub/vm": {
					Tenant: "pub", Name: "vm", Segment: "net", MAC: sender,
					Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10")}, Port: "acc",
				},
				"red/vm": {
					Tenant: "red", Name: "vm", Segment: "db", MAC: sender,
					Addresses: []netip.Addr{netip.MustParseAddr("10.255.0.1")}, Port: "acc", VLAN: 20,
				},
			},
			Paths: map[string]model.Path{
				switchA.String() + "/" + switchB.String(): {
					A: switchA, B: switchB,
					VLANs: []model.PathVLAN{{VID: 101}, {VID: 102}, {VID: 103}, {VID: 104}},
				},
			},
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	rows := make([]model.Binding, 0, bindings)
	for n := range bindings {
		mac, ip := remote(n)
		rows = append(rows, model.Binding{
			Tenant: "red", Segment: "db", MAC: mac, SwitchMAC: switchB, SwitchPort: uint16(1 + n%48),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ip)))}})
	}
	if err := r.Put(rows); err != nil {
		b.Fatal(err)
	}
	g := r.Compiler.LiveGroups()[0]
	for _, m := range g.Members {
		m.Live.SetGateway(uint64(gatewayMAC), true, false)
	}
	g.Live.Active.Store(g.Members[0].Slot)
	r.Pipeline.Verify = nil
	return r
}

// BenchmarkUplink: access port → the group as the host's gateway → active member → uplink port.
func BenchmarkUplink(b *testing.B) {
	r := benchUplink(b, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	measure(b, r, acc, up, func(int) []byte {
		return udp(groupMAC, sender, 0xcb00710a, rng.Uint32N(0x50000000)+0x20000000, uint16(rng.Uint32()))
	})
}

// BenchmarkUplinkRouted: the same by the virtual router's default route, from a tagged attachment.
func BenchmarkUplinkRouted(b *testing.B) {
	r := benchUplink(b, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	measure(b, r, acc, up, func(int) []byte {
		f := udp(model.DefaultRouterMAC, sender, 0x0aff0001, rng.Uint32N(0x50000000)+0x20000000, uint16(rng.Uint32()))
		return append(append(append(make([]byte, 0, 64), f[:12]...), 0x81, 0, 0, 20), f[12:]...)
	})
}

// BenchmarkUplinkIngress: uplink port → tenant by the destination's address → virtual router → encapsulation.
func BenchmarkUplinkIngress(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		r := benchUplink(b, n)
		rng := rand.New(rand.NewPCG(1, 2))
		measure(b, r, up, fab, func(int) []byte {
			_, ip := remote(rng.IntN(n))
			return udp(groupMAC, gatewayMAC, 0x08080808, ip, uint16(rng.Uint32()))
		})
	})
}

// BenchmarkUplinkStage: what the stage itself costs, on one batch that stays in the core's cache: the gateway egress of
// perf/README.md#aims. "access" is what goes before it (parser, attachment, lookup).
func BenchmarkUplinkStage(b *testing.B) {
	r := benchUplink(b, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	s := r.Compiler.Snapshot()
	var batch, saved frame.Batch
	for k := range frame.BatchSize {
		f := udp(groupMAC, sender, 0xcb00710a, rng.Uint32N(0x50000000)+0x20000000, uint16(rng.Uint32()))
		p := &batch.Pkt[k]
		p.Off, p.Len = uint32(k*frameSize+frame.Headroom), uint16(copy(r.Mem[k*frameSize+frame.Headroom:], f))
	}
	batch.N = frame.BatchSize
	r.SetTime(1)
	r.Port, r.Snap = 0, s
	start := batch
	b.Run("copy", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			batch = start
		}
	})
	b.Run("copy+access", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			batch = start
			r.Overlay.Access(&batch)
			r.Overlay.Resolve(&batch)
		}
	})
	saved = batch
	b.Run("copy+egress", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			batch = saved
			r.Uplink.Egress(&batch)
			if n := len(r.Out(up)); n != frame.BatchSize {
				b.Fatal(n)
			}
		}
	})
}
