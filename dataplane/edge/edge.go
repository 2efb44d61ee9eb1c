// Package edge is the box as edge switch. It does what a commodity switch with VLANs and one static route per downlink
// does (PROTOCOL.md#addressing, PROTOCOL.md#edge-switch).
//
// There are three kinds of frames, in the order of the files:
//
//	link-local group (01-80-C2-00-00-0x)   never forwarded; LLDP goes to control                   edge.go
//	to the switch's own MAC                remove the tag, route by destination, rewrite MACs      route.go
//	any other, tagged                      VLAN forwarding: learned port, or flooding              vlan.go, fdb.go
//
// The box is the only station on a downlink. So the switch learns addresses on trunks only, and checks the source MAC
// on downlinks: it must be the switch's own (a box sends with its edge switch's MAC, PROTOCOL.md#encapsulation) or
// the box's own (same-switch frames and ARP).
//
// The tables are in the snapshot's fib.Edge; the package writes the FDB only. Several workers may process the frames of
// one port. The switch never sends a frame out of the port that received the frame.
package edge

import (
	"time"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/punt"
	"penstock/dataplane/stage"
	"penstock/dataplane/wire"
)

// State is the state of one worker. The workers share the FDB.
type State struct {
	*stage.Env
	FDB *FDB
}

const (
	vidNone     = 0    // priority-tagged, IEEE 802.1Q table 9-2
	vidReserved = 4095 // never in a frame, IEEE 802.1Q table 9-2

	linkLocal = 0x0180c2000000 >> 4 // 01-80-C2-00-00-0x without its last digit, IEEE 802.1Q 8.6.3
)

// forwarding is the state of Forward for one batch. The fields from port on are for the packets of one port.
type forwarding struct {
	mem []byte
	s   *fib.Snapshot
	fdb *FDB
	st  *State
	now uint32 // seconds

	port  uint16
	role  fib.Role // RoleDownlink, RoleTrunk, or RoleNone: drop
	own   uint64   // the switch's MAC
	box   uint64   // downlink: the box's MAC, 0 = not resolved
	allow *[64]uint64
	last  uint64 // VLAN and source MAC learned last, since packets come in bursts
}

// Forward parses and forwards frames of downlinks and trunks. Every packet is at NextTx, NextPunt or NextDrop
// afterwards. When Forward floods a packet to k ports, it sends the packet itself out of the first port and copies
// out of the others.
//
// Forward relies on the parser for DstMAC, SrcMAC, VID, FlagTagged, EtherType and L3, and for a whole, valid header
// at L3 with FlagIPv4 and FlagARP.
//
// It is a stage (stage.Func).
func (st *State) Forward(b *frame.Batch) (todo uint32) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if !parse.Edge(st.Mem, p) {
			todo |= p.Next.Bit()
		}
	}
	todo |= st.forward(b)
	st.Emit(1 << frame.NextTx)
	return todo
}

// forward forwards the parsed packets.
func (st *State) forward(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	t := forwarding{mem: mem, s: s, fdb: st.FDB, st: st, now: uint32(st.Now / int64(time.Second)), own: s.Edge.MAC}
	known := false
	pkts := b.Pkt[:min(uint(b.N), frame.BatchSize)]
	for i := range pkts {
		p := &pkts[i]
		if p.Next != frame.NextParsed {
			continue
		}
		if !known || p.Port != t.port {
			t.from(p.Port)
			known = true
		}
		switch {
		case t.role == fib.RoleNone:
			p.DropFor(drop.NoRole)
		case p.DstMAC>>4 == linkLocal:
			toLinkLocal(p)
		case t.role == fib.RoleTrunk:
			t.fromTrunk(p)
		default:
			t.fromDownlink(p)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// from sets t to a port. A port that is no downlink or trunk of the snapshot has RoleNone.
func (t *forwarding) from(port uint16) {
	t.port, t.role, t.box, t.allow, t.last = port, fib.RoleNone, 0, nil, 0
	i := int(port)
	if t.own == 0 || i >= len(t.s.Ports) || i >= len(t.s.Edge.ByPort) {
		return
	}
	ep := &t.s.Edge.ByPort[i]
	switch t.s.Ports[i].Role {
	case fib.RoleTrunk:
		t.role = fib.RoleTrunk
		t.allow = ep.Allow
	case fib.RoleDownlink:
		t.role = fib.RoleDownlink
		t.box = t.s.Edge.Downlinks[ep.Number].BoxMAC
	}
}

func toLinkLocal(p *frame.Packet) {
	if p.EtherType == wire.EtherTypeLLDP {
		toControl(p, punt.LLDP)
		return
	}
	p.DropFor(drop.LinkLocalGroup)
}

func toControl(p *frame.Packet, k punt.Kind) {
	p.Next = frame.NextPunt
	p.Kind = uint8(k)
}

// fromTrunk forwards a frame from another switch: to this switch, or in transit to a third one.
func (t *forwarding) fromTrunk(p *frame.Packet) {
	if p.Flags&frame.FlagTagged == 0 {
		p.DropFor(drop.EdgeUntagged)
		return
	}
	if !allowed(t.allow, p.VID) {
		p.DropFor(drop.EdgeVLAN)
		return
	}
	if p.SrcMAC == t.own {
		p.DropFor(drop.EdgeLoop)
		return
	}
	if k := fdbKey(p.VID, p.SrcMAC); k != t.last {
		t.last = k
		t.fdb.learn(p.VID, p.SrcMAC, t.port, t.now)
	}
	switch {
	case p.DstMAC != t.own:
		t.forward(p)
	case p.Flags&frame.FlagIPv4 != 0:
		t.route(p)
	case p.EtherType == wire.EtherTypeARP:
		p.DropFor(drop.PuntUnwanted) // ARP between switch and boxes is on downlinks only
	default:
		p.DropFor(drop.EdgeNotIP)
	}
}

// fromDownlink forwards a frame from the box behind a downlink.
func (t *forwarding) fromDownlink(p *frame.Packet) {
	toOwn := p.DstMAC == t.own
	if p.EtherType == wire.EtherTypeARP && (toOwn || p.DstMAC == wire.Broadcast) {
		t.arp(p)
		return
	}
	if p.SrcMAC != t.own && p.SrcMAC != t.box || p.SrcMAC == p.DstMAC {
		p.DropFor(drop.EdgeSourceMAC)
		return
	}
	if p.Flags&frame.FlagTagged == 0 {
		p.DropFor(drop.EdgeUntagged)
		return
	}
	if toOwn {
		switch {
		case p.VID == vidReserved:
			p.DropFor(drop.EdgeVLAN)
		case p.Flags&frame.FlagIPv4 == 0:
			p.DropFor(drop.EdgeNotIP)
		default:
			t.route(p)
		}
		return
	}
	t.forward(p)
}

// allowed reports whether a trunk carries vid. No trunk carries the reserved VLAN IDs.
func allowed(set *[64]uint64, vid uint16) bool {
	if set == nil || vid == vidNone || vid >= vidReserved {
		return false
	}
	return set[vid>>6&63]>>(vid&63)&1 != 0
}
