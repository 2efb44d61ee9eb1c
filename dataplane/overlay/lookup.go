package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
)

// Touch loads the buckets of all destinations that are to be looked up, and nothing else: only in so short a loop do the
// cache misses of a batch overlap, which with a million bindings is most of the speed. Deliver reads the buckets.
func Touch(b *frame.Batch, s *fib.Snapshot, st *State) {
	t := s.Bindings
	var touched uint64
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		if p := &b.Pkt[i]; p.Next == frame.NextLookup {
			h := t.HashMAC(p.Seg, p.DstMAC)
			st.hash[i] = h
			touched += t.TouchHash(h)
		}
	}
	st.touched += touched
}

// resolve turns a lookup into a delivery, a flood or a drop.
func (st *State) resolve(i int, p *frame.Packet, s *fib.Snapshot) {
	loc, ok := table.FindMACHash(s.Bindings, s.Delta, st.hash[i&(frame.BatchSize-1)], p.Seg, p.DstMAC)
	switch {
	case p.Has(frame.FlagFromFabric):
		fromFabric(p, s, loc, ok)
	case !ok && s.Segments[p.Seg].UnknownUnicast:
		p.Next = frame.NextFlood
	case !ok:
		p.DropFor(drop.Unresolved)
	case loc&fib.LocLocal != 0 && s.VIFs[loc&^fib.LocLocal].Attach == p.Attach:
		p.DropFor(drop.Hairpin)
	default:
		p.Loc, p.Next = loc, frame.NextDeliver
	}
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
