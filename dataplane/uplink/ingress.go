package uplink

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// fresh is how old the word of a member's last data may be before it is written again, in nanoseconds. It always is by the
// first data after a probe.
const fresh = 1_000_000

// sender is who sent a frame, and to whom: looked up once for a run of frames that have it in common.
type sender struct {
	src, dst uint64
	vid      uint16
	known    bool
	why      drop.Reason // for which its frames are dropped, None = they are accepted
	g        *fib.Group
	group    uint32
	m        *fib.Member
}

// Ingress takes the frames of an uplink port to the tenants behind its groups: to the group's virtual MAC, where a member's
// gateway is healthy, by the destination's address among the subnets that the group carries. The source MAC may be any, as
// for any router, unless the member is locked: VRRP and HSRP routers forward from their own MACs, and so does the pair's
// backup. The returned bits are as with Egress.
//
// The tables are looked up as in package route: all subnets first, then the index of all addresses, then all bindings,
// each in a loop of its own, so that the cache misses of a batch overlap.
//
// It is a stage (stage.Func).
func (st *State) Ingress(b *frame.Batch) (todo uint32) {
	mem, s, port := st.Mem, st.Snap, st.Port
	var hops [frame.BatchSize]table.Hop
	var groups [frame.BatchSize]*fib.Group // that the packets of hops came by
	var from sender
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
			inward4(mem, p, s, h, g)
		} else {
			inward6(mem, p, s, h, g)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// ingress finds out whose p is, and the segment it goes to; otherwise it has dropped or answered it.
func ingress(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port, from *sender, to *table.Hop) bool {
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

// identify finds the group that p is for and the member that it counts for, and notes which gateways it shows alive.
func identify(p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port) sender {
	d := sender{src: p.SrcMAC, dst: p.DstMAC, vid: p.VID, known: true, why: drop.UplinkVLAN}
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
		heard(g, p, st)
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

// heard notes that the members of g whose gateways p's sender belongs to are alive.
func heard(g *fib.Group, p *frame.Packet, st *State) {
	for i := range g.Members {
		m := &g.Members[i]
		if m.Live == nil || m.Port != p.Port || m.VID != p.VID {
			continue
		}
		if of, _ := m.Live.Gateway(); of != p.SrcMAC && !m.Sends(p.SrcMAC) {
			continue
		}
		if at := m.Live.Data.Load(); st.Now-at > fresh || at <= m.Live.Asked.Load() {
			m.Live.Data.Store(st.Clock())
		}
	}
}

// memberOf returns the member of g that p counts for, or why p is not accepted. From a healthy gateway's own MAC it is by
// any port: where two ports are in one Ethernet, a gateway's frames come by the one that the switches choose. From any
// other MAC it is where a healthy member is that does not lock its senders, or has this one in its list.
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

// another turns to another group that takes p's sender by this port, and that fits: the port's own MAC, unlike the virtual
// one, does not say which group a frame is for.
func another(p *frame.Packet, s *fib.Snapshot, port *fib.Port, from *sender, fits func(*fib.Group) bool) bool {
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

func toSubnet4(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port, from *sender, to *table.Hop) bool {
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
	if n == nil && p.DstMAC != from.g.MAC && another(p, s, port, from, func(g *fib.Group) bool { return g.IP4 == dst || fib.FindSubnet4(g.Subnets4, dst) != nil }) {
		return toSubnet4(mem, p, s, st, port, from, to)
	}
	if n == nil || n.End-n.Start >= 3 && (dst == n.Start || dst == n.End) {
		p.DropFor(drop.UplinkNoTenant)
		return false
	}
	if g := &s.Segments[n.Seg]; g.Gateway != from.group { // by way of the tenant's virtual router
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

func toSubnet6(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port, from *sender, to *table.Hop) bool {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	src, dst := h.Src(), h.Dst()
	if wire.Multicast6(src) || wire.Unspecified6(src) || wire.Loopback6(src) {
		p.DropFor(drop.RouterSource)
		return false
	}
	if dst == from.g.IP6 || dst == from.m.Source6 || wire.LinkLocal6(dst) {
		ping(mem, p, s, from, !wire.Unspecified6(dst) && (!wire.LinkLocal6(dst) || dst == wire.EUI64LinkLocal(p.DstMAC)))
		return false
	}
	if wire.LinkLocal6(src) { // never leaves its link (RFC 4291, 2.5.6)
		p.DropFor(drop.RouterSource)
		return false
	}
	n := fib.FindSubnet6(from.g.Subnets6, dst)
	if n == nil && p.DstMAC != from.g.MAC && another(p, s, port, from, func(g *fib.Group) bool { return g.IP6 == dst || fib.FindSubnet6(g.Subnets6, dst) != nil }) {
		return toSubnet6(mem, p, s, st, port, from, to)
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
func inward4(mem []byte, p *frame.Packet, s *fib.Snapshot, to *table.Hop, g *fib.Group) {
	dst, loc, ok := table.FindHop4(s.Bindings, s.Delta, to)
	if !ok || loc >= fib.GatewayLoc(0) {
		p.DropFor(drop.RouteUnresolved)
		return
	}
	src := g.MAC
	if seg := &s.Segments[to.Seg]; !bridged(s, seg, g) {
		src = s.Routers[seg.Router].MAC
		h := wire.IPv4((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:])
		h.SetChecksum(checksum.Update16(h.Checksum(), 0x0100, 0)) // one less of TTL, the high half of its word
		h.SetTTL(h.TTL() - 1)
	}
	inward(mem, p, to.Seg, dst, src, loc)
}

// inward6 is inward4 for IPv6.
func inward6(mem []byte, p *frame.Packet, s *fib.Snapshot, to *table.Hop, g *fib.Group) {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	dst, loc, ok := table.FindHop6(s.Bindings, s.Delta, to)
	if !ok || loc >= fib.GatewayLoc(0) {
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
	return uint64(seg.Gateway) < uint64(len(s.Groups)) && &s.Groups[seg.Gateway] == g || uint64(seg.Router) >= uint64(len(s.Routers))
}

// inward addresses p to a tenant's VIF. SrcMAC stays the gateway's: should the packet turn out to be too big for the
// fabric, the answer goes there.
func inward(mem []byte, p *frame.Packet, seg uint32, dst, src uint64, loc fib.Loc) {
	untag(p)
	address(mem, p, dst, src, 0)
	p.DstMAC, p.Seg, p.Loc = dst, seg, loc
	p.Flags |= frame.FlagFromUplink
	p.Next = frame.NextEncap
	if loc&fib.LocLocal != 0 {
		p.Next = frame.NextDeliver
	}
}

// Refuse answers the packets at NextRefuse, which came from outside and do not fit the fabric, by the uplink.
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

// origin finds the group and the member from which p came, whose destination MAC has been rewritten since: the group is
// that of the segment which p goes to.
func origin(p *frame.Packet, s *fib.Snapshot) sender {
	if uint64(p.Seg) >= uint64(len(s.Segments)) {
		return sender{why: drop.UplinkMAC}
	}
	seg := &s.Segments[p.Seg]
	i := seg.Gateway
	if i == 0 && uint64(seg.Router) < uint64(len(s.Routers)) {
		i = s.Routers[seg.Router].Gateway
	}
	if uint64(i) >= uint64(len(s.Groups)) || s.Groups[i].Live == nil {
		return sender{why: drop.UplinkMAC}
	}
	m, why := memberOf(&s.Groups[i], p)
	return sender{g: &s.Groups[i], group: i, m: m, why: why}
}

// ping answers a ping from outside; nothing else is offered there. ours is false if the address is nobody's.
func ping(mem []byte, p *frame.Packet, s *fib.Snapshot, from *sender, ours bool) {
	if !ours || !icmp.Echo(mem, p, mac(s, from.g, p.Port)) {
		p.DropFor(drop.RouterProtocol)
		return
	}
	back(mem, p)
}

// outside refuses p, which came from outside, to its sender. What cannot be answered is dropped for reason why.
func outside(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, from *sender, e icmp.Error, mtu uint16, why drop.Reason) {
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

// back sends the answer that has been made of p by the port and in the VLAN that p came from.
func back(mem []byte, p *frame.Packet) {
	if p.VID != 0 {
		address(mem, p, p.DstMAC, p.SrcMAC, p.VID)
	}
	p.SendTo(p.Port)
}
