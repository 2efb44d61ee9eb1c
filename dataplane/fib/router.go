package fib

import (
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// RouterOf returns the virtual router of a segment, nil if there is none.
func (s *Snapshot) RouterOf(seg uint32) *Router {
	if uint(seg) >= uint(len(s.Segments)) || uint(s.Segments[seg].Router) >= uint(len(s.Routers)) {
		return nil
	}
	return &s.Routers[s.Segments[seg].Router]
}

// Router4 returns the virtual router's MAC if ip is its address in one of the segment's subnets.
func (s *Snapshot) Router4(seg, ip uint32) (mac uint64, ok bool) {
	g := &s.Segments[seg]
	if ip == 0 || uint(g.Router) >= uint(len(s.Routers)) {
		return 0, false
	}
	for i := range g.Subnets4 {
		if g.Subnets4[i].RouterIP == ip {
			return s.Routers[g.Router].MAC, true
		}
	}
	return 0, false
}

// Router6 returns the virtual router's MAC if ip is its address in one of the segment's subnets, or its link-local
// address.
func (s *Snapshot) Router6(seg uint32, ip [2]uint64) (mac uint64, ok bool) {
	g := &s.Segments[seg]
	if wire.Unspecified6(ip) || uint(g.Router) >= uint(len(s.Routers)) {
		return 0, false
	}
	mac = s.Routers[g.Router].MAC
	if wire.LinkLocal6(ip) {
		return mac, ip == wire.EUI64LinkLocal(mac)
	}
	for i := range g.Subnets6 {
		if g.Subnets6[i].RouterIP == ip {
			return mac, true
		}
	}
	return 0, false
}

// Station6 finds the VIF of a link-local address that has no binding: the address that follows from the MAC of a VIF
// belongs to that VIF (RFC 4291, appendix A).
func (s *Snapshot) Station6(seg uint32, ip [2]uint64) (mac uint64, loc Loc, ok bool) {
	if ip[0] != 0xfe80<<48 || ip[1]>>24&0xffff != 0xfffe {
		return 0, 0, false
	}
	mac = (ip[1]>>40^0x020000)<<24 | ip[1]&0xffffff
	loc, ok = table.FindMAC(s.Bindings, s.Delta, seg, mac)
	return mac, loc, ok
}
