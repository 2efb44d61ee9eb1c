package keeper

import "penstock/dataplane/fib"

// port is the known state of a port.
type port struct {
	reported bool // SetCarrier was called: it precedes the snapshot, whose state is ignored from then on
	carrier  bool
	snapshot bool
}

// Up reports whether a port is usable: it has carrier, and the kernel does not refuse its transmit calls.
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

// Faulty reports whether the kernel refuses the transmit calls of some worker on a port.
func (k *Keeper) Faulty(port uint16) bool {
	return int(port) < len(k.shared.faults) && k.shared.faults[port].Load() != 0
}

// Open reports whether a port is open. By a port that is not, no target is probed or judged.
func (k *Keeper) Open(port uint16) bool {
	return int(port) < len(k.shared.open) && k.shared.open[port].Load()
}

// SetCarrier reports that a port's interface has gained or lost carrier, was set up or down, or is gone. It notifies
// all probers before it returns.
func (k *Keeper) SetCarrier(now int64, port int, up bool) {
	if port < 0 || port >= len(k.ports) {
		return
	}
	k.ports[port].reported, k.ports[port].carrier = true, up
	k.notifyPorts(now)
}

// followPorts adopts the ports of new tables, and reports whether one has changed.
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
