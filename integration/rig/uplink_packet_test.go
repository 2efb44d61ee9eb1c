package rig_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/gateway"
	"penstock/dataplane/wire"
	"penstock/integration/endpoint"
)

var (
	host1  = endpoint.Host{MAC: vm1, IPv4: vm1IP, IPv6: addr("2001:db8:1::10")}
	host2  = at4(vm2, vm2IP)
	viaGW  = endpoint.Host{MAC: vmac, IPv4: farIP, IPv6: addr("2001:db8:ffff::1")}
	viaRtr = at4(model.DefaultRouterMAC, farIP)
)

// To the outside: hosts of the public tenant by the group as their gateway, a routed tenant's by its virtual router.
func TestEgress(t *testing.T) {
	l := up(t, policy())
	for _, tc := range []struct {
		name     string
		from, to endpoint.Host
		vlan     uint16
		want     string
	}{
		{"public", host1, viaGW, 0, "port 1 02:ff:00:00:00:01→02:00:00:aa:00:01 TTL 64;"},
		{"routed", host2, viaRtr, 20, "port 1 02:ff:00:00:00:01→02:00:00:aa:00:01 TTL 63;"},
	} {
		if got := l.out(tc.from, tc.to, tc.vlan); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	f, err := endpoint.UDP6(host1, viaGW, 0, 1, 2, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	l.clear()
	l.in(acc, f)
	out := l.take(up0)
	if len(out) != 1 {
		t.Errorf("IPv6: %d frames, want one: % x", len(out), out)
	} else if dst := model.MAC(wire.Ethernet(out[0]).Dst()); dst != l.stations[0].MAC {
		t.Errorf("IPv6: sent to %s, want %s", dst, l.stations[0].MAC)
	} else if string(out[0][14:]) != string(f[14:]) {
		t.Errorf("IPv6: packet % x, want it as it came in: % x", out[0][14:], f[14:])
	}
	if err := l.Gateways.Switch(l.Now(), l.gw.Index, l.gw.Members[1].Slot); err != nil {
		t.Fatal(err)
	}
	const switched = "port 2 VLAN 7 02:ff:00:00:00:01→02:00:00:aa:00:02 TTL 64;"
	if got := l.out(host1, viaGW, 0); got != switched {
		t.Errorf("after the switch: %q, want %q", got, switched)
	}
	// The counters of each member.
	l.Members.Publish()
	for i, want := range []uint64{3, 1} {
		if n := l.Members.Load(int(l.gw.Members[i].Stat)*4 + 2); n != want {
			t.Errorf("member %d: %d packets sent, want %d", i, n, want)
		}
	}
}

// What has nowhere to go is discarded under its reason.
func TestEgressDrops(t *testing.T) {
	l := up(t, policy())
	payload := gopacket.Payload(make([]byte, 46))
	unknown, err := endpoint.Serialize(append(endpoint.Ethernet(vm1, vmac, 0, 0x1234), payload)...)
	if err != nil {
		t.Fatal(err)
	}
	l.in(acc, unknown)
	if n := l.drops(acc, drop.UplinkNotIP); n != 1 {
		t.Errorf("%d frames counted as not IP, want 1", n)
	}
	big := udp4(t, host1, viaGW, 0, 1480, 0) // 1508 octets of IP without DF
	l.in(acc, big)
	if n := l.drops(acc, drop.AccessMTU) + l.drops(acc, drop.UplinkMTU); n != 1 {
		t.Errorf("%d packets counted as too big, want 1", n)
	}
	for _, port := range []int{up0, up1} {
		l.Keeper.SetCarrier(l.Now(), port, false)
	}
	l.out(host1, viaGW, 0)
	if n := l.drops(acc, drop.UplinkNoActive); n != 1 {
		t.Errorf("%d packets counted as without active member, want 1", n)
	}

	// A box that starts with the member it had sends nothing before it knows the gateway's MAC.
	g := group(policy())
	g.Start = "b"
	s := newLab(t, g)
	s.stations = nil
	s.run(ms)
	s.want("b", gateway.WhyStart)
	s.out(host1, viaGW, 0)
	if n := s.drops(acc, drop.UplinkUnresolved); n != 1 {
		t.Errorf("%d packets counted as unresolved, want 1", n)
	}
}

// udp4 builds a datagram of n octets of payload with the given flags in the IPv4 header.
func udp4(t *testing.T, from, to endpoint.Host, vlan uint16, n int, flags layers.IPv4Flag) []byte {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Flags: flags,
		SrcIP: from.IPv4.AsSlice(), DstIP: to.IPv4.AsSlice(),
	}
	u := &layers.UDP{SrcPort: 1, DstPort: 2}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	ethernet := endpoint.Ethernet(from.MAC, to.MAC, vlan, layers.EthernetTypeIPv4)
	f, err := endpoint.Serialize(append(ethernet, ip, u, gopacket.Payload(make([]byte, n)))...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A packet too big for the uplink is answered by the address it was sent by way of.
func TestEgressTooBig(t *testing.T) {
	l := up(t, policy())
	for port, mtu := range []uint16{1500, 1400, 1400} {
		l.Compiler.SetLink(port, true, mtu, uint64(0x020000000f00+port))
	}
	for _, tc := range []struct {
		name      string
		from, to  endpoint.Host
		vlan      uint16
		src       string
		srcMAC    model.MAC
		innerSize int
	}{
		{"public", host1, viaGW, 0, "203.0.113.1", vmac, 576 - 28},
		{"routed", host2, viaRtr, 20, "10.0.0.254", model.DefaultRouterMAC, 576 - 28},
	} {
		l.clear()
		l.in(acc, udp4(t, tc.from, tc.to, tc.vlan, 1450, layers.IPv4DontFragment))
		out := l.take(acc)
		if len(out) != 1 {
			t.Fatalf("%s: %d answers, want one; packets sent: %q", tc.name, len(out), l.where())
		}
		p := gopacket.NewPacket(out[0], layers.LayerTypeEthernet, gopacket.Default)
		ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		ic, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		tooBig := layers.CreateICMPv4TypeCode(3, 4)
		if ic == nil || ic.TypeCode != tooBig || ic.Seq != 1400 || ip.SrcIP.String() != tc.src {
			t.Errorf("%s: answer %s, want fragmentation needed for 1400 octets from %s", tc.name, p, tc.src)
		}
		if dst, src := endpoint.MACAt(out[0]), endpoint.MACAt(out[0][6:]); dst != tc.from.MAC || src != tc.srcMAC {
			t.Errorf("%s: answer from %s to %s, want from %s to %s", tc.name, src, dst, tc.srcMAC, tc.from.MAC)
		}
		if err := endpoint.CheckSums(out[0]); err != nil {
			t.Error(err)
		}
	}
	l.in(acc, udp4(t, host1, viaGW, 0, 1450, 0))
	if n := l.drops(acc, drop.UplinkMTU); n != 1 {
		t.Errorf("%d packets without DF counted as too big, want 1", n)
	}
}

// From outside: by every member's port whose gateway is healthy, to the virtual MAC or, by another than the active
// member's, to the port's own.
func TestIngress(t *testing.T) {
	l := up(t, policy())
	a, b := l.stations[0], l.stations[1]
	far := func(mac model.MAC) endpoint.Host { return at4(mac, farIP) }
	to := at4
	inRed, router := addr("10.0.0.9"), addr("10.0.0.254")
	nowhere := addr("10.0.1.1") // in no subnet
	toPublic := "port 0 02:ff:00:00:00:01→02:00:00:00:01:01 TTL 64;"
	toRouted := "port 0 VLAN 20 02:50:53:00:00:01→02:00:00:00:01:02 TTL 63;"
	for _, tc := range []struct {
		name     string
		port     int
		vlan     uint16
		from, to endpoint.Host
		want     string
		why      drop.Reason
	}{
		{"active, public", up0, 0, far(a.MAC), to(vmac, vm1IP), toPublic, 0},
		{"active, routed", up0, 0, far(a.MAC), to(vmac, vm2IP), toRouted, 0},
		{"standby, public", up1, 7, far(b.MAC), to(vmac, vm1IP), toPublic, 0},
		{"standby, by the port's MAC", up1, 7, far(b.MAC), to(mac1, vm2IP), toRouted, 0},
		{"another member's gateway by this port", up1, 7, far(a.MAC), to(vmac, vm1IP), toPublic, 0},
		{"from another MAC of the gateway", up0, 0, far(evil), to(vmac, vm1IP), toPublic, 0},
		{"from another MAC, routed, by the standby", up1, 7, far(evil), to(mac1, vm2IP), toRouted, 0},
		{"from another MAC, to nobody's", up0, 0, far(evil), to(evil, vm1IP), "", drop.UplinkMAC},
		{"from another MAC, to nobody's subnet", up0, 0, far(evil), to(vmac, nowhere), "", drop.UplinkNoTenant},
		{"from the other port's MAC", up0, 0, far(mac1), to(vmac, vm1IP), "", drop.UplinkLoop},
		{"from a group address", up0, 0, far(0x01005e000012), to(vmac, vm1IP), "", drop.SourceMAC},
		{"from the tenant's own subnet, routed", up0, 0, at4(a.MAC, inRed), to(vmac, vm2IP), "", drop.UplinkSpoofed},
		{"from the router's address", up0, 0, at4(a.MAC, router), to(vmac, vm2IP), "", drop.UplinkSpoofed},
		{"from the segment's own subnet", up0, 0, at4(a.MAC, addr("203.0.113.99")), to(vmac, vm1IP), toPublic, 0},
		{"to another MAC", up0, 0, far(a.MAC), to(evil, vm1IP), "", drop.UplinkMAC},
		{"broadcast", up0, 0, far(a.MAC), to(endpoint.Broadcast, vm1IP), "", drop.UplinkMAC},
		{"multicast", up0, 0, far(a.MAC), to(0x01005e000012, addr("224.0.0.18")), "", drop.UplinkMAC},
		{"the other port's MAC", up0, 0, far(a.MAC), to(mac1, vm1IP), "", drop.UplinkMAC},
		{"in another VLAN", up0, 7, far(a.MAC), to(vmac, vm1IP), "", drop.UplinkVLAN},
		{"without the VLAN", up1, 0, far(b.MAC), to(vmac, vm1IP), "", drop.UplinkVLAN},
		{"our own frame come back", up0, 0, far(vmac), to(vmac, vm1IP), "", drop.UplinkLoop},
		{"to nobody's subnet", up0, 0, far(a.MAC), to(vmac, nowhere), "", drop.UplinkNoTenant},
		{"to a broadcast address", up0, 0, far(a.MAC), to(vmac, addr("10.0.0.255")), "", drop.UplinkNoTenant},
		{"to nobody", up0, 0, far(a.MAC), to(vmac, addr("203.0.113.77")), "", drop.RouteUnresolved},
		{"from no host's address", up0, 0, at4(a.MAC, addr("127.0.0.1")), to(vmac, vm1IP), "", drop.RouterSource},
	} {
		l.clear()
		before := l.drops(tc.port, tc.why)
		f, err := endpoint.UDP4(tc.from, tc.to, tc.vlan, 1000, 2000, []byte("payload"))
		if err != nil {
			t.Fatal(err)
		}
		l.in(tc.port, f)
		if got := l.where(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if n := l.drops(tc.port, tc.why) - before; tc.why != 0 && n != 1 {
			t.Errorf("%s: %d frames counted as %v, want 1", tc.name, n, tc.why)
		}
	}
	// A standby that has failed is not listened to; make-before-break keeps the old port receiving after a switch.
	if err := l.Gateways.Switch(l.Now(), l.gw.Index, l.gw.Members[1].Slot); err != nil {
		t.Fatal(err)
	}
	f, err := endpoint.UDP4(far(a.MAC), to(vmac, vm1IP), 0, 1000, 2000, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.clear()
	l.in(up0, f)
	if got := l.where(); got != toPublic {
		t.Errorf("by the old port: %q, want %q", got, toPublic)
	}
	a.mute = true
	l.run(time.Second)
	l.clear()
	l.in(up0, f)
	if got := l.where(); got != "" || l.drops(up0, drop.UplinkDown) == 0 {
		t.Errorf("from a gateway that is down: %q, want a drop as %v", got, drop.UplinkDown)
	}
	before := l.drops(up0, drop.UplinkDown)
	if f, err = endpoint.UDP4(far(evil), to(vmac, vm1IP), 0, 1000, 2000, nil); err != nil {
		t.Fatal(err)
	}
	l.in(up0, f)
	if got := l.where(); got != "" || l.drops(up0, drop.UplinkDown) != before+1 {
		t.Errorf("from another MAC where no gateway is healthy: %q, want a drop as %v", got, drop.UplinkDown)
	}
}

// Ping reaches what has an address here, from both sides; a TTL that runs out is told.
func TestOwnAddresses(t *testing.T) {
	l := up(t, policy())
	gw := l.stations[0].Host
	gw.IPv4 = farIP
	for _, tc := range []struct {
		name     string
		port     int
		vlan     uint16
		from, to endpoint.Host
		ttl      uint8
		want     string
	}{
		{"group, by a host", acc, 0, host1, at4(vmac, addr("203.0.113.1")), 64, "0 203.0.113.1"},
		{"group, from outside", up0, 0, gw, at4(vmac, addr("203.0.113.1")), 64, "0 203.0.113.1"},
		{"source", up0, 0, gw, at4(vmac, ourIP), 64, "0 192.0.2.9"},
		{"virtual router, from outside", up0, 0, gw, at4(vmac, addr("10.0.0.254")), 64, "0 10.0.0.254"},
		{"TTL", up0, 0, gw, at4(vmac, vm2IP), 1, "11 192.0.2.9"},
	} {
		l.clear()
		f, err := endpoint.Echo4(tc.from, tc.to, tc.vlan, tc.ttl, 1, 1, []byte("ping"))
		if err != nil {
			t.Fatal(err)
		}
		l.in(tc.port, f)
		out := l.take(tc.port)
		if len(out) != 1 {
			t.Errorf("%s: %d frames, want one answer", tc.name, len(out))
			continue
		}
		p := gopacket.NewPacket(out[0], layers.LayerTypeEthernet, gopacket.Default)
		ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		ic, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if ic == nil {
			t.Errorf("%s: answer %s, want ICMP of type and source %s", tc.name, p, tc.want)
			continue
		}
		if got := fmt.Sprint(ic.TypeCode.Type(), " ", ip.SrcIP); got != tc.want {
			t.Errorf("%s: ICMP of type and source %s, want %s: %s", tc.name, got, tc.want, p)
		}
		if dst, src := endpoint.MACAt(out[0]), endpoint.MACAt(out[0][6:]); dst != tc.from.MAC || src != vmac {
			t.Errorf("%s: answer from %s to %s, want from %s to %s", tc.name, src, dst, vmac, tc.from.MAC)
		}
		if err := endpoint.CheckSums(out[0]); err != nil {
			t.Error(err)
		}
	}
}

// Two groups share gateways and ports, active on one each: what comes to a port's own MAC is told apart by its address.
func TestTwoGroups(t *testing.T) {
	g1, g2 := group(policy()), group(policy())
	g1.Public = false
	g2.Name, g2.MAC, g2.IPs = "second", vmac+1, []netip.Addr{addr("203.0.113.1")}
	g2.Members[0], g2.Members[1] = g2.Members[1], g2.Members[0]
	for i := range g2.Members {
		g2.Members[i].Sources = []netip.Addr{addr("192.0.2.10")}
	}
	g2.Start = "b"
	l := newLab(t, g1, g2)
	l.run(2 * time.Second)
	two := l.Compiler.LiveGroups()[1]
	if l.active() != "a" || two.Live.Active.Load() != two.Members[0].Slot {
		t.Fatalf("active members %q and %d, want \"a\" and slot %d",
			l.active(), two.Live.Active.Load(), two.Members[0].Slot)
	}
	// Tenant red is behind the first group, the public one behind the second; b's port is up1.
	const (
		toRed    = "port 0 VLAN 20 02:50:53:00:00:01→02:00:00:00:01:02 TTL 63;"
		toPublic = "port 0 02:ff:00:00:00:02→02:00:00:00:01:01 TTL 64;"
	)
	for _, tc := range []struct {
		port int
		vlan uint16
		from *station
		to   endpoint.Host
		want string
	}{
		{up1, 7, l.stations[1], at4(mac1, vm2IP), toRed},
		{up1, 7, l.stations[1], at4(mac1, vm1IP), toPublic},
		{up0, 0, l.stations[0], at4(mac0, vm1IP), toPublic},
		{up0, 0, l.stations[0], at4(vmac+1, vm2IP), ""}, // behind the other group
	} {
		l.clear()
		f, err := endpoint.UDP4(at4(tc.from.MAC, farIP), tc.to, tc.vlan, 1, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.in(tc.port, f)
		if got := l.where(); got != tc.want {
			t.Errorf("to %s at %s: %q, want %q", tc.to.IPv4, tc.to.MAC, got, tc.want)
		}
	}
}

// A group that is changed keeps what still holds; one whose active member goes turns to another.
func TestReconfigured(t *testing.T) {
	l := up(t, policy())
	g := group(policy())
	change := func(g compile.Group) {
		t.Helper()
		if err := l.Compiler.Reconfigure(func(c *compile.Config) { c.Groups = []compile.Group{g} }); err != nil {
			t.Fatal(err)
		}
		l.gw = l.Compiler.LiveGroups()[0]
		l.run(ms)
	}
	g.Policy.Interval = int64(50 * ms)
	change(g)
	l.want("a", gateway.WhyAnswers)
	if l.emitted(gateway.ActiveChanged) != 0 {
		t.Error("a reload changed the active member, want it as before")
	}
	g.Members = g.Members[1:]
	change(g)
	l.want("b", gateway.WhyRemoved)
	g.Members = group(policy()).Members
	change(g)
	l.run(time.Second)
	l.want("b", gateway.WhyRemoved)
	if l.state("a") != gateway.Up {
		t.Errorf("a is %v after it was added again, want %v", l.state("a"), gateway.Up)
	}
	if err := l.Compiler.Reconfigure(func(c *compile.Config) { c.Groups = nil }); err != nil {
		t.Fatal(err)
	}
	l.run(time.Second)
	probed := l.stations[0].probed
	l.run(time.Second)
	if n := l.stations[0].probed - probed; n != 0 {
		t.Errorf("a gateway of no group was probed %d times, want never", n)
	}
	if n := l.Keeper.Next(); n-l.Now() < int64(time.Hour) {
		t.Errorf("the next timer is in %v, want none within an hour", time.Duration(n-l.Now()))
	}
}

// Nothing allocates: packets both ways, ARP of all sorts, and the timers.
func TestNoAllocation(t *testing.T) {
	l := up(t, policy())
	a := l.stations[0]
	frames := map[int][][]byte{
		acc: {
			udp4(t, host1, viaGW, 0, 100, 0),
			udp4(t, host2, viaRtr, 20, 100, 0),
			udp4(t, host1, at4(vmac, addr("203.0.113.1")), 0, 1, 0),
		},
		up0: {
			udp4(t, at4(a.MAC, farIP), at4(vmac, vm1IP), 0, 100, 0),
			udp4(t, at4(a.MAC, farIP), at4(vmac, vm2IP), 0, 100, 0),
			udp4(t, at4(a.MAC, farIP), at4(mac0, addr("9.9.9.9")), 0, 100, 0),
			arpFrame(wire.ARPReply, vmac, a.MAC, a.MAC, a.IPv4, vmac, ourIP),
			arpFrame(wire.ARPReply, vmac, evil, evil, a.IPv4, vmac, ourIP),
			arpFrame(wire.ARPRequest, model.MAC(wire.Broadcast), a.MAC, a.MAC, a.IPv4, 0, vm1IP),
		},
	}
	var b frame.Batch
	now := l.Now()
	n := testing.AllocsPerRun(500, func() {
		now += int64(3 * ms)
		l.SetTime(now)
		l.Keeper.Turn(now, l.Compiler.Snapshot())
		for port, list := range frames {
			b.N = 0
			for _, f := range list {
				addr, _ := l.Cache.Get()
				l.Verify.Move(addr, frame.OwnerPool, frame.OwnerBatch)
				p := &b.Pkt[b.N]
				p.Off, p.Port = addr+frame.Headroom, uint16(port)
				p.Len = uint16(copy(l.Mem[p.Off:addr+l.Pool.FrameSize()], f))
				b.N++
			}
			l.Process(uint16(port), &b, l.Compiler.Snapshot())
		}
		for p := range uint16(3) {
			for _, d := range l.Out(p) {
				l.Free(uint32(d.Addr))
				l.total++
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a turn, want none", n)
	}
	if n := l.member("a").Probes.Load(); n < 60 {
		t.Errorf("%d probes, want at least 60: the timers did not run", n)
	}
}

// FuzzUplink sends arbitrary frames into the uplinks, in bursts with time between them: nothing crashes, every frame is
// accounted for, what comes in by one uplink never leaves by the other, and while the gateways answer nothing that
// anybody sends takes the active one out of service.
func FuzzUplink(f *testing.F) {
	a := at4(0x020000aa0001, farIP)
	const all = model.MAC(wire.Broadcast)
	gw0, gw1 := addr("192.0.2.1"), addr("192.0.2.2")
	for _, frame := range [][]byte{
		arpFrame(wire.ARPReply, vmac, a.MAC, a.MAC, gw0, vmac, ourIP),
		arpFrame(wire.ARPReply, vmac, evil, evil, gw0, vmac, ourIP),
		arpFrame(wire.ARPRequest, all, evil, evil, gw0, 0, gw0),
		arpFrame(wire.ARPRequest, all, a.MAC, a.MAC, gw0, 0, vm1IP),
		tagged(arpFrame(wire.ARPRequest, all, evil, evil, gw1, 0, vm1IP), 7),
	} {
		f.Add(false, frame)
		f.Add(true, frame)
	}
	for _, to := range []endpoint.Host{at4(vmac, vm1IP), at4(vmac, vm2IP), at4(mac0, ourIP), at4(mac1, vm1IP)} {
		udp, err := endpoint.UDP4(a, to, 0, 1, 2, []byte("payload"))
		if err != nil {
			f.Fatal(err)
		}
		ping, err := endpoint.Echo4(a, to, 0, 1, 1, 1, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(false, udp)
		f.Add(true, tagged(ping, 7))
	}
	l := up(f, policy())
	f.Fuzz(func(t *testing.T, second bool, data []byte) {
		if len(data) > int(l.Pool.FrameSize())-frame.Headroom {
			return
		}
		l.t = t
		in, other := up0, up1
		if second {
			in, other = up1, up0
		}
		for range 3 {
			l.in(in, data)
			l.collect()
		}
		for _, out := range l.take(other) {
			e := wire.Ethernet(out)
			typ := e.Type()
			if typ == wire.EtherTypeVLAN {
				typ = e.Tag().Type()
			}
			if typ == wire.EtherTypeIPv4 {
				t.Fatalf("a packet left by the other uplink, want none: % x", out)
			}
		}
		l.run(110 * ms)
		l.clear()
		if l.active() == "" || l.state(l.active()) != gateway.Up && l.state(l.active()) != gateway.Suspect {
			t.Fatalf("%q is active, %v; want a member that is up or suspect", l.active(), l.state(l.active()))
		}
		if len(l.events) > 1000 {
			l.events = nil
		}
		for _, e := range l.events {
			if e.Kind == gateway.ActiveChanged {
				t.Fatalf("the active member changed from slot %d to %d (%v), want no change",
					int32(e.Old), int32(e.Member), e.Why)
			}
		}
		l.balanced()
	})
}
