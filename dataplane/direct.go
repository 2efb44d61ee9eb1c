package dataplane

import (
	"penstock/dataplane/balance"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
)

// direct gives the workers what they need to direct the virtual addresses of s: flow tables and notes of fragments, in
// memory that is mapped and populated now. A box that directs nothing has none. IPv6 takes memory of its own. The
// tables stay until the engine stops, since an address may come back. If there is no memory for a table, the box
// directs without: the hash alone decides.
func (e *Engine) direct(s *fib.Snapshot) {
	any, v6 := false, false
	for i := range s.VIPs {
		// A box that has an own address for a VIP directs it, or stands by and is told of flows.
		if v := &s.VIPs[i]; v.Ref != 0 && v.Here {
			any, v6 = true, v6 || v.V6
		}
	}
	e.share(s)
	if !any {
		return
	}
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if e.ended || e.noFlows {
		return
	}
	for _, w := range e.workers {
		if err := w.direct(len(s.Servers), v6, func(fn func(*Pipeline)) {
			e.on(w, func(w *worker) { fn(w.Pipeline) })
		}); err != nil {
			e.noFlows = true
			e.cfg.Log(Warn, "no memory for the balancer's flow table: the hash alone selects servers, so that a "+
				"change of servers moves connections; lower balancer.flows and restart", "worker", w.id, "err", err)
			return
		}
	}
}

// SetFlowRate limits the new flows per second that each worker's flow table takes from now on; 0 = no limit.
func (e *Engine) SetFlowRate(perSecond uint32) {
	e.runMu.Lock() // not while a table is made
	defer e.runMu.Unlock()
	if e.ended {
		return
	}
	for _, w := range e.workers {
		e.on(w, func(w *worker) {
			if w.Flows.NewRate = perSecond; w.Balance.Flows != nil {
				w.Balance.Flows.SetRate(perSecond)
			}
		})
	}
}

// noteFlows is the number of flows for which the agents' notes have room: those of services that share a server's port.
const noteFlows = 1 << 16

// share gives the workers the notes of flows that services with a common port of a server need. They need not say that
// they share it: the rules of a service that is gone stay for a time, beside those of its successor.
func (e *Engine) share(s *fib.Snapshot) {
	if e.notes != nil || !s.SharedReplies {
		return
	}
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if e.ended {
		return
	}
	e.notes = flow.NewNotes(noteFlows)
	for _, w := range e.workers {
		e.on(w, func(w *worker) { w.Overlay.Agent.Notes = e.notes })
	}
}

// Direct is what Engine.Publish does for a pipeline without engine.
func (pl *Pipeline) Direct(servers int, v6 bool) error {
	return pl.direct(servers, v6, func(fn func(*Pipeline)) { fn(pl) })
}

// direct makes the memory on the caller's thread, and lets do attach it on the worker's.
func (pl *Pipeline) direct(servers int, v6 bool, do func(func(*Pipeline))) error {
	t := pl.Balance.Flows
	switch {
	case t == nil:
		t, err := flow.New(flow.Config{
			Flows: pl.Flows.Limit, Servers: max(servers, 256), V6: v6, Rate: pl.Flows.NewRate,
		})
		if err != nil {
			return err
		}
		fragments := new(balance.Waiting)
		do(func(pl *Pipeline) { pl.Balance.Flows, pl.Balance.Fragments = t, fragments; pl.seen.show(t) })
	case v6 && !t.V6():
		r, err := flow.MapV6(t.Limit())
		if err != nil {
			return err
		}
		do(func(pl *Pipeline) { t.AttachV6(r); pl.seen.show(t) })
	}
	return nil
}
