package compile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

var _ core.Live = (*Compiler)(nil)

const (
	switchS model.MAC = 0x02aa00000001 // this box's
	switchR model.MAC = 0x02aa00000002 // this box's second
	switchX model.MAC = 0x02aa00000011
	switchY model.MAC = 0x02aa00000012
	switchZ model.MAC = 0x02aa00000013
)

var allSwitches = []model.MAC{switchS, switchR, switchX, switchY, switchZ}

// world is a compiler under test with its whole input.
type world struct {
	t        testing.TB
	c        *Compiler
	cfg      Config
	state    *model.State
	bindings map[model.BindingKey]model.Binding
	links    []portState
	learned  map[model.BindingKey]FabricRow // by names; perhaps outdated, see told

	published int
	watch     func(*fib.Snapshot) // called with each snapshot; nil = nobody
}

func testPorts() []Port {
	return []Port{
		{Name: "acc0", Role: fib.RoleAccess, CompleteChecksums: true, ClampMSS: true},
		{Name: "acc1", Role: fib.RoleAccess},
		{Name: "fab0", Role: fib.RoleFabric, SwitchMAC: switchS, SwitchPort: 3},
		{Name: "fab1", Role: fib.RoleFabric, SwitchMAC: switchR, SwitchPort: 7},
		{Name: "fab2", Role: fib.RoleFabric},
	}
}

func newWorld(t testing.TB, scheme model.Scheme, ports []Port, capacity int) *world {
	tb, err := table.NewBindings(table.Config{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tb.Close() })
	w := &world{t: t, state: &model.State{}, bindings: map[model.BindingKey]model.Binding{},
		learned: map[model.BindingKey]FabricRow{}}
	w.cfg = Config{
		Scheme: scheme, Ports: ports, EdgeMAC: 0x02ee00000001, ControlVLAN: 4000, Bindings: tb, Capacity: capacity,
		FloodRate: 100, FloodBurst: 200, ICMPRate: 10, ICMPBurst: 20, Publish: w.publish,
	}
	w.links = make([]portState, len(ports))
	for i, p := range ports {
		w.links[i].Port = p
	}
	w.c = New(w.cfg)
	w.cfg.Scheme = w.c.cfg.Scheme
	return w
}

// publish is what the workers would do with a snapshot: they may still use the one before.
func (w *world) publish(s *fib.Snapshot) {
	w.published++
	if w.watch != nil {
		w.watch(s)
	}
	if w.c != nil {
		w.checkIndices(w.c.Snapshot())
	}
	w.checkIndices(s)
}

// checkIndices makes sure that everything that a worker can find with this snapshot leads to something that exists.
func (w *world) checkIndices(s *fib.Snapshot) {
	w.t.Helper()
	for i, g := range s.Segments {
		if g.Tenant == 0 {
			continue
		}
		if r := s.Routers[g.Router]; r.Tenant != g.Tenant {
			w.t.Fatalf("segment %d of tenant %d has the router of tenant %d", i, g.Tenant, r.Tenant)
		}
		for _, a := range g.Local {
			if s.Attachments[a].Seg != uint32(i) {
				w.t.Fatalf("segment %d floods to attachment %d of segment %d", i, a, s.Attachments[a].Seg)
			}
		}
		for _, l := range g.Remote {
			if s.Switches[switchOf(l)].MAC == 0 {
				w.t.Fatalf("segment %d floods to free switch %d", i, switchOf(l))
			}
		}
	}
	for _, b := range w.bindings {
		i, ok := w.segment(s, b.Tenant, b.Segment)
		if !ok {
			continue
		}
		loc, ok := table.FindMAC(s.Bindings, s.Delta, i, uint64(b.MAC))
		switch {
		case !ok:
		case loc&fib.LocLocal != 0:
			if v := s.VIFs[loc&^fib.LocLocal]; v.MAC != uint64(b.MAC) || v.Seg != i {
				w.t.Fatalf("binding %s leads to VIF %+v", b.MAC, v)
			}
		case s.Switches[switchOf(loc)].MAC == 0:
			w.t.Fatalf("binding %s leads to free switch %d", b.MAC, switchOf(loc))
		}
	}
}

func (w *world) segment(s *fib.Snapshot, tenant, segment string) (uint32, bool) {
	g, ok := w.state.Segments[tenant+"/"+segment]
	if !ok {
		return 0, false
	}
	return s.SegmentByID.Get(fib.SegmentKey(w.state.Tenants[tenant].ID, g.ID))
}

// tx is a transaction under construction.
type tx struct {
	w    *world
	next *model.State
	ch   model.BindingChanges
	seen map[model.BindingKey]bool
}

