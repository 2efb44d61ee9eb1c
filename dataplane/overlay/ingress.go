package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// linkLocalGroups are the 16 addresses 01-80-C2-00-00-00 … -0F that no bridge forwards (IEEE 802.1Q, 8.6.3).
const linkLocalGroups = 0x0180c2000000

// Ingress takes parsed frames of an access port to their attachment: it finds segment and VIF, holds the sender to what
// is configured for it, takes the tag off, and says who is next: neigh, route, flood or lookup.
//
// It returns which stages have something to do: a bit (1 << Next) each.
func Ingress(mem []byte, b *frame.Batch, s *fib.Snapshot, st *State) (todo uint32) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next == frame.NextParsed {
			ingress(mem, p, s, st)
		}
		todo |= 1 << p.Next
	}
	return todo
}

func ingress(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State) {
	port := &s.Ports[p.Port]
	at := port.Untagged
	if p.VID != 0 {
		at = fib.None
		if port.Tagged != nil {
			at = port.Tagged[p.VID&4095]
		}
	}
	if at == fib.None {
		p.DropFor(drop.AccessVLAN)
		return
	}
	if p.DstMAC&^0xf == linkLocalGroups {
		p.DropFor(drop.LinkLocalGroup)
		return
	}
	a := &s.Attachments[at]
	p.Attach, p.Seg = at, a.Seg

	vif, known := s.VIFByMAC.Get(fib.VIFKey(at, p.SrcMAC))
	if known {
		p.VIF = vif
		if r := checkSource(mem, p, &s.VIFs[vif]); r != drop.None {
			p.DropFor(r)
			return
		}
		st.VIFs.AddPacket(int(vif)*stats.VIFStride+stats.VIFRxPackets, p.Len)
	} else if !a.Open {
		p.DropFor(drop.SpoofMAC)
		return
	}

	if p.Has(frame.FlagTagged) {
		stripTag(mem, p)
	}
	if port.CompleteChecksums && p.Has(frame.FlagL4) {
		completeChecksum(mem, p, st)
	}

	seg := &s.Segments[a.Seg]
	switch {
	case p.Flags&(frame.FlagARP|frame.FlagND) != 0:
		p.Next = frame.NextNeigh
	case p.Has(frame.FlagGroup):
		p.Next = frame.NextFlood
	case seg.Router != fib.None && p.DstMAC == s.Routers[seg.Router].MAC:
		p.Next = frame.NextRoute
	default:
		p.Next = frame.NextLookup
	}
}

// stripTag removes the 802.1Q tag by moving the two MAC addresses over it.
func stripTag(mem []byte, p *frame.Packet) {
	f := p.Bytes(mem)
	if len(f) < 16 {
		return
	}
	copy(f[4:16], f[0:12])
	p.Pull(tagLen)
	p.Flags &^= frame.FlagTagged
}
