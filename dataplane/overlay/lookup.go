package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
)

// Lookup finds the location of each frame's destination. It first touches the buckets of the whole batch, so that
// their cache misses overlap, and only then reads them: with a million bindings that is most of the speed.
// The sum is returned for the sole purpose that the touching is not optimised away.
func Lookup(b *frame.Batch, s *fib.Snapshot) (touched uint64) {
	for i := range b.N {
		p := &b.Pkt[i]
		if p.Next == frame.NextLookup {
			touched += s.Bindings.TouchMAC(p.Seg, p.DstMAC)
		}
	}
	for i := range b.N {
		p := &b.Pkt[i]
		if p.Next != frame.NextLookup {
			continue
		}
		loc, ok := table.FindMAC(s.Bindings, s.Delta, p.Seg, p.DstMAC)
		switch {
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
	return touched
}