func (w *world) begin() *tx {
	s := *w.state
	return &tx{w: w, next: &s, seen: map[model.BindingKey]bool{}}
}

func own[V any](m *map[string]V) map[string]V {
	*m = maps.Clone(*m)
	if *m == nil {
		*m = map[string]V{}
	}
	return *m
}

func (x *tx) tenant(v model.Tenant)   { own(&x.next.Tenants)[v.Name] = v }
func (x *tx) segment(v model.Segment) { own(&x.next.Segments)[v.Tenant+"/"+v.Name] = v }
func (x *tx) subnet(v model.Subnet)   { own(&x.next.Subnets)[v.Tenant+"/"+v.Name] = v }
func (x *tx) vif(v model.VIF)         { own(&x.next.VIFs)[v.Tenant+"/"+v.Name] = v }
func (x *tx) path(v model.Path)       { own(&x.next.Paths)[v.A.String()+"/"+v.B.String()] = v }

func (x *tx) bind(b model.Binding) {
	if k := (model.BindingKey{Tenant: b.Tenant, Segment: b.Segment, MAC: b.MAC}); !x.seen[k] {
		x.seen[k] = true
		x.ch.Puts = append(x.ch.Puts, b)
	}
}

func (x *tx) unbind(k model.BindingKey) {
	if !x.seen[k] {
		x.seen[k] = true
		x.ch.Deletes = append(x.ch.Deletes, k)
	}
}

// dropSegment deletes a segment with all that hangs from it, as core's cascade does.
func (x *tx) dropSegment(key string) {
	g := x.next.Segments[key]
	for k, n := range x.next.Subnets {
		if n.Tenant == g.Tenant && n.Segment == g.Name {
			delete(own(&x.next.Subnets), k)
		}
	}
	for k, v := range x.next.VIFs {
		if v.Tenant == g.Tenant && v.Segment == g.Name {
			delete(own(&x.next.VIFs), k)
		}
	}
	for k := range x.w.bindings {
		if k.Tenant == g.Tenant && k.Segment == g.Name {
			x.unbind(k)
		}
	}
	puts := x.ch.Puts[:0]
	for _, b := range x.ch.Puts {
		if b.Tenant != g.Tenant || b.Segment != g.Name {
			puts = append(puts, b)
			continue
		}
		// It may be in the table from before this transaction.
		x.ch.Deletes = append(x.ch.Deletes, model.BindingKey{Tenant: b.Tenant, Segment: b.Segment, MAC: b.MAC})
	}
	x.ch.Puts = puts
	delete(own(&x.next.Segments), key)
}

func (x *tx) dropTenant(name string) {
	for k, g := range x.next.Segments {
		if g.Tenant == name {
			x.dropSegment(k)
		}
	}
	delete(own(&x.next.Tenants), name)
}

// done is called when the transaction is about to be applied: from then on the world expects it.
func (x *tx) done() {
	x.w.state = x.next
	for _, k := range x.ch.Deletes {
		delete(x.w.bindings, k)
	}
	for _, b := range x.ch.Puts {
		x.w.bindings[model.BindingKey{Tenant: b.Tenant, Segment: b.Segment, MAC: b.MAC}] = b
	}
}

func (x *tx) commit() {
	x.w.t.Helper()
	p, err := x.w.c.Plan(x.next, x.ch)
	if err != nil {
		x.w.t.Fatal(err)
	}
	x.w.c.Apply(p)
	x.done()
	x.w.check()
}

func (w *world) setLink(port int, up bool, mtu uint16, mac uint64) {
	w.links[port].up, w.links[port].mtu, w.links[port].mac = up, mtu, mac
	w.c.SetLink(port, up, mtu, mac)
}

// setPlace sets the place of a port that has none by configuration.
func (w *world) setPlace(port int, at Place) {
	w.t.Helper()
	w.links[port].SwitchMAC, w.links[port].SwitchPort = at.Switch, at.Port
	if err := w.c.SetPlace(port, at); err != nil {
		w.t.Fatal(err)
	}
}

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// random builds random but valid transactions over a small set of names, so that everything collides often.
type random struct {
	*rand.Rand
	w *world
}

func (r random) pick(n int) int { return r.IntN(n) }

func (r random) mac() model.MAC { return model.MAC(0x020000000000 + r.pick(6)) }

