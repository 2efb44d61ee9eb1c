package dataplane

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// split spreads frames over the workers by flow. The outer headers of one tenant pair hash to one NIC queue, and a port
// may have fewer queues than there are workers; the inner flow evens that out, and one flow stays on one worker.
type split struct {
	self    uint32
	workers uint32
	rings   []*frame.Handoff // to each worker; nil to oneself
}

func (h *split) target(hash uint32) uint32 {
	return uint32(uint64(hash*0x9e3779b1) * uint64(h.workers) >> 32)
}

// byFlow marks parsed tenants' frames that belong to another worker.
func (h *split) byFlow(b *frame.Batch) {
	for i := range b.N {
		h.mark(&b.Pkt[i])
	}
}

func (h *split) mark(p *frame.Packet) {
	if p.Next == frame.NextParsed && !p.Has(frame.FlagARP) {
		if t := h.target(p.Hash); t != h.self {
			p.Next, p.Out = frame.NextHandoff, uint16(t)
		}
	}
}

// byInnerFlow does the same for encapsulated frames; the inner frame is parsed for its hash alone.
func (h *split) byInnerFlow(mem []byte, b *frame.Batch) {
	for i := range b.N {
		p := &b.Pkt[i]
		if p.Next != frame.NextParsed || !p.Has(frame.FlagIPv4) || int(p.Len) < int(p.L3)+20+14 {
			continue
		}
		in := *p
		in.Pull(p.L3 + 20)
		if total := binary.BigEndian.Uint16(mem[p.Off+uint32(p.L3)+2:]); total >= 34 && total-20 <= in.Len {
			in.Len = total - 20
		}
		parse.Inner(mem, &in) // an inner frame that is malformed still hashes by what could be read
		if t := h.target(in.Hash); t != h.self {
			p.Next, p.Out = frame.NextHandoff, uint16(t)
		}
	}
}

// pass puts the frame into the ring to its worker. It goes on there from the parser; what was counted as received here
// is dropped or sent there.
func (h *split) pass(pl *Pipeline, p *frame.Packet) {
	if !h.put(pl, int(p.Out), frame.Handed{Off: p.Off, Len: p.Len, Port: p.Port}) {
		pl.Ports.Drop(p.Port, drop.HandoffFull)
		pl.free(p.Off)
	}
}

func (h *split) put(pl *Pipeline, to int, f frame.Handed) bool {
	pl.move(f.Off, frame.OwnerBatch, frame.OwnerHandoff)
	if h.rings[to].Put(f) {
		return true
	}
	pl.move(f.Off, frame.OwnerHandoff, frame.OwnerBatch)
	return false
}
