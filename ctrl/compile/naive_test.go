package compile

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// answers is everything that the packet path would answer, in names; computed once from a snapshot and once, without
// any index, from what was asked for.
type answers map[string]string

func (a answers) add(value any, format string, args ...any) {
	a[fmt.Sprintf(format, args...)] = fmt.Sprint(value)
}

// want computes the answers from the state alone.
func (w *world) want() answers {
	a := answers{}
	owners := map[model.BindingKey]string{}
	ips := map[string]string{}
	flood := map[string]map[string]bool{}
	at := func(m map[string]map[string]bool, k, v string) {
		if m[k] == nil {
			m[k] = map[string]bool{}
		}
		m[k][v] = true
	}
	put := func(k model.BindingKey, where string, list []netip.Addr) {
		owners[k] = where
		for _, ip := range list {
			ips[fmt.Sprintf("ip %s/%s %s", k.Tenant, k.Segment, ip)] = k.MAC.String() + " " + where
		}
	}
	for _, v := range w.state.VIFs {
		where := fmt.Sprintf("local %s.%d", v.Port, v.VLAN)
		put(model.BindingKey{Tenant: v.Tenant, Segment: v.Segment, MAC: v.MAC}, where, v.Addresses)
		at(flood, v.Tenant+"/"+v.Segment, where)
	}
	for k, b := range w.bindings {
		self := slices.ContainsFunc(w.links, func(p portState) bool {
			return p.Role == fib.RoleFabric && p.SwitchPort != 0 && p.SwitchMAC == b.SwitchMAC && uint16(p.SwitchPort) == b.SwitchPort
		})
		if _, local := owners[k]; local || self {
			continue
		}
		where := fmt.Sprintf("%s:%d", b.SwitchMAC, b.SwitchPort)
		put(k, where, b.Addresses)
		at(flood, b.Tenant+"/"+b.Segment, where)
	}
	for k, where := range owners {
		a.add(where, "mac %s/%s %s", k.Tenant, k.Segment, k.MAC)
	}
	maps.Copy(a, ips)
	for key, g := range w.state.Segments {
		a.add(fmt.Sprint(g.UnknownUnicast == "flood", slices.Sorted(maps.Keys(flood[key]))), "segment %s", key)
	}
	for name, t := range w.state.Tenants {
		a.add(model.MAC(routerMAC(t)), "tenant %s", name)
	}
	for _, n := range w.state.Subnets {
		a.add(fmt.Sprint(n.Segment, " ", n.Router.IsValid(), n.Router), "subnet %s %s", n.Tenant, n.Prefix)
	}
	w.wantPaths(a)
	return a
}

func (w *world) wantPaths(a answers) {
	for i, p := range w.links {
		if !p.up || p.Role != fib.RoleFabric || p.SwitchMAC == 0 || p.SwitchPort == 0 {
			continue
		}
		for _, egress := range allSwitches {
			vlans := map[uint16]uint16{}
			x, pushed := w.state.Paths[min(p.SwitchMAC, egress).String()+"/"+max(p.SwitchMAC, egress).String()]
			for _, v := range x.VLANs {
				vlans[v.VID] = max(v.Weight, 1)
			}
			if egress == p.SwitchMAC && !pushed {
				for _, x := range w.state.Paths {
					for _, v := range x.VLANs {
						if x.A == egress || x.B == egress {
							vlans[v.VID] = 1
						}
					}
				}
			}
			src := uint64(p.SwitchMAC)
			if egress == p.SwitchMAC {
				src = p.mac
			}
			for vid, weight := range vlans {
				prefix, base, shift := uint32(p.SwitchPort)<<16|10<<24, uint32(10<<24), 16
				if w.cfg.Scheme == model.Scheme24 {
					prefix, base, shift = uint32(p.SwitchPort)<<24, 0, 24
				}
				a.add(fmt.Sprintf("%012x>%012x w%d mtu%d %08x %08x/%d", src, uint64(egress), weight, p.mtu, prefix, base, shift),
					"path %d %s %d", i, egress, vid)
			}
		}
	}
}

