package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
)

// touch loads the bucket of packet i's destination and keeps the hash for resolve.
func (st *State) touch(i int, p *frame.Packet, s *fib.Snapshot) {
	h := s.Bindings.HashMAC(p.Seg, p.DstMAC)
	st.hash[i&(frame.BatchSize-1)] = h
	st.touched += s.Bindings.TouchHash(h)
}

// resolve turns a lookup into a delivery, a flood or a drop. By now the whole batch has touched its buckets: with a
// million bindings that is most of the speed.
func (st *State) resolve(i int, p *frame.Packet, s *fib.Snapshot) {
	loc, ok := table.FindMACHash(s.Bindings, s.Delta, st.hash[i&(frame.BatchSize-1)], p.Seg, p.DstMAC)
	switch {
	case p.Has(frame.FlagFromFabric):
		fromFabric(p, loc, ok)
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

// fromFabric accepts only what is for a VIF of this box.
func fromFabric(p *frame.Packet, loc fib.Loc, ok bool) {
	switch {
	case !ok:
		p.DropFor(drop.FabricNotHere)
	case loc&fib.LocLocal == 0:
		p.DropFor(drop.FabricRelay)
	default:
		p.Loc, p.Next = loc, frame.NextDeliver
	}
}
