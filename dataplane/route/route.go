// Package route is the virtual router: it joins the subnets of one tenant (PROTOCOL.md#virtual-router).
//
// Files in packet order: route.go (subnet, binding, rewrite), default.go (the default route), local.go (packets to the
// router itself, and the ICMP errors that the router sends).
//
// Route makes several passes over a batch. The first finds the subnets. Then table.SeekHops prefetches the address
// index, searches the index, and prefetches the bindings, each in a loop of its own. The last reads the bindings and
// forwards the packets. So the cache misses of a batch overlap.
package route

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Counters Counters

	hops    [frame.BatchSize]table.Hop // of the batch
	touched uint64                     // sum of the prefetching loads, so that the compiler keeps them
}

// Counters counts what the router has done, except drops.
type Counters struct {
	Routed       uint64 // packets forwarded to a VIF or a group
	TimeExceeded uint64 // ICMP errors sent, by kind
	Unreachable  uint64
	EchoReplies  uint64 // echo requests answered
}

// Route forwards the packets at NextRoute, which are addressed to the router's MAC: to NextDeliver, NextEncap,
// NextUplink or NextBalance, with Seg, Loc and MACs of the destination. A packet may also become the router's answer to
// its sender, at NextDeliver with FlagGenerated. All other packets are dropped.
//
// It is a stage (stage.Func).
func (st *State) Route(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	n := min(uint(b.N), frame.BatchSize)
	first := uint(0)
	for first < n && b.Pkt[first].Next != frame.NextRoute {
		first++
	}
	if first == n {
		return 0
	}
	k := uint(0)
	for i := first; i < n; i++ {
		p := &b.Pkt[i]
		if p.Next != frame.NextRoute {
			continue
		}
		if h := &st.hops[k%frame.BatchSize]; toSubnet(mem, p, s, st, h) {
			h.Pkt = uint8(i)
			k++
			continue
		}
		todo |= p.Next.Bit()
	}
	list := st.hops[:min(k, frame.BatchSize)]
	st.touched += s.Bindings.SeekHops(list)
	for i := range list {
		h := &list[i]
		p := &b.Pkt[h.Pkt%frame.BatchSize]
		if h.V4 {
			forward4(mem, p, s, st, h)
		} else {
			forward6(mem, p, s, st, h)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// toSubnet finds the next hop of the packet, for forward4 or forward6 to resolve. It returns false if the packet
// needs no binding: toSubnet has then dropped the packet, answered it, or sent it to a gateway group.
func toSubnet(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *table.Hop) bool {
	r := s.RouterOf(p.Seg)
	if r == nil {
		p.DropFor(drop.NoRoute)
		return false
	}
	switch {
	case p.Has(frame.FlagIPv4):
		return toSubnet4(mem, p, s, st, r, to)
	case p.Has(frame.FlagIPv6):
		return toSubnet6(mem, p, s, st, r, to)
	}
	p.DropFor(drop.RouterProtocol)
	return false
}

func toSubnet4(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, r *fib.Router, to *table.Hop) bool {
	h := (*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])
	w := binary.BigEndian.Uint64(h[8:16])
	src, dst := uint32(w), binary.BigEndian.Uint32(h[16:20])
	if !icmp.Host4(src) {
		p.DropFor(drop.RouterSource)
		return false
	}
	if !icmp.Host4(dst) {
		p.DropFor(drop.NoRoute) // not a unicast address, hence no ICMP error (RFC 1812, 5.3.7)
		return false
	}
	n := fib.FindSubnet4(r.Subnets4, dst)
	if n != nil && n.RouterIP == dst {
		local(mem, p, s, st, r)
		return false
	}
	if n != nil && n.End-n.Start >= 3 && (dst == n.Start || dst == n.End) {
		p.DropFor(drop.NoRoute) // a directed broadcast (RFC 2644), no error either; /31 and /32 have none (RFC 3021)
		return false
	}
	if w>>56 <= 1 {
		refuse(mem, p, s, st, icmp.TimeExceeded, drop.TTLExceeded)
		return false
	}
	if n == nil {
		return toDefault4(mem, p, s, st, r, to)
	}
	to.Seg, to.IP4, to.V4 = n.Seg, dst, true
	return true
}

func toSubnet6(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, r *fib.Router, to *table.Hop) bool {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	src, dst := h.Src(), h.Dst()
	if wire.Multicast6(src) || wire.Unspecified6(src) || wire.Loopback6(src) {
		p.DropFor(drop.RouterSource)
		return false
	}
	if wire.Multicast6(dst) || wire.Unspecified6(dst) || wire.Loopback6(dst) {
		p.DropFor(drop.NoRoute)
		return false
	}
	n := fib.FindSubnet6(r.Subnets6, dst)
	if n != nil && n.RouterIP == dst || dst == wire.EUI64LinkLocal(r.MAC) {
		local(mem, p, s, st, r)
		return false
	}
	if wire.LinkLocal6(src) { // not forwarded to another link (RFC 4291, 2.5.6)
		p.DropFor(drop.RouterSource)
		return false
	}
	if wire.LinkLocal6(dst) {
		p.DropFor(drop.NoRoute)
		return false
	}
	if h.HopLimit() <= 1 {
		refuse(mem, p, s, st, icmp.TimeExceeded, drop.TTLExceeded)
		return false
	}
	if n == nil {
		return toDefault6(mem, p, s, st, r, to)
	}
	to.Seg, to.IP6, to.V4 = n.Seg, dst, false
	return true
}

// header4 returns the fixed part of p's IPv4 header.
func header4(mem []byte, p *frame.Packet) wire.IPv4 {
	return (*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:]
}

// forward4 forwards p to the station of segment to.Seg that has the address of the next hop.
func forward4(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *table.Hop) {
	h := header4(mem, p)
	mac, loc, ok := table.FindHop4(s.Bindings, s.Delta, to)
	if !ok {
		if st.waits(p, resolve.MissIP4, to.Seg, 0, uint64(to.IP4)) {
			return
		}
		refuse(mem, p, s, st, icmp.HostUnreachable, drop.RouteUnresolved)
		return
	}
	checksum.DecrementTTL(h)
	rewrite(mem, p, s, st, to.Seg, mac, loc)
}

// forward6 is forward4 for IPv6.
func forward6(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *table.Hop) {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	mac, loc, ok := table.FindHop6(s.Bindings, s.Delta, to)
	if !ok {
		if st.waits(p, resolve.MissIP6, to.Seg, to.IP6[0], to.IP6[1]) {
			return
		}
		refuse(mem, p, s, st, icmp.HostUnreachable, drop.RouteUnresolved)
		return
	}
	h.SetHopLimit(h.HopLimit() - 1)
	rewrite(mem, p, s, st, to.Seg, mac, loc)
}

// waits reports whether p waits for the binding of its next hop.
func (st *State) waits(p *frame.Packet, kind resolve.EventKind, seg uint32, hi, lo uint64) bool {
	return st.Miss != nil && st.Miss(p, stage.Missed{Kind: kind, Seg: seg, Hi: hi, Lo: lo, Again: frame.NextRoute})
}

// rewrite sets the destination MAC of p to mac, and the source MAC of its frame to the router's. p.SrcMAC stays the
// sender's: an ICMP "packet too big" needs it.
func rewrite(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, seg uint32, mac uint64, loc fib.Loc) {
	router := s.Routers[s.Segments[p.Seg].Router].MAC
	p.DstMAC = mac
	p.Seg = seg
	p.Loc = loc
	p.Next = frame.NextEncap
	if loc&fib.LocLocal != 0 {
		p.Next = frame.NextDeliver
		switch {
		case loc&fib.LocGateway != 0:
			p.Next = frame.NextUplink
		case loc&fib.LocVIP != 0:
			p.Next = frame.NextBalance
		}
	}
	e := (*[2 * wire.MACLen]byte)(mem[p.Off:])
	binary.BigEndian.PutUint64(e[:8], mac<<16|router>>32)
	binary.BigEndian.PutUint32(e[8:12], uint32(router))
	st.Counters.Routed++
}
