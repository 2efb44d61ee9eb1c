package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

const (
	// notHereEvery is the time in nanoseconds after which control is told again of a sender and a VIF.
	notHereEvery = 1_000_000_000
	// notHereRate and notHereBurst are the events per second of one tenant.
	notHereRate  = 100
	notHereBurst = 100
)

// undelivered does the rest for a packet from the fabric that fromFabric does not deliver to a VIF.
func (st *State) undelivered(p *frame.Packet, s *fib.Snapshot, loc fib.Loc, ok bool) {
	if s.VXLAN.Segments != nil && st.between(p, s, loc, ok) {
		return
	}
	switch p.Next {
	case frame.NextFlood:
		st.toMaster(p, s)
	case frame.NextDrop: // the destination is not on this box
		if s.ControlVID != 0 && st.Messages != nil && uint(p.Seg) < uint(len(s.Segments)) {
			why := p.Drop
			st.notHere(p, s)
			p.DropFor(why)
		}
	}
}

// notHere tells control, which tells the sender's box (PROTOCOL.md#misses), once a second for each sender and
// destination.
func (st *State) notHere(p *frame.Packet, s *fib.Snapshot) {
	g := &s.Segments[p.Seg]
	h := (fib.SegmentKey(g.Tenant, g.ID)*0x9e3779b97f4a7c15 ^ p.DstMAC) * 0xe7037ed1a0b428db
	h = (h ^ h>>29 ^ p.SrcMAC) * 0x8ebc6af09c88c6e3
	if !st.told.Due(h, st.Now, notHereEvery) ||
		!s.Limits.TenantMiss.At(g.Router).Take(st.Now, notHereRate, notHereBurst, 1) {
		return
	}
	e := resolve.Event{Kind: resolve.NotHere, Tenant: g.Tenant, Segment: g.ID, MAC: p.DstMAC, Sender: p.SrcMAC}
	if loc, ok := sender(st.Mem, p, s); ok && loc&fib.LocLocal == 0 && uint(loc>>8) < uint(len(s.Switches)) {
		e.Switch, e.Number = s.Switches[loc>>8].MAC, uint8(loc)
	}
	st.Messages.Tell(&e)
}

// sender finds the location of the VIF that sent p: by its MAC, or, of a packet that a virtual router has sent on, by
// its address.
func sender(mem []byte, p *frame.Packet, s *fib.Snapshot) (loc fib.Loc, ok bool) {
	r := s.RouterOf(p.Seg)
	if r == nil || p.SrcMAC != r.MAC {
		return table.FindMAC(s.Bindings, s.Delta, p.Seg, p.SrcMAC)
	}
	if parse.Inner(mem, p) != drop.None {
		return 0, false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	switch {
	case p.Has(frame.FlagIPv4):
		src := wire.IPv4(l3).Src()
		if n := fib.FindSubnet4(r.Subnets4, src); n != nil {
			_, loc, ok = table.FindIP4(s.Bindings, s.Delta, n.Seg, src)
		}
	case p.Has(frame.FlagIPv6):
		src := wire.IPv6(l3).Src()
		if n := fib.FindSubnet6(r.Subnets6, src); n != nil {
			_, loc, ok = table.FindIP6(s.Bindings, s.Delta, n.Seg, src[0], src[1])
		}
	}
	return loc, ok
}
