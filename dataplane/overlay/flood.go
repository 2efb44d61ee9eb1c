package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// Flood sends broadcast, multicast and unknown unicast to every attachment of the segment on this box and, as unicast
// copies, to every other box that has a VIF of the segment, and to the VTEPs that get copies. Frames from the fabric go
// to attachments only, unless the box stands between boxes and VTEPs. The last receiver gets the original frame, the
// others get copies. Frames for other boxes are at NextEncap afterwards. The flood limit counts a frame once for each
// receiver.
//
// It is a stage (stage.Func).
func (st *State) Flood(b *frame.Batch) (todo uint32) {
	s := st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextFlood {
			continue
		}
		r := receiversOf(p, s, &s.Segments[p.Seg])
		n := uint32(r.others + len(r.boxes) + len(r.vteps))
		if p.Has(frame.FlagFromFabric) && int(n) > r.others && !st.parseRelayed(p) {
			todo |= p.Next.Bit()
			continue
		}
		switch {
		case n == 0:
			p.DropFor(drop.FloodEmpty)
		case !st.withinFloodLimit(p, s, n):
			p.DropFor(drop.FloodLimit)
		default:
			p.Flags |= frame.FlagFlooded
			p.Kind = uint8(i)
			st.reported &^= 1 << i
			st.copyToAll(p, &r, int(n))
		}
		todo |= p.Next.Bit()
	}
	st.Emit(copied)
	return todo
}

// receivers are those that a frame is copied to: attachments, and then boxes and VTEPs.
type receivers struct {
	local        []uint32
	boxes, vteps []fib.Loc
	others       int // of local: not the attachment of the frame
}

// receiversOf returns the receivers of p: each attachment of the segment except the attachment of p, and, unless p
// comes from the fabric, each other box, and the VTEPs. From boxes to VTEPs, and from VTEPs to boxes, it goes where
// this box relays; nothing goes from VTEPs to VTEPs.
func receiversOf(p *frame.Packet, s *fib.Snapshot, seg *fib.Segment) (r receivers) {
	r.local = seg.Local
	switch {
	case !p.Has(frame.FlagFromFabric):
		if r.vteps = seg.VTEPs; p.Loc == fib.LocVTEPs {
			r.local = nil
		} else {
			r.boxes = seg.Remote
		}
	case !seg.Relay:
	case s.FromVTEP(p.Port):
		r.boxes = seg.Remote
	default:
		r.vteps = seg.VTEPs
	}
	for _, at := range r.local {
		if at != p.Attach {
			r.others++
		}
	}
	return r
}

// copied is the set of the Next values that copies can have.
const copied = 1<<frame.NextEncap | 1<<frame.NextRefuse | 1<<frame.NextDrop | 1<<frame.NextTx

// copyToAll sends p to each of its n receivers, the last of which gets p itself.
func (st *State) copyToAll(p *frame.Packet, r *receivers, n int) {
	from, left := p.Attach, n
	for k := 0; left > 0; k++ {
		if k < len(r.local) && r.local[k] == from {
			continue
		}
		q := p
		if left--; left > 0 {
			if st.Copies.N == frame.BatchSize {
				st.Emit(copied)
			}
			if q = st.Copy(p); q == nil {
				p.DropFor(drop.FloodNoFrame)
				return
			}
		}
		if k < len(r.local) {
			st.toAttachment(q, r.local[k])
			continue
		}
		q.Next = frame.NextEncap
		if i := k - len(r.local); i < len(r.boxes) {
			q.Loc = r.boxes[i]
		} else {
			q.Loc = r.vteps[i-len(r.boxes)]
		}
	}
}

// withinFloodLimit applies the sender's limit to a frame with n receivers. Frames from boxes have passed the limit
// on the sending box, and control limits its own. All senders on an open attachment that are no VIF share one limit, as
// all of a tenant do that are behind VTEPs.
func (st *State) withinFloodLimit(p *frame.Packet, s *fib.Snapshot, n uint32) bool {
	switch {
	case s.FloodRate == 0 || p.Has(frame.FlagInjected):
		return true
	case p.Has(frame.FlagFromFabric):
		return !s.FromVTEP(p.Port) ||
			s.Limits.TenantFlood.At(s.Segments[p.Seg].Router).Take(st.Now, s.FloodRate, s.FloodBurst, n)
	}
	bucket := s.Limits.Flood.At(p.VIF)
	if p.VIF == frame.NoIndex {
		bucket = s.Limits.StrangerFlood.At(p.Attach)
	}
	return bucket.Take(st.Now, s.FloodRate, s.FloodBurst, n)
}
