package uplink

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// missed lets a packet from outside wait for the binding of its destination, or drops it.
func (st *State) missed(p *frame.Packet, s *fib.Snapshot, kind resolve.EventKind, seg uint32, hi, lo uint64,
	g *fib.Group) {
	for i := range s.Groups {
		if &s.Groups[i] == g {
			p.Loc = uint32(i)
		}
	}
	p.Seg = seg
	st.Unresolved(p, stage.Missed{Kind: kind, Seg: seg, Hi: hi, Lo: lo, Again: frame.NextInward}, drop.RouteUnresolved)
}

// Inward forwards the packets at NextInward, which Ingress has accepted and which have waited for a binding. The group
// may have other subnets by now, and its index another group.
//
// It is a stage (stage.Func).
func (st *State) Inward(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextInward {
			continue
		}
		st.inwardAgain(mem, p, s)
		todo |= p.Next.Bit()
	}
	return todo
}

func (st *State) inwardAgain(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	if uint(p.Loc) >= uint(len(s.Groups)) || p.DstMAC != s.Groups[p.Loc].MAC && p.DstMAC != s.Ports[p.Port].MAC {
		p.DropFor(drop.ResolveTimeout)
		return
	}
	g := &s.Groups[p.Loc]
	h := [1]table.Hop{{Seg: p.Seg, V4: p.Has(frame.FlagIPv4)}}
	ip, ours := mem[p.Off+uint32(p.L3):], false
	if h[0].V4 {
		h[0].IP4 = binary.BigEndian.Uint32(ip[16:20])
		n := fib.FindSubnet4(g.Subnets4, h[0].IP4)
		ours = n != nil && n.Seg == p.Seg
	} else {
		h[0].IP6 = wire.IPv6(ip).Dst()
		n := fib.FindSubnet6(g.Subnets6, h[0].IP6)
		ours = n != nil && n.Seg == p.Seg
	}
	if !ours {
		p.DropFor(drop.ResolveTimeout)
		return
	}
	st.touched += s.Bindings.SeekHops(h[:])
	if h[0].V4 {
		st.inward4(mem, p, s, &h[0], g)
	} else {
		st.inward6(mem, p, s, &h[0], g)
	}
}
