package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
)

// Touch loads the buckets of all destinations that are to be looked up, and nothing else: only in so short a loop do the
// cache misses of a batch overlap, which with a million bindings is most of the speed. Resolve reads the buckets.
func Touch(b *frame.Batch, s *fib.Snapshot, st *State) {
	t := s.Bindings
	var touched uint64
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		if b.Pkt[i].Next == frame.NextLookup {
			touched += t.TouchHash(st.hash[i])
		}
	}
	st.touched += touched
}

// Resolve turns each lookup into a delivery, an encapsulation, a flood or a drop. The returned bits are as with Access.
func Resolve(b *frame.Batch, s *fib.Snapshot, st *State) (todo uint32) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextLookup {
			continue
		}
		loc, ok := table.FindMACHash(s.Bindings, s.Delta, st.hash[i], p.Seg, p.DstMAC)
		switch {
		case p.Has(frame.FlagFromFabric):
			fromFabric(p, s, loc, ok)
		case ok && loc&fib.LocLocal == 0:
			p.Loc, p.Next = loc, frame.NextEncap
		case ok && s.VIFs[loc&^fib.LocLocal].Attach == p.Attach:
			p.DropFor(drop.Hairpin)
		case ok:
			p.Loc, p.Next = loc, frame.NextDeliver
		case s.Segments[p.Seg].UnknownUnicast:
			p.Next = frame.NextFlood
		default:
			p.DropFor(drop.Unresolved)
		}
		todo |= 1 << p.Next
	}
	return todo
}

// fromFabric accepts only what is for a VIF of this box, and, where unknown unicast is flooded, the copies of what the
// sending box had no binding for either.
func fromFabric(p *frame.Packet, s *fib.Snapshot, loc fib.Loc, ok bool) {
	switch {
	case !ok && s.Segments[p.Seg].UnknownUnicast:
		p.Next = frame.NextFlood
	case !ok:
		p.DropFor(drop.FabricNotHere)
	case loc&fib.LocLocal == 0:
		p.DropFor(drop.FabricRelay)
	default:
		p.Loc, p.Next = loc, frame.NextDeliver
	}
}
