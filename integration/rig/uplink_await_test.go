package rig_test

import (
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/resolve"
	"penstock/integration/endpoint"
)

// A packet from outside waits for the binding of its destination, behind the group itself and behind a router; one that
// waits in vain, or whose subnet goes meanwhile, is discarded under a reason of its own.
func TestIngressWaits(t *testing.T) {
	l := up(t, policy())
	if err := l.Compiler.Reconfigure(func(c *compile.Config) { c.MessageVLAN = 4000 }); err != nil {
		t.Fatal(err)
	}
	reader := resolve.NewReader(l.Resolve)
	gateway := l.stations[0].MAC
	send := func(to string) {
		t.Helper()
		f, err := endpoint.UDP4(at4(gateway, farIP), at4(vmac, addr(to)), 0, 1000, 2000, []byte("payload"))
		if err != nil {
			t.Fatal(err)
		}
		l.clear()
		l.in(up0, f)
	}
	apply := func(change func(*model.State)) {
		t.Helper()
		s := network()
		change(s)
		if err := l.Apply(s, model.BindingChanges{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ tenant, segment, ip, want string }{
		{"pub", "net", "203.0.113.77", "port 0 VLAN 30 02:ff:00:00:00:01→02:00:00:00:07:07 TTL 64;"},
		{"red", "web", "10.0.0.7", "port 0 VLAN 30 02:50:53:00:00:01→02:00:00:00:07:07 TTL 63;"},
	} {
		apply(func(*model.State) {})
		send(c.ip)
		l.Resolve.Wake()
		ip := addr(c.ip).As4()
		n := reader.TakeEvents(func(e resolve.Event) {
			if e.Kind != resolve.MissIP4 || netip.AddrFrom4([4]byte(e.IP[:4])) != addr(c.ip) {
				t.Errorf("%s: control is told %+v, want the miss of %v", c.tenant, e, ip)
			}
		})
		if got := l.where(); n != 1 || got != "" || l.Verify.Count()["waiting"] != 1 {
			t.Errorf("%s: %q sent, %d events, %v, want one event and one frame waiting", c.tenant, got, n,
				l.Verify.Count())
		}
		apply(func(s *model.State) {
			s.VIFs["x/7"] = model.VIF{Tenant: c.tenant, Name: "7", Segment: c.segment, Port: "acc", VLAN: 30,
				MAC: 0x020000000707, Addresses: []netip.Addr{addr(c.ip)}}
		})
		l.run(5 * time.Millisecond)
		if got := l.where(); got != c.want {
			t.Errorf("%s: with the binding %q, want %q", c.tenant, got, c.want)
		}
	}
	apply(func(*model.State) {})
	before := l.drops(up0, drop.ResolveTimeout)
	send("203.0.113.78")
	send("10.0.0.8")
	apply(func(s *model.State) {
		delete(s.Subnets, "red/n4")
		s.VIFs["red/vm8"] = model.VIF{Tenant: "red", Name: "vm8", Segment: "web", Port: "acc", VLAN: 30,
			MAC: 0x020000000707, Addresses: []netip.Addr{addr("10.0.0.8")}}
	})
	l.run(1010 * time.Millisecond)
	if got, n := l.where(), l.drops(up0, drop.ResolveTimeout)-before; got != "" || n != 2 {
		t.Errorf("%q sent and %d discarded as %v, want none and 2", got, n, drop.ResolveTimeout)
	}
}
