package dataplane

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/keeper"
	"penstock/dataplane/uplink"
)

// newKeeper makes the Keeper, which belongs to the first worker, and the probers that it serves.
func (e *Engine) newKeeper() {
	shared := keeper.NewShared(len(e.cfg.Ports))
	first := e.workers[0]
	shared.Wake = first.wakeUp
	for _, w := range e.workers {
		w.Uplink.Shared, w.Uplink.Clock = shared, e.Clock
	}
	k := keeper.New(len(e.cfg.Ports), shared)
	k.Send = first.Inject
	k.Room, k.Stuck = first.room, first.stuck
	k.Clean = e.drained
	e.keeper, first.keeper = k, k
	e.gateways = uplink.NewProber(k)
}

// keeperSlots is how much of each transmit ring of the first worker is the Keeper's alone: tenants that offer more than
// their uplink carries fill the rest whenever anything moves, and probes must go out all the same.
const keeperSlots = 16

// keep runs the Keeper; what it sends goes before all else, into the slots that are left for it too.
func (w *worker) keep(now int64, s *fib.Snapshot) {
	w.leave = 0
	w.keeper.Turn(now, s)
	w.flushAll()
	w.leave = keeperSlots
}

// room returns how many frames the Keeper can send by a port now.
func (w *worker) room(port uint16) int {
	n := w.Cache.Len() + w.eng.pool.Free()
	if sock := w.tx[port]; sock != nil {
		n = min(n, sock.TxFree()-w.Queues[port].Len())
	}
	return n
}

// stuck reports whether frames wait in a port's transmit ring of which the kernel has taken none since it had taken n;
// and how many it has taken by now.
func (w *worker) stuck(port uint16, n uint32) (bool, uint32) {
	sock := w.tx[port]
	if sock == nil {
		return false, n
	}
	taken := sock.TxTaken()
	return taken == n && sock.TxPending(), taken
}

// drained reports whether every worker has looked at all frames that had arrived by since; those that sleep are woken to
// do so.
func (e *Engine) drained(since int64) bool {
	all := true
	for _, w := range e.workers {
		if w.drain.Time() < since {
			all = false
			w.wakeUp()
		}
	}
	return all
}

// setRefused notes that the kernel has begun, or ceased, to refuse to send on a port.
func (w *worker) setRefused(port uint16, bad bool) {
	w.refused[port] = 0
	if bad {
		w.refused[port] = max(w.Now, 1)
	}
	w.Uplink.Shared.Fault(port, bad)
}
