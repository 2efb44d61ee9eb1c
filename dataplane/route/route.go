// Package route is the virtual router: it joins the subnets of one tenant (PROTOCOL.md#virtual-router).
//
// Files in the order of a packet's way: route.go (which subnet, then which binding, then the rewrite), away.go (the
// default route), local.go (what is for the router itself, and the ICMP errors it sends).
//
// The batch is worked through several times: every packet gets its subnet; then the index of its destination is
// touched, sought, and the binding touched, each in a loop of its own (table.SeekHops); then it is looked up and sent on. So
// the cache misses of a batch overlap.
package route

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
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
	touched uint64                     // keeps the touching loads alive
}

// Counters counts what the router did besides forwarding and dropping.
type Counters struct {
	Routed       uint64 // packets passed on to another VIF
	TimeExceeded uint64 // ICMP errors sent, by kind
	Unreachable  uint64
	EchoReplies  uint64 // pings answered
}

// Route takes the packets at NextRoute, addressed to the router's MAC, to NextDeliver: with Seg, Loc and MACs of the
// destination, or as the router's answer to their sender (FlagGenerated). What can be neither is dropped.
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

// toSubnet finds the segment of the packet's destination; otherwise it has dropped or answered the packet.
func toSubnet(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *table.Hop) bool {
	if uint(p.Seg) >= uint(len(s.Segments)) || uint(s.Segments[p.Seg].Router) >= uint(len(s.Routers)) {
		p.DropFor(drop.NoRoute)
		return false
	}
	r := &s.Routers[s.Segments[p.Seg].Router]
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
		p.DropFor(drop.NoRoute) // no unicast address, hence no error either (RFC 1812, 5.3.7)
		return false
	}
	n := fib.FindSubnet4(r.Subnets4, dst)
	if n != nil && n.RouterIP == dst {
		local(mem, p, s, st, r)
		return false
	}
	if n != nil && n.End-n.Start >= 3 && (dst == n.Start || dst == n.End) {
		p.DropFor(drop.NoRoute) // a directed broadcast, likewise (RFC 2644); /31 and /32 have none (RFC 3021)
		return false
	}
	if w>>56 <= 1 {
		refuse(mem, p, s, st, icmp.TimeExceeded, drop.TTLExceeded)
		return false
	}
	if n == nil {
		return away4(mem, p, s, st, r, to)
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
	if wire.LinkLocal6(src) { // never leaves its link (RFC 4291, 2.5.6)
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
		return away6(mem, p, s, st, r, to)
	}
	to.Seg, to.IP6, to.V4 = n.Seg, dst, false
	return true
}

// header4 is the fixed part of p's IPv4 header.
func header4(mem []byte, p *frame.Packet) wire.IPv4 {
	return (*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:]
}

// forward4 sends p on to the VIF of segment to.seg that has its destination address.
func forward4(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *table.Hop) {
	h := header4(mem, p)
	mac, loc, ok := table.FindHop4(s.Bindings, s.Delta, to)
	if !ok {
		refuse(mem, p, s, st, icmp.HostUnreachable, drop.RouteUnresolved)
		return
	}
	lessTTL(h)
	rewrite(mem, p, s, st, to.Seg, mac, loc)
}

// lessTTL takes one off the TTL, the high half of its word, which adds 0x100 to the checksum (RFC 1624, equation 3).
func lessTTL(h wire.IPv4) {
	h.SetChecksum(checksum.Update16(h.Checksum(), 0x0100, 0))
	h.SetTTL(h.TTL() - 1)
}

// forward6 is forward4 for IPv6.
func forward6(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *table.Hop) {
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	mac, loc, ok := table.FindHop6(s.Bindings, s.Delta, to)
	if !ok {
		refuse(mem, p, s, st, icmp.HostUnreachable, drop.RouteUnresolved)
		return
	}
	h.SetHopLimit(h.HopLimit() - 1)
	rewrite(mem, p, s, st, to.Seg, mac, loc)
}

// rewrite addresses p to mac on behalf of the router. SrcMAC stays the sender's: should the packet turn out to be too
// big for the fabric, the answer goes there.
func rewrite(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, seg uint32, mac uint64, loc fib.Loc) {
	router := s.Routers[s.Segments[p.Seg].Router].MAC
	p.DstMAC = mac
	p.Seg = seg
	p.Loc = loc
	p.Next = frame.NextEncap
	if loc&fib.LocLocal != 0 {
		p.Next = frame.NextDeliver
		if loc&fib.LocGateway != 0 {
			p.Next = frame.NextUplink
		}
	}
	e := (*[2 * wire.MACLen]byte)(mem[p.Off:])
	binary.BigEndian.PutUint64(e[:8], mac<<16|router>>32)
	binary.BigEndian.PutUint32(e[8:12], uint32(router))
	st.Counters.Routed++
}
