package overlay

import (
	"encoding/binary"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// A station on an attachment that is open is learned: control is told of its MAC and of its addresses, at once while
// the bindings do not lead to it there, and now and then while they do, so that control knows that it lives
// (PROTOCOL.md#learning). What control may be told is only looked for in frames that do not go the quick way, and of
// each station once a second goes one frame there. So a known station costs two lookups a second.

const (
	// relearn is the time in nanoseconds after which a station is compared with the bindings again, and after which
	// control is told again of what they do not have.
	relearn = 1_000_000_000
	// alive is the time in nanoseconds after which control is told again of a MAC or address that the bindings have.
	alive = 15 * relearn
	// learnRate and learnBurst are the MACs and addresses per second of one attachment.
	learnRate  = 1000
	learnBurst = 2000
)

// learn compares the sender of p with the bindings, and tells control of what is not there.
func (st *State) learn(mem []byte, p *frame.Packet, d *station, s *fib.Snapshot) {
	if d.mac == d.router || fib.VirtualRouterMAC(d.mac) || st.Messages == nil {
		return
	}
	if st.Now >= d.due {
		d.due, d.ip = st.Now+relearn, [2]uint64{}
		every := int64(relearn)
		// Control hears of a configured VIF at once: another box may have claimed it; the bindings do not say so.
		if loc, ok := table.FindMAC(s.Bindings, s.Delta, d.seg, d.mac); ok && d.v == nil && here(s, loc, d) {
			every = alive
		}
		st.tellStation(s, d, resolve.Event{Kind: resolve.LearnMAC, MAC: d.mac}, 0, every)
	}
	kind, ip := sourceOf(mem, p)
	if kind == 0 || ip == d.ip || !learnable(s, d.seg, kind, ip) {
		return
	}
	d.ip = ip
	var mac uint64
	if kind == resolve.LearnIP4 {
		mac, _, _ = table.FindIP4(s.Bindings, s.Delta, d.seg, uint32(ip[1]))
	} else {
		mac, _, _ = table.FindIP6(s.Bindings, s.Delta, d.seg, ip[0], ip[1])
	}
	e, every := resolve.Event{Kind: kind, MAC: d.mac}, int64(relearn)
	if mac == d.mac {
		every = alive
	}
	e.SetIP(kind == resolve.LearnIP4, ip[0], ip[1])
	st.tellStation(s, d, e, ip[0]*0x9e3779b97f4a7c15^ip[1], every)
}

// here reports whether a location is a VIF behind the attachment of d.
func here(s *fib.Snapshot, loc fib.Loc, d *station) bool {
	return loc&fib.LocLocal != 0 && uint(loc&^fib.LocLocal) < uint(len(s.VIFs)) &&
		s.VIFs[loc&^fib.LocLocal].Attach == d.at
}

// tellStation tells control of a station, or of an address of it, unless it was told within the last every
// nanoseconds; hash is that of the address.
func (st *State) tellStation(s *fib.Snapshot, d *station, e resolve.Event, hash uint64, every int64) {
	h := (d.mac ^ uint64(d.at)<<48 ^ hash) * 0xe7037ed1a0b428db
	h = (h ^ h>>31 ^ uint64(e.Kind)) * 0x8ebc6af09c88c6e3
	if !st.learned.Due(h, st.Now, every) || !s.Limits.Learn.At(d.at).Take(st.Now, learnRate, learnBurst, 1) {
		return
	}
	g, a := &s.Segments[d.seg], &s.Attachments[d.at]
	e.Tenant, e.Segment, e.Port, e.VID = g.Tenant, g.ID, a.Port, a.VID
	st.Messages.Tell(&e)
}

// sourceOf returns the address that p says its sender has: the sender of ARP, the target of a neighbour advertisement,
// the source of other packets. kind is 0 if there is none.
func sourceOf(mem []byte, p *frame.Packet) (kind resolve.EventKind, ip [2]uint64) {
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	switch {
	case p.Has(frame.FlagARP):
		return resolve.LearnIP4, [2]uint64{0, uint64(binary.BigEndian.Uint32(l3[arpSenderIP:]))}
	case p.Has(frame.FlagIPv4):
		return resolve.LearnIP4, [2]uint64{0, uint64(binary.BigEndian.Uint32(l3[ip4SourceOffset:]))}
	case p.Has(frame.FlagND) && wire.ICMPv6(l3[p.L4-p.L3:]).Type() == wire.ICMPv6NeighborAdvert:
		return resolve.LearnIP6, wire.NeighborAdvert(l3[p.L4-p.L3:]).Target()
	case p.Has(frame.FlagIPv6):
		return resolve.LearnIP6, wire.IPv6(l3).Src()
	}
	return 0, ip
}

// learnable reports whether a station may own an address: it is in a subnet of the segment, and neither the virtual
// router's nor a virtual address. In a segment without subnets it is any address of a host but a link-local one. What a
// router behind the attachment sends on has other sources, which are not learned.
func learnable(s *fib.Snapshot, seg uint32, kind resolve.EventKind, ip [2]uint64) bool {
	g, r := &s.Segments[seg], s.RouterOf(seg)
	if kind == resolve.LearnIP4 {
		a := uint32(ip[1])
		if a>>24 == 0 || a>>24 == 127 || a>>28 >= 0xe || a>>16 == 169<<8|254 {
			return false
		}
		if _, router := s.Router4(seg, a); router {
			return false
		}
		if _, vip := s.VIP4(seg, a); vip {
			return false
		}
		if r == nil || len(g.Subnets4) == 0 {
			return true
		}
		n := fib.FindSubnet4(r.Subnets4, a)
		return n != nil && n.Seg == seg && !(n.End-n.Start >= 3 && (a == n.Start || a == n.End))
	}
	if wire.LinkLocal6(ip) || wire.Multicast6(ip) || wire.Unspecified6(ip) || wire.Loopback6(ip) {
		return false
	}
	if _, router := s.Router6(seg, ip); router {
		return false
	}
	if _, vip := s.VIP6(seg, ip); vip {
		return false
	}
	if r == nil || len(g.Subnets6) == 0 {
		return true
	}
	n := fib.FindSubnet6(r.Subnets6, ip)
	return n != nil && n.Seg == seg
}
