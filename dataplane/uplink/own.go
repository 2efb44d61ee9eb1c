package uplink

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/wire"
)

// echo answers a tenant's ping to the group's own address, and drops all other packets to it.
func echo(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State) {
	to, ok := wayBack(mem, p, s)
	if !ok || to.Loc&fib.LocLocal != 0 {
		p.DropFor(drop.Unresolved)
		return
	}
	if !icmp.Echo(mem, p, p.DstMAC) {
		p.DropFor(drop.RouterProtocol)
		return
	}
	toTenant(p, st, to)
}

// wayBack finds the way back to the tenant's VIF that sent p: to the attachment in p, or to the box of the VIF. A frame
// that is made of p then goes to the VIF's MAC. If a real server has sent p from a virtual address, the way is that to
// the director, which may be this box.
func wayBack(mem []byte, p *frame.Packet, s *fib.Snapshot) (to icmp.Return, ok bool) {
	if p.Attach != frame.NoIndex {
		return to, true
	}
	to, ok = icmp.ReturnTo(mem, p, s)
	if !ok || to.Loc&fib.LocLocal != 0 && (!fib.LocBox(to.Loc) || to.Loc&fib.LocGateway != 0) {
		return to, false
	}
	p.SrcMAC = to.MAC
	return to, true
}

// toTenant sends an answer back to the tenant from which p came.
func toTenant(p *frame.Packet, st *State, to icmp.Return) {
	if p.Attach != frame.NoIndex {
		p.Next = frame.NextDeliver
		return
	}
	p.Seg, p.Loc, p.Next = to.Seg, to.Loc, frame.NextEncap
	if to.Loc&fib.LocLocal != 0 { // to the server of the flow
		p.Flags &^= frame.FlagGenerated | frame.FlagFromFabric
		p.Next = frame.NextBalance
		st.Repeat(p)
	}
}

// tooBig answers a tenant's packet that does not fit the uplink (RFC 1191, RFC 8201), from the address of the packet's
// next hop.
func tooBig(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, way *way) {
	if p.Has(frame.FlagGenerated) || !icmp.DontFragment(mem, p) {
		p.DropFor(drop.UplinkMTU)
		return
	}
	to, ok := wayBack(mem, p, s)
	if !ok {
		p.DropFor(drop.UplinkMTU)
		return
	}
	home := to.Seg
	if p.Attach != frame.NoIndex {
		home = s.Attachments[p.Attach].Seg
	}
	src4, src6 := icmp.Source(mem, p, s, home, true)
	if p.DstMAC == way.g.MAC { // the group is a station of the segment
		if way.g.IP4 != 0 {
			src4 = way.g.IP4
		}
		if !wire.Unspecified6(way.g.IP6) {
			src6 = way.g.IP6
		}
	}
	if refuse(mem, p, s, st, icmp.TooBig, way.mtu, src4, src6, p.DstMAC) {
		toTenant(p, st, to)
	}
}

// refuse turns p into the ICMP error e about itself, if it may be answered, within the limit of errors; otherwise p is
// dropped.
func refuse(
	mem []byte, p *frame.Packet, s *fib.Snapshot, st *State,
	e icmp.Error, mtu uint16, src4 uint32, src6 [2]uint64, srcMAC uint64,
) bool {
	why := icmp.Answer(mem, p, s, st.Now, e, mtu, src4, src6, srcMAC)
	if why != drop.None {
		p.DropFor(why)
	}
	return why == drop.None
}
