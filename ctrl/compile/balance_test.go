package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/maglev"
)

// clock is a clock that a test turns on.
type clock struct {
	now    time.Time
	timers []*timer
}

type timer struct {
	at   time.Time
	f    func()
	done bool
}

func (c *clock) after(d time.Duration, f func()) func() {
	t := &timer{at: c.now.Add(d), f: f}
	c.timers = append(c.timers, t)
	return func() { t.done = true }
}

// turn moves the clock on and runs what is due.
func (c *clock) turn(d time.Duration) {
	for end := c.now.Add(d); ; {
		var next *timer
		for _, t := range c.timers {
			if !t.done && !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			c.now = end
			return
		}
		next.done = true
		c.now = next.at
		next.f()
	}
}

// balanced is a box of the balancer: box D unless told otherwise, tenant red with the segment web and its subnets.
type balanced struct {
	*world
	clock *clock
}

func newBalanced(t testing.TB, box string) *balanced {
	w := newWorld(t, model.Scheme16, testPorts(), 4096)
	k := &clock{now: time.Unix(1e9, 0)}
	w.c.cfg.Now, w.c.cfg.After = func() time.Time { return k.now }, k.after
	w.c.cfg.Box, w.c.cfg.BalanceKey = box, [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	b := &balanced{world: w, clock: k}
	b.change(func(d *model.Draft) {
		d.Put(model.Tenant{Name: "red", ID: 100})
		d.Put(model.Segment{Tenant: "red", Name: "web", ID: 1})
		d.Put(model.Subnet{Tenant: "red", Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.10.1.0/24")})
		d.Put(model.Subnet{Tenant: "red", Name: "web6", Segment: "web", Prefix: netip.MustParsePrefix("fd00:10::/64")})
	})
	return b
}

// change validates and applies a change of the state.
func (b *balanced) change(f func(*model.Draft)) {
	b.t.Helper()
	d := model.NewDraft(b.state)
	f(d)
	opts := model.Options{}
	for _, p := range b.cfg.Ports {
		opts.Ports = append(opts.Ports, model.PortRef{Name: p.Name, Role: p.Role.String()})
	}
	if ps := d.Validate(opts); len(ps) > 0 {
		b.t.Fatalf("the state has the problem %v", ps[0])
	}
	plan, err := b.c.Plan(&d.State, model.BindingChanges{})
	if err == nil {
		err = b.c.Apply(plan)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.state = &d.State
}

func (b *balanced) bind(mac model.MAC, sw model.MAC, port uint16, addresses ...string) {
	b.t.Helper()
	x := model.Binding{Tenant: "red", Segment: "web", MAC: mac, SwitchMAC: sw, SwitchPort: port}
	for _, a := range addresses {
		x.Addresses = append(x.Addresses, netip.MustParseAddr(a))
	}
	plan, err := b.c.Plan(b.state, model.BindingChanges{Puts: []model.Binding{x}})
	if err == nil {
		err = b.c.Apply(plan)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func vipWWW() model.VIP {
	return model.VIP{Tenant: "red", Name: "www", Segment: "web", Address: netip.MustParseAddr("10.10.1.100"),
		Directors: []model.Director{{Box: "D", Address: netip.MustParseAddr("10.10.1.101")}}}
}

func serverAt(name string, host int) model.Server {
	return model.Server{Tenant: "red", Service: "http", Name: name, Port: 8080,
		Address: netip.AddrFrom4([4]byte{10, 10, 1, byte(host)})}
}

// http pushes the VIP, the service and n servers web1 … from 10.10.1.20 on, which have no check.
func (b *balanced) http(n int) {
	b.t.Helper()
	for i := range n {
		b.bind(model.MAC(0x020000000114+i), switchX, uint16(3+i), fmt.Sprintf("10.10.1.%d", 20+i))
	}
	b.change(func(d *model.Draft) {
		d.Put(vipWWW())
		d.Put(model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80,
			Check: &model.Check{Type: model.CheckNone}})
		for i := range n {
			d.Put(serverAt(fmt.Sprintf("web%d", i+1), 20+i))
		}
	})
}

func (b *balanced) service(key string) *fib.Service {
	b.t.Helper()
	ref, ok := b.c.balancer.services[key]
	if !ok {
		b.t.Fatalf("service %s is not live", key)
	}
	return &b.c.Snapshot().Services[ref.ref&fib.RefMask]
}

func (b *balanced) server(key string) *fib.Server {
	b.t.Helper()
	ref, ok := b.c.balancer.servers[key]
	if !ok {
		b.t.Fatalf("server %s is not live", key)
	}
	return &b.c.Snapshot().Servers[ref.ref&fib.RefMask]
}

// vip returns the entry of a virtual address.
func (b *balanced) vip(address string) *fib.VIP {
	b.t.Helper()
	a := netip.MustParseAddr(address)
	i, ok := b.c.Snapshot().VIP4(0, ip4(a))
	if !ok {
		b.t.Fatalf("%s is no virtual address of the segment", address)
	}
	return &b.c.Snapshot().VIPs[i]
}

// TestBalanceTables: the tables of a service at the director.
func TestBalanceTables(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(3)
	v := b.vip("10.10.1.100")
	if !v.Here || !v.Usable || v.Own || v.MAC != 0x02560a0a0164 || v.Tenant != 100 {
		t.Errorf("the VIP is %+v, want it here, usable, with MAC 02:56:0a:0a:01:64", *v)
	}
	i, ok := v.Service(6, 80)
	if _, udp := v.Service(17, 80); !ok || udp {
		t.Fatalf("TCP port 80 has the service: %v, UDP: %v; want TCP alone", ok, udp)
	}
	s := &b.c.Snapshot().Services[i]
	if s.ID != 7 || s.Port != 80 || s.PortEnd != 80 || !s.Reject || len(s.Members) != 3 || len(s.Table) != 65537 {
		t.Errorf("service: %+v with %d entries, want ID 7, port 80, 3 members, 65537 entries", s.Members, len(s.Table))
	}
	key := maglev.KeyOf(b.c.cfg.BalanceKey)
	if want := maglev.Build(&key, []maglev.Server{{Name: "web1", Weight: 1}, {Name: "web2", Weight: 1},
		{Name: "web3", Weight: 1}}, 65537); !slices.Equal(s.Table, want) || b.c.Snapshot().BalanceKey != key {
		t.Error("the table or the key is another one than that of the names and the key")
	}
	x := b.server("red/http/web2")
	if loc, _ := b.c.cfg.Bindings.FindMAC(0, 0x020000000115); x.MAC != 0x020000000115 || x.Source != 0x024d4b000007 ||
		x.Port != 8080 || x.Accept != fib.AcceptAll || x.Loc != loc || x.Ref>>fib.RefBits == 0 {
		t.Errorf("server web2: %+v, want its MAC, location %#x, the mark, port 8080, all packets", *x, loc)
	}
	own := b.vip("10.10.1.101")
	if !own.Own || !own.Here || own.MAC != 0x02560a0a0165 {
		t.Errorf("the director's own address: %+v, want it here, with MAC 02:56:0a:0a:01:65", *own)
	}
	for _, mac := range []uint64{0x02560a0a0164, 0x02560a0a0165} {
		if loc, ok := b.c.cfg.Bindings.FindMAC(0, mac); !ok ||
			loc&(fib.LocLocal|fib.LocVIP) != fib.LocLocal|fib.LocVIP {
			t.Errorf("row of %#x: location %#x, %v, want that of a virtual address here", mac, loc, ok)
		}
	}
}

// TestVerdictOutlivesPush: a server that is deleted and made anew keeps the verdict on it, and gets another index
// count;
// verdicts on servers that are not there do not pile up.
func TestVerdictOutlivesPush(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(2)
	b.change(func(d *model.Draft) { d.Put(model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80}) })
	b.c.SetHealth(map[string]ServerHealth{"red/http/web1": {Up: true, Weight: 1000}})
	was := b.server("red/http/web1").Ref
	b.change(func(d *model.Draft) { d.Delete(model.KindServer, "red/http/web1") })
	if n := len(b.service("red/http").Members); n != 0 {
		t.Errorf("%d members without web1, want none: web2 has no verdict", n)
	}
	b.change(func(d *model.Draft) { d.Put(serverAt("web1", 20)) })
	if x := b.server("red/http/web1"); x.Accept != fib.AcceptAll || x.Ref == was {
		t.Errorf("made anew: accept %d, index %#x, want all packets and another index than %#x", x.Accept, x.Ref, was)
	}
	foreign := map[string]ServerHealth{}
	for i := range maxForeign + 100 {
		foreign[fmt.Sprint("red/http/x", i)] = ServerHealth{}
	}
	b.c.SetHealth(foreign)
	b.c.SetHealth(map[string]ServerHealth{"red/http/web2": {Up: true, Weight: 1000}})
	if n := len(b.c.balancer.health); n != 2 || len(b.service("red/http").Members) != 2 {
		t.Errorf("%d verdicts are kept, want those on web1 and web2", n)
	}
}

// TestDraining: a draining server gets no new flows, keeps those of UDP for 30 s and those of TCP for its service's
// timeout, without a push in between.
func TestDraining(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(3)
	b.change(func(d *model.Draft) {
		s := serverAt("web2", 21)
		s.State = model.StateDraining
		d.Put(s)
	})
	for _, step := range []struct {
		after time.Duration
		want  fib.Accept
	}{{0, fib.AcceptFlows}, {29 * time.Second, fib.AcceptFlows}, {time.Second, fib.AcceptTCP},
		{269 * time.Second, fib.AcceptTCP}, {time.Second, fib.AcceptNone}} {
		b.clock.turn(step.after)
		if got := b.server("red/http/web2").Accept; got != step.want {
			t.Errorf("%s later: accept %d, want %d", step.after, got, step.want)
		}
		if s := b.service("red/http"); len(s.Members) != 2 {
			t.Errorf("the service has the members %v, want two", s.Members)
		}
	}
	if s := b.c.Status(model.KindServer, "red/http/web2").(*Status); s.State != "drained" {
		t.Errorf("status %q after the timeout, want drained", s.State)
	}
	b.change(func(d *model.Draft) { d.Put(serverAt("web2", 21)) })
	if got := b.server("red/http/web2").Accept; got != fib.AcceptAll || len(b.service("red/http").Members) != 3 {
		t.Errorf("enabled again: accept %d, want all", got)
	}
}
