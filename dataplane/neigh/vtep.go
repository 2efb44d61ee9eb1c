package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// VXLAN (PROTOCOL.md#in-vxlan): what a port says of its own address, and what stations behind VTEPs ask. They are
// answered as stations of this box are, for what is behind no VTEP; but the virtual router serves VIFs alone.

// underlay answers or drops ARP and neighbour discovery that came unencapsulated on a fabric port with VXLAN. Answers
// to the box's own questions go to control.
func underlay(mem []byte, p *frame.Packet, port *fib.Port) {
	f := &port.Fabric
	if !p.Has(frame.FlagGroup) && p.DstMAC != f.OwnMAC {
		p.DropFor(drop.FabricOwnMAC)
		return
	}
	if p.Has(frame.FlagARP) {
		a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
		sender, senderIP := a.SenderMAC(), a.SenderIP()
		switch {
		case f.BoxIP == 0 || a.TargetIP() != f.BoxIP || senderIP == f.BoxIP || sender != p.SrcMAC:
			p.DropFor(drop.ARPForeign)
		case a.Op() == wire.ARPReply:
			p.Next, p.Drop, p.Kind = frame.NextPunt, drop.ARPForeign, uint8(punt.NextHop)
		case a.Op() == wire.ARPRequest:
			a.Set(wire.ARPReply, f.OwnMAC, f.BoxIP, sender, senderIP)
			readdress(mem, p, sender, f.OwnMAC)
			p.SendTo(p.Port)
		default:
			p.DropFor(drop.ARPForeign)
		}
		return
	}
	m := mem[p.Off+uint32(p.L4) : p.Off+uint32(p.Len)]
	own := f.Own6 != [2]uint64{}
	switch {
	case own && wire.ICMPv6(m).Type() == wire.ICMPv6NeighborSolicit && wire.NeighborSolicit(m).Target() == f.Own6 &&
		p.SrcMAC != f.OwnMAC:
		Advertise(mem, p, f.OwnMAC, false)
		if p.Next == frame.NextDeliver {
			p.SendTo(p.Port)
		}
	case own && wire.ICMPv6(m).Type() == wire.ICMPv6NeighborAdvert:
		p.Next, p.Drop, p.Kind = frame.NextPunt, drop.ARPForeign, uint8(punt.NextHop)
	default:
		p.DropFor(drop.ARPForeign)
	}
}

// toVTEPs sends a question for an address without binding to the VTEPs of the segment that get copies, in a segment
// that does not flood. It returns false if there are none.
func toVTEPs(p *frame.Packet, s *fib.Snapshot) bool {
	if !p.Has(frame.FlagGroup) || len(s.Segments[p.Seg].VTEPs) == 0 || p.Has(frame.FlagFromFabric) {
		return false
	}
	p.Loc, p.Next = fib.LocVTEPs, frame.NextFlood
	return true
}

// fromVTEP answers, forwards or drops ARP and neighbour discovery of a station behind a VTEP, whose location is in Loc.
func (st *State) fromVTEP(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	if !credible(mem, p, s) {
		return
	}
	if p.Has(frame.FlagARP) {
		st.vtepARP(mem, p, s)
		return
	}
	st.vtepND(mem, p, s)
}

func (st *State) vtepARP(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	sender, senderIP, target := a.SenderMAC(), a.SenderIP(), a.TargetIP()
	switch {
	case sender != p.SrcMAC || boxAddress4(s, p.Seg, senderIP) && !virtual4(s, p, senderIP):
		p.DropFor(drop.FabricForged)
		return
	case announces(a) || a.Op() == wire.ARPReply:
		forwardVTEP(p, s)
		return
	case a.Op() != wire.ARPRequest:
		p.DropFor(drop.ARPForeign)
		return
	}
	if _, router := s.Router4(p.Seg, target); router {
		p.DropFor(drop.VXLANRouter)
		return
	}
	mac, loc, ok := table.FindIP4(s.Bindings, s.Delta, p.Seg, target)
	if vip, virtual := s.VIP4(p.Seg, target); virtual {
		if mac, loc, ok = ofVIP(p, s, vip); !ok {
			return
		}
	}
	if !ok {
		if target != 0 {
			st.tell(p, resolve.MissIP4, 0, uint64(target))
		}
		unknownVTEP(p, s)
		return
	}
	if !answersVTEP(p, s, mac, loc) {
		return
	}
	a.Set(wire.ARPReply, mac, target, sender, senderIP)
	readdress(mem, p, p.SrcMAC, mac)
	back(p)
}

