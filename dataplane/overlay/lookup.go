package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
)

// queueLookup adds the destination of packet i to the lookups of the batch.
func (st *State) queueLookup(i int, seg uint32, mac uint64, s *fib.Snapshot) {
	st.lookups[st.pending&(frame.BatchSize-1)] = table.Lookup{
		Hash: s.Bindings.HashMAC(seg, mac), MAC: mac, Seg: seg, Pkt: uint8(i),
	}
	st.pending++
}

// Requeue adds the destinations of packets at NextLookup that come to Resolve by another way than Access and Fabric.
func (st *State) Requeue(b *frame.Batch) {
	st.pending = 0
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		if p := &b.Pkt[i]; p.Next == frame.NextLookup {
			st.queueLookup(i, p.Seg, p.DstMAC, st.Snap)
		}
	}
}

// Resolve looks up the bindings of all queued destinations and sets Loc and Next of their packets: to deliver,
// encapsulate, balance, uplink, flood or drop. It is a stage (stage.Func).
func (st *State) Resolve(b *frame.Batch) (todo uint32) {
	s := st.Snap
	l := st.lookups[:min(st.pending, frame.BatchSize)]
	st.pending = 0
	st.touched += s.Bindings.TouchMACs(l)
	table.FindMACs(s.Bindings, s.Delta, l)
	for k := range l {
		q := &l[k]
		p, loc, ok := &b.Pkt[q.Pkt&(frame.BatchSize-1)], q.Loc, q.OK
		switch {
		case p.Has(frame.FlagFromFabric):
			if fromFabric(p, s, loc, ok); p.Next != frame.NextDeliver {
				st.undelivered(p, s, loc, ok)
			}
		case ok && loc&fib.LocLocal == 0:
			p.Loc, p.Next = loc, frame.NextEncap
		case ok && loc&fib.LocGateway != 0:
			p.Loc, p.Next = loc, frame.NextUplink
		case ok && loc&fib.LocVIP != 0:
			p.Loc, p.Next = loc, frame.NextBalance
			st.toVIP(p, loc, s)
		case ok && s.VIFs[loc&^fib.LocLocal].Attach == p.Attach:
			p.DropFor(drop.Hairpin)
		case ok:
			p.Loc, p.Next = loc, frame.NextDeliver
		case s.Segments[p.Seg].UnknownUnicast:
			p.Next = frame.NextFlood
			if st.toMaster(p, s); p.Next == frame.NextFlood && s.ControlVID != 0 && st.Miss != nil {
				st.Miss(p, stage.Missed{Kind: resolve.MissMAC, Seg: p.Seg, Lo: p.DstMAC, Tell: true})
			}
		case len(s.Segments[p.Seg].VTEPs) > 0:
			p.Loc, p.Next = fib.LocVTEPs, frame.NextFlood
			if s.ControlVID != 0 && st.Miss != nil {
				st.Miss(p, stage.Missed{Kind: resolve.MissMAC, Seg: p.Seg, Lo: p.DstMAC, Tell: true})
			}
		default:
			st.Unresolved(p, stage.Missed{Kind: resolve.MissMAC, Seg: p.Seg, Lo: p.DstMAC, Again: frame.NextLookup},
				drop.Unresolved)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// fromFabric sets Next of a packet from the fabric. It accepts packets for VIFs, groups and virtual addresses of this
// box, and, in a segment that floods unknown unicast, packets for which there is no binding.
func fromFabric(p *frame.Packet, s *fib.Snapshot, loc fib.Loc, ok bool) {
	switch {
	case !ok && s.Segments[p.Seg].UnknownUnicast:
		p.Next = frame.NextFlood
	case !ok:
		p.DropFor(drop.FabricNotHere)
	case loc&fib.LocLocal == 0:
		p.DropFor(drop.FabricRelay)
	case loc&fib.LocGateway != 0:
		p.Loc, p.Next = loc, frame.NextUplink
	case loc&fib.LocVIP != 0:
		p.Loc, p.Next = loc, frame.NextBalance
	default:
		p.Loc, p.Next = loc, frame.NextDeliver
	}
}
