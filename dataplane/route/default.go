package route

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// toDefault4 sends a packet whose destination is in none of the tenant's subnets to the default route: to a gateway
// group of this box, or to the address of another box's group. Without a default route it answers that the network is
// unreachable. It returns true if forward4 has to resolve the address in to.
func toDefault4(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, r *fib.Router, to *table.Hop) bool {
	switch {
	case r.Gateway != 0:
		checksum.DecrementTTL(header4(mem, p))
		toGroup(p, r, st)
		return false
	case r.Via4 != 0:
		to.Seg, to.IP4, to.V4 = r.Via4Seg, r.Via4, true
		return true
	}
	refuse(mem, p, s, st, icmp.NetUnreachable, drop.NoRoute)
	return false
}

// toDefault6 is toDefault4 for IPv6.
func toDefault6(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, r *fib.Router, to *table.Hop) bool {
	switch {
	case r.Gateway != 0:
		h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
		h.SetHopLimit(h.HopLimit() - 1)
		toGroup(p, r, st)
		return false
	case !wire.Unspecified6(r.Via6):
		to.Seg, to.IP6, to.V4 = r.Via6Seg, r.Via6, false
		return true
	}
	refuse(mem, p, s, st, icmp.NetUnreachable, drop.NoRoute)
	return false
}

func toGroup(p *frame.Packet, r *fib.Router, st *State) {
	p.Loc, p.Next = fib.GroupLoc(r.Gateway), frame.NextUplink
	st.Counters.Routed++
}
