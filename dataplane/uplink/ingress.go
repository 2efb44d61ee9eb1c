package uplink

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/parse"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// fresh is the age in nanoseconds up to which the time of a member's last data is not written again. The first data
// after a probe always writes it.
const fresh = 1_000_000

// arrival is what the tables say about frames with these MACs and VLAN: the group that they are addressed to, and the
// member that they count for. Ingress looks it up once for successive frames that have the same.
type arrival struct {
	src, dst uint64
	vid      uint16
	known    bool
	why      drop.Reason // reason to drop the frames, None = they are accepted
	g        *fib.Group
	group    uint32
	m        *fib.Member
}

// Ingress forwards the frames of an uplink port to the tenants behind its groups. It accepts a frame to the group's
// virtual MAC if the gateway of a member is healthy, and finds the receiver by the destination address among the
// subnets of the group. It accepts any source MAC, as any router does, unless the member is locked: VRRP and HSRP
// routers forward from their own MACs, and so does the pair's backup. The returned bits are as with Egress.
//
// Ingress reads the tables as package route does: first all subnets, then the index of all addresses, then all
// bindings, each in a loop of its own, so that the cache misses of a batch overlap.
//
// It is a stage (stage.Func).
func (st *State) Ingress(b *frame.Batch) (todo uint32) {
	mem, s, port := st.Mem, st.Snap, st.Port
	var hops [frame.BatchSize]table.Hop
	var groups [frame.BatchSize]*fib.Group // the groups of the packets of hops
	var from arrival
	k := uint(0)
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if parse.Access(mem, p) && !st.Spread.Elsewhere(p) {
			h := &hops[k%frame.BatchSize]
			if ingress(mem, p, s, st, &s.Ports[port], &from, h) {
				h.Pkt = uint8(i)
				groups[k%frame.BatchSize] = from.g
				k++
				continue
			}
		}
		todo |= p.Next.Bit()
	}
	list := hops[:min(k, frame.BatchSize)]
	st.touched += s.Bindings.SeekHops(list)
	for i := range list {
		h, g := &list[i], groups[i]
		p := &b.Pkt[h.Pkt%frame.BatchSize]
		if h.V4 {
			st.inward4(mem, p, s, h, g)
		} else {
			st.inward6(mem, p, s, h, g)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// ingress finds the group of p and the segment of its destination. It returns false if it has dropped or answered p.
func ingress(
	mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port, from *arrival, to *table.Hop,
) bool {
	if !from.known || from.src != p.SrcMAC || from.dst != p.DstMAC || from.vid != p.VID {
		*from = identify(p, s, st, port)
	}
	if p.Flags&(frame.FlagARP|frame.FlagND) != 0 && from.why != drop.UplinkVLAN && from.why != drop.UplinkLoop {
		if p.Has(frame.FlagARP) {
			arp(mem, p, s, st, port)
		} else {
			solicited(mem, p, s, port)
		}
		return false
	}
	if from.why != drop.None {
		p.DropFor(from.why)
		return false
	}
	st.Members.AddPacket(int(from.m.Stat)*stats.RxTxLen+stats.Rx, p.Len)
	switch {
	case p.Has(frame.FlagIPv4):
		return toSubnet4(mem, p, s, st, port, from, to)
	case p.Has(frame.FlagIPv6):
		return toSubnet6(mem, p, s, st, port, from, to)
	}
	p.DropFor(drop.UplinkNotIP)
	return false
}

// identify finds the group that p is addressed to and the member that it counts for, and marks the gateways alive that
// sent p.
func identify(p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port) arrival {
	d := arrival{src: p.SrcMAC, dst: p.DstMAC, vid: p.VID, known: true, why: drop.UplinkVLAN}
	for i := range port.Uplink {
		u := &port.Uplink[i]
		if u.VID != p.VID || uint64(u.Group) >= uint64(len(s.Groups)) {
			continue
		}
		g := &s.Groups[u.Group]
		switch {
		case g.MAC == p.SrcMAC || port.MAC == p.SrcMAC:
			d.why = drop.UplinkLoop
			return d
		case d.why == drop.UplinkVLAN:
			d.why = drop.UplinkMAC
		}
		markAlive(g, p, st)
		if d.g != nil || p.DstMAC != g.MAC && p.DstMAC != port.MAC {
			continue
		}
		m, why := memberOf(g, p)
		switch {
		case why == drop.None:
			d.why, d.g, d.group, d.m = why, g, u.Group, m
		case why == drop.UplinkSource || d.why == drop.UplinkMAC:
			d.why = why
		}
	}
	if d.g != nil && ours(s, p.SrcMAC) { // by another port, or of another group
		d.g, d.m, d.why = nil, nil, drop.UplinkLoop
	}
	return d
}

// markAlive stores that the members of g are alive whose gateways the source of p belongs to.
func markAlive(g *fib.Group, p *frame.Packet, st *State) {
	for i := range g.Members {
		m := &g.Members[i]
		if m.Live == nil || m.Port != p.Port || m.VID != p.VID {
			continue
		}
		if of, _ := m.Live.Gateway(); of != p.SrcMAC && !m.Sends(p.SrcMAC) {
			continue
		}
		if at := m.Live.Data.Load(); st.Now-at > fresh || at <= m.Live.Probed.Load() {
			m.Live.Data.Store(st.Clock())
		}
	}
}

// memberOf returns the member of g that p counts for, or the reason to drop p. Frames from a healthy gateway's own
// MAC count for its member on any port: if two ports are in one Ethernet, the switches choose the port of a gateway's
// frames. Frames from any other MAC count for a healthy member at this port and VLAN that is not locked, or that has
// the MAC in its list.
func memberOf(g *fib.Group, p *frame.Packet) (m *fib.Member, why drop.Reason) {
	why = drop.UplinkDown
	for i := range g.Members {
		c := &g.Members[i]
		if c.Live == nil {
			continue
		}
		of, healthy := c.Live.Gateway()
		switch here := c.Port == p.Port && c.VID == p.VID; {
		case of == 0 || !healthy:
		case of == p.SrcMAC, here && c.Sends(p.SrcMAC):
			return c, drop.None
		case here && c.Locked && m == nil:
			why = drop.UplinkSource
		case here && !c.Locked && m == nil:
			m, why = c, drop.None
		}
	}
	return m, why
}

// otherGroup sets from to another group at this port that accepts the source of p, and that fits. It is for frames to
// the port's own MAC, which, unlike a virtual MAC, does not identify the group.
func otherGroup(p *frame.Packet, s *fib.Snapshot, port *fib.Port, from *arrival, fits func(*fib.Group) bool) bool {
	for i := range port.Uplink {
		u := &port.Uplink[i]
		if u.VID != p.VID || u.Group == from.group || uint64(u.Group) >= uint64(len(s.Groups)) {
			continue
		}
		g := &s.Groups[u.Group]
		if m, why := memberOf(g, p); why == drop.None && fits(g) {
			from.g, from.group, from.m = g, u.Group, m
			return true
		}
	}
	return false
}

// toSubnet4 finds the segment of p's destination. It returns false if it has dropped or answered p.
func toSubnet4(
	mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port, from *arrival, to *table.Hop,
) bool {
	h := (*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])
	w := binary.BigEndian.Uint64(h[8:16])
	src, dst := uint32(w), binary.BigEndian.Uint32(h[16:20])
	if !icmp.Host4(src) {
		p.DropFor(drop.RouterSource)
		return false
	}
	if dst == from.g.IP4 || dst == from.m.Source {
		ping(mem, p, s, from, dst != 0)
		return false
	}
	n := fib.FindSubnet4(from.g.Subnets4, dst)
	if n == nil && p.DstMAC != from.g.MAC {
		fits := func(g *fib.Group) bool { return g.IP4 == dst || fib.FindSubnet4(g.Subnets4, dst) != nil }
		if otherGroup(p, s, port, from, fits) {
			return toSubnet4(mem, p, s, st, port, from, to)
		}
	}
	if n == nil || n.End-n.Start >= 3 && (dst == n.Start || dst == n.End) {
		p.DropFor(drop.UplinkNoTenant)
		return false
	}
	if g := &s.Segments[n.Seg]; g.Gateway != from.group { // through the tenant's virtual router
		if uint64(g.Router) < uint64(len(s.Routers)) && fib.FindSubnet4(s.Routers[g.Router].Subnets4, src) != nil {
			p.DropFor(drop.UplinkSpoofed)
			return false
		}
		if n.RouterIP == dst {
			ping(mem, p, s, from, true)
			return false
		}
		if w>>56 <= 1 {
			p.Seg = n.Seg
			outside(mem, p, s, st, from, icmp.TimeExceeded, 0, drop.TTLExceeded)
			return false
		}
	}
	to.Seg, to.IP4, to.V4 = n.Seg, dst, true
	return true
}

// toSubnet6 is toSubnet4 for IPv6.
func toSubnet6(
	mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port, from *arrival, to *table.Hop,
) bool {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	src, dst := h.Src(), h.Dst()
	if wire.Multicast6(src) || wire.Unspecified6(src) || wire.Loopback6(src) {
		p.DropFor(drop.RouterSource)
		return false
	}
	if dst == from.g.IP6 || dst == from.m.Source6 || wire.LinkLocal6(dst) {
		own := !wire.LinkLocal6(dst) || dst == wire.EUI64LinkLocal(p.DstMAC)
		ping(mem, p, s, from, own && !wire.Unspecified6(dst))
		return false
	}
	if wire.LinkLocal6(src) { // never leaves its link (RFC 4291, 2.5.6)
		p.DropFor(drop.RouterSource)
		return false
	}
	n := fib.FindSubnet6(from.g.Subnets6, dst)
	if n == nil && p.DstMAC != from.g.MAC {
		fits := func(g *fib.Group) bool { return g.IP6 == dst || fib.FindSubnet6(g.Subnets6, dst) != nil }
		if otherGroup(p, s, port, from, fits) {
			return toSubnet6(mem, p, s, st, port, from, to)
		}
	}
	if n == nil {
		p.DropFor(drop.UplinkNoTenant)
		return false
	}
	if g := &s.Segments[n.Seg]; g.Gateway != from.group {
		if uint64(g.Router) < uint64(len(s.Routers)) && fib.FindSubnet6(s.Routers[g.Router].Subnets6, src) != nil {
			p.DropFor(drop.UplinkSpoofed)
			return false
		}
		if n.RouterIP == dst {
			ping(mem, p, s, from, true)
			return false
		}
		if h.HopLimit() <= 1 {
			p.Seg = n.Seg
			outside(mem, p, s, st, from, icmp.TimeExceeded, 0, drop.TTLExceeded)
			return false
		}
	}
	to.Seg, to.IP6, to.V4 = n.Seg, dst, false
	return true
}

// inward4 sends p on to the VIF that has its destination address.
func (st *State) inward4(mem []byte, p *frame.Packet, s *fib.Snapshot, to *table.Hop, g *fib.Group) {
	dst, loc, ok := table.FindHop4(s.Bindings, s.Delta, to)
	if !ok {
		st.missed(p, s, resolve.MissIP4, to.Seg, 0, uint64(to.IP4), g)
		return
	}
	if loc >= fib.GroupLoc(0) {
		p.DropFor(drop.RouteUnresolved)
		return
	}
	src := g.MAC
	if seg := &s.Segments[to.Seg]; !bridged(s, seg, g) {
		src = s.Routers[seg.Router].MAC
		checksum.DecrementTTL((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	}
	inward(mem, p, to.Seg, dst, src, loc)
}

// inward6 is inward4 for IPv6.
func (st *State) inward6(mem []byte, p *frame.Packet, s *fib.Snapshot, to *table.Hop, g *fib.Group) {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	dst, loc, ok := table.FindHop6(s.Bindings, s.Delta, to)
	if !ok {
		st.missed(p, s, resolve.MissIP6, to.Seg, to.IP6[0], to.IP6[1], g)
		return
	}
	if loc >= fib.GroupLoc(0) {
		p.DropFor(drop.RouteUnresolved)
		return
	}
	src := g.MAC
	if seg := &s.Segments[to.Seg]; !bridged(s, seg, g) {
		src = s.Routers[seg.Router].MAC
		h.SetHopLimit(h.HopLimit() - 1)
	}
	inward(mem, p, to.Seg, dst, src, loc)
}

// bridged reports whether the group is a station of the segment: its hosts then know the virtual MAC, and no router
// stands between them and the gateways.
func bridged(s *fib.Snapshot, seg *fib.Segment, g *fib.Group) bool {
	if uint64(seg.Gateway) < uint64(len(s.Groups)) && &s.Groups[seg.Gateway] == g {
		return true
	}
	return uint64(seg.Router) >= uint64(len(s.Routers))
}

// inward addresses p to a tenant's VIF or virtual address. SrcMAC stays that of the gateway, which receives the answer
// if the packet is too big for the fabric.
func inward(mem []byte, p *frame.Packet, seg uint32, dst, src uint64, loc fib.Loc) {
	untag(p)
	address(mem, p, dst, src, 0)
	p.DstMAC, p.Seg, p.Loc = dst, seg, loc
	p.Flags |= frame.FlagFromUplink
	p.Next = frame.NextEncap
	if loc&fib.LocLocal != 0 {
		p.Next = frame.NextDeliver
		if loc&fib.LocVIP != 0 {
			p.Next = frame.NextBalance
		}
	}
}

// Refuse answers the packets at NextRefuse through the uplink: they came from outside and do not fit the fabric.
func (st *State) Refuse(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextRefuse {
			continue
		}
		mtu, why := uint16(p.Loc), p.Drop
		from := origin(p, s)
		if from.why != drop.None {
			p.DropFor(why)
		} else {
			outside(mem, p, s, st, &from, icmp.TooBig, mtu, why)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// origin finds the group and the member from which p came. The destination MAC of p has been rewritten since: the group
// is the group of the segment that p goes to.
func origin(p *frame.Packet, s *fib.Snapshot) arrival {
	if uint64(p.Seg) >= uint64(len(s.Segments)) {
		return arrival{why: drop.UplinkMAC}
	}
	seg := &s.Segments[p.Seg]
	i := seg.Gateway
	if i == 0 && uint64(seg.Router) < uint64(len(s.Routers)) {
		i = s.Routers[seg.Router].Gateway
	}
	if uint64(i) >= uint64(len(s.Groups)) || s.Groups[i].Live == nil {
		return arrival{why: drop.UplinkMAC}
	}
	m, why := memberOf(&s.Groups[i], p)
	return arrival{g: &s.Groups[i], group: i, m: m, why: why}
}

// ping answers an echo request from outside to an address of the box, and drops all other packets. ours is false if the
// destination is no address of the box.
func ping(mem []byte, p *frame.Packet, s *fib.Snapshot, from *arrival, ours bool) {
	if !ours || !icmp.Echo(mem, p, mac(s, from.g, p.Port)) {
		p.DropFor(drop.RouterProtocol)
		return
	}
	back(mem, p)
}

// outside answers p, which came from outside, with the ICMP error e. If it cannot answer p, it drops p for reason why.
func outside(
	mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, from *arrival, e icmp.Error, mtu uint16, why drop.Reason,
) {
	src4, src6 := from.m.Source, from.m.Source6
	if src4 == 0 {
		src4 = from.g.IP4
	}
	if wire.Unspecified6(src6) {
		src6 = from.g.IP6
	}
	v4 := p.Has(frame.FlagIPv4)
	if v4 && src4 == 0 || !v4 && wire.Unspecified6(src6) || e == icmp.TooBig && !icmp.DontFragment(mem, p) {
		p.DropFor(why)
		return
	}
	if refuse(mem, p, s, st, e, mtu, src4, src6, mac(s, from.g, p.Port)) {
		back(mem, p)
	}
}

// back sends the answer p out of the port and in the VLAN that the request came from.
func back(mem []byte, p *frame.Packet) {
	if p.VID != 0 {
		address(mem, p, p.DstMAC, p.SrcMAC, p.VID)
	}
	p.SendTo(p.Port)
}
