package golden

import (
	"net/netip"
	"testing"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

// The gateways' network of the configuration "gateway".
var (
	groupMAC = model.MAC(0x02ff00000001)
	gwA      = host(0x020000aa0001, "192.0.2.1", "2001:db8::1")
	gwB      = host(0x020000aa0002, "192.0.2.2", "2001:db8::2")
	ours     = host(groupMAC, "192.0.2.9", "2001:db8::9")
	group1   = host(groupMAC, "203.0.113.1", "2001:db8:1::1")
	pub1     = host(0x020000000051, "203.0.113.10", "2001:db8:1::10")
	pub2     = host(0x020000000052, "203.0.113.11", "") // remote
	red2     = host(0x020000000002, "10.0.0.2", "")     // remote
	redDB    = host(0x020000000011, "10.0.1.1", "")
	farVM    = host(0x020000000001, "10.0.0.1", "fd00::1")
	web      = host(0, "198.51.100.77", "2001:db8:ffff::1") // somewhere outside
)

// by is h as reached by way of a MAC.
func by(mac model.MAC, h endpoint.Host) endpoint.Host {
	h.MAC = mac
	return h
}

// ask is an ARP request for an address, to a neighbour of the switch.
func ask4(from endpoint.Host, vlan uint16, ip string) func() ([]byte, error) {
	return func() ([]byte, error) { return endpoint.ARPRequest(from, vlan, netip.MustParseAddr(ip)) }
}

func answer4(from endpoint.Host, vlan uint16, to endpoint.Host) func() ([]byte, error) {
	return func() ([]byte, error) { return endpoint.ARPReply(from, vlan, to) }
}

// fromSegment is what the edge switch delivers for an inner frame of a segment.
func fromSegment(tenant, segment uint32, inner func() ([]byte, error)) func() ([]byte, error) {
	return outer(model.Scheme16, inner, func(o *endpoint.Outer) {
		o.Src, o.Dst = endpoint.Special(model.Scheme16, 5, segment), endpoint.Special(model.Scheme16, 3, tenant)
	})
}

// resolved are the answers of both gateways to the box's first questions, which go out from the ports' own MACs.
func resolved() []input {
	return []input{
		on("up0", "gateway a answers: active", answer4(gwA, 0, by(0x020000000f02, ours))),
		on("up1", "gateway b answers: standby", answer4(gwB, 7, by(0x020000000f03, ours))),
	}
}

func gatewayCases() []goldenCase {
	noDF := func(from, to endpoint.Host, n int) func() ([]byte, error) { return udp4(from, to, 0, 1000, n) }
	return []goldenCase{
		{"uplink-start", "gateway", []input{
			on("acc0", "before any gateway is known", noDF(pub1, by(groupMAC, web), 26)),
			on("up0", "gateway a answers", answer4(gwA, 0, by(0x020000000f02, ours))),
			on("acc0", "and is used at once", noDF(pub1, by(groupMAC, web), 26)),
			on("up1", "gateway b answers", answer4(gwB, 7, by(0x020000000f03, ours))),
		}},
		{"uplink-egress", "gateway", append(resolved(),
			on("acc0", "public tenant, IPv4", noDF(pub1, by(groupMAC, web), 26)),
			on("acc0", "public tenant, IPv6", udp6(pub1, by(groupMAC, web), 1000, 26)),
			on("acc0", "routed tenant, tagged", udp4(redDB, via(web), 20, 1000, 26)),
			on("fab0", "public tenant, from another box", fromSegment(2, 1, noDF(pub2, by(groupMAC, web), 26))),
			on("fab0", "routed tenant, from another box, to the group's station",
				fromSegment(100, 7, noDF(red2, by(groupMAC, web), 26))),
			on("fab0", "not IP, from another box", fromSegment(2, 1, raw(ethernet(groupMAC, pub2.MAC, 0x1234, 60)))),
			on("acc0", "ARP for the group", ask4(pub1, 0, "203.0.113.1")),
			on("acc0", "ping to the group", echo(pub1, group1, 64, 20)),
			on("fab0", "ping to the group from another box", fromSegment(2, 1, echo(pub2, group1, 64, 20))),
			on("acc0", "UDP to the group", noDF(pub1, group1, 20)),
			on("acc0", "too big, with DF", changed(udp4(redDB, via(web), 20, 1000, 1500), withTaggedDF)),
			on("acc0", "tenant whose group another box has", udp4(farVM, via(web), 30, 1000, 26)),
			on("acc0", "the same, IPv6", changed(udp6(farVM, via(web), 1000, 26), func(b []byte) []byte {
				return tagged(30, b)
			})),
		)},
		{"uplink-ingress", "gateway", append(resolved(),
			on("up0", "public tenant, here", noDF(by(gwA.MAC, web), by(groupMAC, pub1), 26)),
			on("up0", "public tenant, IPv6", udp6(by(gwA.MAC, web), by(groupMAC, pub1), 1000, 26)),
			on("up0", "public tenant, on another box", noDF(by(gwA.MAC, web), by(groupMAC, pub2), 26)),
			on("up0", "routed tenant, here", noDF(by(gwA.MAC, web), by(groupMAC, redDB), 26)),
			on("up0", "routed tenant's station segment, on another box",
				noDF(by(gwA.MAC, web), by(groupMAC, red2), 26)),
			on("up1", "by the standby, to the port's own MAC", udp4(by(gwB.MAC, web), by(0x020000000f03, pub1), 7, 1000,
				26)),
			on("up1", "by the standby, to the virtual MAC", udp4(by(gwB.MAC, web), by(groupMAC, pub1), 7, 1000, 26)),
			on("up0", "too big for the fabric, with DF", changed(noDF(by(gwA.MAC, web), by(groupMAC, pub2), 1400),
				withDF)),
			on("up0", "too big for the fabric, without", noDF(by(gwA.MAC, web), by(groupMAC, pub2), 1400)),
			on("up0", "TTL runs out at the virtual router", echo(by(gwA.MAC, web), by(groupMAC, redDB), 1, 20)),
			on("up0", "ping to the virtual router", echo(by(gwA.MAC, web), by(groupMAC, host(0, "10.0.1.254", "")), 64,
				20)),
			on("up1", "ping to the box, tagged", func() ([]byte, error) {
				return endpoint.Echo4(by(gwB.MAC, web), by(groupMAC, ours), 7, 64, 1, 2, payload(20))
			}),
			on("up0", "to an address nobody has", noDF(by(gwA.MAC, web), by(groupMAC, host(0, "203.0.113.77", "")),
				26)),
			on("up0", "to no tenant", noDF(by(gwA.MAC, web), by(groupMAC, host(0, "10.9.9.9", "")), 26)),
			on("up0", "to a tenant behind no group", noDF(by(gwA.MAC, web), by(groupMAC, host(0, "10.2.0.1", "")), 26)),
			on("up0", "from another MAC of the gateway", noDF(by(0x020000006666, web), by(groupMAC, pub1), 26)),
			on("up0", "from the tenant's own subnet", noDF(by(gwA.MAC, host(0, "10.0.1.9", "")), by(groupMAC, redDB),
				26)),
			on("up0", "not to the group", noDF(by(gwA.MAC, web), by(0x020000006666, pub1), 26)),
			on("up0", "in a VLAN without gateway", udp4(by(gwA.MAC, web), by(groupMAC, pub1), 9, 1000, 26)),
			on("up0", "from the virtual MAC", noDF(by(groupMAC, web), by(groupMAC, pub1), 26)),
			on("up0", "not IP", raw(ethernet(groupMAC, gwA.MAC, 0x1234, 60))),
			on("up0", "cut off", raw(ethernet(groupMAC, gwA.MAC, 0x0800, 60)[:30])),
		)},
		{"uplink-arp", "gateway", append(resolved(),
			on("up0", "who has the source?", ask4(gwA, 0, "192.0.2.9")),
			on("up0", "who has the group's address?", ask4(gwA, 0, "203.0.113.1")),
			on("up0", "who has a public host's?", ask4(gwA, 0, "203.0.113.10")),
			on("up0", "who has a remote public host's?", ask4(gwA, 0, "203.0.113.11")),
			on("up1", "who has it, on the standby's network?", ask4(gwB, 7, "203.0.113.10")),
			on("up0", "who has nobody's?", ask4(gwA, 0, "203.0.113.77")),
			on("up0", "ND for a public host",
				func() ([]byte, error) { return endpoint.NeighborSolicitation(gwA, 0, pub1.IPv6) }),
			on("up1", "ND for the box, tagged",
				func() ([]byte, error) { return endpoint.NeighborSolicitation(gwB, 7, ours.IPv6) }),
			on("up0", "ND for nobody", func() ([]byte, error) {
				return endpoint.NeighborSolicitation(gwA, 0, netip.MustParseAddr("2001:db8::77"))
			}),
			on("up0", "as a virtual router: source and sender differ",
				changed(answer4(gwA, 0, ours), func(b []byte) []byte {
					b[11] ^= 1
					return b
				})),
			on("up0", "to all", changed(answer4(gwA, 0, ours), func(b []byte) []byte {
				copy(b, "\xff\xff\xff\xff\xff\xff")
				return b
			})),
			on("up0", "forged: the sender is a group", changed(answer4(gwA, 0, ours), func(b []byte) []byte {
				b[22] |= 1
				return b
			})),
			on("up0", "forged: our address", ask4(host(0x020000006666, "192.0.2.9", ""), 0, "192.0.2.1")),
			on("up0", "unasked: gratuitous", answer4(host(0x020000006666, "192.0.2.1", ""), 0,
				endpoint.Host{MAC: endpoint.Broadcast, IPv4: gwA.IPv4})),
			on("up0", "unasked: gateway b by the port of a", answer4(gwB, 0, ours)),
			on("up0", "another MAC, asked for: noted, not taken over", answer4(host(0x020000006666, "192.0.2.1", ""), 0,
				ours)),
			on("up0", "a second other MAC", answer4(host(0x020000006667, "192.0.2.1", ""), 0, ours)),
			on("up0", "the gateway itself", answer4(gwA, 0, ours)),
			on("acc0", "still to the gateway", noDF(pub1, by(groupMAC, web), 26)),
		)},
	}
}

// withTaggedDF sets DF in a tagged frame.
func withTaggedDF(b []byte) []byte {
	return append(append([]byte(nil), b[:4]...), withDF(b[4:])...)
}

// resolve makes the gateways of a rig known and the first one active, without a Keeper.
func resolve(r *rig.Rig) {
	for _, g := range r.Compiler.LiveGroups() {
		for i, m := range g.Members {
			m.Live.SetGateway([]uint64{uint64(gwA.MAC), uint64(gwB.MAC)}[i%2], true, false)
			m.Live.Probed.Store(1)
		}
		g.Live.Active.Store(g.Members[0].Slot)
	}
}

// A frame from the fabric for a group whose gateways are not resolved is dropped, and reaches no tenant.
func TestNothingCrossesWithoutGateway(t *testing.T) {
	r, cfg := load(t, "gateway")
	for _, to := range []string{"acc0", "fab0", "up0", "up1"} {
		if out := send(t, r, cfg, "fab0", to,
			fromSegment(2, 1, udp4(pub2, by(groupMAC, web), 0, 1, 26))); len(out) > 0 {
			t.Errorf("left by %s: % x", to, out[0])
		}
	}
}
