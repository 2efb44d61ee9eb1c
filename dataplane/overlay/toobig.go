package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/wire"
)

// tooBig answers a packet that does not fit the fabric with ICMP, where ICMP can (RFC 1191, RFC 8201), on behalf of the
// segment's router, or of the destination where the segment has none.
func tooBig(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, path *fib.Path) {
	if p.Has(frame.FlagFromUplink) {
		p.Loc, p.Next = uint32(path.MTU-Overhead), frame.NextRefuse
		return
	}
	if !st.first(p) {
		p.DropFor(drop.TooBig)
		return
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	v4 := p.Has(frame.FlagIPv4)
	if v4 && l3[6]&0x40 == 0 || !v4 && !p.Has(frame.FlagIPv6) || p.Attach == frame.NoIndex {
		p.DropFor(drop.TooBig)
		return
	}
	home := &s.Segments[s.Attachments[p.Attach].Seg]
	var src4 uint32
	var src6 [2]uint64
	srcMAC := p.DstMAC
	if v4 {
		src4 = binary.BigEndian.Uint32(l3[ip4DestinationOff:])
		if len(home.Subnets4) > 0 && home.Subnets4[0].RouterIP != 0 {
			src4 = home.Subnets4[0].RouterIP
		}
	} else {
		src6 = [2]uint64{binary.BigEndian.Uint64(l3[24:]), binary.BigEndian.Uint64(l3[32:])}
		if len(home.Subnets6) > 0 && home.Subnets6[0].RouterIP != [2]uint64{} {
			src6 = home.Subnets6[0].RouterIP
		}
	}
	if home.Router != fib.None {
		srcMAC = s.Routers[home.Router].MAC
	}
	if !v4 && wire.Multicast6(src6) { // a group is nobody's address to answer from
		p.DropFor(drop.TooBig)
		return
	}
	if why := icmp.Answer(mem, p, s, st.Now, icmp.TooBig, path.MTU-Overhead, src4, src6, srcMAC); why != drop.None {
		p.DropFor(why)
		return
	}
	st.Events.TooBigSent++
	toAttachment(mem, p, s, st, p.Attach)
}

// first reports whether the sender of p has not had an ICMP error about it yet: a frame that is flooded gives rise to one,
// however many of its receivers it is too big for.
func (st *State) first(p *frame.Packet) bool {
	if !p.Has(frame.FlagFlooded) {
		return true
	}
	bit := uint64(1) << (p.Kind & (frame.BatchSize - 1))
	if st.told&bit != 0 {
		return false
	}
	st.told |= bit
	return true
}
