package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// A director asks its real servers by ARP or neighbour discovery, from its own address in the segment, whether they are
// alive. Question and answer are unicast. They are the only ARP between stations of different boxes that is no
// announcement in a segment that floods nothing.

// own4 returns the own address of a director that has this address and MAC in the segment.
func own4(s *fib.Snapshot, seg, ip uint32, mac uint64) (v *fib.VIP, ok bool) {
	i, ok := s.VIP4(seg, ip)
	return ownAddress(s, i, mac, ok)
}

// own6 is own4 for IPv6.
func own6(s *fib.Snapshot, seg uint32, ip [2]uint64, mac uint64) (v *fib.VIP, ok bool) {
	i, ok := s.VIP6(seg, ip)
	return ownAddress(s, i, mac, ok)
}

func ownAddress(s *fib.Snapshot, vip uint32, mac uint64, ok bool) (*fib.VIP, bool) {
	if !ok {
		return nil, false
	}
	v := &s.VIPs[vip]
	return v, v.Own && v.MAC == mac
}

// toDirector sends a station's answer to the director that asked: to control, or over the fabric.
func toDirector(p *frame.Packet, s *fib.Snapshot, v *fib.VIP) {
	if v.Here {
		p.Next, p.Kind = frame.NextPunt, uint8(punt.Check)
		return
	}
	loc, ok := table.FindMAC(s.Bindings, s.Delta, p.Seg, v.MAC)
	switch {
	case p.Has(frame.FlagFromFabric):
		p.DropFor(drop.FabricNotHere)
	case !ok || loc&fib.LocLocal != 0:
		p.DropFor(drop.Unresolved)
	default:
		p.Loc, p.Next = loc, frame.NextEncap
	}
}

// answers4 reports whether an ARP packet is an answer to a director's own address.
func answers4(p *frame.Packet, a wire.ARP, s *fib.Snapshot) (*fib.VIP, bool) {
	if a.Op() != wire.ARPReply || announces(a) || len(s.VIPs) == 0 {
		return nil, false
	}
	return own4(s, p.Seg, a.TargetIP(), p.DstMAC)
}

// answers6 reports whether an ICMPv6 message is a neighbour advertisement to a director's own address.
func answers6(p *frame.Packet, ip wire.IPv6, kind uint8, s *fib.Snapshot) (*fib.VIP, bool) {
	if kind != wire.ICMPv6NeighborAdvert || len(s.VIPs) == 0 {
		return nil, false
	}
	return own6(s, p.Seg, ip.Dst(), p.DstMAC)
}

// asks4 reports whether an ARP packet from the fabric is a question of a director to one station.
func asks4(p *frame.Packet, a wire.ARP, s *fib.Snapshot) bool {
	if a.Op() != wire.ARPRequest || p.Has(frame.FlagGroup) || len(s.VIPs) == 0 {
		return false
	}
	_, ok := own4(s, p.Seg, a.SenderIP(), p.SrcMAC)
	return ok
}

// asks6 reports whether a solicitation from the fabric, sent from an address, is a question of a director to one
// station.
func asks6(p *frame.Packet, from [2]uint64, s *fib.Snapshot) bool {
	if p.Has(frame.FlagGroup) || len(s.VIPs) == 0 {
		return false
	}
	_, ok := own6(s, p.Seg, from, p.SrcMAC)
	return ok
}