// got computes the answers from a snapshot, asking only for what exists.
func (w *world) got(s *fib.Snapshot) answers {
	w.t.Helper()
	a := answers{}
	where := func(loc fib.Loc) string {
		if loc&fib.LocLocal != 0 {
			v := s.VIFs[loc&^fib.LocLocal]
			at := s.Attachments[v.Attach]
			return fmt.Sprintf("local %s.%d", w.cfg.Ports[at.Port].Name, at.VID)
		}
		return fmt.Sprintf("%s:%d", model.MAC(s.Switches[switchOf(loc)].MAC), loc&0xff)
	}
	candidates := map[string][]netip.Addr{}
	for _, v := range w.state.VIFs {
		candidates[v.Tenant+"/"+v.Segment] = append(candidates[v.Tenant+"/"+v.Segment], v.Addresses...)
	}
	for _, b := range w.bindings {
		candidates[b.Tenant+"/"+b.Segment] = append(candidates[b.Tenant+"/"+b.Segment], b.Addresses...)
	}
	for key, g := range w.state.Segments {
		i, ok := w.segment(s, g.Tenant, g.Name)
		if !ok {
			w.t.Fatalf("segment %s has no index", key)
		}
		e := s.Segments[i]
		for m := range model.MAC(6) {
			m += 0x020000000000
			if loc, ok := table.FindMAC(s.Bindings, s.Delta, i, uint64(m)); ok {
				a.add(where(loc), "mac %s %s", key, m)
				if loc&fib.LocLocal != 0 {
					v := s.VIFs[loc&^fib.LocLocal]
					if j, ok := s.VIFByMAC.Get(fib.VIFKey(v.Attach, v.MAC)); !ok || j != loc&^fib.LocLocal {
						w.t.Fatalf("VIF %s of %s is not found by attachment and MAC", m, key)
					}
				}
			}
		}
		for _, ip := range candidates[key] {
			var mac uint64
			var loc uint32
			if ip.Is4() {
				mac, loc, ok = table.FindIP4(s.Bindings, s.Delta, i, ip4(ip))
			} else {
				mac, loc, ok = table.FindIP6(s.Bindings, s.Delta, i, ip6(ip)[0], ip6(ip)[1])
			}
			if ok {
				a.add(model.MAC(mac).String()+" "+where(loc), "ip %s %s", key, ip)
			}
		}
		flood := map[string]bool{}
		for _, at := range e.Local {
			x := s.Attachments[at]
			flood[fmt.Sprintf("local %s.%d", w.cfg.Ports[x.Port].Name, x.VID)] = true
			f := s.Ports[x.Port]
			if x.VID == 0 && f.Untagged != at || x.VID != 0 && f.Tagged[x.VID] != at {
				w.t.Fatalf("attachment %d is not in the table of port %d", at, x.Port)
			}
		}
		for _, l := range e.Remote {
			flood[where(l)] = true
		}
		if len(flood) != len(e.Local)+len(e.Remote) {
			w.t.Fatalf("segment %s: flood list with duplicates: %v %v", key, e.Local, e.Remote)
		}
		a.add(fmt.Sprint(e.UnknownUnicast, slices.Sorted(maps.Keys(flood))), "segment %s", key)
	}
	for name, t := range w.state.Tenants {
		r, ok := s.Tenants.Get(uint64(t.ID))
		if !ok {
			w.t.Fatalf("tenant %s is not found by ID", name)
		}
		a.add(model.MAC(s.Routers[r].MAC), "tenant %s", name)
		w.gotSubnets(a, s, name, s.Routers[r])
	}
	for _, x := range s.Switches {
		for _, p := range x.Paths {
			k := fmt.Sprintf("path %d %s %d", p.Port, model.MAC(x.MAC), p.VID)
			if a[k] != "" {
				w.t.Fatalf("%s twice", k)
			}
			a[k] = fmt.Sprintf("%012x>%012x w%d mtu%d %08x %08x/%d", p.SrcMAC, p.DstMAC, p.Weight, p.MTU, p.SrcPrefix, p.DstBase, p.DstShift)
		}
	}
	return a
}

