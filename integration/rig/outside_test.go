package rig_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

// Ports of the box, and who is behind them: one access port for each tenant.
const (
	fabric   = 4
	uplink   = 5
	groupMAC = model.MAC(0x02ff00000001)
	upstream = model.MAC(0x02eeee000001)
	edgeMAC  = model.MAC(0x02aa00000001)
)

var (
	tenants = []string{"pub", "red", "blue", "green"} // in the order of their IDs
	far4    = netip.MustParseAddr("198.51.100.1")
	far6    = netip.MustParseAddr("2001:db8:ffff::1")
	some    = []string{"10.1.0.0/24", "10.1.0.0/25", "10.1.0.128/25", "10.2.0.0/16", "10.2.3.0/24", "10.3.0.0/31",
		"fd00:1::/64", "fd00:1::/65", "fd00:2::/48", "fd00:2:0:7::/64"}
	sources = []string{"10.1.0.0", "10.1.0.5", "10.1.0.127", "10.1.0.128", "10.1.0.200", "10.1.0.255", "10.2.3.0",
		"10.2.3.4",
		"10.2.9.9", "10.2.255.255", "10.3.0.0", "10.3.0.1", "10.9.9.9", "fd00:1::5", "fd00:1::8000:0:0:5",
		"fd00:2:0:7::5",
		"fd00:2:0:8::5", "fd00:9::5", "fe80::5"}
)

// behind returns a state in which tenants chosen at random have some of the prefixes, most of them behind the group,
// and a VIF for every source in them; pub has the group as a station of its segment.
func behind(rng *rand.Rand) *model.State {
	s := &model.State{Tenants: map[string]model.Tenant{}, Segments: map[string]model.Segment{},
		Subnets: map[string]model.Subnet{}, VIFs: map[string]model.VIF{}}
	for i, n := range tenants {
		t := model.Tenant{Name: n, ID: uint32(2 + i), Gateway: "outside"}
		if rng.IntN(5) == 0 {
			t.Gateway = ""
		}
		if n != "pub" && rng.IntN(3) == 0 {
			t.GatewayAddresses = []netip.Addr{netip.MustParseAddr("10.1.0.9")} // a station there, too
		}
		s.Tenants[n] = t
		s.Segments[n+"/net"] = model.Segment{Tenant: n, Name: "net", ID: 1}
		var have []netip.Prefix
		for _, k := range rng.Perm(len(some))[:1+rng.IntN(4)] {
			p := netip.MustParsePrefix(some[k])
			overlap := false
			for _, o := range have {
				overlap = overlap || o.Overlaps(p)
			}
			if !overlap {
				have = append(have, p)
				s.Subnets[fmt.Sprint(n, "/", k)] = model.Subnet{Tenant: n, Name: fmt.Sprint(k), Segment: "net",
					Prefix: p}
			}
		}
		for k, a := range sources {
			v := model.VIF{Tenant: n, Name: fmt.Sprint("vm", k), Segment: "net", MAC: vmMAC(i, k),
				Port:      fmt.Sprint("acc", i),
				Addresses: []netip.Addr{netip.MustParseAddr(a)}, AntiSpoof: "mac"}
			s.VIFs[n+"/"+v.Name] = v
		}
	}
	return s
}

func vmMAC(tenant, source int) model.MAC { return model.MAC(0x020000000000 + tenant<<8 + source + 1) }

