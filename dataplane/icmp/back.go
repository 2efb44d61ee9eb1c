package icmp

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// dummy4 is the source of IPv4 errors where the box has no address of its own that the sender could know (RFC 7600,
// 4.8: 192.0.0.8).
const dummy4 = 0xc0000008

// Return is the way back to the sender of a packet.
type Return struct {
	MAC uint64  // the sender's, or that of the next hop towards it
	Loc fib.Loc // where it hangs; or a gateway group of this box, then MAC is 0
	Seg uint32
}

// ReturnTo finds the way back to the sender of the parsed IP packet p, which has come over the fabric, in its tenant:
// by the source MAC, or, where the tenant's router on another box stands there, by the source address as the router
// would route it. p.Seg is the segment that p came to.
func ReturnTo(mem []byte, p *frame.Packet, s *fib.Snapshot) (to Return, ok bool) {
	r := routerOf(s, p.Seg)
	if r == nil || p.SrcMAC != r.MAC {
		if to.Loc, ok = table.FindMAC(s.Bindings, s.Delta, p.Seg, p.SrcMAC); ok {
			to.MAC, to.Seg = p.SrcMAC, p.Seg
			return to, to.Loc < fib.GatewayLoc(0)
		}
	}
	if r == nil {
		return to, false
	}
	if p.Has(frame.FlagIPv4) {
		hop := wire.IPv4(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]).Src()
		if n := fib.FindSubnet4(r.Subnets4, hop); n != nil {
			to.Seg = n.Seg
		} else if r.Gateway != 0 {
			return Return{Loc: fib.GatewayLoc(r.Gateway), Seg: p.Seg}, true
		} else if hop, to.Seg = r.Via4, r.Via4Seg; hop == 0 {
			return to, false
		}
		to.MAC, to.Loc, ok = table.FindIP4(s.Bindings, s.Delta, to.Seg, hop)
		return to, ok
	}
	hop := wire.IPv6(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]).Src()
	if n := fib.FindSubnet6(r.Subnets6, hop); n != nil {
		to.Seg = n.Seg
	} else if r.Gateway != 0 {
		return Return{Loc: fib.GatewayLoc(r.Gateway), Seg: p.Seg}, true
	} else if hop, to.Seg = r.Via6, r.Via6Seg; wire.Unspecified6(hop) {
		return to, false
	}
	to.MAC, to.Loc, ok = table.FindIP6(s.Bindings, s.Delta, to.Seg, hop[0], hop[1])
	return to, ok
}

// Source returns the addresses from which the sender of p, which is in segment home of p's tenant, hears of p: the
// router's in the sender's subnet, or else any of the router's; or else the gateway group's. A tenant whose segments
// have no such address is bridged only: there the destination's stands for the box in between. Where the destination
// is outside, an address of nobody is used instead: 192.0.0.8, or the router's link-local address. src6 is 0 for a
// multicast where there is none.
func Source(mem []byte, p *frame.Packet, s *fib.Snapshot, home uint32, outside bool) (src4 uint32, src6 [2]uint64) {
	g, r := &s.Segments[home], routerOf(s, home)
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	var group *fib.Group
	if r != nil && r.Gateway != 0 && uint64(r.Gateway) < uint64(len(s.Groups)) {
		group = &s.Groups[r.Gateway]
	}
	if p.Has(frame.FlagIPv4) {
		src, dst := wire.IPv4(l3).Src(), wire.IPv4(l3).Dst()
		if src4 = fib.RouterIP4(g.Subnets4, src); src4 == 0 && r != nil {
			src4 = fib.RouterIP4(r.Subnets4, src)
		}
		if src4 == 0 && group != nil {
			src4 = group.IP4
		}
		if src4 == 0 && !outside && Host4(dst) &&
			(r == nil || len(r.Subnets4) == 0 || fib.FindSubnet4(r.Subnets4, dst) != nil) {
			src4 = dst
		}
		if src4 == 0 {
			src4 = dummy4
		}
		return src4, src6
	}
	src, dst := wire.IPv6(l3).Src(), wire.IPv6(l3).Dst()
	if src6 = fib.RouterIP6(g.Subnets6, src); !wire.Unspecified6(src6) || wire.Multicast6(dst) {
		return src4, src6 // a group of the segment: no address in another one has to do with it
	}
	if r != nil {
		src6 = fib.RouterIP6(r.Subnets6, src)
	}
	if wire.Unspecified6(src6) && group != nil {
		src6 = group.IP6
	}
	if wire.Unspecified6(src6) && !outside &&
		(r == nil || len(r.Subnets6) == 0 || fib.FindSubnet6(r.Subnets6, dst) != nil) {
		src6 = dst
	}
	if wire.Unspecified6(src6) && r != nil {
		src6 = wire.EUI64LinkLocal(r.MAC)
	}
	return src4, src6
}

// DontFragment reports whether the parsed packet p is one that must not be cut, so that its sender can be told: IPv4
// with DF, or IPv6.
func DontFragment(mem []byte, p *frame.Packet) bool {
	if p.Has(frame.FlagIPv4) {
		return wire.IPv4(mem[p.Off+uint32(p.L3):p.Off+uint32(p.Len)]).FlagsFragment()&wire.IPv4DF != 0
	}
	return p.Has(frame.FlagIPv6)
}

func routerOf(s *fib.Snapshot, seg uint32) *fib.Router {
	if uint(seg) >= uint(len(s.Segments)) || uint(s.Segments[seg].Router) >= uint(len(s.Routers)) {
		return nil
	}
	return &s.Routers[s.Segments[seg].Router]
}