func (w *world) gotSubnets(a answers, s *fib.Snapshot, tenant string, r fib.Router) {
	if !slices.IsSortedFunc(r.Subnets4, func(a, b fib.Subnet4) int { return cmp.Compare(a.Start, b.Start) }) {
		w.t.Fatalf("subnets of %s are not sorted: %v", tenant, r.Subnets4)
	}
	names := map[uint32]string{}
	for _, g := range w.state.Segments {
		if g.Tenant == tenant {
			i, _ := w.segment(s, tenant, g.Name)
			names[i] = g.Name
		}
	}
	v4 := func(x uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
	}
	v6 := func(x [2]uint64) netip.Addr {
		var b [16]byte
		for i := range 8 {
			b[i], b[8+i] = byte(x[0]>>(56-8*i)), byte(x[1]>>(56-8*i))
		}
		return netip.AddrFrom16(b)
	}
	for _, n := range r.Subnets4 {
		bits := 32
		for x := n.Start ^ n.End; x != 0; x >>= 1 {
			bits--
		}
		var router netip.Addr
		if n.RouterIP != 0 {
			router = v4(n.RouterIP)
		}
		a.add(fmt.Sprint(names[n.Seg], " ", router.IsValid(), router), "subnet %s %s", tenant, netip.PrefixFrom(v4(n.Start), bits))
		if !slices.Contains(s.Segments[n.Seg].Subnets4, n) {
			w.t.Fatalf("subnet %v is not in its segment", n)
		}
	}
	for _, n := range r.Subnets6 {
		var router netip.Addr
		if n.RouterIP != [2]uint64{} {
			router = v6(n.RouterIP)
		}
		a.add(fmt.Sprint(names[n.Seg], " ", router.IsValid(), router), "subnet %s %s", tenant, netip.PrefixFrom(v6(n.Start), 65))
		if n.End[1] != n.Start[1]|1<<63-1 || n.End[0] != n.Start[0] {
			w.t.Fatalf("subnet %x ends at %x", n.Start, n.End)
		}
		if !slices.Contains(s.Segments[n.Seg].Subnets6, n) {
			w.t.Fatalf("subnet %v is not in its segment", n)
		}
	}
}

// check compares the published snapshot with what was asked for.
func (w *world) check() {
	w.t.Helper()
	s := w.c.Snapshot()
	if s.Delta != nil {
		w.t.Fatal("the delta is still there")
	}
	diffAnswers(w.t, w.want(), w.got(s))
	count := func(n int, what string, want int) {
		w.t.Helper()
		if n != want {
			w.t.Fatalf("%d %s in use, want %d", n, what, want)
		}
	}
	n := 0
	for _, g := range s.Segments {
		if g.Tenant != 0 {
			n++
		}
	}
	count(n, "segments", len(w.state.Segments))
	n, subnets := 0, 0
	for _, r := range s.Routers {
		subnets += len(r.Subnets4) + len(r.Subnets6)
		if r.Tenant != 0 {
			n++
		}
	}
	count(n, "routers", len(w.state.Tenants))
	count(subnets, "subnets", len(w.state.Subnets))
	n, used, open := 0, map[uint32]bool{}, map[uint32]bool{}
	for _, v := range s.VIFs {
		if v.Attach != fib.None {
			n++
			used[v.Attach] = true
			open[v.Attach] = open[v.Attach] || v.Policy == fib.PolicyOff
		}
	}
	count(n, "VIFs", len(w.state.VIFs))
	n = 0
	for i, a := range s.Attachments {
		if a.Seg != fib.None {
			n++
		}
		if a.Open != open[uint32(i)] {
			w.t.Fatalf("attachment %d: open %t, want %t", i, a.Open, open[uint32(i)])
		}
	}
	count(n, "attachments", len(used))
	if err := w.c.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.checkCounts()
}

