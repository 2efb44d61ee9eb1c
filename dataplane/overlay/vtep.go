package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// Stations behind VTEPs (PROTOCOL.md#in-vxlan). Control is told of those that the bindings do not have there, and once
// in a while of those that they have, since it forgets who is silent.

const (
	// vtepLearnRate and vtepLearnBurst are the events per second of the stations of one tenant.
	vtepLearnRate  = 10_000
	vtepLearnBurst = 20_000

	cachedSenders = 4096
)

// vtepSender is the cache entry of a station behind a VTEP.
type vtepSender struct {
	mac uint64
	seg uint32
	at  fib.Loc
	due int64 // when it is compared with the bindings again
}

func senderSlot(mac uint64, seg uint32) uint64 {
	return (mac<<16 ^ uint64(seg)) * 0x9e3779b97f4a7c15 >> (64 - 12) % cachedSenders
}

// admitsFrom reports whether a frame of this sender may come from the VTEP that is switch sw, and drops p if not. It
// tells control of a sender that is new there.
func (st *State) admitsFrom(mem []byte, p *frame.Packet, s *fib.Snapshot, sw uint32) bool {
	from := fib.VTEPLoc(sw)
	d := &st.senders[senderSlot(p.SrcMAC, p.Seg)]
	if d.mac == p.SrcMAC && d.seg == p.Seg && d.at == from && st.Now < d.due {
		st.learnAddress(mem, p, s, sw)
		return true
	}
	if r := s.RouterOf(p.Seg); fib.Marked(p.SrcMAC) || r != nil && r.MAC == p.SrcMAC {
		p.DropFor(drop.VXLANSource)
		return false
	}
	loc, ok := table.FindMAC(s.Bindings, s.Delta, p.Seg, p.SrcMAC)
	switch {
	case ok && loc&fib.LocLocal != 0:
		st.tellSender(p, s, sw, resolve.Event{Kind: resolve.LoopVTEP, MAC: p.SrcMAC}, relearn)
		p.DropFor(drop.VXLANSource)
		return false
	case ok && !fib.IsVTEP(loc):
		st.tellSender(p, s, sw, resolve.Event{Kind: resolve.LearnVTEP, MAC: p.SrcMAC}, relearn)
		p.DropFor(drop.VXLANSource)
		return false
	case ok && loc == from:
		st.tellSender(p, s, sw, resolve.Event{Kind: resolve.LearnVTEP, MAC: p.SrcMAC}, s.Switches[sw].VTEP.Learn)
	default:
		st.tellSender(p, s, sw, resolve.Event{Kind: resolve.LearnVTEP, MAC: p.SrcMAC}, relearn)
	}
	*d = vtepSender{mac: p.SrcMAC, seg: p.Seg, at: from, due: st.Now + relearn}
	st.learnAddress(mem, p, s, sw)
	return true
}

// learnAddress tells control of the address that a station says it has, in ARP or neighbour discovery.
func (st *State) learnAddress(mem []byte, p *frame.Packet, s *fib.Snapshot, sw uint32) {
	if p.Flags&(frame.FlagARP|frame.FlagND) == 0 {
		return
	}
	kind, ip := sourceOf(mem, p)
	if kind == 0 || !learnable(s, p.Seg, kind, ip) {
		return
	}
	var mac uint64
	e := resolve.Event{Kind: resolve.LearnVTEP4, MAC: p.SrcMAC}
	if kind == resolve.LearnIP4 {
		mac, _, _ = table.FindIP4(s.Bindings, s.Delta, p.Seg, uint32(ip[1]))
	} else {
		mac, _, _ = table.FindIP6(s.Bindings, s.Delta, p.Seg, ip[0], ip[1])
		e.Kind = resolve.LearnVTEP6
	}
	if mac != p.SrcMAC {
		e.SetIP(kind == resolve.LearnIP4, ip[0], ip[1])
		st.tellSender(p, s, sw, e, relearn)
	}
}

// tellSender tells control of a station behind a VTEP, once in the time every.
func (st *State) tellSender(p *frame.Packet, s *fib.Snapshot, sw uint32, e resolve.Event, every int64) {
	v, g := s.Switches[sw].VTEP, &s.Segments[p.Seg]
	if st.Messages == nil || (v.Learn == 0 || g.Yielded) && e.Kind != resolve.LoopVTEP {
		return
	}
	h := (p.SrcMAC ^ uint64(p.Seg)<<40 ^ uint64(sw)<<24) * 0xe7037ed1a0b428db
	for _, x := range e.IP {
		h = (h ^ uint64(x)) * 0x100000001b3
	}
	h = (h ^ h>>31 ^ uint64(e.Kind)) * 0x8ebc6af09c88c6e3
	if !st.learned.Due(h, st.Now, every) ||
		!s.Limits.TenantLearn.At(g.Router).Take(st.Now, vtepLearnRate, vtepLearnBurst, 1) {
		return
	}
	e.Tenant, e.Segment, e.Switch = g.Tenant, g.ID, s.Switches[sw].MAC
	st.Messages.Tell(&e)
}

// between does what fromFabric leaves of a packet that comes from a VTEP, or whose destination is behind one. It
// returns false for any other packet.
func (st *State) between(p *frame.Packet, s *fib.Snapshot, loc fib.Loc, ok bool) bool {
	g := &s.Segments[p.Seg]
	vtep := s.FromVTEP(p.Port)
	switch r := s.RouterOf(p.Seg); {
	case !vtep && ok && fib.IsVTEP(loc):
		if g.Relay {
			st.relay(p, loc)
		}
	case !vtep:
		return false
	case r != nil && r.MAC == p.DstMAC:
		p.DropFor(drop.VXLANRouter)
	case ok && loc&fib.LocLocal != 0:
		return false // a gateway group or a virtual address of this box
	case ok && fib.IsVTEP(loc):
		p.DropFor(drop.VXLANRelay)
	case ok && g.Relay:
		st.relay(p, loc)
	case p.Next == frame.NextFlood && g.Yielded:
		p.DropFor(drop.VXLANYielded)
	}
	return true
}

// relay sends an inner frame on, in another form: from a box to a VTEP, or the other way.
func (st *State) relay(p *frame.Packet, loc fib.Loc) {
	if !st.parseRelayed(p) {
		return
	}
	p.Loc, p.Next = loc, frame.NextEncap
}

// parseRelayed parses an inner frame that is to be encapsulated again: path, DSCP and MSS depend on what is in it. It
// returns false if it drops p.
func (st *State) parseRelayed(p *frame.Packet) bool {
	if why := parse.Inner(st.Mem, p); why != drop.None {
		p.DropFor(why)
		return false
	}
	if p.Proto == protoTCP && p.Has(frame.FlagL4) &&
		wire.TCP(st.Mem[p.Off+uint32(p.L4):]).Flags()&wire.TCPSyn != 0 {
		st.clampReply(p, &st.Snap.Ports[p.Port])
	}
	return true
}
