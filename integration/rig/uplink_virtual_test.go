package rig_test

import (
	"fmt"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/gateway"
	"penstock/dataplane/wire"
	"penstock/integration/endpoint"
)

// virtual is the MAC of a virtual router (RFC 9568, 7.3); burned is that of the interface it answers and forwards from.
const (
	virtual = model.MAC(0x00005e000107)
	burned  = model.MAC(0x020000bb0001)
	backup  = model.MAC(0x020000bb0002)
)

// vrrp makes a's gateway a virtual router.
func vrrp(l *lab) {
	l.stations[0].MAC, l.stations[0].source = virtual, burned
}

// A gateway whose ARP answers leave from another MAC than they name is reached at the one they name, resolved or
// configured, by answers to the box alone or to all.
func TestVirtualRouterAnswers(t *testing.T) {
	for _, fixed := range []model.MAC{0, virtual} {
		for _, toAll := range []bool{false, true} {
			t.Run(fmt.Sprintf("fixed %s, broadcast %v", fixed, toAll), func(t *testing.T) {
				g := group(policy())
				g.Members[0].MAC = fixed
				l := newLab(t, g)
				vrrp(l)
				l.stations[0].toAll = toAll
				l.run(2 * time.Second)
				l.want("a", gateway.WhyAnswers)
				if mac, _ := l.member("a").Gateway(); mac != uint64(virtual) || l.state("a") != gateway.Up {
					t.Fatalf("a is %v, at %s; want up, at %s", l.state("a"), model.MAC(mac), virtual)
				}
				if n := l.member("a").Missed.Load() + l.drops(up0, drop.UplinkARPForged); n != 0 {
					t.Errorf("%d probes missed and answers counted as forged, want none", n)
				}
				want := fmt.Sprintf("port 1 02:ff:00:00:00:01→%s TTL 64;", virtual)
				if got := l.out(host1, viaGW, 0); got != want {
					t.Errorf("sent as %q, want %q", got, want)
				}
				// It does not answer to its other MAC: an answer that names that one is another station's.
				if fixed != 0 {
					l.stations[0].MAC = burned
					l.run(2 * time.Second)
					l.want("b", gateway.WhySilent)
				}
			})
		}
	}
}

