package compile

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/table"
)

const groupMAC model.MAC = 0x02ff00000001

func gatewayPorts() []Port {
	return []Port{
		{Name: "acc0", Role: fib.RoleAccess}, {Name: "up0", Role: fib.RoleUplink}, {Name: "up1", Role: fib.RoleUplink},
		{Name: "fab0", Role: fib.RoleFabric, SwitchMAC: switchS, SwitchPort: 3},
	}
}

func member(name, port string, vlan uint16, ip string) GroupMember {
	return GroupMember{Name: name, Port: port, VLAN: vlan, Gateway: netip.MustParseAddr(ip),
		Sources: addrs("192.0.2.9", "2001:db8::9")}
}

func outside() Group {
	return Group{Name: "outside", MAC: groupMAC, IPs: addrs("10.1.0.9", "fd00:1::9"),
		Policy: gateway.DefaultPolicy(), Public: true,
		Members: []GroupMember{member("a", "up0", 0, "192.0.2.1"),
			member("b", "up1", 7, "192.0.2.2")}, Start: "b", Disabled: []string{"a"}}
}

func gatewayWorld(t *testing.T, groups ...Group) *world {
	tb, err := table.NewBindings(table.Config{Capacity: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tb.Close() })
	w := &world{t: t, state: &model.State{}, bindings: map[model.BindingKey]model.Binding{}}
	w.cfg = Config{Ports: gatewayPorts(), Bindings: tb, Capacity: 1000, Groups: groups}
	w.c = New(w.cfg)
	return w
}

