package uplink

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/neigh"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// solicited answers a neighbour solicitation of an uplink port for an address of the box or of a tenant behind a group,
// and drops all other neighbour discovery. IPv6 gateways are not probed: the IPv4 probe stands for both.
func solicited(mem []byte, p *frame.Packet, s *fib.Snapshot, port *fib.Port) {
	f := mem[p.Off : p.Off+uint32(p.Len)]
	if wire.ICMPv6(f[p.L4:]).Type() != wire.ICMPv6NeighborSolicit {
		p.DropFor(drop.UplinkARPForeign)
		return
	}
	target := wire.NeighborSolicit(f[p.L4:]).Target()
	// The answer goes to the link-layer address that the requester names, which for a virtual router is not the
	// Ethernet source.
	end := min(len(f), int(p.L3)+wire.IPv6Len+int(wire.IPv6(f[p.L3:]).PayloadLen()))
	if named, ok := wire.NeighborSolicit(f[p.L4:end]).Options().LinkAddr(wire.NDOptionSourceAddr); ok {
		if named == 0 || wire.GroupMAC(named) || ours(s, named) {
			p.DropFor(drop.UplinkARPForged)
			return
		}
		p.SrcMAC = named
	}
	for i := range port.Uplink {
		u := &port.Uplink[i]
		if u.VID != p.VID || uint64(u.Group) >= uint64(len(s.Groups)) {
			continue
		}
		g := &s.Groups[u.Group]
		from := mac(s, g, p.Port)
		requester := func(m *fib.Member) bool { of, _ := m.Live.Gateway(); return of == p.SrcMAC }
		if !has6(g, u, target, from) && !hosts6(g, s, target) || !speaks(g, p, requester) {
			continue
		}
		if neigh.Advertise(mem, p, from, true); p.Next == frame.NextDeliver {
			back(mem, p)
		}
		return
	}
	p.DropFor(drop.UplinkARPForeign)
}

// has6 reports whether ip is an address of the group itself.
func has6(g *fib.Group, u *fib.UplinkMember, ip [2]uint64, ours uint64) bool {
	if wire.Unspecified6(ip) {
		return false
	}
	if ip == g.IP6 || ip == wire.EUI64LinkLocal(ours) {
		return true
	}
	return uint64(u.Slot) < uint64(len(g.Members)) && ip == g.Members[u.Slot].Source6
}

// hosts6 reports whether ip is the address of a tenant's VIF, or router, behind the group.
func hosts6(g *fib.Group, s *fib.Snapshot, ip [2]uint64) bool {
	n := fib.FindSubnet6(g.Subnets6, ip)
	if n == nil {
		return false
	}
	_, loc, ok := table.FindIP6(s.Bindings, s.Delta, n.Seg, ip[0], ip[1])
	return ok && loc < fib.GroupLoc(0) || n.RouterIP == ip
}
