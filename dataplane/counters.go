package dataplane

import "penstock/dataplane/stats"

// Prepare makes the counters ready for tables that use indices as u says: room for all of them, and zero where an
// index gets a new owner. It is to be called before the tables are published, when no worker uses tables any more in
// which a reused index has its former owner. It returns when that is so on every worker, which each does between two
// turns: only there is it known what of its counts belongs to the former owner and was not published yet.
func (e *Engine) Prepare(u stats.Indices) {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if e.ended {
		return
	}
	for _, w := range e.workers {
		room := w.grown(&u)
		switch {
		case !room.any() && u.Empty():
		case e.running:
			w.do(func(w *worker) { w.prepare(&u, room) })
		default:
			w.prepare(&u, room)
		}
	}
}

// Prepare is Engine.Prepare for a pipeline without engine.
func (pl *Pipeline) Prepare(u stats.Indices) { pl.prepare(&u, pl.grown(&u)) }

// counterRoom is memory for counters to grow into; nil = there is room.
type counterRoom struct{ vifs, paths, members *stats.Block }

func (r *counterRoom) any() bool { return r.vifs != nil || r.paths != nil || r.members != nil }

// grown allocates what prepare needs. Not the worker's thread calls it.
func (pl *Pipeline) grown(u *stats.Indices) counterRoom {
	return counterRoom{
		vifs:    pl.VIFs.Grown(min(u.VIFs.N, stats.MaxIndices) * stats.RxTxLen),
		paths:   pl.Paths.Grown(min(u.Paths.N, stats.MaxIndices) * stats.TrafficLen),
		members: pl.Members.Grown(min(u.Members.N, stats.MaxIndices) * stats.RxTxLen),
	}
}

// prepare runs on the worker's thread.
func (pl *Pipeline) prepare(u *stats.Indices, room counterRoom) {
	pl.Overlay.Count()
	for _, x := range []struct {
		block, room *stats.Block
		stride      int
		reused      []uint32
	}{
		{pl.VIFs, room.vifs, stats.RxTxLen, u.VIFs.Reused},
		{pl.Paths, room.paths, stats.TrafficLen, u.Paths.Reused},
		{pl.Members, room.members, stats.RxTxLen, u.Members.Reused},
	} {
		x.block.Grow(x.room)
		for _, i := range x.reused {
			x.block.Clear(int(i)*x.stride, x.stride)
		}
	}
}
