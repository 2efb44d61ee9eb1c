package compile

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// restart makes the box H anew with the state of b, d later, and gives it what b had saved.
func restart(b *balanced, d time.Duration, edit func(*Remains)) *balanced {
	b.t.Helper()
	r, _ := b.c.Remains()
	text, err := json.Marshal(r)
	if err != nil {
		b.t.Fatal(err)
	}
	var saved Remains
	if err := json.Unmarshal(text, &saved); err != nil {
		b.t.Fatal(err)
	}
	if edit != nil {
		edit(&saved)
	}
	next := newBalanced(b.t, "H")
	next.clock.now = b.clock.now.Add(d)
	next.change(func(x *model.Draft) {
		for _, v := range b.state.VIPs {
			x.Put(v)
		}
		for _, v := range b.state.VIFs {
			x.Put(v)
		}
		for _, v := range b.state.Services {
			x.Put(v)
		}
		for _, v := range b.state.Servers {
			x.Put(v)
		}
	})
	next.c.Restore(saved)
	return next
}

// TestRulesOutliveRestart: the reply rules of a removed server end when they would have ended without the restart.
func TestRulesOutliveRestart(t *testing.T) {
	b := host(t)
	before := b.c.RemainsVersion()
	b.change(func(d *model.Draft) {
		d.Delete(model.KindServer, "red/http/web1")
		d.Delete(model.KindService, "red/http")
	})
	if b.c.RemainsVersion() == before {
		t.Error("a server is gone: the version is the same, want another")
	}
	b.clock.turn(time.Minute)
	for range 2 { // a second restart in a row, too
		b = restart(b, time.Minute, nil)
		b.wantRules("after a restart", "8080-8080>80 #7!")
	}
	b.clock.turn(2*time.Minute - time.Second)
	b.wantRules("shortly before the timeout", "8080-8080>80 #7!")
	b.clock.turn(time.Second)
	b.wantRules("after the timeout", "none")
	if r, _ := b.c.Remains(); len(r.Rules) != 0 {
		t.Errorf("after the timeout %v is kept, want nothing", r.Rules)
	}
}

// TestDamagedRemains: saved rules that do not go with the state, or make no sense, are left out.
func TestDamagedRemains(t *testing.T) {
	for name, edit := range map[string]func(*RemainingRule){
		"no VIF":         func(r *RemainingRule) { r.VIF = "red/web9" },
		"no segment":     func(r *RemainingRule) { r.Segment = "db" },
		"no address":     func(r *RemainingRule) { r.Address = netip.Addr{} },
		"another VIP":    func(r *RemainingRule) { r.Address = netip.MustParseAddr("10.10.1.99") },
		"ports reversed": func(r *RemainingRule) { r.First = r.Last + 1 },
		"no protocol":    func(r *RemainingRule) { r.Protocol = 1 },
		"no end":         func(r *RemainingRule) { r.Until = time.Time{} },
		"a far end":      func(r *RemainingRule) { r.Until = r.Until.Add(maxOutlive) },
	} {
		b := host(t)
		b.change(func(d *model.Draft) { d.Delete(model.KindServer, "red/http/web1") })
		b = restart(b, time.Second, func(r *Remains) { edit(&r.Rules[0]) })
		b.wantRules(name, "none")
	}
}

// TestDrainingOutlivesRestart: the time limits of a draining server do not begin anew.
func TestDrainingOutlivesRestart(t *testing.T) {
	b := host(t)
	none := model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80,
		Check: &model.Check{Type: model.CheckNone}}
	b.change(func(d *model.Draft) {
		s := serverAt("web1", 20)
		s.State = model.StateDraining
		d.Put(none)
		d.Put(s)
	})
	b.clock.turn(20 * time.Second)
	want := func(after time.Duration, accept fib.Accept) {
		t.Helper()
		b.clock.turn(after)
		if got := b.server("red/http/web1").Accept; got != accept {
			t.Errorf("%s later: accept %d, want %d", after, got, accept)
		}
	}
	b = restart(b, 5*time.Second, nil)
	want(0, fib.AcceptFlows)
	want(5*time.Second, fib.AcceptTCP)
	b = restart(b, 200*time.Second, nil)
	want(0, fib.AcceptTCP)
	want(70*time.Second, fib.AcceptNone)
	b = restart(b, time.Hour, nil)
	want(0, fib.AcceptNone)

	// The clock may have gone back, and the server may not drain any more.
	b = restart(b, 0, func(r *Remains) { r.Draining["red/http/web1"] = b.clock.now.Add(time.Hour) })
	want(0, fib.AcceptFlows)
	b.change(func(d *model.Draft) { d.Put(serverAt("web1", 20)) })
	b = restart(b, 0, func(r *Remains) {
		r.Draining = map[string]time.Time{"red/http/web1": b.clock.now.Add(-time.Hour)}
	})
	want(0, fib.AcceptAll)
}
