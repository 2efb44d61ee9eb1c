package dataplane

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/parse"
)

// AddFlows gives the workers flows that are not from packets of theirs: of a saved file, or of another director. Each
// flow goes to the worker that its packets go to. AddFlows leaves out a flow that the table knows better, one whose
// address or server is a former owner of the index, and one whose idle time is over. The workers add them between two
// turns, in parts of MaxReadFlows: some 50 µs each. AddFlows returns the number added.
func (e *Engine) AddFlows(list []flow.Flow) (added int) {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if e.ended {
		return 0
	}
	s := e.snapshot.Load()
	parts := make([][]flow.Flow, len(e.workers))
	for i := range list {
		if owner, ok := e.ownerOf(s, &list[i].Key); ok && currentServer(s, list[i].Server) {
			parts[owner] = append(parts[owner], list[i])
		}
	}
	for i, part := range parts {
		w := e.workers[i]
		if w.seen.table.Load() == nil {
			continue
		}
		for len(part) > 0 {
			now := part[:min(len(part), MaxReadFlows)]
			part = part[len(now):]
			e.on(w, func(w *worker) { added += addFlows(w.Balance.Flows, now) })
		}
	}
	return added
}

func addFlows(t *flow.Table, list []flow.Flow) (added int) {
	for i := range list {
		f := &list[i]
		var p flow.Probe
		t.Prepare(&p, &f.Key)
		if t.Restore(&p, f.Server, f.State, f.OffTable, f.Age) {
			added++
		}
	}
	return added
}

func currentServer(s *fib.Snapshot, ref fib.Ref) bool {
	i := ref & fib.RefMask
	return uint(i) < uint(len(s.Servers)) && s.Servers[i].Ref == ref
}

// ownerOf returns the worker that the packets of a flow go to.
func (e *Engine) ownerOf(s *fib.Snapshot, k *flow.Key) (worker int, ok bool) {
	i := k.VIP & fib.RefMask
	if uint(i) >= uint(len(s.VIPs)) || s.VIPs[i].Ref != k.VIP || s.VIPs[i].V6 != k.V6 {
		return 0, false
	}
	if len(e.workers) < 2 {
		return 0, true
	}
	v, ports := &s.VIPs[i], uint32(k.ClientPort)<<16|uint32(k.Port)
	h := uint32(0)
	if k.V6 {
		h = parse.FlowHash6(k.Client, v.IP6, ports, k.Proto)
	} else {
		h = parse.FlowHash(k.Client[1]<<32|uint64(v.IP4), ports, k.Proto)
	}
	return int(e.workers[0].Balance.Affinity.Target(h)), true
}

// FlowNews lets the workers tell of off-table flows, and returns what they tell by; nil for a worker without a flow
// table. It may be called again: the news of a worker stay the same.
func (e *Engine) FlowNews() []*flow.News {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	news := make([]*flow.News, len(e.workers))
	for i, w := range e.workers {
		if e.ended || w.seen.table.Load() == nil {
			continue
		}
		if w.news == nil {
			n := new(flow.News)
			e.on(w, func(w *worker) { w.Balance.Flows.SetNews(n) })
			w.news = n
		}
		news[i] = w.news
	}
	return news
}
