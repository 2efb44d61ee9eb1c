package dataplane

import (
	"errors"
	"time"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/gateway"
	"penstock/dataplane/uplink"
)

// ErrNotRunning is returned for commands to gateway groups before Start and after Stop.
var ErrNotRunning = errors.New("the dataplane is not running")

// Clock returns the time on the clock of gateway events and of fib.MemberLive: nanoseconds since the engine was made.
func (e *Engine) Clock() int64 { return int64(time.Since(e.start)) }

// GatewayEvents is the ring in which the dataplane tells of gateway groups. It has one reader.
func (e *Engine) GatewayEvents() *gateway.Events { return e.keeper.Events }

// SetCarrier says that the interface of a port has gained or lost carrier, was set up or down, or is gone. It returns
// when the groups with members behind the port have switched: in one turn of the first worker, without new tables.
func (e *Engine) SetCarrier(port int, up bool) error {
	return e.command(func(now int64, k *uplink.Keeper) error { k.SetCarrier(now, port, up); return nil })
}

// SwitchGateway makes the member in a slot of a group the active one; gateway.None stands for the first other member that
// is up. It returns when that is so. Errors: gateway.ErrNoMember, ErrNotUp, ErrNoOther, or ErrNotRunning.
func (e *Engine) SwitchGateway(group, slot uint32) error {
	return e.command(func(now int64, k *uplink.Keeper) error { return k.Switch(now, group, slot) })
}

// DisableGateway takes a member out of service; the last one that is fit only if force is set (gateway.ErrLast).
func (e *Engine) DisableGateway(group, slot uint32, force bool) error {
	return e.command(func(now int64, k *uplink.Keeper) error { return k.Disable(now, group, slot, force) })
}

// EnableGateway puts a member back into service.
func (e *Engine) EnableGateway(group, slot uint32) error {
	return e.command(func(now int64, k *uplink.Keeper) error { return k.Enable(now, group, slot) })
}

// command runs fn on the first worker's thread, between two turns.
func (e *Engine) command(fn func(now int64, k *uplink.Keeper) error) error {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if !e.running {
		return ErrNotRunning
	}
	var err error
	e.workers[0].do(func(w *worker) { err = fn(e.Clock(), w.keeper) })
	return err
}

// newKeeper makes the Keeper of the gateway groups, which belongs to the first worker.
func (e *Engine) newKeeper() {
	shared := uplink.NewShared(len(e.cfg.Ports))
	first := e.workers[0]
	shared.Wake = first.wakeUp
	for _, w := range e.workers {
		w.Uplink.Shared, w.Uplink.Clock = shared, e.Clock
	}
	k := uplink.NewKeeper(len(e.cfg.Ports), shared)
	k.Send = first.Inject
	k.Room, k.Stuck = first.room, first.stuck
	k.Clean = e.drained
	e.keeper, first.keeper = k, k
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
		if w.drained.Load() < since {
			all = false
			w.wakeUp()
		}
	}
	return all
}

// checkpoint is a moment up to which a worker may have looked at everything: when its rings were last seen empty, or so
// many batches ago that they must have been gone through since.
type checkpoint struct {
	at    int64
	turns int
}

// noteDrained notes how far the worker has come. empty says that every receive ring gave less than a batch in the turn
// that began at now.
func (w *worker) noteDrained(now int64, empty bool) {
	if empty {
		w.drained.Store(now)
		w.clean = checkpoint{at: now}
		return
	}
	if w.clean.turns++; w.clean.turns > w.eng.cfg.RingSize/frame.BatchSize {
		w.drained.Store(w.clean.at)
		w.clean = checkpoint{at: now}
	}
}

// setRefused notes that the kernel has begun, or ceased, to refuse to send on a port.
func (w *worker) setRefused(port uint16, bad bool) {
	w.refused[port] = 0
	if bad {
		w.refused[port] = max(w.Now, 1)
	}
	w.Uplink.Shared.Fault(port, bad)
}
