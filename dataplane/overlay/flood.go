package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// Flood sends broadcast, multicast and unknown unicast to every attachment of the segment on this box and, as unicast
// copies, to every other box that has a VIF of the segment. Frames from the fabric go to attachments only. The last
// receiver gets the original frame, the others get copies. Frames for other boxes are at NextEncap afterwards. The
// flood limit counts a frame once for each receiver.
//
// It is a stage (stage.Func).
func (st *State) Flood(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextFlood {
			continue
		}
		n := receivers(p, &s.Segments[p.Seg])
		switch {
		case n == 0:
			p.DropFor(drop.FloodEmpty)
		case !st.withinFloodLimit(p, s, n):
			p.DropFor(drop.FloodLimit)
		default:
			p.Flags |= frame.FlagFlooded
			p.Kind = uint8(i)
			st.reported &^= 1 << i
			st.copyToAll(mem, p, s)
		}
		todo |= p.Next.Bit()
	}
	st.Emit(copied)
	return todo
}

// receivers returns the number of receivers of p: each attachment of the segment except the attachment of p, and,
// unless p comes from the fabric, each other box.
func receivers(p *frame.Packet, seg *fib.Segment) (n uint32) {
	for _, at := range seg.Local {
		if at != p.Attach {
			n++
		}
	}
	if !p.Has(frame.FlagFromFabric) {
		n += uint32(len(seg.Remote))
	}
	return n
}

// copied is the set of the Next values that copies can have.
const copied = 1<<frame.NextEncap | 1<<frame.NextRefuse | 1<<frame.NextDrop | 1<<frame.NextTx

// copyToAll sends p to each of its receivers.
func (st *State) copyToAll(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	seg := &s.Segments[p.Seg]
	n := len(seg.Local)
	if p.Flags&frame.FlagFromFabric == 0 {
		n += len(seg.Remote)
	}
	last := n - 1
	for last >= 0 && last < len(seg.Local) && seg.Local[last] == p.Attach {
		last--
	}
	for k := 0; k <= last; k++ {
		if k < len(seg.Local) && seg.Local[k] == p.Attach {
			continue
		}
		q := p
		if k != last {
			if st.Copies.N == frame.BatchSize {
				st.Emit(copied)
			}
			if q = st.Copy(p); q == nil {
				p.DropFor(drop.FloodNoFrame)
				return
			}
		}
		if k < len(seg.Local) {
			st.toAttachment(q, seg.Local[k])
		} else {
			q.Loc, q.Next = seg.Remote[k-len(seg.Local)], frame.NextEncap
		}
	}
}

// withinFloodLimit applies the sender's limit to a frame with n receivers. Frames from the fabric have passed the limit
// on the sending box, and control limits its own. All senders on an open attachment that are no VIF share one limit.
func (st *State) withinFloodLimit(p *frame.Packet, s *fib.Snapshot, n uint32) bool {
	if p.Flags&(frame.FlagFromFabric|frame.FlagInjected) != 0 || s.FloodRate == 0 {
		return true
	}
	bucket := s.Limits.Flood.At(p.VIF)
	if p.VIF == frame.NoIndex {
		bucket = s.Limits.StrangerFlood.At(p.Attach)
	}
	return bucket.Take(st.Now, s.FloodRate, s.FloodBurst, n)
}