// What a virtual router asks is answered to the MAC that it names.
func TestVirtualRouterAsks(t *testing.T) {
	l := newLab(t, group(policy()))
	vrrp(l)
	l.run(2 * time.Second)
	l.clear()
	l.in(up0, arpFrame(wire.ARPRequest, model.MAC(wire.Broadcast), burned, virtual, l.stations[0].IPv4, 0, ourIP))
	answered := func(f []byte) bool {
		a := endpoint.ParseARP(f)
		return a != nil && a.Operation == wire.ARPReply && endpoint.MACAt(f) == virtual &&
			endpoint.MACAt(a.DstHwAddress) == virtual && endpoint.MACAt(a.SourceHwAddress) == vmac
	}
	n := 0
	for _, f := range l.take(up0) {
		if answered(f) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d answers to %s, want one", n, virtual)
	}
	ns, err := endpoint.NeighborSolicitation(endpoint.Host{MAC: virtual, IPv6: addr("2001:db8::1")}, 0, ourIP6)
	if err != nil {
		t.Fatal(err)
	}
	wire.Ethernet(ns).SetSrc(uint64(burned))
	l.in(up0, ns)
	n = 0
	for _, f := range l.take(up0) {
		ip, mac, ok := endpoint.ParseNeighborAdvertisement(f)
		if ok && ip == ourIP6 && mac == vmac && endpoint.MACAt(f) == virtual {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d neighbour advertisements to %s, want one", n, virtual)
	}
	// There is no way to make the box send to all.
	for _, sender := range []model.MAC{0, 0x01005e000012, model.MAC(wire.Broadcast)} {
		l.in(up0, arpFrame(wire.ARPRequest, model.MAC(wire.Broadcast), burned, sender, l.stations[0].IPv4, 0, ourIP))
		for _, f := range l.take(up0) {
			if a := endpoint.ParseARP(f); a != nil && a.Operation == wire.ARPReply {
				t.Errorf("a request from %s is answered, want no answer: % x", sender, f)
			}
		}
	}
}

// The sources of a member: any station by default; the gateway's MAC alone, or with others, where it is locked.
func TestSources(t *testing.T) {
	const toRouted = "port 0 VLAN 20 02:50:53:00:00:01→02:00:00:00:01:02 TTL 63;"
	for _, tc := range []struct {
		name   string
		member func(m *compile.GroupMember)
		taken  map[model.MAC]bool
	}{
		{"any", func(*compile.GroupMember) {},
			map[model.MAC]bool{virtual: true, burned: true, backup: true, evil: true}},
		{"gateway", func(m *compile.GroupMember) { m.Locked = true },
			map[model.MAC]bool{virtual: true, burned: false, backup: false, evil: false}},
		{"list", func(m *compile.GroupMember) { m.Locked, m.Senders = true, []model.MAC{burned, backup} },
			map[model.MAC]bool{virtual: true, burned: true, backup: true, evil: false}},
		{"list and MAC",
			func(m *compile.GroupMember) { m.Locked, m.Senders, m.MAC = true, []model.MAC{burned}, virtual },
			map[model.MAC]bool{virtual: true, burned: true, backup: false, evil: false}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := group(policy())
			tc.member(&g.Members[0])
			l := newLab(t, g)
			vrrp(l)
			l.run(2 * time.Second)
			for mac, taken := range tc.taken {
				l.clear()
				before := l.drops(up0, drop.UplinkSource)
				l.in(up0, udp4(t, at4(mac, farIP), at4(vmac, vm2IP), 0, 100, 0))
				want, drops := toRouted, uint64(0)
				if !taken {
					want, drops = "", 1
				}
				got := l.where()
				if n := l.drops(up0, drop.UplinkSource) - before; got != want || n != drops {
					t.Errorf("from %s: %q, %d drops; want %q, %d", mac, got, n, want, drops)
				}
			}
			// A reload changes it, and what is known of the gateway stays.
			live := l.member("a")
			g.Members[0].Locked, g.Members[0].Senders = true, []model.MAC{evil}
			if err := l.Compiler.Reconfigure(func(c *compile.Config) { c.Groups = []compile.Group{g} }); err != nil {
				t.Fatal(err)
			}
			l.gw = l.Compiler.LiveGroups()[0]
			l.clear()
			l.in(up0, udp4(t, at4(evil, farIP), at4(vmac, vm2IP), 0, 100, 0))
			if got := l.where(); got != toRouted || l.member("a") != live || l.state("a") != gateway.Up {
				t.Errorf("after a reload: %q, a is %v; want %q, and the member left alone", got, l.state("a"), toRouted)
			}
		})
	}
}

// Data is a sign of life from the MAC that answers and from a member's sources, and from no other station.
func TestDataOfSources(t *testing.T) {
	for _, tc := range []struct {
		from    model.MAC
		senders []model.MAC
		active  string
	}{
		{virtual, nil, "a"},
		{burned, nil, "b"},
		{burned, []model.MAC{backup, burned}, "a"},
		{evil, []model.MAC{burned}, "b"},
	} {
		g := group(policy())
		g.Members[0].Senders, g.Members[0].Locked = tc.senders, tc.senders != nil
		l := newLab(t, g)
		vrrp(l)
		l.run(2 * time.Second)
		l.want("a", gateway.WhyAnswers)
		l.stations[0].mute = true
		f := udp4(t, at4(tc.from, farIP), at4(vmac, vm1IP), 0, 100, 0)
		for range 40 {
			l.in(up0, f)
			l.run(50 * ms)
		}
		if l.active() != tc.active {
			t.Errorf("data from %s, sources %v: %q is active, want %q", tc.from, tc.senders, l.active(), tc.active)
		}
	}
}

// A packet from outside that does not fit the fabric is refused to its sender, whatever MAC that has.
func TestRefusedToAnySource(t *testing.T) {
	l := newLab(t, group(policy()))
	vrrp(l)
	l.run(2 * time.Second)
	l.clear()
	f, err := endpoint.Echo4(at4(burned, farIP), at4(vmac, vm2IP), 0, 1, 1, 1, []byte("ping"))
	if err != nil {
		t.Fatal(err)
	}
	l.in(up0, f)
	out := l.take(up0)
	if len(out) != 1 || endpoint.MACAt(out[0]) != burned || endpoint.MACAt(out[0][6:]) != vmac {
		t.Errorf("TTL exceeded: %d frames, want one to %s: % x", len(out), burned, out)
	}
}
