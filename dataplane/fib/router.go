package fib

import "penstock/dataplane/wire"

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
