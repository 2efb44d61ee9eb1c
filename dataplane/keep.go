package dataplane

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/keeper"
	"penstock/dataplane/uplink"
)

// newKeeper makes the Keeper, which runs on the first worker's thread, and its probers.
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
	e.newPaths(k, shared)
}

// keeperSlots is the number of slots of each transmit ring of the first worker that only the Keeper uses. Tenants that
// send more than their uplink carries fill all other slots, and the Keeper must be able to send probes.
const keeperSlots = 16

// keep runs the Keeper. The Keeper's frames are sent before all others, and may use its own slots.
func (w *worker) keep(now int64, s *fib.Snapshot) {
	w.leave = 0
	w.keeper.Turn(now, s)
	w.flushAll()
	w.leave = keeperSlots
}

// room returns the number of frames that the Keeper can send by a port now.
func (w *worker) room(port uint16) int {
	n := w.Cache.Len() + w.eng.pool.Free()
	if sock := w.tx[port]; sock != nil {
		n = min(n, sock.TxFree()-w.Queues[port].Len())
	}
	return n
}

// stuck returns the number of frames that the kernel has taken from a port's transmit ring so far, and whether the ring
// is stuck: frames wait in the ring, and the number has not changed since it was n.
func (w *worker) stuck(port uint16, n uint32) (bool, uint32) {
	sock := w.tx[port]
	if sock == nil {
		return false, n
	}
	taken := sock.TxTaken()
	return taken == n && sock.TxPending(), taken
}

// drained reports whether every worker has processed all frames that had arrived at time since. It wakes workers that
// have not.
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

// setRefused stores whether the kernel refuses to send on a port.
func (w *worker) setRefused(port uint16, bad bool) {
	w.refused[port] = 0
	if bad {
		w.refused[port] = max(w.Now, 1)
	}
	w.Uplink.Shared.Fault(port, bad)
}
