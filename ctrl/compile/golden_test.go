package compile

import (
	"net/netip"
	"reflect"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// small is one tenant with one segment, a subnet, a VIF, a path to switch X and a binding behind it.
func small(w *world) *tx {
	x := w.begin()
	x.tenant(model.Tenant{Name: "RED", ID: 0x1234})
	x.segment(model.Segment{Tenant: "RED", Name: "web", ID: 7, UnknownUnicast: "flood"})
	x.subnet(model.Subnet{Tenant: "RED", Name: "web4", Segment: "web",
		Prefix: netip.MustParsePrefix("192.168.1.0/24"), Router: netip.MustParseAddr("192.168.1.1")})
	x.vif(model.VIF{Tenant: "RED", Name: "vm1", Segment: "web", MAC: 0x020000000001,
		Addresses: addrs("192.168.1.10", "fd00::10"), Port: "acc0", VLAN: 5, AntiSpoof: "off"})
	x.path(model.Path{A: switchS, B: switchX, VLANs: []model.PathVLAN{{VID: 102, Weight: 3}, {VID: 101}}})
	x.bind(model.Binding{Tenant: "RED", Segment: "web", MAC: 0x020000000002,
		Addresses: addrs("192.168.1.20"), SwitchMAC: switchX, SwitchPort: 9})
	return x
}

// TestGolden compares the whole snapshot of a small state, field by field, in both schemes.
func TestGolden(t *testing.T) {
	for _, g := range []struct {
		scheme       model.Scheme
		prefix, base uint32
		shift        uint8
		mask         uint32
	}{
		{model.Scheme16, 0x0a030000, 0x0a000000, 16, 0xffff},
		{model.Scheme24, 0x03000000, 0, 24, 0xffffff},
	} {
		t.Run(string(g.scheme), func(t *testing.T) {
			w := newWorld(t, g.scheme, testPorts()[:3], 100)
			w.setLink(0, true, 1500, 0x02cc00000001)
			w.setLink(2, true, 1600, 0x02cc00000003)
			small(w).commit()
			s := *w.c.Snapshot()

			path := func(egress, src model.MAC, vid, weight uint16, stat uint32) fib.Path {
				return fib.Path{Port: 2, VID: vid, Weight: weight, MTU: 1600, Stat: stat,
					Seed: seed(uint64(egress), vid, uint64(switchS), 3), DstMAC: uint64(egress), SrcMAC: uint64(src),
					SrcPrefix: g.prefix, DstBase: g.base, DstShift: g.shift, HostMask: g.mask}
			}
			probe := func(egress, src model.MAC, vid uint16) fib.Probe {
				return fib.Probe{Port: 2, VID: vid, Number: 3, DstShift: g.shift, DstMAC: uint64(egress),
					SrcMAC: uint64(src), Own: uint64(switchS), Source: g.prefix | 1, DstBase: g.base}
			}
			tagged := new([4096]uint32)
			for i := range tagged {
				tagged[i] = fib.None
			}
			tagged[5] = 0
			subnet := []fib.Subnet4{{Start: 0xc0a80100, End: 0xc0a801ff, RouterIP: 0xc0a80101, Seg: 0}}
			want := fib.Snapshot{
				Generation: 5, // New, two links, the transaction with and without its delta
				Ports: []fib.Port{
					{Role: fib.RoleAccess, Up: true, MTU: 1500, MAC: 0x02cc00000001, Untagged: fib.None, Tagged: tagged,
						CompleteChecksums: true, ClampMSS: true, Fabric: fib.Fabric{SwitchIdx: fib.None}},
					{Role: fib.RoleAccess, Untagged: fib.None, Fabric: fib.Fabric{SwitchIdx: fib.None}},
					{Role: fib.RoleFabric, Up: true, MTU: 1600, MAC: 0x02cc00000003,
						Untagged: fib.None, Fabric: fib.Fabric{
							SwitchMAC: uint64(switchS), OwnMAC: 0x02cc00000003, Prefix: g.prefix, HostMask: g.mask,
							BoxIP: g.prefix | 1, Number: 3, SwitchIdx: 0}},
				},
				Attachments: []fib.Attachment{{Seg: 0, Port: 0, VID: 5, Open: true}},
				VIFs: []fib.VIF{{MAC: 0x020000000001, Attach: 0, Seg: 0, Policy: fib.PolicyOff,
					Allow: fib.AllowDHCPServer,
					IP4:   []uint32{0xc0a8010a}, IP6: [][2]uint64{{0xfd00 << 48, 0x10}}}},
				Segments: []fib.Segment{{Tenant: 0x1234, ID: 7, Router: 0, UnknownUnicast: true, Subnets4: subnet,
					Local: []uint32{0}, Remote: []fib.Loc{fib.RemoteLoc(1, 9)}}},
				Routers: []fib.Router{{Tenant: 0x1234, MAC: uint64(model.DefaultRouterMAC), Subnets4: subnet}},
				Switches: []fib.Switch{
					// The own switch has no entry of its own: the VLANs of its pairs, and the box's MAC as source.
					{MAC: uint64(switchS), Paths: []fib.Path{path(switchS, 0x02cc00000003, 101, 1, 0),
						path(switchS, 0x02cc00000003, 102, 1, 1)}},
					{MAC: uint64(switchX),
						Paths: []fib.Path{path(switchX, switchS, 101, 1, 2), path(switchX, switchS, 102, 3, 3)}},
				},
				FloodRate: 100, FloodBurst: 200, ICMPRate: 10, ICMPBurst: 20,
				Bindings: w.cfg.Bindings,
				Probes: []fib.Probe{probe(switchS, 0x02cc00000003, 101), probe(switchS, 0x02cc00000003, 102),
					probe(switchX, switchS, 101), probe(switchX, switchS, 102)},
			}
			for i := range s.Probes {
				if s.Probes[i].Live == nil {
					t.Errorf("path %d has no state", i)
				}
				s.Probes[i].Live = nil
			}
			for i := range want.Switches {
				want.Switches[i].SetPaths(want.Switches[i].Paths)
			}
			for what, m := range map[string]struct {
				t    *table.Static
				k    uint64
				want uint32
			}{
				"VIFByMAC":    {s.VIFByMAC, fib.VIFKey(0, 0x020000000001), 0},
				"SegmentByID": {s.SegmentByID, fib.SegmentKey(0x1234, 7), 0},
				"Tenants":     {s.Tenants, 0x1234, 0},
				"ProbeVLANs":  {s.ProbeVLANs, fib.ProbeKey(uint64(switchX), 102), 3},
			} {
				if v, ok := m.t.Get(m.k); !ok || v != m.want {
					t.Errorf("%s of %#x = %d, %t; want %d", what, m.k, v, ok, m.want)
				}
			}
			s.VIFByMAC, s.VRRP, s.SegmentByID, s.Tenants, s.Limits = nil, nil, nil, nil, fib.Limits{}
			s.ProbeVLANs = nil
			if !reflect.DeepEqual(s, want) {
				t.Errorf("got  %+v\nwant %+v", s, want)
			}
		})
	}
}

// TestSeed pins the seeds: boxes of different versions and restarts must choose the same path for a flow.
func TestSeed(t *testing.T) {
	a := seed(uint64(switchX), 101, uint64(switchS), 3)
	if a != 0x3e2dabb0 {
		t.Errorf("seed = %#x", a)
	}
	for _, b := range []uint32{seed(uint64(switchY), 101, uint64(switchS), 3),
		seed(uint64(switchX), 102, uint64(switchS), 3),
		seed(uint64(switchX), 101, uint64(switchR), 3), seed(uint64(switchX), 101, uint64(switchS), 4)} {
		if a == b {
			t.Error("two paths with one seed")
		}
	}
}

func TestEdge(t *testing.T) {
	w := newWorld(t, "", []Port{
		{Name: "down0", Role: fib.RoleDownlink, SwitchPort: 3},
		{Name: "down1", Role: fib.RoleDownlink, SwitchPort: 7},
		{Name: "trunk0", Role: fib.RoleTrunk, VLANs: []uint16{101, 102, 4000, 101}},
		{Name: "trunk1", Role: fib.RoleTrunk, VLANs: []uint16{102}},
	}, 10)
	w.c.SetBoxMAC(7, 0x02bb00000007)
	e := w.c.Snapshot().Edge
	if e.MAC != uint64(w.cfg.EdgeMAC) || e.HostBits != 16 || e.Net != 10<<24 || e.ControlVID != 4000 {
		t.Errorf("edge %x %d %x %d", e.MAC, e.HostBits, e.Net, e.ControlVID)
	}
	if e.Downlinks[3] != (fib.EdgeDownlink{Valid: true, Port: 0}) ||
		e.Downlinks[7] != (fib.EdgeDownlink{Valid: true, Port: 1, BoxMAC: 0x02bb00000007}) || e.Downlinks[4].Valid {
		t.Errorf("downlinks %v %v %v", e.Downlinks[3], e.Downlinks[7], e.Downlinks[4])
	}
	if e.ByPort[0].Number != 3 || e.ByPort[1].Number != 7 || e.ByPort[2].Allow[1] != 1<<37|1<<38 ||
		e.ByPort[2].Allow[62] != 1<<32 || e.ByPort[0].Allow != nil {
		t.Errorf("by port %+v", e.ByPort)
	}
	for vid, want := range map[int][]uint16{101: {2}, 102: {2, 3}, 4000: {0, 1, 2}, 103: nil} {
		if !reflect.DeepEqual(e.VLANs[vid], want) {
			t.Errorf("VLAN %d on ports %v, want %v", vid, e.VLANs[vid], want)
		}
	}
	if err := w.c.Reconfigure(func(c *Config) { c.Ports[3].VLANs = nil; c.ControlVLAN = 0 }); err != nil {
		t.Fatal(err)
	}
	e = w.c.Snapshot().Edge
	if !reflect.DeepEqual(e.VLANs[102], []uint16{2}) || !reflect.DeepEqual(e.VLANs[4000], []uint16{2}) ||
		e.Downlinks[7].BoxMAC == 0 {
		t.Errorf("after a reload: VLAN 102 %v, 4000 %v, next hop %x", e.VLANs[102], e.VLANs[4000],
			e.Downlinks[7].BoxMAC)
	}
	w.c.SetBoxMAC(7, 0)
	if w.c.Snapshot().Edge.Downlinks[7].BoxMAC != 0 {
		t.Error("the next hop is still there")
	}
}
