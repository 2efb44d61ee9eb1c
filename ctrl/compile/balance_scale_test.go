package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// bigBalanced is a box that directs 100 VIPs with 10 services of 10 servers each.
func bigBalanced(t testing.TB, services, servers int) (*balanced, map[string]ServerHealth) {
	b := newBalanced(t, "D")
	health := map[string]ServerHealth{}
	b.change(func(d *model.Draft) {
		d.Put(model.Subnet{Tenant: "red", Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.10.0.0/16")})
		for i := range servers {
			d.Put(model.VIF{Tenant: "red", Name: fmt.Sprint("v", i), Segment: "web",
				MAC: model.MAC(0x020000000000 + i), Port: "acc0",
				VLAN: 9, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 10, 2, byte(i + 1)})}})
		}
		for i := range services {
			v := fmt.Sprint("v", i/10)
			if i%10 == 0 {
				d.Put(model.VIP{Tenant: "red", Name: v, Segment: "web", Address: netip.AddrFrom4([4]byte{10, 10, 1,
					byte(i / 10)}),
					Directors: []model.Director{{Box: "D", Address: netip.MustParseAddr("10.10.3.1")}}})
			}
			name := fmt.Sprintf("s%04d", i)
			d.Put(model.Service{Tenant: "red", Name: name, VIP: v, ID: uint32(i + 1), Port: uint16(80 + i)})
			for j := range servers {
				s := model.Server{Tenant: "red", Service: name, Name: fmt.Sprint("w", j), VIF: fmt.Sprint("v", j),
					Port: uint16(8000 + i)}
				d.Put(s)
				health[s.Key()] = ServerHealth{Up: true, Weight: 1000}
			}
		}
	})
	return b, health
}

// TestOneOfAThousand: a change of one server leaves the tables of all other services where they are, and verdicts on
// one host's servers of many services reach the packets at once and the tables in steps.
func TestOneOfAThousand(t *testing.T) {
	const services = 60
	b, health := bigBalanced(t, services, 10)
	b.c.SetHealth(health)
	before := map[string]*uint16{}
	for key := range b.state.Services {
		s := b.service(key)
		if len(s.Members) != 10 {
			t.Fatalf("%s has %d members, want 10", key, len(s.Members))
		}
		before[key] = &s.Table[0]
	}
	b.change(func(d *model.Draft) {
		s := d.Servers["red/s0007/w3"]
		s.State = model.StateDisabled
		d.Put(s)
	})
	for key, table := range before {
		if now := &b.service(key).Table[0]; (now != table) != (key == "red/s0007") {
			t.Errorf("%s: another table is %v, want that of red/s0007 alone", key, now != table)
		}
	}
	down := map[string]ServerHealth{}
	for i := range services {
		down[fmt.Sprintf("red/s%04d/w5", i)] = ServerHealth{}
	}
	published, first := b.published, -1
	b.watch = func(s *fib.Snapshot) {
		if first >= 0 {
			return
		}
		first = 0
		for i := range s.Servers {
			if s.Servers[i].Accept == fib.AcceptNone && s.Servers[i].Ref != 0 {
				first++
			}
		}
	}
	b.c.SetHealth(down)
	if first != services+1 {
		t.Errorf("the first publication takes %d servers out, want %d", first, services+1)
	}
	if n := b.published - published; n < 3 {
		t.Errorf("%d publications, want several for %d tables", n, services)
	}
	for key := range b.state.Services {
		want := 9
		if key == "red/s0007" {
			want = 8
		}
		if s := b.service(key); len(s.Members) != want || len(b.c.balancer.pending) != 0 {
			t.Errorf("%s has %d members, want %d, and no table out of date", key, len(s.Members), want)
		}
	}
}

// BenchmarkServerPush pushes one server of 10,000 in 1,000 services.
func BenchmarkServerPush(b *testing.B) {
	w, health := bigBalanced(b, 1000, 10)
	w.c.SetHealth(health)
	on := false
	for b.Loop() {
		d := model.NewDraft(w.state)
		s := d.Servers["red/s0500/w3"]
		s.State = map[bool]string{true: model.StateDisabled, false: ""}[on]
		on = !on
		d.Put(s)
		scope := &model.Scope{}
		scope.Add(model.Ref{Kind: model.KindServer, Key: s.Key()})
		if ps := d.ValidateScope(model.Options{Ports: []model.PortRef{{Name: "acc0", Role: "access"}}},
			scope); len(ps) > 0 {
			b.Fatal(ps[0])
		}
		plan, err := w.c.Plan(&d.State, model.BindingChanges{})
		if err == nil {
			err = w.c.Apply(plan)
		}
		if err != nil {
			b.Fatal(err)
		}
		w.state = &d.State
	}
}

// BenchmarkVerdict takes in a verdict on one server of 10,000, and BenchmarkBindingBeside pushes a binding beside them.
func BenchmarkVerdict(b *testing.B) {
	w, health := bigBalanced(b, 1000, 10)
	w.c.SetHealth(health)
	up := false
	for b.Loop() {
		w.c.SetHealth(map[string]ServerHealth{"red/s0500/w3": {Up: up, Weight: 1000}})
		up = !up
	}
}

func BenchmarkBindingBeside(b *testing.B) {
	w, health := bigBalanced(b, 1000, 10)
	w.c.SetHealth(health)
	port := uint16(0)
	for b.Loop() {
		port = port%200 + 1
		w.bind(0x020000001000, switchX, port, "10.10.9.9")
	}
}
