package rig_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

// Ports of the lab's box, and who is there.
const (
	acc, up0, up1 = 0, 1, 2

	vmac = model.MAC(0x02ff00000001) // the group's
	mac0 = model.MAC(0x020000000f01) // up0's own (rig)
	mac1 = model.MAC(0x020000000f02) // up1's own
	vm1  = model.MAC(0x020000000101) // of the public tenant, behind the group itself
	vm2  = model.MAC(0x020000000102) // of tenant red, behind its virtual router
)

var (
	ourIP  = netip.MustParseAddr("192.0.2.9")
	vm1IP  = netip.MustParseAddr("203.0.113.10")
	vm2IP  = netip.MustParseAddr("10.0.0.1")
	farIP  = netip.MustParseAddr("198.51.100.77")
	ourIP6 = netip.MustParseAddr("2001:db8::9")
)

// addr parses an address that a test has written down.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// at4 returns a host at a MAC and an IPv4 address.
func at4(mac model.MAC, ip netip.Addr) endpoint.Host { return endpoint.Host{MAC: mac, IPv4: ip} }

// station is a virtual gateway.
type station struct {
	endpoint.Host
	port   int
	vlan   uint16
	mute   bool // does not answer ARP
	probed int  // probes received
	bcast  int  // of them by broadcast

	source model.MAC     // from which it answers, 0 = MAC
	toAll  bool          // answers by broadcast
	deaf   bool          // answers broadcasts alone
	late   time.Duration // its answers
	queue  []answer      // on the way
}

// answer is an ARP answer on its way to the box.
type answer struct {
	frame []byte
	at    int64
}

// lab is a box of one worker with an access port and two uplinks, on a clock of its own.
type lab struct {
	t testing.TB
	*rig.Rig
	gw       compile.LiveGroup
	stations []*station
	seen     [3][][]byte // frames sent, by port, that no station took
	events   []gateway.Event
	total    uint64 // frames sent
}

func policy() gateway.Policy {
	p := gateway.DefaultPolicy()
	p.AnnounceInterval = 0
	return p
}

func group(p gateway.Policy) compile.Group {
	return compile.Group{
		Name: "outside", Public: true, Policy: p,
		MAC: vmac, IPs: []netip.Addr{addr("203.0.113.1"), addr("2001:db8:1::1")},
		Members: []compile.GroupMember{
			{Name: "a", Port: "up0", Gateway: addr("192.0.2.1"), Sources: []netip.Addr{ourIP, ourIP6}},
			{Name: "b", Port: "up1", VLAN: 7, Gateway: addr("192.0.2.2"), Sources: []netip.Addr{ourIP, ourIP6}},
		},
	}
}

// network is the lab's tenants: the public one, behind the group itself, and red, behind its virtual router.
func network() *model.State {
	prefix := netip.MustParsePrefix
	return &model.State{
		Tenants: map[string]model.Tenant{
			"pub": {Name: "pub", ID: 2},
			"red": {Name: "red", ID: 100, Gateway: "outside"},
		},
		Segments: map[string]model.Segment{
			"pub/net":  {Tenant: "pub", Name: "net", ID: 1},
			"red/web":  {Tenant: "red", Name: "web", ID: 7},
			"red/none": {Tenant: "red", Name: "none", ID: 8},
		},
		Subnets: map[string]model.Subnet{
			"pub/n4": {Tenant: "pub", Name: "n4", Segment: "net", Prefix: prefix("203.0.113.0/24")},
			"pub/n6": {Tenant: "pub", Name: "n6", Segment: "net", Prefix: prefix("2001:db8:1::/64")},
			"red/n4": {
				Tenant: "red", Name: "n4", Segment: "web",
				Prefix: prefix("10.0.0.0/24"), Router: addr("10.0.0.254"),
			},
		},
		VIFs: map[string]model.VIF{
			"pub/vm1": {
				Tenant: "pub", Name: "vm1", Segment: "net", Port: "acc",
				MAC: vm1, Addresses: []netip.Addr{vm1IP, addr("2001:db8:1::10")},
			},
			"red/vm2": {
				Tenant: "red", Name: "vm2", Segment: "web", Port: "acc", VLAN: 20,
				MAC: vm2, Addresses: []netip.Addr{vm2IP},
			},
		},
	}
}

