package compile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

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
		switch r.pick(13) {
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
		case 5, 6:
			r.learn()
		case 4:
			w.setPlace(4, []Place{{}, {switchS, 200}, {switchX, 3}, {switchX, 7}, {switchZ, 200}}[r.pick(5)])
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
		w.prune()
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
