package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// Frames of one kind that may go to control per second and worker, and the burst. A flood of one kind starves no other.
const (
	puntRate  = 1000
	puntBurst = 200
)

// minFrame is an Ethernet header: of anything shorter the kernel never gives the buffer back.
const minFrame = 14

// limit is a token bucket in nanoseconds: level is how much time's worth of frames is owed.
type limit struct{ level, last int64 }

func (l *limit) allow(now, rate, burst int64) bool {
	l.level = max(0, l.level-(now-l.last))
	l.last = now
	if l.level+1e9/rate > burst*1e9/rate {
		return false
	}
	l.level += 1e9 / rate
	return true
}

// punt hands a copy of the frame to control.
func (pl *Pipeline) punt(p *frame.Packet) {
	switch {
	case !pl.puntLimits[p.Kind].allow(pl.Now, puntRate, puntBurst):
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
