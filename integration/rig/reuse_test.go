package rig

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
)

// vif returns the counters of a VIF.
func vif(t *testing.T, r *Rig, key string) (c [stats.RxTxLen]uint64) {
	t.Helper()
	i, ok := r.Compiler.VIFIndex(key)
	if !ok {
		t.Fatalf("no VIF %s", key)
	}
	for k := range c {
		c[k] = r.VIFs.Load(int(i)*stats.RxTxLen + k)
	}
	return c
}

// apply changes the state by one transaction.
func apply(t *testing.T, r *Rig, s *model.State, change func(*model.State)) *model.State {
	t.Helper()
	next := *s
	next.VIFs, next.Paths = maps.Clone(s.VIFs), maps.Clone(s.Paths)
	change(&next)
	if err := r.Apply(&next, model.BindingChanges{}); err != nil {
		t.Fatal(err)
	}
	return &next
}

// TestReusedVIFStartsAtZero: a VIF that gets the index of one that has gone has neither its counters nor its exhausted
// limits, and not what the worker had not published when the index changed hands.
func TestReusedVIFStartsAtZero(t *testing.T) {
	o := world(1)
	o.MTU, o.ICMPRate, o.FloodRate = []uint16{fab0: 1500}, 1, 1
	r := start(t, o)
	small := udp(t, remoteMAC(0), localMAC, remoteIP(0), localIP, 100)
	big := udp(t, remoteMAC(0), localMAC, remoteIP(0), localIP, 1500)
	broadcast := udp(t, 0xffffffffffff, localMAC, "255.255.255.255", localIP, 100)
	answered := func() int {
		r.Sent(acc0)
		receive(t, r, acc0, big)
		return len(r.Sent(acc0))
	}
	for range 100 {
		receive(t, r, acc0, small, small, broadcast)
	}
	for answered() > 0 { // the burst
	}
	r.Publish()
	if c := vif(t, r, "red/vm1"); c[stats.Rx] < 300 {
		t.Fatalf("red/vm1 has sent %d packets by the counters, want 300 at least", c[stats.Rx])
	}
	old, _ := r.Compiler.VIFIndex("red/vm1")
	receive(t, r, acc0, small, small, small) // counted by the worker, not published
	s := apply(t, r, o.State, func(s *model.State) { delete(s.VIFs, "red/vm1") })
	apply(t, r, s, func(s *model.State) {
		v := o.State.VIFs["red/vm1"]
		v.Name = "vm9"
		s.VIFs["red/vm9"] = v
	})
	if i, _ := r.Compiler.VIFIndex("red/vm9"); i != old {
		t.Fatalf("the new VIF has index %d, not %d: the test shows nothing", i, old)
	}
	if c := vif(t, r, "red/vm9"); c != [stats.RxTxLen]uint64{} {
		t.Errorf("a new VIF's counters are %v before anything is published, want 0", c)
	}
	r.Publish()
	if c := vif(t, r, "red/vm9"); c != [stats.RxTxLen]uint64{} {
		t.Errorf("a new VIF's counters are %v, want 0", c)
	}
	if answered() != 1 {
		t.Errorf("a new VIF's first packet that is too big is not answered: %v", dropped(r, acc0))
	}
	r.Sent(fab0)
	if receive(t, r, acc0, broadcast); len(r.Sent(fab0)) != 1 {
		t.Errorf("a new VIF's first broadcast is dropped: %v", dropped(r, acc0))
	}
	r.Publish()
	if c := vif(t, r, "red/vm9"); c[stats.Rx] != 2 {
		t.Errorf("a new VIF has sent %d packets by the counters, want 2", c[stats.Rx])
	}
}

// TestReusedPathStartsAtZero: likewise the counters of paths.
func TestReusedPathStartsAtZero(t *testing.T) {
	o := world(1)
	r := start(t, o)
	packets := func(vid uint16) (n uint64) {
		r.Publish()
		for _, p := range r.Compiler.PathStats() {
			if p.VID == vid && p.Switch == otherSwitch {
				n += r.Paths.Load(int(p.Stat) * stats.TrafficLen)
			}
		}
		return n
	}
	f := udp(t, remoteMAC(0), localMAC, remoteIP(0), localIP, 100)
	receive(t, r, acc0, f, f, f)
	if n := packets(101); n != 3 {
		t.Fatalf("%d packets counted on the path, want 3", n)
	}
	s := apply(t, r, o.State, func(s *model.State) { delete(s.Paths, "p") })
	apply(t, r, s, func(s *model.State) {
		s.Paths["q"] = model.Path{A: ourSwitch, B: otherSwitch, VLANs: []model.PathVLAN{{VID: 202, Weight: 1}}}
	})
	if n := packets(202); n != 0 {
		t.Errorf("a new path has carried %d packets, want 0", n)
	}
	if receive(t, r, acc0, f); packets(202) != 1 {
		t.Errorf("a new path has carried %d packets, want 1", packets(202))
	}
}

