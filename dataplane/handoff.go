package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// handoffs are the rings to the other workers, for frames at NextHandoff (stage.Spread).
type handoffs struct {
	rings []*frame.Handoff // by worker; nil for the worker itself
}

// pass puts the frame into the ring to its worker, which begins again with the parser, or goes on with the balancer's
// stage. The frame counts as received on this worker, and as sent or dropped on the other.
func (h *handoffs) pass(pl *Pipeline, p *frame.Packet) {
	to, hop := p.Worker()
	if !h.put(pl, int(to), frame.Handed{Off: p.Off, Len: p.Len, Port: p.Port, Hop: hop}) {
		pl.Discard(p.Port, drop.HandoffFull, p.Off, p.Len)
	}
}

func (h *handoffs) put(pl *Pipeline, to int, f frame.Handed) bool {
	pl.Move(f.Off, frame.OwnerBatch, frame.OwnerHandoff)
	if h.rings[to].Put(f) {
		return true
	}
	pl.Move(f.Off, frame.OwnerHandoff, frame.OwnerBatch)
	return false
}
