package keeper

import "penstock/dataplane/fib"

// port is whether a port can be used, as far as is known.
type port struct {
	reported bool // SetCarrier has been called: what the snapshot says, which comes later, does not count
	carrier  bool
	snapshot bool
}

// Up reports whether a port can be used: it has carrier, and the kernel does not refuse to send by it.
func (k *Keeper) Up(port uint16) bool {
	if int(port) >= len(k.ports) {
		return false
	}
	p := &k.ports[port]
	up := p.snapshot
	if p.reported {
		up = p.carrier
	}
	return up && !k.Faulty(port)
}

// Faulty reports whether the kernel refuses some worker to send by a port.
func (k *Keeper) Faulty(port uint16) bool {
	return int(port) < len(k.shared.faults) && k.shared.faults[port].Load() != 0
}

// Open reports whether a port is open. By a port that is not, no target is probed or judged.
func (k *Keeper) Open(port uint16) bool {
	return int(port) < len(k.shared.open) && k.shared.open[port].Load()
}

// SetCarrier says that a port's interface has gained or lost carrier, was set up or down, or is gone. All probers know
// when it returns.
func (k *Keeper) SetCarrier(now int64, port int, up bool) {
	if port < 0 || port >= len(k.ports) {
		return
	}
	k.ports[port].reported, k.ports[port].carrier = true, up
	k.notifyPorts(now)
}

// followPorts takes over the ports of new tables, and reports whether one has changed.
func (k *Keeper) followPorts(s *fib.Snapshot) (changed bool) {
	for i := range s.Ports[:min(len(s.Ports), len(k.ports))] {
		if p := &k.ports[i]; p.snapshot != s.Ports[i].Up {
			p.snapshot, changed = s.Ports[i].Up, true
		}
	}
	return changed
}

func (k *Keeper) notifyPorts(now int64) {
	for i := range k.queues {
		if p := k.queues[i].prober; p != nil {
			p.Ports(now)
		}
	}
}