func behindGroup(t *testing.T, s *model.State) *rig.Rig {
	t.Helper()
	r, err := rig.New(rig.Options{State: s,
		Ports: []compile.Port{{Name: "acc0", Role: fib.RoleAccess}, {Name: "acc1", Role: fib.RoleAccess},
			{Name: "acc2", Role: fib.RoleAccess}, {Name: "acc3", Role: fib.RoleAccess},
			{Name: "fab0", Role: fib.RoleFabric, SwitchMAC: edgeMAC, SwitchPort: 3},
			{Name: "up0", Role: fib.RoleUplink}},
		Groups: []compile.Group{{Name: "outside", MAC: groupMAC, Public: true, Policy: gateway.DefaultPolicy(),
			IPs: []netip.Addr{netip.MustParseAddr("10.1.0.8"), netip.MustParseAddr("fd00:1::8")},
			Members: []compile.GroupMember{{Name: "a", Port: "up0", Gateway: netip.MustParseAddr("192.0.2.1"),
				Sources: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	for _, g := range r.Compiler.LiveGroups() {
		g.Members[0].Live.SetGateway(uint64(upstream), true, false)
		g.Live.Active.Store(g.Members[0].Slot)
	}
	return r
}

func packet(t *testing.T, from, to model.MAC, src, dst netip.Addr, text string) []byte {
	t.Helper()
	make := endpoint.UDP4
	a, b := endpoint.Host{MAC: from, IPv4: src}, endpoint.Host{MAC: to, IPv4: dst}
	if src.Is6() {
		make = endpoint.UDP6
		a, b = endpoint.Host{MAC: from, IPv6: src}, endpoint.Host{MAC: to, IPv6: dst}
	}
	f, err := make(a, b, 0, 1000, 2000, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func farOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		return far6
	}
	return far4
}

// got returns the ports on which a frame with the text came out.
func got(r *rig.Rig, text string) (ports []int) {
	for p := range uplink + 1 {
		for _, f := range r.Sent(p) {
			if bytes.Contains(f, []byte(text)) {
				ports = append(ports, p)
			}
		}
	}
	return ports
}

// TestOutsideReturns: a packet leaves through the group if, and only if, the group delivers a packet to its source
// address to the same tenant. It holds for tenants whose subnets overlap in any way, in both families, by way of the
// virtual router and where the group is a station, for packets of this box's VIFs and of other boxes.
func TestOutsideReturns(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 9))
	left, dropped, foreign := 0, 0, uint64(0)
	for range 60 {
		s := behind(rng)
		r := behindGroup(t, s)
		for k, text := range sources {
			src := netip.MustParseAddr(text)
			if err := r.Receive(uplink, packet(t, upstream, groupMAC, farOf(src), src, "answer")); err != nil {
				t.Fatal(err)
			}
			owner := got(r, "answer")
			for i, n := range tenants {
				if src.IsLinkLocalUnicast() && s.Tenants[n].Gateway == "" && n != "pub" {
					continue
				}
				want := len(owner) == 1 && owner[0] == i
				for _, way := range []model.MAC{model.DefaultRouterMAC, groupMAC} {
					for _, remote := range []bool{false, true} {
						port, f := i, packet(t, vmMAC(i, k), way, src, farOf(src), "question")
						if remote {
							if way == model.DefaultRouterMAC {
								continue // other boxes have a router of their own
							}
							sw := endpoint.Switch{Scheme: model.Scheme16, MAC: edgeMAC, BoxMAC: 0x020000000f00 + fabric,
								Port: 3}
							port, f = fabric, sw.ToBox(44, uint32(2+i), 1, 100, f).Encode()
						}
						if err := r.Receive(port, f); err != nil {
							t.Fatal(err)
						}
						out := got(r, "question")
						// Towards the group's MAC a packet goes only where the group is a station.
						station := way == groupMAC && r.Compiler.Snapshot().Segments[segmentOf(r, i)].Gateway == 0
						if sent := len(out) == 1 && out[0] == uplink; sent != (want && !station) {
							t.Fatalf("tenant %s sends from %s by way of %s (from another box: %t): on ports %v; what "+
								"comes from outside "+
								"to that address is delivered on ports %v\n%+v", n, src, way, remote, out, owner,
								s.Subnets)
						} else if sent {
							left++
						} else {
							dropped++
						}
					}
				}
			}
		}
		r.Publish()
		for p := range fabric + 1 {
			foreign += r.Ports.Of(p, stats.Drops+int(drop.UplinkForeign))
		}
		if n, first := r.Verify.Violations(); n > 0 {
			t.Fatalf("frame ownership: %d violations: %v", n, first)
		}
	}
	if left < 100 || dropped < 100 || foreign < 100 {
		t.Errorf("%d packets left, %d did not, %d of them as uplink_foreign: too few to show anything", left, dropped,
			foreign)
	}
}

// segmentOf returns the index of a tenant's segment.
func segmentOf(r *rig.Rig, tenant int) uint32 {
	i, _ := r.Compiler.Snapshot().SegmentByID.Get(fib.SegmentKey(uint32(2+tenant), 1))
	return i
}
