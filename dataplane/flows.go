package dataplane

import (
	"sync/atomic"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
)

// seen is what others than the worker see of its flow table.
type seen struct {
	table  atomic.Pointer[flow.Table]
	live   atomic.Pointer[flow.Counts]
	octets atomic.Int64
}

// show makes a table, or what has changed of it, visible. It runs on the worker's thread.
func (s *seen) show(t *flow.Table) {
	s.live.Store(t.Servers)
	s.octets.Store(int64(t.Octets()))
	s.table.Store(t)
}

// FlowReport has the state and the counters of a worker's flow table. The arrays are by flow.State.
type FlowReport struct {
	Limit  int // 0 = there is no table, since the box directs no virtual address
	Octets int // of memory

	Flows    [flow.States]uint64 // entries now
	Evicted  [flow.States]uint64 // forgotten before their time, to make room
	Expired  [flow.States]uint64
	OffTable uint64 // entries now that the other directors have to be told of
	Inserted uint64
	Guard    uint64 // flows without entry, since there were too many new ones in a second
	NoRoom   uint64 // of the evicted: the table was not full, but their buckets were
	Moved    uint64 // flows that were given another server
}

// FlowTables returns a report for each worker. Counters are some milliseconds old at most.
func (e *Engine) FlowTables() []FlowReport {
	reports := make([]FlowReport, len(e.workers))
	for i, w := range e.workers {
		t := w.seen.table.Load()
		if t == nil {
			continue
		}
		r, s := &reports[i], t.Stats
		r.Limit, r.Octets = t.Limit(), int(w.seen.octets.Load())
		for state := range r.Flows {
			r.Flows[state] = s.Load(flow.StatFlows + state)
			r.Evicted[state] = s.Load(flow.StatEvicted + state)
			r.Expired[state] = s.Load(flow.StatExpired + state)
		}
		r.OffTable, r.Inserted, r.Guard = s.Load(flow.StatOffTable), s.Load(flow.StatInserted), s.Load(flow.StatGuard)
		r.NoRoom, r.Moved = s.Load(flow.StatNoRoom), s.Load(flow.StatMoved)
	}
	return reports
}

// ServerFlows returns the number of live flows of a server; known is false as long as the box has no flow table.
func (e *Engine) ServerFlows(server fib.Ref) (n int, known bool) {
	for _, w := range e.workers {
		if c := w.seen.live.Load(); c != nil {
			n, known = n+int(c.Load(server)), true
		}
	}
	return n, known
}

// MaxReadFlows is the most flows that one ReadFlows copies: the worker forwards nothing meanwhile. That takes some 4 µs
// (flow.BenchmarkRead).
const MaxReadFlows = 256

// ReadFlows copies flows of the worker with the number id to out, from a position on that a call before has returned
// (0 = the beginning). It returns the position to go on with, 0 at the end, and the number copied. Flows that are
// inserted or move between calls may be missing or occur twice. The worker copies them between two turns.
func (e *Engine) ReadFlows(id int, from uint32, out []flow.Flow) (next uint32, n int) {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if e.ended || id < 0 || id >= len(e.workers) || len(out) < 2 {
		return 0, 0
	}
	w := e.workers[id]
	if w.seen.table.Load() == nil {
		return 0, 0
	}
	out = out[:min(len(out), MaxReadFlows)]
	e.on(w, func(w *worker) { next, n = w.Balance.Flows.Read(from, out) })
	return next, n
}
