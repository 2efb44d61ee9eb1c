package compile

import (
	"fmt"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// check compares the published snapshot with the pushed state.
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
	for _, r := range w.learned {
		switches[uint64(r.At.Switch)] = true
		rows[uint64(r.At.Switch)]++
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
	if n := c.cfg.Bindings.Len() + len(c.held); n != len(w.bindings)+len(w.state.VIFs)+len(w.learned) {
		w.t.Fatalf("%d rows in the table and held back, want %d", n,
			len(w.bindings)+len(w.state.VIFs)+len(w.learned))
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