func (st *State) vtepND(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	f := mem[p.Off : p.Off+uint32(p.Len)]
	m, source := f[p.L4:], wire.IPv6(f[p.L3:]).Src()
	if boxAddress6(s, p.Seg, source) && !virtual6(s, p, source) {
		p.DropFor(drop.FabricForged)
		return
	}
	switch wire.ICMPv6(m).Type() {
	case wire.ICMPv6RouterAdvert, wire.ICMPv6Redirect:
		if !s.Segments[p.Seg].FabricRA {
			p.DropFor(drop.FabricForged)
			return
		}
	case wire.ICMPv6NeighborAdvert:
		if target := wire.NeighborAdvert(m).Target(); boxAddress6(s, p.Seg, target) && !virtual6(s, p, target) {
			p.DropFor(drop.FabricForged)
			return
		}
	case wire.ICMPv6NeighborSolicit:
		st.vtepSolicit(mem, p, s, wire.NeighborSolicit(m).Target())
		return
	}
	forwardVTEP(p, s)
}

// vtepSolicit answers or forwards a neighbour solicitation.
func (st *State) vtepSolicit(mem []byte, p *frame.Packet, s *fib.Snapshot, target [2]uint64) {
	if _, router := s.Router6(p.Seg, target); router {
		p.DropFor(drop.VXLANRouter)
		return
	}
	mac, loc, ok := table.FindIP6(s.Bindings, s.Delta, p.Seg, target[0], target[1])
	if !ok {
		mac, loc, ok = s.Station6(p.Seg, target)
	}
	if vip, virtual := s.VIP6(p.Seg, target); virtual {
		if mac, loc, ok = ofVIP(p, s, vip); !ok {
			return
		}
	}
	switch {
	case !ok && wire.LinkLocal6(target):
		forwardVTEP(p, s)
	case !ok:
		st.tell(p, resolve.MissIP6, target[0], target[1])
		unknownVTEP(p, s)
	case answersVTEP(p, s, mac, loc):
		if Advertise(mem, p, mac, false); p.Next == frame.NextDeliver {
			back(p)
		}
	}
}

// ofVIP returns the MAC of a virtual address, and where it is. It drops p if the address is not answered, or is
// nowhere.
func ofVIP(p *frame.Packet, s *fib.Snapshot, vip uint32) (mac uint64, loc fib.Loc, ok bool) {
	v := &s.VIPs[vip]
	if v.Silent {
		p.DropFor(drop.VIPSilent)
		return 0, 0, false
	}
	if loc, ok = table.FindMAC(s.Bindings, s.Delta, p.Seg, v.MAC); !ok {
		p.DropFor(drop.ARPUnresolved)
	}
	return v.MAC, loc, ok
}

// answersVTEP reports whether the box answers a station behind a VTEP for a MAC at loc, and drops p if not. Of another
// box it answers where it stands between boxes and VTEPs: the answer makes the VTEP send here.
func answersVTEP(p *frame.Packet, s *fib.Snapshot, mac uint64, loc fib.Loc) bool {
	switch {
	case mac == p.SrcMAC:
		p.DropFor(drop.ARPForeign) // the sender probes its own address
	case fib.IsVTEP(loc):
		p.DropFor(drop.VXLANRelay)
	case loc&fib.LocLocal == 0 && !s.Segments[p.Seg].Relay:
		p.DropFor(drop.ARPForeign)
	default:
		return true
	}
	return false
}

// back sends an answer to the VTEP where the question came from, which is in Loc.
func back(p *frame.Packet) {
	p.Flags &^= frame.FlagFromFabric
	p.Next = frame.NextEncap
}

// unknownVTEP forwards a question for an address without binding in a segment that floods them.
func unknownVTEP(p *frame.Packet, s *fib.Snapshot) {
	if !s.Segments[p.Seg].UnknownUnicast {
		p.DropFor(drop.ARPUnresolved)
		return
	}
	forwardVTEP(p, s)
}

// forwardVTEP sets Loc and Next of p, which came from a VTEP, by its destination MAC.
func forwardVTEP(p *frame.Packet, s *fib.Snapshot) {
	if p.Has(frame.FlagGroup) {
		p.Next = frame.NextFlood
		return
	}
	g := &s.Segments[p.Seg]
	loc, ok := table.FindMAC(s.Bindings, s.Delta, p.Seg, p.DstMAC)
	switch {
	case !ok && g.UnknownUnicast && !g.Yielded:
		p.Next = frame.NextFlood
	case !ok:
		p.DropFor(drop.FabricNotHere)
	case fib.LocBox(loc):
		p.DropFor(drop.ARPForeign)
	case fib.IsVTEP(loc):
		p.DropFor(drop.VXLANRelay)
	case loc&fib.LocLocal == 0 && !g.Relay:
		p.DropFor(drop.FabricRelay)
	case loc&fib.LocLocal == 0:
		p.Loc, p.Next = loc, frame.NextEncap
	case uint(loc&^fib.LocLocal) >= uint(len(s.VIFs)):
		p.DropFor(drop.ARPForeign)
	default:
		p.Loc, p.Next = loc, frame.NextDeliver
	}
}