func newLab(t testing.TB, groups ...compile.Group) *lab {
	t.Helper()
	r, err := rig.New(rig.Options{
		Ports: []compile.Port{
			{Name: "acc", Role: fib.RoleAccess},
			{Name: "up0", Role: fib.RoleUplink},
			{Name: "up1", Role: fib.RoleUplink},
		},
		MTU:    []uint16{1500, 1500, 1500},
		Groups: groups,
		State:  network(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, Rig: r}
	t.Cleanup(func() {
		l.balanced()
		if n, first := r.Verify.Violations(); n > 0 {
			t.Errorf("frame ownership: %d violations, the first %v; want none", n, first)
		}
		_ = r.Close()
	})
	if g := r.Compiler.LiveGroups(); len(g) > 0 {
		l.gw = g[0]
	}
	l.stations = []*station{
		{Host: endpoint.Host{MAC: 0x020000aa0001, IPv4: addr("192.0.2.1")}, port: up0},
		{Host: endpoint.Host{MAC: 0x020000aa0002, IPv4: addr("192.0.2.2")}, port: up1, vlan: 7},
	}
	return l
}

// balanced: every frame is accounted for.
func (l *lab) balanced() {
	l.t.Helper()
	l.Ports.Publish()
	var in, out uint64
	for p := range 3 {
		in += l.Ports.Of(p, stats.RxPackets) + l.Ports.Of(p, stats.Injected) + l.Ports.Of(p, stats.Copies)
		out += l.Ports.Of(p, stats.Punted)
		for d := range drop.Count {
			out += l.Ports.Of(p, stats.Drops+int(d))
		}
	}
	if sent := l.sent(); in != out+sent {
		l.t.Errorf("%d frames came in or were made, %d were sent, punted or dropped; want as many", in, out+sent)
	}
}

func (l *lab) sent() uint64 { l.collect(); return l.total }

// collect takes what the box has sent; stations answer what is for them.
func (l *lab) collect() {
	for again := true; again; {
		again = false
		for port := range 3 {
			for _, f := range l.Sent(port) {
				again = true
				l.total++
				if !l.toStation(port, f) {
					l.seen[port] = append(l.seen[port], f)
				}
			}
		}
	}
	l.Gateways.Events.Take(func(e gateway.Event) { l.events = append(l.events, e) })
}

func (l *lab) toStation(port int, f []byte) bool {
	a := endpoint.ParseARP(f)
	if a == nil || a.Operation != wire.ARPRequest {
		return false
	}
	vlan := uint16(0)
	if wire.Ethernet(f).Type() == wire.EtherTypeVLAN {
		vlan = wire.Ethernet(f).Tag().VID()
	}
	taken := false
	for _, s := range l.stations {
		dst := model.MAC(wire.Ethernet(f).Dst())
		target := netip.AddrFrom4([4]byte(a.DstProtAddress))
		addressed := dst == s.MAC || dst == model.MAC(wire.Broadcast)
		if s.port != port || s.vlan != vlan || target != s.IPv4 || !addressed {
			continue
		}
		s.probed++
		if dst == model.MAC(wire.Broadcast) {
			s.bcast++
		}
		taken = true
		if s.mute || s.deaf && dst == s.MAC {
			continue
		}
		to := endpoint.Host{MAC: endpoint.MACAt(a.SourceHwAddress), IPv4: netip.AddrFrom4([4]byte(a.SourceProtAddress))}
		answer, err := endpoint.ARPReply(s.Host, s.vlan, to)
		if err != nil {
			l.t.Fatal(err)
		}
		e := wire.Ethernet(answer)
		if s.source != 0 {
			e.SetSrc(uint64(s.source))
		}
		if s.toAll {
			e.SetDst(wire.Broadcast)
		}
		if s.late > 0 {
			s.delay(answer, l.Now())
			continue
		}
		l.in(port, answer)
	}
	return taken
}

func (s *station) delay(f []byte, now int64) {
	s.queue = append(s.queue, answer{f, now + int64(s.late)})
}

// deliver lets late answers arrive.
func (l *lab) deliver() {
	for _, s := range l.stations {
		for len(s.queue) > 0 && s.queue[0].at <= l.Now() {
			f := s.queue[0].frame
			s.queue = s.queue[1:]
			l.in(s.port, f)
		}
	}
}

// in lets a frame arrive.
func (l *lab) in(port int, f []byte) {
	l.t.Helper()
	if err := l.Receive(port, f); err != nil {
		l.t.Fatal(err)
	}
}

// run lets time pass, millisecond by millisecond.
func (l *lab) run(d time.Duration) {
	for end := l.Now() + int64(d); l.Now() < end; {
		l.Tick(time.Millisecond)
		l.deliver()
		l.collect()
	}
}

// active returns the name of the active member, "" for none.
func (l *lab) active() string {
	a := l.gw.Live.Active.Load()
	for _, m := range l.gw.Members {
		if m.Slot == a {
			return m.Name
		}
	}
	return ""
}

func (l *lab) member(name string) *fib.MemberLive {
	for _, m := range l.gw.Members {
		if m.Name == name {
			return m.Live
		}
	}
	l.t.Fatalf("the group has no member %q, want one", name)
	return nil
}

func (l *lab) state(name string) gateway.State { return gateway.State(l.member(name).State.Load()) }

func (l *lab) want(active string, why gateway.Why) {
	l.t.Helper()
	if a, w := l.active(), gateway.Why(l.gw.Live.Why.Load()); a != active || w != why {
		l.t.Errorf("at %v %q is active (%v), want %q (%v)", time.Duration(l.Now()), a, w, active, why)
	}
}

// until runs until ok, and returns how long that took.
func (l *lab) until(most time.Duration, ok func() bool) time.Duration {
	l.t.Helper()
	from := l.Now()
	for !ok() {
		if l.Now()-from > int64(most) {
			l.t.Fatalf("the condition does not hold after %v, want it sooner", most)
		}
		l.run(time.Millisecond)
	}
	return time.Duration(l.Now() - from)
}

// drops returns how often a reason was counted on a port.
func (l *lab) drops(port int, r drop.Reason) uint64 {
	l.Ports.Publish()
	return l.Ports.Of(port, stats.Drops+int(r))
}

// emitted counts events of a kind.
func (l *lab) emitted(k gateway.Kind) (n int) {
	l.collect()
	for _, e := range l.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// take returns and forgets the frames seen on a port.
func (l *lab) take(port int) [][]byte {
	l.collect()
	f := l.seen[port]
	l.seen[port] = nil
	return f
}

func (l *lab) clear() {
	for p := range l.seen {
		l.take(p)
	}
}

// out sends a packet of a VM to the far end, and returns where it came out and how.
func (l *lab) out(from, to endpoint.Host, vlan uint16) string {
	l.t.Helper()
	l.clear()
	f, err := endpoint.UDP4(from, to, vlan, 1000, 2000, []byte("payload"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.in(acc, f)
	return l.where()
}

// where says which frame came out, other than the box's own.
func (l *lab) where() string {
	l.collect()
	s := ""
	for p := range l.seen {
		for _, f := range l.take(p) {
			e := wire.Ethernet(f)
			at, l3 := fmt.Sprintf("port %d", p), f[14:]
			if e.Type() == wire.EtherTypeVLAN {
				at, l3 = fmt.Sprintf("port %d VLAN %d", p, e.Tag().VID()), f[18:]
			}
			if l3[0]>>4 == 4 && endpoint.ParseARP(f) == nil {
				s += fmt.Sprintf("%s %s→%s TTL %d;", at, model.MAC(e.Src()), model.MAC(e.Dst()), l3[8])
			}
		}
	}
	return s
}
