package neigh

import (
	"penstock/dataplane/agent"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// The box forwards the ARP and neighbour discovery messages that stations need from each other, like any other frame
// and within the sender's flood limit:
//
//	announcement of an address                          always (RFC 5227, 2.3; RFC 4861, 7.2.6)
//	router solicitation                                 always
//	router advertisement                                from a VIF that may send it; from the fabric, in a segment
//	                                                    that accepts it
//	request for a link-local address without binding    always, and its answer
//	request for another address without binding         in a segment that floods unknown unicast, and its answer
//	request of a director to its server, and the answer always (director.go)
//
// The addresses of the virtual router and of a gateway group belong to the box: the box drops messages of stations that
// claim one of them.

// credible reports whether a message that came encapsulated is of a segment, and claims no virtual address of another
// station. Else it drops the message, or shows it to control.
func credible(mem []byte, p *frame.Packet, s *fib.Snapshot) bool {
	switch {
	case uint(p.Seg) >= uint(len(s.Segments)):
		p.DropFor(drop.ARPForeign)
	case agent.Forged(mem, p, s):
		p.Next, p.Drop, p.Kind = frame.NextPunt, drop.VIPConflict, uint8(punt.VIPConflict)
	default:
		return true
	}
	return false
}

// fromFabric forwards or drops ARP and neighbour discovery messages that came encapsulated. It accepts only messages
// that another box would have forwarded by the list above.
func fromFabric(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	if !credible(mem, p, s) {
		return
	}
	g := &s.Segments[p.Seg]
	if p.Has(frame.FlagARP) {
		a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
		v, answer := answers4(p, a, s)
		switch {
		case boxAddress4(s, p.Seg, a.SenderIP()) && !virtual4(s, p, a.SenderIP()):
			p.DropFor(drop.FabricForged)
		case answer:
			toDirector(p, s, v)
		case announces(a), asks4(p, a, s), g.UnknownUnicast && (a.Op() == wire.ARPRequest || a.Op() == wire.ARPReply):
			forward(p, s)
		default:
			p.DropFor(drop.ARPForeign)
		}
		return
	}
	f := mem[p.Off : p.Off+uint32(p.Len)]
	m, from := f[p.L4:], wire.IPv6(f[p.L3:]).Src()
	switch wire.ICMPv6(m).Type() {
	case wire.ICMPv6RouterAdvert, wire.ICMPv6Redirect:
		if !g.FabricRA || boxAddress6(s, p.Seg, from) {
			p.DropFor(drop.FabricForged)
			return
		}
	case wire.ICMPv6NeighborAdvert:
		target := wire.NeighborAdvert(m).Target()
		if boxAddress6(s, p.Seg, target) && !virtual6(s, p, target) {
			p.DropFor(drop.FabricForged)
			return
		}
		if v, ok := answers6(p, wire.IPv6(f[p.L3:]), wire.ICMPv6NeighborAdvert, s); ok {
			toDirector(p, s, v)
			return
		}
	default:
		if boxAddress6(s, p.Seg, from) && !virtual6(s, p, from) {
			p.DropFor(drop.FabricForged)
			return
		}
		if wire.ICMPv6(m).Type() == wire.ICMPv6NeighborSolicit && !g.UnknownUnicast &&
			!wire.LinkLocal6(wire.NeighborSolicit(m).Target()) && !asks6(p, from, s) {
			p.DropFor(drop.ARPForeign)
			return
		}
	}
	forward(p, s)
}

// announces reports whether an ARP packet is an announcement of its sender's address.
func announces(a wire.ARP) bool {
	return a.SenderIP() != 0 && a.SenderIP() == a.TargetIP() && (a.Op() == wire.ARPRequest || a.Op() == wire.ARPReply)
}

// boxAddress4 reports whether an address belongs to the virtual router or a gateway group. The address of another box's
// group is the tenant's default route; a VIF of this box may have it instead.
func boxAddress4(s *fib.Snapshot, seg, ip uint32) bool {
	if ip == 0 {
		return false
	}
	if _, ok := s.Router4(seg, ip); ok {
		return true
	}
	_, loc, ok := table.FindIP4(s.Bindings, s.Delta, seg, ip)
	if r := s.Segments[seg].Router; uint(r) < uint(len(s.Routers)) && s.Routers[r].Via4 == ip &&
		s.Routers[r].Via4Seg == seg {
		return !ok || loc&fib.LocLocal == 0
	}
	return ok && fib.LocBox(loc)
}

// virtual4 reports whether ip is a virtual address: of the segment, or one that the VIF which sent p may have.
func virtual4(s *fib.Snapshot, p *frame.Packet, ip uint32) bool {
	if _, ok := s.VIP4(p.Seg, ip); ok {
		return true
	}
	if uint(p.VIF) >= uint(len(s.VIFs)) || s.VIFs[p.VIF].Agent == nil {
		return false
	}
	_, ok := fib.FindVIP4(s.VIFs[p.VIF].Agent.VIPs4, ip)
	return ok
}

// virtual6 is virtual4 for IPv6.
func virtual6(s *fib.Snapshot, p *frame.Packet, ip [2]uint64) bool {
	if _, ok := s.VIP6(p.Seg, ip); ok {
		return true
	}
	if uint(p.VIF) >= uint(len(s.VIFs)) || s.VIFs[p.VIF].Agent == nil {
		return false
	}
	_, ok := fib.FindVIP6(s.VIFs[p.VIF].Agent.VIPs6, ip)
	return ok
}

// boxAddress6 is boxAddress4 for IPv6. The router's link-local address belongs to the box too.
func boxAddress6(s *fib.Snapshot, seg uint32, ip [2]uint64) bool {
	if wire.Unspecified6(ip) {
		return false
	}
	if _, ok := s.Router6(seg, ip); ok {
		return true
	}
	_, loc, ok := table.FindIP6(s.Bindings, s.Delta, seg, ip[0], ip[1])
	if r := s.Segments[seg].Router; uint(r) < uint(len(s.Routers)) && s.Routers[r].Via6 == ip &&
		s.Routers[r].Via6Seg == seg {
		return !ok || loc&fib.LocLocal == 0
	}
	return ok && fib.LocBox(loc)
}

// forward sets Loc and Next of p by its destination MAC: to all stations of the segment, or to one.
func forward(p *frame.Packet, s *fib.Snapshot) {
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
	case fib.LocBox(loc):
		p.DropFor(drop.ARPForeign)
	case loc&fib.LocLocal == 0 && fabric && !(fib.IsVTEP(loc) && g.Relay):
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
