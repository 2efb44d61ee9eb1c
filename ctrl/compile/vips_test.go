package compile

import (
	"net/netip"
	"strings"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// where names the location of the row of the VIP red/www.
func (b *balanced) where() string {
	loc, ok := b.c.cfg.Bindings.FindMAC(0, 0x02560a0a0164)
	switch {
	case !ok:
		return "nowhere"
	case loc&fib.LocLocal != 0 && loc&fib.LocVIP != 0:
		return "here"
	case loc&fib.LocLocal != 0:
		return "a VIF"
	}
	return model.MAC(b.c.Snapshot().Switches[switchOf(loc)].MAC).String() + " " + string('0'+rune(uint8(loc)))
}

func (b *balanced) wantWhere(what, want string) {
	b.t.Helper()
	if got := b.where(); got != want {
		b.t.Errorf("%s: the VIP is %s, want %s", what, got, want)
	}
}

// TestWhereVIPsLive goes through what says where a VIP is served, from the least to the most.
func TestWhereVIPsLive(t *testing.T) {
	b := newBalanced(t, "K")
	v := vipWWW()
	v.Directors = append(v.Directors, model.Director{Box: "E", Address: v.Directors[0].Address.Next()})
	b.change(func(d *model.Draft) { d.Put(v) })
	b.wantWhere("nothing is known", "nowhere")
	if s := b.c.Status(model.KindVIP, "red/www").(*Status); !strings.Contains(s.Reason, "02:56:0a:0a:01:64") {
		t.Errorf("status %+v, want a reason that names the MAC to bind", s)
	}
	b.bind(0x02560a0a0166, switchY, 2, "10.10.1.102")
	b.wantWhere("the second director is bound", switchY.String()+" 2")
	b.bind(0x02560a0a0165, switchX, 1, "10.10.1.101")
	b.wantWhere("the first is", switchX.String()+" 1")
	if s := b.c.Status(model.KindVIP, "red/www").(*Status); s.Director != "D" || *s.Here || s.Reason != "" {
		t.Errorf("status %+v, want the director D, elsewhere", s)
	}
	b.bind(0x02560a0a0164, switchZ, 3)
	b.wantWhere("the VIP itself is", switchZ.String()+" 3")
	b.bind(0x020000000777, switchZ, 4, "10.10.1.100")
	if mac, _, _ := b.c.cfg.Bindings.FindIP4(0, 0x0a0a0164); mac != 0x02560a0a0164 {
		t.Errorf("a binding of another MAC claims the address: it is that of %x, want the VIP's", mac)
	}
	b.c.SetDirectors(map[string]*Directing{"red/www": {SwitchMAC: switchY, SwitchPort: 9}})
	b.wantWhere("a director announced itself", switchY.String()+" 9")
	b.c.SetDirectors(map[string]*Directing{"red/www": nil})
	b.wantWhere("it fell silent", switchZ.String()+" 3")

	// This box becomes a director: not the first, then the active one, then the first.
	b.change(func(d *model.Draft) {
		w := v
		w.Directors = append([]model.Director{}, v.Directors...)
		w.Directors = append(w.Directors, model.Director{Box: "K", Address: v.Directors[1].Address.Next()})
		d.Put(w)
	})
	b.wantWhere("standby", switchZ.String()+" 3")
	b.c.SetDirectors(map[string]*Directing{"red/www": {Here: true}})
	b.wantWhere("took over", "here")
	b.c.SetDirectors(map[string]*Directing{"red/www": nil})
	b.wantWhere("gave back", switchZ.String()+" 3")
	b.change(func(d *model.Draft) {
		w := v
		w.Mode = model.ModeAnycast
		w.Directors = []model.Director{v.Directors[0], {Box: "K", Address: v.Directors[1].Address.Next()}}
		d.Put(w)
	})
	b.wantWhere("anycast", "here")
	b.change(func(d *model.Draft) { d.Delete(model.KindVIP, "red/www") })
	b.wantWhere("the VIP is gone: its binding counts", switchZ.String()+" 3")
	if mac, _, _ := b.c.cfg.Bindings.FindIP4(0, 0x0a0a0164); mac != 0x020000000777 {
		t.Errorf("the address is that of %x, want 02:00:00:00:07:77, which claims it still", mac)
	}
}

// TestStation: a server behind a port is there once it has answered, and has the port's MAC as source.
func TestStation(t *testing.T) {
	b := newBalanced(t, "D")
	station := serverAt("web1", 20)
	station.Via, station.Port = "fab0", 0
	b.change(func(d *model.Draft) {
		d.Put(vipWWW())
		d.Put(model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80,
			Check: &model.Check{Type: model.CheckNone}})
		d.Put(station)
	})
	reason := func(want string) {
		t.Helper()
		if s := b.c.Status(model.KindServer, "red/http/web1").(*Status); s.Live || !strings.Contains(s.Reason, want) {
			t.Errorf("status %+v, want not live, since %q", s, want)
		}
	}
	reason("port fab0 is a fabric port")
	station.Via = "acc1"
	b.change(func(d *model.Draft) { d.Put(station) })
	reason("10.10.1.20 has not answered on port acc1")
	b.c.SetStations(map[string]model.MAC{"red/http/web1": 0x0200000000aa})
	b.c.SetLink(1, true, 1500, 0x0200000000bb)
	if x := b.server("red/http/web1"); !x.Direct || x.Out != 1 || x.MAC != 0x0200000000aa ||
		x.Source != 0x0200000000bb ||
		x.Port != 0 || x.Accept != fib.AcceptAll {
		t.Errorf("the station answered: %+v, want it behind port 1, from the port's MAC", *x)
	}
	b.c.SetStations(map[string]model.MAC{"red/http/web1": 0})
	reason("has not answered")
}

