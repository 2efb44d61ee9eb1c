package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/stats"
)

// minFrame is an Ethernet header: of anything shorter the kernel never gives the buffer back.
const minFrame = 14

// punt hands a copy of the frame to control.
func (pl *Pipeline) punt(p *frame.Packet) {
	k := punt.Kind(p.Kind)
	seg := uint64(0)
	if k.Info().Tenant && uint(p.Seg) < uint(len(pl.Snap.Segments)) {
		seg = fib.SegmentKey(pl.Snap.Segments[p.Seg].Tenant, pl.Snap.Segments[p.Seg].ID)
	}
	if why := pl.Punts.PutOf(pl.Now, seg, p.Port, k, p.Bytes(pl.Mem)); why != drop.None {
		if k == punt.VIPConflict {
			why = drop.VIPConflict // what counts is that it was not forwarded
		}
		pl.Discard(p.Port, why, p.Off, p.Len)
		return
	}
	pl.Ports.Count(p.Port, stats.Punted, 1)
	pl.Ports.Count(p.Port, stats.Punts+int(k), 1)
	pl.Free(p.Off)
}

// Inject sends a frame that the box made out of port. It waits there for the port's next flush.
func (pl *Pipeline) Inject(port uint16, data []byte) {
	if int(port) >= len(pl.Queues) {
		return
	}
	if off, n, ok := pl.injected(port, data); ok {
		pl.send(port, off, n)
	}
}

// injected copies a frame of control's into a free one, and counts it as injected at port. ok is false if none is free.
func (pl *Pipeline) injected(port uint16, data []byte) (off uint32, n uint16, ok bool) {
	addr, ok := pl.Cache.Get()
	if !ok {
		pl.Unmade(port, stats.Injected)
		return 0, 0, false
	}
	pl.Ports.Count(port, stats.Injected, 1)
	pl.Move(addr, frame.OwnerPool, frame.OwnerBatch)
	off = addr + frame.Headroom
	return off, uint16(copy(pl.Mem[off:addr+pl.Pool.FrameSize()], data)), true
}

// Punts is the frames that the workers hand to control. It has one reader.
func (e *Engine) Punts() *punt.Reader { return e.punts }

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
