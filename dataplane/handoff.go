package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// split is the rings by which frames go to the worker that overlay.Spread gives them to.
type split struct {
	rings []*frame.Handoff // to each worker; nil to oneself
}

// pass puts the frame into the ring to its worker. It goes on there from the parser; what was counted as received here
// is dropped or sent there.
func (h *split) pass(pl *Pipeline, p *frame.Packet) {
	if !h.put(pl, int(p.Out), frame.Handed{Off: p.Off, Len: p.Len, Port: p.Port}) {
		pl.Discard(p.Port, drop.HandoffFull, p.Off, p.Len)
	}
}
func (h *split) put(pl *Pipeline, to int, f frame.Handed) bool {
	pl.Move(f.Off, frame.OwnerBatch, frame.OwnerHandoff)
	if h.rings[to].Put(f) {
		return true
	}
	pl.Move(f.Off, frame.OwnerHandoff, frame.OwnerBatch)
	return false
}