// TestReusedMemberStartsAtZero: likewise the counters of members of gateway groups.
func TestReusedMemberStartsAtZero(t *testing.T) {
	member := func(name, ip string) compile.GroupMember {
		return compile.GroupMember{Name: name, Port: "up0", Gateway: netip.MustParseAddr(ip),
			Sources: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}
	}
	groups := func(m ...compile.GroupMember) []compile.Group {
		return []compile.Group{{Name: "outside", MAC: groupMAC, Policy: gateway.DefaultPolicy(), Members: m}}
	}
	o := world(1)
	red := o.State.Tenants["red"]
	red.Gateway = "outside"
	o.State.Tenants["red"] = red
	o.Groups = groups(member("a", "192.0.2.1"))
	r := start(t, o)
	f := udp(t, model.MAC(model.DefaultRouterMAC), localMAC, "198.51.100.1", localIP, 100)
	sent := func(member int) (uint64, uint32) {
		for _, g := range r.Compiler.LiveGroups() {
			m := g.Members[member]
			m.Live.SetGateway(uint64(gatewayMAC), true, false)
			g.Live.Active.Store(m.Slot)
			r.Publish()
			return r.Members.Load(int(m.Stat)*stats.RxTxLen + stats.Tx), m.Stat
		}
		return 0, 0
	}
	sent(0)
	receive(t, r, acc0, f, f, f)
	n, old := sent(0)
	if n != 3 {
		t.Fatalf("%d packets counted to the member, want 3; dropped %v", n, dropped(r, acc0))
	}
	reload := func(m ...compile.GroupMember) {
		if err := r.Compiler.Reconfigure(func(c *compile.Config) { c.Groups = groups(m...) }); err != nil {
			t.Fatal(err)
		}
	}
	reload(member("b", "192.0.2.2"))
	reload(member("b", "192.0.2.2"), member("c", "192.0.2.3"))
	if n, stat := sent(1); n != 0 || stat != old {
		t.Errorf("a new member with index %d (want %d) has been sent %d packets, want 0", stat, old, n)
	}
	if receive(t, r, acc0, f); true {
		if n, _ := sent(1); n != 1 {
			t.Errorf("a new member has been sent %d packets, want 1", n)
		}
	}
}

// TestCountersAndLimitsForAll: VIFs with large indices have counters, and limits of their own.
func TestCountersAndLimitsForAll(t *testing.T) {
	const vifs = 20_000 // 10,000 replaced in one transaction
	o := world(1)
	o.Capacity, o.MTU, o.ICMPRate = 2*vifs, []uint16{fab0: 1500}, 1
	mac := func(i int) model.MAC { return model.MAC(0x020100000000 + i) }
	ip := func(i int) string { return fmt.Sprintf("10.1.%d.%d", 100+i/250, i%250+1) }
	for i := range vifs {
		name := fmt.Sprintf("v%05d", i)
		o.State.VIFs["red/"+name] = model.VIF{Tenant: "red", Name: name, Segment: "web", MAC: mac(i), Port: "acc0",
			Addresses: []netip.Addr{netip.MustParseAddr(ip(i))}}
	}
	r := start(t, o)
	most, last := uint32(0), 0
	for i := range vifs {
		if x, _ := r.Compiler.VIFIndex(fmt.Sprintf("red/v%05d", i)); x > most {
			most, last = x, i
		}
	}
	if most < 16_384 {
		t.Fatalf("the largest index is %d: the test shows nothing", most)
	}
	for i := range 64 * 20 { // all but that VIF use up their bursts, whatever bucket it might share
		if i != last {
			receive(t, r, acc0, udp(t, remoteMAC(0), mac(i), remoteIP(0), ip(i), 1500))
		}
	}
	r.Sent(acc0)
	small := udp(t, remoteMAC(0), mac(last), remoteIP(0), ip(last), 100)
	receive(t, r, acc0, small, small, udp(t, remoteMAC(0), mac(last), remoteIP(0), ip(last), 1500))
	if n := len(r.Sent(acc0)); n != 1 {
		t.Errorf("%d answers to a packet that is too big, want 1; dropped %v", n, dropped(r, acc0))
	}
	r.Publish()
	if c := vif(t, r, fmt.Sprintf("red/v%05d", last)); c[stats.Rx] != 3 {
		t.Errorf("the VIF with index %d has sent %d packets by the counters, want 3", most, c[stats.Rx])
	}
	l := r.Compiler.Snapshot().Limits
	for name, n := range map[string]int{"flood": l.Flood.Len(), "ICMP": l.ICMP.Len()} {
		if n <= int(most) {
			t.Errorf("%d %s buckets for indices up to %d", n, name, most)
		}
	}
}