// checkCounts compares what the compiler counts with the objects themselves, so that nothing leaks.
func (w *world) checkCounts() {
	w.t.Helper()
	c := w.c
	switches, rows, inSeg := map[uint64]bool{}, map[uint64]uint32{}, map[uint32]uint32{}
	stats := 0
	for _, p := range w.links {
		if p.Role != fib.RoleFabric || p.SwitchMAC == 0 || p.SwitchPort == 0 {
			continue
		}
		switches[uint64(p.SwitchMAC)] = true
		local := map[uint16]bool{}
		_, pushed := w.state.Paths[p.SwitchMAC.String()+"/"+p.SwitchMAC.String()]
		for _, x := range w.state.Paths {
			if x.A != p.SwitchMAC && x.B != p.SwitchMAC {
				continue
			}
			switches[uint64(x.A)], switches[uint64(x.B)] = true, true
			stats += len(x.VLANs)
			for _, v := range x.VLANs {
				local[v.VID] = true
			}
		}
		if !pushed {
			stats += len(local)
		}
	}
	for _, b := range w.bindings {
		switches[uint64(b.SwitchMAC)] = true
		rows[uint64(b.SwitchMAC)]++
		inSeg[c.segments[segName{b.Tenant, b.Segment}]]++
	}
	if len(c.switches) != len(switches) {
		w.t.Fatalf("%d switches have an index, want %d", len(c.switches), len(switches))
	}
	for mac, i := range c.switches {
		if !switches[mac] || c.swRows[i] != rows[mac] {
			w.t.Fatalf("switch %s: needed %t, %d rows, want %d", model.MAC(mac), switches[mac], c.swRows[i], rows[mac])
		}
	}
	if len(c.stats) != stats {
		w.t.Fatalf("%d paths have counters, want %d", len(c.stats), stats)
	}
	for i, g := range c.segs {
		if g.pushed != inSeg[uint32(i)] || g.dirty {
			w.t.Fatalf("segment %d: %d pushed rows, want %d; dirty %t", i, g.pushed, inSeg[uint32(i)], g.dirty)
		}
	}
	if n := c.cfg.Bindings.Len() + len(c.held); n != len(w.bindings)+len(w.state.VIFs) {
		w.t.Fatalf("%d rows in the table and held back, want %d", n, len(w.bindings)+len(w.state.VIFs))
	}
}

func diffAnswers(t testing.TB, want, got answers) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: got %q, want %q", k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: got %q, want nothing", k, v)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// indices lists who has which index.
func (w *world) indices() map[string]uint32 {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]uint32{}
	for k, v := range c.tenants {
		out["router "+k] = v.router
	}
	for k, v := range c.segments {
		out["segment "+k.tenant+"/"+k.segment] = v
	}
	for k, v := range c.vifs {
		out["vif "+k] = v.index
	}
	for k, v := range c.attach {
		out[fmt.Sprint("attachment ", k)] = v.index
	}
	for k, v := range c.switches {
		out[fmt.Sprint("switch ", k)] = v
	}
	for k, v := range c.stats {
		out[fmt.Sprint("stat ", k)] = v
	}
	return out
}

// checkStable makes sure that what still exists kept its index, and that what is new has none that was just freed.
func (w *world) checkStable(before map[string]uint32) {
	w.t.Helper()
	after := w.indices()
	freed := map[string]bool{}
	kind := func(k string) string { var s string; fmt.Sscan(k, &s); return s }
	for k, i := range before {
		if j, ok := after[k]; ok && i != j {
			w.t.Fatalf("%s moved from index %d to %d", k, i, j)
		} else if !ok {
			freed[fmt.Sprint(kind(k), i)] = true
		}
	}
	taken := map[string]string{}
	for k, i := range after {
		x := fmt.Sprint(kind(k), i)
		if _, ok := before[k]; !ok && freed[x] {
			w.t.Fatalf("%s took index %d in the change that freed it", k, i)
		}
		if o, ok := taken[x]; ok {
			w.t.Fatalf("%s and %s share index %d", k, o, i)
		}
		taken[x] = k
	}
}

