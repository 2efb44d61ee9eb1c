package uplink

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/mss"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// way is the present next hop of a group's frames, read from the tables and the group's words once a batch.
type way struct {
	loc  fib.Loc     // of the group, 0 = none
	why  drop.Reason // reason to drop the frames, None = they are sent
	g    *fib.Group
	dst  uint64 // MACs
	src  uint64
	most uint32 // octets of the longest frame, without tag
	stat int
	mtu  uint16
	port uint16
	vid  uint16

	seg    uint32 // segment of the tenant in router
	router *fib.Router
	from   uint32 // the first IPv4 address of the tenant's subnet found last from which packets may leave
	span   uint32 // the number of these addresses, 0 = no subnet was found yet

	sent stats.Traffic // not counted yet
}

// count adds the sent traffic to the member's counters.
func (w *way) count(st *State) {
	if w.sent.Packets > 0 {
		st.Members.AddTraffic(w.stat, w.sent)
	}
}

// Egress sends the packets at NextUplink to the active gateway of their group (Loc): out of its port, to its MAC, from
// the virtual MAC, in its VLAN. It answers packets to the group's own address and packets that are too big. It drops a
// packet whose source address the group does not deliver to the same tenant: the answer would go to another tenant, or
// would be lost.
//
// It is a stage (stage.Func).
func (st *State) Egress(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	var to way
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextUplink {
			continue
		}
		if p.Loc != to.loc || to.loc == 0 {
			to.count(st)
			to = wayOf(p.Loc, s)
		}
		if p.Seg != to.seg {
			to.seg, to.router, to.span = p.Seg, tenantOf(p.Seg, p.Loc, s), 0
		}
		egress(mem, p, s, st, &to)
		todo |= p.Next.Bit()
	}
	to.count(st)
	return todo
}

// Forward is Egress for one packet of the box itself.
func (st *State) Forward(p *frame.Packet) {
	to := wayOf(p.Loc, st.Snap)
	to.seg, to.router = p.Seg, tenantOf(p.Seg, p.Loc, st.Snap)
	egress(st.Mem, p, st.Snap, st, &to)
	to.count(st)
}

// wayOf reads the active member and its next hop.
func wayOf(loc fib.Loc, s *fib.Snapshot) way {
	to := way{loc: loc, why: drop.UplinkNoActive, seg: fib.None}
	i := fib.LocGroup(loc)
	if uint64(i) >= uint64(len(s.Groups)) || s.Groups[i].Live == nil {
		return to
	}
	to.g = &s.Groups[i]
	a := to.g.Live.Active.Load()
	if uint64(a) >= uint64(len(to.g.Members)) {
		return to
	}
	m := &to.g.Members[a]
	if m.Live == nil || int(m.Port) >= len(s.Ports) {
		return to
	}
	to.src, to.port, to.vid, to.mtu = to.g.MAC, m.Port, m.VID, s.Ports[m.Port].MTU
	to.most = uint32(to.mtu) + wire.EthernetLen
	to.stat = int(m.Stat)*stats.RxTxLen + stats.Tx
	if to.dst, _ = m.Live.Gateway(); to.dst == 0 {
		to.why = drop.UplinkUnresolved
		return to
	}
	to.why = drop.None
	return to
}

// tenantOf returns the virtual router of a segment's tenant, nil if the tenant does not leave through the group at loc.
func tenantOf(seg uint32, loc fib.Loc, s *fib.Snapshot) *fib.Router {
	if r := s.RouterOf(seg); r != nil && r.Gateway == fib.LocGroup(loc) {
		return r
	}
	return nil
}

