package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// linkLocalGroups are the 16 addresses 01-80-C2-00-00-00 … -0F that no bridge forwards (IEEE 802.1Q, 8.6.3).
const linkLocalGroups = 0x0180c2000000

// sender is what the frames of one VIF have in common. Frames come in bursts of one sender: what the tables say about it
// is looked up once a burst.
type sender struct {
	at, seg, vif uint32
	mac          uint64
	known, open  bool
	router       uint64   // MAC of the segment's virtual router, 0 = none
	v            *fib.VIF // when known
	first4       uint32   // first IPv4 address that a strict VIF may use, 0 = see checkSource
}

// lookUp finds the sender by attachment and MAC.
func (d *sender) lookUp(at uint32, mac uint64, s *fib.Snapshot) {
	a := &s.Attachments[at]
	*d = sender{at: at, mac: mac, seg: a.Seg, open: a.Open}
	if r := s.Segments[a.Seg].Router; r != fib.None {
		d.router = s.Routers[r].MAC
	}
	if d.vif, d.known = s.VIFByMAC.Get(fib.VIFKey(at, mac)); !d.known {
		d.vif = frame.NoIndex
		return
	}
	d.v = &s.VIFs[d.vif]
	if len(d.v.IP4) > 0 {
		d.first4 = d.v.IP4[0]
	}
}

// admits reports whether the packet may come from the sender; the quick answer first.
func (d *sender) admits(mem []byte, p *frame.Packet) bool {
	if !d.known {
		if !d.open {
			p.DropFor(drop.SpoofMAC)
		}
		return d.open
	}
	if p.Has(frame.FlagIPv4) && d.first4 != 0 && binary.BigEndian.Uint32(mem[p.Off+uint32(p.L3)+ip4SourceOffset:]) == d.first4 {
		return true
	}
	r := checkSource(mem, p, d.v)
	if r != drop.None {
		p.DropFor(r)
	}
	return r == drop.None
}

// Ingress takes parsed frames of an access port to their attachment: it finds segment and VIF, holds the sender to what
// is configured for it, takes the tag off, and says who is next: neigh, route, flood or lookup.
//
// It returns which stages have something to do: a bit (1 << Next) each.
func Ingress(mem []byte, b *frame.Batch, s *fib.Snapshot, st *State) (todo uint32) {
	from := sender{at: fib.None}
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next == frame.NextParsed {
			ingress(mem, p, s, st, &from)
		}
		todo |= 1 << p.Next
	}
	return todo
}

func ingress(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, from *sender) {
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
	if at != from.at || p.SrcMAC != from.mac {
		from.lookUp(at, p.SrcMAC, s)
	}
	p.Attach, p.Seg, p.VIF = at, from.seg, from.vif
	if !from.admits(mem, p) {
		return
	}
	if from.known {
		st.VIFs.AddPacket(int(from.vif)*stats.VIFStride+stats.VIFRxPackets, p.Len)
	}
	if p.Has(frame.FlagTagged) {
		stripTag(mem, p)
	}
	if port.CompleteChecksums && p.Has(frame.FlagL4) {
		completeChecksum(mem, p, st)
	}
	switch {
	case p.Flags&(frame.FlagARP|frame.FlagND) != 0:
		p.Next = frame.NextNeigh
	case p.Has(frame.FlagGroup):
		p.Next = frame.NextFlood
	case p.DstMAC == from.router && from.router != 0:
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