// TestRandom applies random changes of every sort and compares, after each, everything that the packet path would
// answer with a computation that knows no indices; and the snapshot with a delta with the one after folding.
func TestRandom(t *testing.T) {
	for _, scheme := range []model.Scheme{model.Scheme16, model.Scheme24} {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%s/%d", scheme, seed), func(t *testing.T) { randomRun(t, scheme, seed) })
		}
	}
}

func randomRun(t *testing.T, scheme model.Scheme, seed uint64) {
	w := newWorld(t, scheme, testPorts(), 10_000)
	r := random{rand.New(rand.NewPCG(seed, 1)), w}
	w.check()
	for range 250 {
		before := w.indices()
		switch r.pick(10) {
		case 0:
			w.setLink(r.pick(5), r.pick(3) > 0, uint16(1500+100*r.pick(3)), uint64(0x02bb00000000+r.pick(3)))
		case 1:
			r.bulk()
		case 2: // a plan that is dropped changes nothing
			x := w.begin()
			for range 1 + r.pick(4) {
				r.op(x)
			}
			was := w.c.Snapshot()
			if _, err := w.c.Plan(x.next, x.ch); err != nil {
				t.Fatal(err)
			}
			if w.c.Snapshot() != was {
				t.Fatal("a plan published something")
			}
		case 3: // something else happens between Plan and Apply
			x := w.begin()
			r.op(x)
			p, err := w.c.Plan(x.next, x.ch)
			if err != nil {
				t.Fatal(err)
			}
			w.setLink(r.pick(5), r.pick(3) > 0, 1500, uint64(0x02bb00000000+r.pick(3)))
			w.c.Apply(p)
			x.done()
		default:
			x := w.begin()
			for range 1 + r.pick(6) {
				r.op(x)
			}
			p, err := w.c.Plan(x.next, x.ch)
			if err != nil {
				t.Fatal(err)
			}
			old := w.state
			publish := w.c.cfg.Publish
			w.c.cfg.Publish = func(s *fib.Snapshot) {
				publish(s)
				if s.Delta != nil { // the transaction is visible whole, before it is folded
					now := *w
					now.state, now.bindings = old, maps.Clone(w.bindings)
					(&tx{w: &now, next: x.next, ch: x.ch}).done()
					diffAnswers(t, now.want(), now.got(s))
				}
			}
			p.(*plan).cfg.Publish = publish
			w.c.Apply(p)
			w.c.cfg.Publish = publish
			x.done()
		}
		w.check()
		w.checkStable(before)
	}
}

// bulk pushes random rows in place.
func (r random) bulk() {
	w := r.w
	x := w.begin()
	for range 30 {
		tenant, n := fmt.Sprintf("T%d", r.pick(4)), r.pick(3)
		seg := fmt.Sprintf("s%d", n)
		if _, ok := w.state.Segments[tenant+"/"+seg]; ok {
			x.bind(model.Binding{Tenant: tenant, Segment: seg, MAC: r.mac(), Addresses: r.addresses(n),
				SwitchMAC: allSwitches[r.pick(5)], SwitchPort: []uint16{3, 7, 200}[r.pick(3)]})
		}
		if r.pick(3) == 0 {
			x.unbind(model.BindingKey{Tenant: tenant, Segment: seg, MAC: r.mac()})
		}
	}
	half := len(x.ch.Puts) / 2
	if err := w.c.BulkPut(x.ch.Puts[:half]); err != nil {
		w.t.Fatal(err)
	}
	if err := w.c.BulkDelete(x.ch.Deletes); err != nil {
		w.t.Fatal(err)
	}
	if err := w.c.BulkPut(x.ch.Puts[half:]); err != nil {
		w.t.Fatal(err)
	}
	w.c.BulkEnd()
	x.done()
}