// returns reports whether the group delivers what is sent to the packet's source address to the tenant of the packet:
// the address lies in one of the tenant's subnets that the group has, and is no network or broadcast address (as in
// toSubnet4). It notes the subnet, so that the next packet from there needs no search.
func returns(mem []byte, p *frame.Packet, to *way) bool {
	r := to.router
	if r == nil {
		return false
	}
	l3 := p.Off + uint32(p.L3)
	if p.Flags&frame.FlagIPv4 != 0 {
		src := binary.BigEndian.Uint32((*[wire.IPv4Len]byte)(mem[l3:])[12:16])
		n := fib.FindSubnet4(r.Outside4, src)
		if n == nil {
			return false
		}
		to.from, to.span = n.Start, n.End-n.Start+1 // of the whole address space: 0, which nothing is within
		if to.span > 3 {
			to.from, to.span = n.Start+1, to.span-2
		}
		return n.End-n.Start < 3 || src != n.Start && src != n.End
	}
	return fib.FindSubnet6(r.Outside6, wire.IPv6((*[wire.IPv6Len]byte)(mem[l3:])[:]).Src()) != nil
}

// quick reports whether nothing stands against sending p, an IPv4 packet from the subnet found last: it is not for the
// group itself and not too big. Only returns sets the subnet, so the group has an active gateway.
func (w *way) quick(mem []byte, p *frame.Packet) bool {
	if p.Flags&frame.FlagIPv4 == 0 || uint32(p.Len) > w.most {
		return false
	}
	addrs := binary.BigEndian.Uint64((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[12:20])
	return uint32(addrs>>32)-w.from < w.span && uint32(addrs) != w.g.IP4
}

func egress(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *way) {
	if to.span == 0 || !to.quick(mem, p) {
		if !admit(mem, p, s, st, to) {
			return
		}
	}
	if p.Proto == wire.ProtoTCP && p.Flags&(frame.FlagL4|frame.FlagGenerated) == frame.FlagL4 {
		clamp(mem, p, s, to.mtu)
	}
	address(mem, p, to.dst, to.src, to.vid)
	to.sent.Packets++
	to.sent.Bytes += uint64(p.Len)
	st.Send(p, to.port)
}

// admit reports whether p is to be sent; otherwise it has answered or dropped p.
func admit(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *way) bool {
	if p.Flags&(frame.FlagIPv4|frame.FlagIPv6) == 0 && !fromFabric(mem, p) {
		return false
	}
	if to.g != nil && own(mem, p, to.g) {
		echo(mem, p, s, st)
		return false
	}
	if to.why != drop.None {
		p.DropFor(to.why)
		return false
	}
	if !returns(mem, p, to) {
		p.DropFor(drop.UplinkForeign)
		return false
	}
	if uint32(p.Len) > to.most {
		tooBig(mem, p, s, st, to)
		return false
	}
	return true
}

// clamp lowers the MSS of a TCP SYN to the largest that fits the uplink and the link of its origin, unless an access
// port forbids it.
func clamp(mem []byte, p *frame.Packet, s *fib.Snapshot, mtu uint16) {
	from := &s.Ports[p.Port]
	switch {
	case p.Has(frame.FlagFromFabric):
		mss.Clamp(mem, p, min(mtu, from.Fabric.Form.TenantMTU(from.MTU)))
	case from.ClampMSS:
		mss.Clamp(mem, p, min(mtu, from.MTU))
	}
}

// own reports whether the packet is for the group's own address.
func own(mem []byte, p *frame.Packet, g *fib.Group) bool {
	l3 := p.Off + uint32(p.L3)
	if p.Flags&frame.FlagIPv4 != 0 {
		return binary.BigEndian.Uint32((*[wire.IPv4Len]byte)(mem[l3:])[16:20]) == g.IP4 && g.IP4 != 0
	}
	return wire.IPv6((*[wire.IPv6Len]byte)(mem[l3:])[:]).Dst() == g.IP6 && g.IP6 != [2]uint64{}
}

// fromFabric parses what has come out of an encapsulation, whose content has not been checked yet. It reports
// whether that is a whole IP packet; anything else is dropped.
func fromFabric(mem []byte, p *frame.Packet) bool {
	if !p.Has(frame.FlagFromFabric) {
		p.DropFor(drop.UplinkNotIP)
		return false
	}
	if why := parse.Inner(mem, p); why != drop.None {
		p.DropFor(why)
		return false
	}
	if p.Flags&(frame.FlagIPv4|frame.FlagIPv6) == 0 || p.Flags&(frame.FlagTagged|frame.FlagND) != 0 {
		p.DropFor(drop.UplinkNotIP)
		return false
	}
	return true
}
