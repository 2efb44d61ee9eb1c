package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// linkLocalGroups are the 16 addresses 01-80-C2-00-00-00 … -0F that no bridge forwards (IEEE 802.1Q, 8.6.3).
const linkLocalGroups = 0x0180c2000000

// Access parses frames of an access port and takes them to their attachment: it finds segment and VIF, holds the sender
// to what is configured for it, takes the tag off, and says who is next: neigh, route, flood or lookup.
//
// It is a stage (stage.Func).
func (st *State) Access(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	st.follow(s)
	st.pending = 0
	from := &s.Ports[st.Port]
	for i := 0; ; i++ {
		var done uint32
		i, done = quickAccess(mem, b, i, from, s, st)
		todo |= done
		if i >= b.N {
			return todo
		}
		p := &b.Pkt[i]
		if parse.Access(mem, p) && !st.Spread.Elsewhere(p) {
			ingress(mem, p, from, s, st)
			if p.Next == frame.NextLookup {
				st.lookUp(i, p.Seg, p.DstMAC, s)
			}
		}
		todo |= p.Next.Bit()
	}
}

// ingress is the way of any parsed frame.
func ingress(mem []byte, p *frame.Packet, port *fib.Port, s *fib.Snapshot, st *State) {
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
	from := st.sender(p, at, s)
	p.Attach, p.Seg, p.VIF = at, from.seg, from.vif
	if !from.admits(mem, p) {
		return
	}
	if from.v != nil {
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
		if fib.VirtualRouterMAC(p.SrcMAC) {
			st.heard(mem, p, s)
		}
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

// senders is how many senders a worker remembers.
const senders = 256

// sender is what the frames of one VIF have in common: what the tables say about it is looked up once, not with every
// frame.
type sender struct {
	quick  uint64 // octets 6–13 of the frames that quickAccess may take: MAC and EtherType (IPv4, or of the tag); 0 = none
	router uint64 // MAC of the segment's virtual router, 0 = none
	mac    uint64
	at     uint32 // attachment
	seg    uint32
	vif    uint32 // local VIF index, NoIndex for one of those that need not be known
	source uint32 // an IPv4 source that is right, as far as mask goes
	mask   uint32
	// refused is source and destination port of UDP packets that quickAccess does not take: they need checking.
	refused uint32
	port    uint16
	vid     uint16 // of the tag
	tagged  bool
	open    bool     // the attachment takes senders that are not known
	v       *fib.VIF // nil when not known

	packets, octets uint64 // taken by quickAccess and not yet counted
}

// count counts what quickAccess has taken.
func (d *sender) count(vifs *stats.Block) {
	if d.packets > 0 && d.v != nil {
		vifs.Add(int(d.vif)*stats.VIFStride+stats.VIFRxPackets, d.packets)
		vifs.Add(int(d.vif)*stats.VIFStride+stats.VIFRxBytes, d.octets)
	}
	d.packets, d.octets = 0, 0
}

// Count brings the counters of the VIFs up to date, before they are published.
func (st *State) Count() {
	for i := range st.senders {
		st.senders[i].count(st.VIFs)
	}
}

// follow forgets the senders when the tables have changed.
func (st *State) follow(s *fib.Snapshot) {
	if st.of != s {
		st.Count()
		st.of = s
		st.senders = [senders]sender{}
		st.segments = [remembered]segment{}
	}
}

// place is where a MAC is remembered.
func place(mac uint64) uint64 { return mac * 0x9e3779b97f4a7c15 >> (64 - 8) % senders }

// sender returns what is known about the sender of p, which came by attachment at.
func (st *State) sender(p *frame.Packet, at uint32, s *fib.Snapshot) *sender {
	d := &st.senders[place(p.SrcMAC)]
	if tagged := p.Has(frame.FlagTagged); d.mac != p.SrcMAC || d.at != at || d.port != p.Port || d.vid != p.VID || d.tagged != tagged {
		d.count(st.VIFs)
		*d = sender{mac: p.SrcMAC, at: at, port: p.Port, vid: p.VID, tagged: tagged}
		d.lookUp(s)
	}
	return d
}

// lookUp finds the sender by attachment and MAC.
func (d *sender) lookUp(s *fib.Snapshot) {
	a := &s.Attachments[d.at]
	d.seg, d.open, d.vif = a.Seg, a.Open, frame.NoIndex
	if r := s.Segments[a.Seg].Router; r != fib.None {
		d.router = s.Routers[r].MAC
	}
	d.refused = fib.DHCPAnswer
	vif, ok := s.VIFByMAC.Get(fib.VIFKey(d.at, d.mac))
	if !ok && fib.VirtualRouterMAC(d.mac) {
		vif, ok = s.VRRP.Get(uint64(d.at))
	}
	if ok {
		d.vif, d.v = vif, &s.VIFs[vif]
		if d.v.Policy == fib.PolicyOff || d.v.Allow&fib.AllowDHCPServer != 0 {
			d.refused = 0
		}
		if d.v.Policy == fib.PolicyStrict && len(d.v.IP4)+len(d.v.IP6) > 0 {
			d.mask = ^uint32(0)
		}
	}
}

// admits reports whether the packet may come from the sender, and remembers a source address that may.
func (d *sender) admits(mem []byte, p *frame.Packet) bool {
	if d.v == nil && !d.open {
		p.DropFor(drop.SpoofMAC)
		return false
	}
	if d.v != nil {
		if r := checkSource(mem, p, d.v); r != drop.None {
			p.DropFor(r)
			return false
		}
	}
	if p.Has(frame.FlagIPv4) {
		// The unspecified address may send, but only some packets.
		if src := binary.BigEndian.Uint32(mem[p.Off+uint32(p.L3)+ip4SourceOffset:]); src != 0 {
			d.source = src
			d.quick = d.mac<<16 | wire.EtherTypeIPv4
			if d.tagged {
				d.quick = d.mac<<16 | wire.EtherTypeVLAN
			}
		}
	}
	return true
}
