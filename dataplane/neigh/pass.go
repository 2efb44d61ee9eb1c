package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// What guests have to settle among themselves passes on, as any frame of theirs does, within its flood limit: that an
// address has moved, which routers of the tenant's own there are, and questions for what no table knows:
//
//	announcement of an address (RFC 5227, 2.3; RFC 4861, 7.2.6)   always
//	router solicitation; router advertisement                    always; where the sender's VIF may, and from the fabric
//	                                                              where the segment takes them
//	question for an unknown link-local address, and its answer   always
//	question for any other unknown address, and its answer       in a segment that floods unknown unicast
//
// The addresses of the virtual router and of a gateway group are the box's own: no guest speaks for them.

// arrived decides about ARP and neighbour discovery that came encapsulated: other boxes let in what pass says, and
// anything else does not come from one.
func arrived(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	if uint(p.Seg) >= uint(len(s.Segments)) {
		p.DropFor(drop.ARPForeign)
		return
	}
	g := &s.Segments[p.Seg]
	if p.Has(frame.FlagARP) {
		a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
		switch {
		case box4(s, p.Seg, a.SenderIP()):
			p.DropFor(drop.FabricForged)
		case announces(a), g.UnknownUnicast && (a.Op() == wire.ARPRequest || a.Op() == wire.ARPReply):
			pass(p, s)
		default:
			p.DropFor(drop.ARPForeign)
		}
		return
	}
	f := mem[p.Off : p.Off+uint32(p.Len)]
	m, from := f[p.L4:], wire.IPv6(f[p.L3:]).Src()
	switch wire.ICMPv6(m).Type() {
	case wire.ICMPv6RouterAdvert, wire.ICMPv6Redirect:
		if !g.FabricRA || box6(s, p.Seg, from) {
			p.DropFor(drop.FabricForged)
			return
		}
	case wire.ICMPv6NeighborAdvert:
		if box6(s, p.Seg, wire.NeighborAdvert(m).Target()) {
			p.DropFor(drop.FabricForged)
			return
		}
	default:
		if box6(s, p.Seg, from) {
			p.DropFor(drop.FabricForged)
			return
		}
		if wire.ICMPv6(m).Type() == wire.ICMPv6NeighborSolicit && !g.UnknownUnicast && !wire.LinkLocal6(wire.NeighborSolicit(m).Target()) {
			p.DropFor(drop.ARPForeign)
			return
		}
	}
	pass(p, s)
}

// announces reports whether an ARP packet says where its sender is, and asks for nothing.
func announces(a wire.ARP) bool {
	return a.SenderIP() != 0 && a.SenderIP() == a.TargetIP() && (a.Op() == wire.ARPRequest || a.Op() == wire.ARPReply)
}

// box4 reports whether an address is the virtual router's or a gateway group's.
func box4(s *fib.Snapshot, seg, ip uint32) bool {
	if ip == 0 {
		return false
	}
	if _, ok := s.Router4(seg, ip); ok {
		return true
	}
	_, loc, ok := table.FindIP4(s.Bindings, s.Delta, seg, ip)
	return ok && loc >= fib.GatewayLoc(0)
}

// box6 is box4 for IPv6; the router's link-local address is one of the box, too.
func box6(s *fib.Snapshot, seg uint32, ip [2]uint64) bool {
	if wire.Unspecified6(ip) {
		return false
	}
	if _, ok := s.Router6(seg, ip); ok {
		return true
	}
	_, loc, ok := table.FindIP6(s.Bindings, s.Delta, seg, ip[0], ip[1])
	return ok && loc >= fib.GatewayLoc(0)
}

// pass sends p to where its destination MAC is: everywhere, or to one VIF.
func pass(p *frame.Packet, s *fib.Snapshot) {
	if p.Has(frame.FlagGroup) {
		p.Next = frame.NextFlood
		return
	}
	g, fabric := &s.Segments[p.Seg], p.Has(frame.FlagFromFabric)
	if uint(g.Router) < uint(len(s.Routers)) && s.Routers[g.Router].MAC == p.DstMAC {
		p.DropFor(drop.ARPForeign)
		return
	}
	loc, ok := table.FindMAC(s.Bindings, s.Delta, p.Seg, p.DstMAC)
	switch {
	case !ok && g.UnknownUnicast:
		p.Next = frame.NextFlood
	case !ok && fabric:
		p.DropFor(drop.FabricNotHere)
	case !ok:
		p.DropFor(drop.Unresolved)
	case loc >= fib.GatewayLoc(0):
		p.DropFor(drop.ARPForeign)
	case loc&fib.LocLocal == 0 && fabric:
		p.DropFor(drop.FabricRelay)
	case loc&fib.LocLocal == 0:
		p.Loc, p.Next = loc, frame.NextEncap
	case uint(loc&^fib.LocLocal) >= uint(len(s.VIFs)):
		p.DropFor(drop.ARPForeign)
	case s.VIFs[loc&^fib.LocLocal].Attach == p.Attach:
		p.DropFor(drop.Hairpin)
	default:
		p.Loc, p.Next = loc, frame.NextDeliver
	}
}
