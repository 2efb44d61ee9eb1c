package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/edge"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// puntLimit is how many frames of a kind may go to control from one port, per second, and at once.
type puntLimit struct{ rate, burst uint32 }

// puntLimits are the limits by kind. Each port has them to itself, whatever the number of workers, so that the box behind one
// port cannot keep those behind others from being heard. The bursts of 32 ports fit a worker's ring at once.
var puntLimits = [edge.PuntKinds]puntLimit{
	edge.PuntARP:  {rate: 200, burst: 8}, // a box is asked once a second or so
	edge.PuntLLDP: {rate: 20, burst: 4},  // one a second while it starts, then one in 30 s (IEEE 802.1AB, 9.2.5)
}

// minFrame is an Ethernet header: of anything shorter the kernel never gives the buffer back.
const minFrame = 14

// punt hands a copy of the frame to control.
func (pl *Pipeline) punt(p *frame.Packet) {
	l := puntLimits[p.Kind%edge.PuntKinds]
	switch {
	case !pl.PuntLimits.At(uint32(p.Port)*edge.PuntKinds+uint32(p.Kind)).Take(pl.Now, l.rate, l.burst, 1):
		pl.Discard(p.Port, drop.PuntLimit, p.Off, p.Len)
	case !pl.Punts.Put(p.Port, p.Kind, p.Bytes(pl.Mem)):
		pl.Discard(p.Port, drop.PuntFull, p.Off, p.Len)
	default:
		pl.Ports.Count(p.Port, stats.Punted, 1)
		pl.Free(p.Off)
	}
}

// Inject sends a frame that the box made out of port. It waits there for the port's next flush.
func (pl *Pipeline) Inject(port uint16, data []byte) {
	if int(port) >= len(pl.Queues) {
		return
	}
	addr, ok := pl.Cache.Get()
	if !ok {
		pl.Unmade(port, stats.Injected)
		return
	}
	pl.Ports.Count(port, stats.Injected, 1)
	pl.Move(addr, frame.OwnerPool, frame.OwnerBatch)
	off := addr + frame.Headroom
	n := copy(pl.Mem[off:addr+pl.Pool.FrameSize()], data)
	pl.send(port, off, uint16(n))
}

// Punted calls fn for every frame that the workers have handed to control since the last call.
// The data is valid only during the call. One caller at a time.
func (e *Engine) Punted(fn func(port int, kind uint8, data []byte)) {
	for _, w := range e.workers {
		for s := w.Punts.Peek(); s != nil; s = w.Punts.Peek() {
			fn(int(s.Port), s.Kind, s.Data[:s.Len])
			w.Punts.Drop()
		}
	}
}

// Inject sends a frame out of port; false when the ring to the worker is full, there is no such port, or data is
// shorter than an Ethernet header or longer than a frame buffer holds behind its headroom.
func (e *Engine) Inject(port int, data []byte) bool {
	if len(data) < minFrame || len(data) > e.cfg.FrameSize-frame.Headroom {
		return false
	}
	w := e.workers[0]
	e.injectMu.Lock()
	ok := port >= 0 && port < len(e.cfg.Ports) && w.injects.Put(uint16(port), 0, data)
	e.injectMu.Unlock()
	w.wakeUp()
	return ok
}
