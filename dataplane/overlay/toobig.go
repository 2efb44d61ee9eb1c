package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// TooBig answers p, an IP packet of more than mtu octets, with ICMP "fragmentation needed" or "packet too big" (RFC
// 1191, RFC 8201). If ICMP cannot answer p, TooBig drops p for reason why. The answer goes back to where p came from:
// to the attachment, to the outside by the uplink, or to another box over the fabric.
func (st *State) TooBig(p *frame.Packet, mtu uint16, why drop.Reason) {
	if p.Has(frame.FlagGenerated) || !st.firstReport(p) {
		p.DropFor(why)
		return
	}
	switch {
	case p.Has(frame.FlagBalanced) || p.Has(frame.FlagFromFabric) && fib.Marked(p.SrcMAC):
		st.tooBigBalanced(p, mtu, why)
	case p.Has(frame.FlagFromUplink):
		p.Loc, p.Next, p.Drop = uint32(mtu), frame.NextRefuse, why
	case p.Has(frame.FlagFromFabric):
		st.tooBigFromFabric(p, mtu, why)
	case p.Attach == frame.NoIndex || !icmp.DontFragment(st.Mem, p):
		p.DropFor(why)
	default:
		if home := st.Snap.Attachments[p.Attach].Seg; st.reportTooBig(p, mtu, home, why) {
			st.toAttachment(p, p.Attach)
		}
	}
}

// tooBigFromFabric is tooBig for an inner frame from the fabric, whose IP header has not been parsed yet.
func (st *State) tooBigFromFabric(p *frame.Packet, mtu uint16, why drop.Reason) {
	if parse.Inner(st.Mem, p) != drop.None || !icmp.DontFragment(st.Mem, p) {
		p.DropFor(why)
		return
	}
	p.Flags &^= frame.FlagFromFabric // the answer may go back there
	to, ok := icmp.ReturnTo(st.Mem, p, st.Snap)
	if !ok {
		p.DropFor(why)
		return
	}
	p.SrcMAC = to.MAC
	if !st.reportTooBig(p, mtu, to.Seg, why) {
		return
	}
	p.Seg, p.Loc = to.Seg, to.Loc
	switch {
	case to.Loc&fib.LocLocal == 0:
		p.Next = frame.NextEncap
	case to.Loc&fib.LocGateway != 0:
		st.Outward(p)
	case to.Loc&fib.LocVIP != 0: // to the server of the flow
		p.Flags &^= frame.FlagGenerated
		p.Next = frame.NextBalance
		st.Repeat(p)
	default:
		st.toAttachment(p, st.Snap.VIFs[to.Loc&^fib.LocLocal].Attach)
	}
}

// tooBigBalanced is TooBig for a request that a director has sent to a real server. The error comes from the virtual
// address and quotes the request as the client has sent it.
func (st *State) tooBigBalanced(p *frame.Packet, mtu uint16, why drop.Reason) {
	mem, s := st.Mem, st.Snap
	if parse.Inner(mem, p) != drop.None || !icmp.DontFragment(mem, p) {
		p.DropFor(why)
		return
	}
	v := icmp.Restore(mem, p, s)
	if v == nil {
		p.DropFor(why)
		return
	}
	to, mac, ok := icmp.Origin(mem, p, s, v)
	if !ok {
		p.DropFor(why)
		return
	}
	p.Seg = v.Seg
	if why := icmp.Answer(mem, p, s, st.Now, icmp.TooBig, mtu, v.IP4, v.IP6, mac); why != drop.None {
		p.DropFor(why)
		return
	}
	st.Events.TooBigSent++
	icmp.Back(p, s, to)
	st.Repeat(p)
}

// reportTooBig turns p into the ICMP error to the sender of p, which is in segment home. It returns false if it drops p
// instead.
func (st *State) reportTooBig(p *frame.Packet, mtu uint16, home uint32, why drop.Reason) bool {
	s := st.Snap
	mac := p.DstMAC
	if r := s.Segments[home].Router; r != fib.None {
		mac = s.Routers[r].MAC
	}
	src4, src6 := icmp.Source(st.Mem, p, s, home, false)
	if wire.GroupMAC(mac) || !p.Has(frame.FlagIPv4) && wire.Unspecified6(src6) {
		p.DropFor(why)
		return false
	}
	if why := icmp.Answer(st.Mem, p, s, st.Now, icmp.TooBig, mtu, src4, src6, mac); why != drop.None {
		p.DropFor(why)
		return false
	}
	st.Events.TooBigSent++
	return true
}

// firstReport reports whether no ICMP error about p has been sent yet. A flooded frame causes one ICMP error, even if
// it is too big for several receivers.
func (st *State) firstReport(p *frame.Packet) bool {
	if !p.Has(frame.FlagFlooded) {
		return true
	}
	bit := uint64(1) << (p.Kind & (frame.BatchSize - 1))
	if st.reported&bit != 0 {
		return false
	}
	st.reported |= bit
	return true
}
