package icmp

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// dummy4 is 192.0.0.8, the source of IPv4 errors if the box has no address in the sender's network (RFC 7600, 4.8).
const dummy4 = 0xc0000008

// Return is the route back to the sender of a packet.
type Return struct {
	MAC uint64  // of the sender, or of the next hop to the sender; 0 if Loc is a gateway group
	Loc fib.Loc // of the station with that MAC, or a gateway group of this box
	Seg uint32  // segment of that station
}

// ReturnTo finds the route back to the sender of the parsed IP packet p, which came over the fabric, in the tenant of
// p.Seg. If the source is a virtual address, p is a real server's reply: the route is that to the director, which knows
// the server. Otherwise ReturnTo looks up the source MAC. If that is the MAC of the tenant's router, or has no binding,
// it routes to the source address as the router does.
func ReturnTo(mem []byte, p *frame.Packet, s *fib.Snapshot) (to Return, ok bool) {
	if i, from := vipOf(mem, p, s); from { // a server's reply: its director knows the server
		v := &s.VIPs[i]
		to.MAC, to.Seg = v.MAC, p.Seg
		to.Loc, ok = table.FindMAC(s.Bindings, s.Delta, p.Seg, v.MAC)
		return to, ok
	}
	r := s.RouterOf(p.Seg)
	if r == nil || p.SrcMAC != r.MAC {
		if to.Loc, ok = table.FindMAC(s.Bindings, s.Delta, p.Seg, p.SrcMAC); ok {
			to.MAC, to.Seg = p.SrcMAC, p.Seg
			return to, !fib.LocBox(to.Loc)
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
			return Return{Loc: fib.GroupLoc(r.Gateway), Seg: p.Seg}, true
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
		return Return{Loc: fib.GroupLoc(r.Gateway), Seg: p.Seg}, true
	} else if hop, to.Seg = r.Via6, r.Via6Seg; wire.Unspecified6(hop) {
		return to, false
	}
	to.MAC, to.Loc, ok = table.FindIP6(s.Bindings, s.Delta, to.Seg, hop[0], hop[1])
	return to, ok
}

// vipOf returns the virtual address of p's segment that p is from.
func vipOf(mem []byte, p *frame.Packet, s *fib.Snapshot) (vip uint32, ok bool) {
	if uint(p.Seg) >= uint(len(s.Segments)) {
		return 0, false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagIPv4) {
		vip, ok = s.VIP4(p.Seg, wire.IPv4(l3).Src())
	} else {
		vip, ok = s.VIP6(p.Seg, wire.IPv6(l3).Src())
	}
	return vip, ok && uint(vip) < uint(len(s.VIPs))
}

// Source returns the source addresses of an ICMP error to the sender of p, which is in segment home of p's tenant. It
// takes the first address that exists of: the router's in the sender's subnet, another address of the router, the
// gateway group's, and the destination of p if it is in the tenant's network (a tenant whose segments have no router
// address is bridged only). Otherwise, as for destinations outside, it takes an address of no host: 192.0.0.8, or the
// router's link-local address. For a multicast, src6 is the router's in the sender's subnet or 0.
func Source(mem []byte, p *frame.Packet, s *fib.Snapshot, home uint32, outside bool) (src4 uint32, src6 [2]uint64) {
	g, r := &s.Segments[home], s.RouterOf(home)
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
		return src4, src6 // a multicast stays in its segment: no address of another segment fits
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

// DontFragment reports whether the parsed packet p must not be fragmented, so that an ICMP error to its sender is due:
// IPv4 with DF, or IPv6.
func DontFragment(mem []byte, p *frame.Packet) bool {
	if p.Has(frame.FlagIPv4) {
		return wire.IPv4(mem[p.Off+uint32(p.L3):p.Off+uint32(p.Len)]).FlagsFragment()&wire.IPv4DF != 0
	}
	return p.Has(frame.FlagIPv6)
}