func (w *world) apply(s model.State) {
	w.t.Helper()
	p, err := w.c.Plan(&s, model.BindingChanges{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.c.Apply(p)
	if err := w.c.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.state = &s
}

func redAndPublic() model.State {
	return model.State{
		Tenants: map[string]model.Tenant{
			"red": {Name: "red", ID: 100, Gateway: "outside", GatewayAddresses: addrs("10.2.0.9")},
			"pub": {Name: "pub", ID: 2},
			"own": {Name: "own", ID: 101},
		},
		Segments: map[string]model.Segment{
			"red/web": {Tenant: "red", Name: "web", ID: 7}, "red/db": {Tenant: "red", Name: "db", ID: 8},
			"pub/net": {Tenant: "pub", Name: "net", ID: 9}, "own/net": {Tenant: "own", Name: "net", ID: 9},
		},
		Subnets: map[string]model.Subnet{
			"red/web": {Tenant: "red", Name: "web", Segment: "web", Prefix: netip.MustParsePrefix("10.2.0.0/24"),
				Router: netip.MustParseAddr("10.2.0.1")},
			"red/db": {Tenant: "red", Name: "db", Segment: "db", Prefix: netip.MustParsePrefix("10.3.0.0/24")},
			"pub/n4": {Tenant: "pub", Name: "n4", Segment: "net", Prefix: netip.MustParsePrefix("10.1.0.0/16")},
			"pub/n6": {Tenant: "pub", Name: "n6", Segment: "net", Prefix: netip.MustParsePrefix("fd00:1::/64")},
			"own/n4": {Tenant: "own", Name: "n4", Segment: "net", Prefix: netip.MustParsePrefix("10.1.0.0/16")},
		},
	}
}

// A group is the default route of the tenants that name it, and of the public one; where it has an address in one of
// their subnets it is a station there; and their subnets can be reached from outside.
func TestGateways(t *testing.T) {
	w := gatewayWorld(t, outside())
	w.apply(redAndPublic())
	s := w.c.Snapshot()
	gw := w.c.LiveGroups()
	if len(gw) != 1 || gw[0].Index != 1 || gw[0].Name != "outside" || len(gw[0].Members) != 2 ||
		gw[0].Members[1].Name != "b" {
		t.Fatalf("groups %+v, want the group outside with two members", gw)
	}
	g := &s.Groups[1]
	if g.Live != gw[0].Live || g.MAC != uint64(groupMAC) || g.IP4 != 0x0a010009 ||
		g.Live.Start != gw[0].Members[1].Slot || g.Live.Disabled != 1<<gw[0].Members[0].Slot {
		t.Errorf("group %+v, want the addresses, the start and the disabled members of %+v", g, gw[0])
	}
	a, b := g.Members[g.Order[0]], g.Members[g.Order[1]]
	if a.Port != 1 || a.VID != 0 || a.IP != 0xc0000201 || a.Source != 0xc0000209 || b.Port != 2 || b.VID != 7 ||
		b.Source6[0] != 0x20010db800000000 || a.Stat == b.Stat {
		t.Errorf("members %+v and %+v, want the ports, VLANs and addresses as configured", a, b)
	}
	if u := s.Ports[2].Uplink; len(u) != 1 || u[0].VID != 7 || u[0].Group != 1 ||
		uint32(u[0].Slot) != gw[0].Members[1].Slot {
		t.Errorf("uplinks of port 2: %+v, want VLAN 7 of member b", u)
	}
	var nets []string
	for _, n := range g.Subnets4 {
		nets = append(nets, fmt.Sprintf("%x", n.Start))
	}
	if got := strings.Join(nets, " "); got != "a010000 a020000 a030000" || len(g.Subnets6) != 1 {
		t.Errorf("from outside: %s and %d of IPv6", got, len(g.Subnets6))
	}
	for name, want := range map[string]uint32{"red": 1, "pub": 1, "own": 0} {
		if r := s.Routers[w.c.tenants[name].router]; r.Gateway != want {
			t.Errorf("%s: default route %d", name, r.Gateway)
		}
	}
	station := func(seg string, want bool, ip uint32) {
		t.Helper()
		tenant, name, _ := strings.Cut(seg, "/")
		i := w.c.segments[segName{tenant, name}]
		loc, ok := table.FindMAC(s.Bindings, s.Delta, i, uint64(groupMAC))
		if ok != want || ok && loc != fib.GroupLoc(1) || (s.Segments[i].Gateway == 1) != want {
			t.Errorf("%s: location %#x, %v; gateway %d", seg, loc, ok, s.Segments[i].Gateway)
		}
		if mac, loc, ok := table.FindIP4(s.Bindings, s.Delta, i, ip); ok != want || ok &&
			(mac != uint64(groupMAC) || loc != fib.GroupLoc(1)) {
			t.Errorf("%s: %x at %#x, %v", seg, mac, loc, ok)
		}
	}
	station("pub/net", true, 0x0a010009)
	station("red/web", true, 0x0a020009)
	station("red/db", false, 0x0a030009)
	station("own/net", false, 0x0a010009)

	// Without the group the tenants find it at its address, where they name one.
	if err := w.c.Reconfigure(func(c *Config) { c.Groups = nil }); err != nil {
		t.Fatal(err)
	}
	s = w.c.Snapshot()
	station("pub/net", false, 0x0a010009)
	station("red/web", false, 0x0a020009)
	r := s.Routers[w.c.tenants["red"].router]
	if r.Gateway != 0 || r.Via4 != 0x0a020009 || r.Via4Seg != w.c.segments[segName{"red", "web"}] ||
		len(w.c.LiveGroups()) != 0 {
		t.Errorf("router %+v, want the address of red/web and no gateway group", r)
	}
	if s.Groups[1].Live != nil || s.Ports[1].Uplink != nil {
		t.Error("the group is still there")
	}
}

// What keeps its name keeps what is known of it; another gateway under the same name is a new member, in another slot.
func TestGatewaysReconfigured(t *testing.T) {
	w := gatewayWorld(t, outside())
	before := w.c.LiveGroups()[0]
	g := outside()
	g.Members = []GroupMember{member("b", "up1", 7, "192.0.2.2"), member("a", "up0", 0, "192.0.2.77"),
		member("c", "up0", 9, "192.0.2.3")}
	if err := w.c.Reconfigure(func(c *Config) { c.Groups = []Group{g} }); err != nil {
		t.Fatal(err)
	}
	after := w.c.LiveGroups()[0]
	t0 := &w.c.Snapshot().Groups[after.Index]
	if after.Index != before.Index || after.Live != before.Live || after.Members[0] != before.Members[1] {
		t.Errorf("%+v, before %+v", after, before)
	}
	if m := after.Members[1]; m.Live == before.Members[0].Live || m.Slot == before.Members[0].Slot ||
		m.Slot == after.Members[0].Slot {
		t.Errorf("the new a is %+v, the old one %+v", m, before.Members[0])
	}
	if t0.Members[before.Members[0].Slot].Live != nil || len(t0.Order) != 3 ||
		uint32(t0.Order[0]) != after.Members[0].Slot {
		t.Errorf("group %+v, want the removed slot unused and three members in order", t0)
	}
	if err := w.c.Reconfigure(func(c *Config) { c.Groups = []Group{g} }); err != nil {
		t.Fatal(err)
	}
	if got := &w.c.Snapshot().Groups[after.Index]; got != t0 {
		t.Error(
			"the table of groups was copied without a change, want the same table: every worker would read it again")
	}

	g.Members[0].Port = "acc0"
	if err := w.c.Reconfigure(func(c *Config) { c.Groups = []Group{g} }); !errors.Is(err, ErrUplink) ||
		!strings.Contains(err.Error(), `"b"`) {
		t.Errorf("member on an access port: %v", err)
	}
	g.Members = nil
	for i := range 17 {
		g.Members = append(g.Members, member(fmt.Sprint(i), "up0", uint16(i), "192.0.2.1"))
	}
	if err := w.c.Reconfigure(func(c *Config) { c.Groups = []Group{g} }); !errors.Is(err, ErrMembers) {
		t.Errorf("17 members: %v", err)
	}
	if got := w.c.LiveGroups()[0]; got.Members[0] != after.Members[0] {
		t.Error("a refused configuration changed something")
	}
}

func TestGatewayStatus(t *testing.T) {
	w := gatewayWorld(t, outside())
	s := redAndPublic()
	s.Tenants["blue"] = model.Tenant{Name: "blue", ID: 200, Gateway: "outside"}
	s.Tenants["lost"] = model.Tenant{Name: "lost", ID: 201, Gateway: "elsewhere"}
	s.Segments["blue/net"] = model.Segment{Tenant: "blue", Name: "net", ID: 1}
	s.Subnets["blue/a"] = model.Subnet{Tenant: "blue", Name: "a", Segment: "net",
		Prefix: netip.MustParsePrefix("10.2.0.0/16")}
	s.Subnets["blue/b"] = model.Subnet{Tenant: "blue", Name: "b", Segment: "net",
		Prefix: netip.MustParsePrefix("10.9.0.0/16")}
	w.apply(s)
	for _, tc := range []struct {
		kind model.Kind
		key  string
		want string // part of the reason
	}{
		{model.KindTenant, "red", ""}, {model.KindTenant, "pub", ""}, {model.KindTenant, "own", ""},
		{model.KindTenant, "blue", "1 of 2 subnets are cut off from the outside"},
		{model.KindTenant, "lost", "not of this box"},
		{model.KindSubnet, "blue/a", "overlaps a subnet of tenant red"}, {model.KindSubnet, "blue/b",
			""}, {model.KindSubnet, "red/web", ""}, {model.KindSubnet, "pub/n6", ""},
		{model.KindSubnet, "own/n4", ""},
	} {
		st := w.c.Status(tc.kind, tc.key).(*Status)
		if !st.Live || (st.Reason == "") != (tc.want == "") || !strings.Contains(st.Reason, tc.want) {
			t.Errorf("%s %s: %+v, want %q", tc.kind, tc.key, st, tc.want)
		}
	}
	// A pushed binding of the group's MAC is another box's word for what this box has itself.
	w.bindings = nil
	p, err := w.c.Plan(&s, model.BindingChanges{Puts: []model.Binding{{Tenant: "pub", Segment: "net", MAC: groupMAC,
		Addresses: addrs("10.1.0.9"), SwitchMAC: switchX, SwitchPort: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	w.c.Apply(p)
	if st := w.c.Status(model.KindBinding, "pub/net/"+groupMAC.String()).(*Status); !st.Live ||
		!*st.Local || st.Reason == "" {
		t.Errorf("status %+v, want it live and local, with a reason", st)
	}
}

// view is what the packet path sees of the gateways, by name.
func (w *world) gatewayView() []string {
	s := w.c.Snapshot()
	names := map[uint32]string{}
	for n, ref := range w.c.groups {
		names[ref.index] = n
	}
	segs := map[uint32]string{}
	for n, i := range w.c.segments {
		segs[i] = n.tenant + "/" + n.segment
	}
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for n, ref := range w.c.tenants {
		r := &s.Routers[ref.router]
		add("tenant %s: %s via %x in %s", n, names[r.Gateway], r.Via4,
			segs[r.Via4Seg*b(r.Via4 != 0)+fib.None*b(r.Via4 == 0)])
	}
	for i, n := range segs {
		add("segment %s: %s", n, names[s.Segments[i].Gateway])
		for _, g := range w.cfg.Groups {
			if loc, ok := table.FindMAC(s.Bindings, s.Delta, i, uint64(g.MAC)); ok {
				add("segment %s: %s is at %s", n, g.MAC, names[fib.LocGroup(loc)])
			}
			for ip := uint32(0x0a000000); ip < 0x0a000000+8<<16; ip += 1 << 16 {
				if mac, _, ok := table.FindIP4(s.Bindings, s.Delta, i, ip|9); ok {
					add("segment %s: %x is at %x", n, ip|9, mac)
				}
			}
		}
	}
	for n, ref := range w.c.groups {
		for _, x := range s.Groups[ref.index].Subnets4 {
			add("group %s: %x–%x in %s", n, x.Start, x.End, segs[x.Seg])
		}
	}
	slices.Sort(out)
	return out
}

func b(v bool) uint32 {
	if v {
		return 1
	}
	return 0
}

// TestGatewaysRandom: after any changes the tables are those that a compiler makes which sees the state for the first
// time; no two subnets of a group overlap, and of those that would, the tenant with the smaller ID has one.
func TestGatewaysRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	g1, g2 := outside(), outside()
	g2.Name, g2.MAC, g2.Public, g2.IPs = "other", groupMAC+1, false, addrs("10.3.0.9")
	w := gatewayWorld(t, g1, g2)
	for range 150 {
		s := model.State{Tenants: maps.Clone(w.state.Tenants), Segments: maps.Clone(w.state.Segments),
			Subnets: maps.Clone(w.state.Subnets)}
		if s.Tenants == nil {
			s.Tenants, s.Segments = map[string]model.Tenant{}, map[string]model.Segment{}
			s.Subnets = map[string]model.Subnet{}
		}
		for range 1 + rng.IntN(4) {
			i := rng.IntN(4)
			name := fmt.Sprint("t", i)
			if rng.IntN(8) == 0 {
				delete(s.Tenants, name)
				maps.DeleteFunc(s.Segments, func(_ string, x model.Segment) bool { return x.Tenant == name })
				maps.DeleteFunc(s.Subnets, func(_ string, x model.Subnet) bool { return x.Tenant == name })
				continue
			}
			tn := model.Tenant{Name: name, ID: uint32(2 + i),
				Gateway: []string{"", "outside", "other", "nowhere"}[rng.IntN(4)]}
			if rng.IntN(2) == 0 {
				tn.GatewayAddresses = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(rng.IntN(8)), 0, 9})}
			}
			s.Tenants[name] = tn
			seg := fmt.Sprint("s", rng.IntN(2))
			s.Segments[name+"/"+seg] = model.Segment{Tenant: name, Name: seg, ID: uint32(1 + seg[1] - '0')}
			at := rng.IntN(8)
			key := fmt.Sprintf("%s/n%d", name, at)
			if _, there := s.Subnets[key]; there {
				delete(s.Subnets, key)
			} else {
				s.Subnets[key] = model.Subnet{Tenant: name, Name: fmt.Sprint("n", at), Segment: seg,
					Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(at)}), []int{16, 24, 20}[rng.IntN(3)])}
			}
		}
		if p := s.Validate(model.Options{}); len(p) > 0 {
			t.Fatal(p)
		}
		if rng.IntN(5) == 0 {
			groups := []Group{g1, g2}[:rng.IntN(3)]
			if err := w.c.Reconfigure(func(c *Config) { c.Groups = groups }); err != nil {
				t.Fatal(err)
			}
			w.cfg.Groups = groups
		}
		w.apply(s)
		fresh := gatewayWorld(t, w.cfg.Groups...)
		fresh.apply(s)
		if got, want := w.gatewayView(), fresh.gatewayView(); !slices.Equal(got, want) {
			t.Fatalf("after changes:\n%s\nanew:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		w.checkApart()
	}
}

func (w *world) checkApart() {
	w.t.Helper()
	s := w.c.Snapshot()
	for gi := range s.Groups {
		nets := s.Groups[gi].Subnets4
		for i := 1; i < len(nets); i++ {
			if nets[i].Start <= nets[i-1].End {
				w.t.Fatalf("%+v and %+v overlap", nets[i-1], nets[i])
			}
		}
	}
	for _, r := range s.Routers {
		for _, n := range r.Subnets4 {
			if r.Tenant == 0 || r.Gateway == 0 {
				if r.Outside4 != nil {
					w.t.Fatalf("tenant %d without a group may send from %+v to the outside", r.Tenant, r.Outside4)
				}
				continue
			}
			if got := slices.Contains(r.Outside4, n); got != slices.Contains(s.Groups[r.Gateway].Subnets4, n) {
				w.t.Fatalf("tenant %d may send from %+v to the outside: %t, which is not what the group delivers",
					r.Tenant, n, got)
			}
			// Left out only for one of a tenant with a smaller ID.
			x := fib.FindSubnet4(s.Groups[r.Gateway].Subnets4, n.Start)
			if x == nil {
				x = fib.FindSubnet4(s.Groups[r.Gateway].Subnets4, n.End)
			}
			if x == nil {
				w.t.Fatalf("%+v cannot be reached from outside", n)
			}
			if x.Seg != n.Seg && s.Segments[x.Seg].Tenant >= r.Tenant {
				w.t.Fatalf("%+v of tenant %d gives way to one of tenant %d", n, r.Tenant, s.Segments[x.Seg].Tenant)
			}
		}
	}
}

// A box that starts with gateways, and without tables, has no attachment at any port.
func TestGatewaysAlone(t *testing.T) {
	s := gatewayWorld(t, outside()).c.Snapshot()
	for i := range s.Ports {
		if s.Ports[i].Untagged != fib.None {
			t.Errorf("port %d: attachment %d of %d", i, s.Ports[i].Untagged, len(s.Attachments))
		}
	}
}