// TestRenumbered: another tenant ID reaches virtual addresses and services.
func TestRenumbered(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(1)
	b.change(func(d *model.Draft) { d.Put(model.Tenant{Name: "red", ID: 101}) })
	if v, own, s := b.vip("10.10.1.100"), b.vip("10.10.1.101"), b.service("red/http"); v.Tenant != 101 ||
		own.Tenant != 101 || s.Tenant != 101 {
		t.Errorf("tenant IDs %d, %d, %d, want 101", v.Tenant, own.Tenant, s.Tenant)
	}
}

// TestServersFollowRows: servers are found by VIFs and bindings that come later, move and go.
func TestServersFollowRows(t *testing.T) {
	b := newBalanced(t, "D")
	b.change(func(d *model.Draft) {
		d.Put(vipWWW())
		d.Put(model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80,
			Check: &model.Check{Type: model.CheckNone}})
		d.Put(serverAt("web1", 20))
		d.Put(model.Server{Tenant: "red", Service: "http", Name: "web2", VIF: "web2", Port: 8080})
	})
	status := func(name string) *Status { return b.c.Status(model.KindServer, "red/http/"+name).(*Status) }
	if s := status("web1"); s.Live || !strings.Contains(s.Reason, "10.10.1.20") ||
		len(b.service("red/http").Members) != 0 {
		t.Errorf("no binding yet: %+v, want not live, for want of a binding of 10.10.1.20", s)
	}
	if s := status("web2"); s.Live || !strings.Contains(s.Reason, "no VIF web2") {
		t.Errorf("no VIF yet: %+v, want not live, since this box has no VIF web2", s)
	}
	b.bind(0x020000000114, switchX, 3, "10.10.1.20")
	if s := status("web1"); !s.Live || s.State != "up" || b.server("red/http/web1").Accept != fib.AcceptAll {
		t.Errorf("bound: %+v, want live and up", s)
	}
	was := b.server("red/http/web1").Loc
	pushBulk(b.t.(*testing.T), b.c, model.BindingChanges{Puts: []model.Binding{{Tenant: "red", Segment: "web",
		MAC: 0x020000000114, SwitchMAC: switchY, SwitchPort: 5, Addresses: []netip.Addr{serverAt("", 20).Address}}}})
	if now := b.server("red/http/web1").Loc; now == was || uint8(now) != 5 {
		t.Errorf("moved by a bulk push: location %#x, want another than %#x", now, was)
	}
	b.change(func(d *model.Draft) {
		d.Put(model.VIF{Tenant: "red", Name: "web2", Segment: "web", MAC: 0x020000000115, Port: "acc0",
			Addresses: []netip.Addr{serverAt("", 21).Address}})
	})
	if x := b.server("red/http/web2"); x.Loc&fib.LocLocal == 0 || x.MAC != 0x020000000115 ||
		len(b.service("red/http").Members) != 2 {
		t.Errorf("VIF web2 is there: %+v, want it as a member", *x)
	}
	b.change(func(d *model.Draft) { d.Delete(model.KindVIF, "red/web2") })
	if x := b.server("red/http/web2"); x.Accept != fib.AcceptNone || x.Loc != fib.None {
		t.Errorf("VIF web2 is gone: %+v, want that it gets nothing", *x)
	}
}
