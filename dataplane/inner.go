package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// innerSlots is how many frames of control's stations may wait for the first worker: 50 ms of 5,000 health checks a
// second with four packets each.
const innerSlots = 1024

// InjectInner gives the first worker a frame, without FCS, as if a station of the segment had sent it: the frame goes
// where the bindings of its destination MAC say, or to all stations of the segment. It returns false when the ring to
// the worker is full, or data is shorter than an Ethernet header or longer than a frame buffer holds behind its
// headroom. The frame counts as injected at the box's first fabric port, else at its first port. It may be called from
// any goroutine.
//
// The segment is named by its IDs, since a dense index may have another owner when the worker takes the frame. A frame
// of a segment that does not exist then is dropped as inject_segment.
func (e *Engine) InjectInner(tenant, segment uint32, data []byte) bool {
	if len(data) < minFrame || len(data) > e.cfg.FrameSize-frame.Headroom || len(e.cfg.Ports) == 0 {
		return false
	}
	w := e.workers[0]
	e.innerMu.Lock()
	ok := w.inners.PutOf(fib.SegmentKey(tenant, segment), 0, 0, data)
	e.innerMu.Unlock()
	w.wakeUp()
	return ok
}

// Stations processes up to a batch of the frames in slots, which control sends as stations of segments, and returns
// their number. b is free before and after.
func (pl *Pipeline) Stations(slots *frame.Slots, b *frame.Batch, s *fib.Snapshot) (n int) {
	if slots.Peek() == nil {
		return 0
	}
	port := uint16(0)
	for i := range s.Ports {
		if s.Ports[i].Role == fib.RoleFabric {
			port = uint16(i)
			break
		}
	}
	b.N = 0
	for ; n < frame.BatchSize; n++ {
		slot := slots.Peek()
		if slot == nil {
			break
		}
		pl.addInner(b, port, slot, s)
		slots.Drop()
	}
	if b.N > 0 {
		pl.Port, pl.Snap = port, s
		pl.walk(pl.inner, b, 1<<frame.NextParsed)
		pl.repeat()
	}
	return n
}

// addInner adds the frame in the slot to the batch.
func (pl *Pipeline) addInner(b *frame.Batch, port uint16, slot *frame.Slot, s *fib.Snapshot) {
	off, n, ok := pl.injected(port, slot.Data[:slot.Len])
	if !ok {
		return
	}
	seg, ok := s.SegmentByID.Get(slot.Seg)
	if !ok || uint(seg) >= uint(len(s.Segments)) || len(s.Ports) == 0 {
		pl.Discard(port, drop.InjectSegment, off, n)
		return
	}
	p := &b.Pkt[b.N]
	p.Off, p.Len, p.Port, p.Loc = off, n, port, seg
	b.N++
}
