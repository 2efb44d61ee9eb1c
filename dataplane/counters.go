package dataplane

import (
	"penstock/dataplane/balance"
	"penstock/dataplane/flow"
	"penstock/dataplane/stats"
)

// Prepare prepares the counters for tables that use the indices u: it makes room for all indices, and sets the
// counters of indices with a new owner to zero. Control calls Prepare before it publishes the tables, and after all
// workers have stopped using tables in which a reused index has its former owner. Each worker prepares its counters
// between two turns, since it may have counts of the former owner that are not published yet. Prepare returns when
// all workers have done so.
func (e *Engine) Prepare(u stats.Indices) {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if e.ended {
		return
	}
	for _, w := range e.workers {
		if room := w.grown(&u); room.any() || !u.Empty() {
			e.on(w, func(w *worker) { w.prepare(&u, room) })
		}
	}
}

// Prepare is Engine.Prepare for a pipeline without engine.
func (pl *Pipeline) Prepare(u stats.Indices) { pl.prepare(&u, pl.grown(&u)) }

// counterRoom is memory for more counters; nil = the counters need no more memory.
type counterRoom struct {
	vifs, paths, members, services, servers *stats.Block
	turns                                   *balance.Turns
	live                                    *flow.Counts
}

func (r *counterRoom) any() bool { return *r != counterRoom{} }

// grown allocates the memory for prepare. Control's thread calls it, so that no worker allocates.
func (pl *Pipeline) grown(u *stats.Indices) counterRoom {
	var live *flow.Counts
	if t := pl.Balance.Flows; t != nil && u.Servers.N > t.Servers.Len() {
		live = flow.NewCounts(max(u.Servers.N, 2*t.Servers.Len()))
	}
	return counterRoom{
		turns: pl.Balance.GrownTurns(u.Services.N), live: live,
		vifs:     pl.VIFs.Grown(min(u.VIFs.N, stats.MaxIndices) * stats.RxTxLen),
		paths:    pl.Paths.Grown(min(u.Paths.N, stats.MaxIndices) * stats.TrafficLen),
		members:  pl.Members.Grown(min(u.Members.N, stats.MaxIndices) * stats.RxTxLen),
		services: pl.Services.Grown(min(u.Services.N, stats.MaxIndices) * stats.ServiceLen),
		servers:  pl.Servers.Grown(min(u.Servers.N, stats.MaxIndices) * stats.ServerLen),
	}
}

// prepare runs on the worker's thread.
func (pl *Pipeline) prepare(u *stats.Indices, room counterRoom) {
	pl.Overlay.Count()
	pl.Balance.Count()
	pl.Balance.Grow(room.turns)
	if room.live != nil {
		pl.Balance.Flows.GrowServers(room.live)
		pl.seen.show(pl.Balance.Flows)
	}
	for _, x := range []struct {
		block, room *stats.Block
		stride      int
		reused      []uint32
	}{
		{pl.VIFs, room.vifs, stats.RxTxLen, u.VIFs.Reused},
		{pl.Paths, room.paths, stats.TrafficLen, u.Paths.Reused},
		{pl.Members, room.members, stats.RxTxLen, u.Members.Reused},
		{pl.Services, room.services, stats.ServiceLen, u.Services.Reused},
		{pl.Servers, room.servers, stats.ServerLen, u.Servers.Reused},
	} {
		x.block.Grow(x.room)
		for _, i := range x.reused {
			x.block.Clear(int(i)*x.stride, x.stride)
		}
	}
}