// addresses are so many that no two rows claim the same one: disputes are the business of TestClaims.
func (r random) addresses(seg int) []netip.Addr {
	var out []netip.Addr
	for range r.pick(3) {
		if r.pick(3) == 0 {
			out = append(out, netip.MustParseAddr(fmt.Sprintf("fd00:%d::%x:%x", seg, r.pick(65_536), r.pick(65_536))))
		} else {
			out = append(out, netip.AddrFrom4([4]byte{byte(11 + r.pick(200)), byte(seg), byte(r.pick(256)),
				byte(r.pick(256))}))
		}
	}
	return out
}

func (r random) vlans() []model.PathVLAN {
	var out []model.PathVLAN
	for v := range uint16(5) {
		if r.pick(2) == 0 {
			out = append(out, model.PathVLAN{VID: 100 + v, Weight: uint16(r.pick(3))})
		}
	}
	return out
}

func (r random) op(x *tx) {
	tenant := fmt.Sprintf("T%d", r.pick(4))
	n := r.pick(3)
	seg := fmt.Sprintf("s%d", n)
	key := tenant + "/" + seg
	_, hasTenant := x.next.Tenants[tenant]
	_, hasSeg := x.next.Segments[key]
	switch r.pick(14) {
	case 0, 1:
		id := uint32(2 + r.pick(8))
		for _, t := range x.next.Tenants {
			if t.ID == id && t.Name != tenant {
				return
			}
		}
		t := model.Tenant{Name: tenant, ID: id}
		if r.pick(2) == 0 {
			m := model.MAC(0x0299)
			t.RouterMAC = &m
		}
		x.tenant(t)
	case 2:
		if hasTenant && r.pick(3) == 0 {
			x.dropTenant(tenant)
		}
	case 3, 4:
		if hasTenant {
			x.segment(model.Segment{Tenant: tenant, Name: seg, ID: uint32(n+1) * uint32(1+r.pick(2)*10),
				UnknownUnicast: []string{"", "drop", "flood"}[r.pick(3)]})
		}
	case 5:
		if hasSeg && r.pick(2) == 0 {
			x.dropSegment(key)
		}
	case 6:
		if hasSeg {
			i := r.pick(5)
			name := fmt.Sprintf("net%d", i)
			if _, ok := x.next.Subnets[tenant+"/"+name]; ok && r.pick(2) == 0 {
				delete(own(&x.next.Subnets), tenant+"/"+name)
				return
			}
			s := model.Subnet{Tenant: tenant, Name: name, Segment: seg,
				Prefix: netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i, r.pick(2)))}
			if i == 4 {
				s.Prefix = netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/65", r.pick(4)))
			}
			if r.pick(2) == 0 {
				s.Router = s.Prefix.Addr().Next()
			}
			x.subnet(s)
		}
	case 7, 8:
		r.vifOp(x, tenant, seg, n, hasSeg)
	case 9, 10, 11:
		if hasSeg {
			x.bind(model.Binding{Tenant: tenant, Segment: seg, MAC: r.mac(), Addresses: r.addresses(n),
				SwitchMAC: allSwitches[r.pick(5)], SwitchPort: []uint16{3, 7, 200}[r.pick(3)]})
		}
	case 12:
		x.unbind(model.BindingKey{Tenant: tenant, Segment: seg, MAC: r.mac()})
	case 13:
		a, b := allSwitches[r.pick(5)], allSwitches[r.pick(5)]
		if a > b {
			a, b = b, a
		}
		if r.pick(3) == 0 {
			delete(own(&x.next.Paths), a.String()+"/"+b.String())
		} else {
			x.path(model.Path{A: a, B: b, VLANs: r.vlans()})
		}
	}
}

func (r random) vifOp(x *tx, tenant, seg string, n int, hasSeg bool) {
	name := fmt.Sprintf("vm%d", r.pick(5))
	if _, ok := x.next.VIFs[tenant+"/"+name]; ok && r.pick(3) == 0 {
		delete(own(&x.next.VIFs), tenant+"/"+name)
		return
	}
	if !hasSeg {
		return
	}
	v := model.VIF{Tenant: tenant, Name: name, Segment: seg, MAC: r.mac(), Addresses: r.addresses(n),
		Port: fmt.Sprintf("acc%d", r.pick(2)), VLAN: []uint16{0, 5, 9}[r.pick(3)], AntiSpoof: []string{"", "strict",
			"mac", "off"}[r.pick(4)]}
	for _, o := range x.next.VIFs {
		if o.Tenant == tenant && o.Name == name {
			continue
		}
		sameSeg := o.Tenant == tenant && o.Segment == seg
		if sameSeg && o.MAC == v.MAC || o.Port == v.Port && o.VLAN == v.VLAN && !sameSeg {
			return
		}
	}
	x.vif(v)
}
