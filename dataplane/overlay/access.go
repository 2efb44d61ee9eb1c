package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// linkLocalGroups are the 16 addresses 01-80-C2-00-00-00 … -0F that no bridge forwards (IEEE 802.1Q, 8.6.3).
const linkLocalGroups = 0x0180c2000000

// Access parses frames of an access port and assigns them to their attachment. It finds segment and VIF, checks the
// source against the VIF's configuration (spoof.go), removes the tag, and sets Next: to neigh, route, flood or lookup.
//
// It is a stage (stage.Func).
func (st *State) Access(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	st.syncCaches(s)
	st.pending, st.Hits.N = 0, 0
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
			fromAccess(mem, p, from, s, st)
			if p.Next == frame.NextLookup {
				st.queueLookup(i, p.Seg, p.DstMAC, s)
			}
		}
		todo |= p.Next.Bit()
	}
}

// fromAccess does what Access does with a parsed frame.
func fromAccess(mem []byte, p *frame.Packet, port *fib.Port, s *fib.Snapshot, st *State) {
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
	if fib.Marked(p.SrcMAC) {
		p.DropFor(drop.MarkSpoof)
		return
	}
	from := st.station(p, at, s)
	p.Attach, p.Seg, p.VIF = at, from.seg, from.vif
	vip, virtual, ok := st.virtualSource(p, from, s)
	if !ok || !from.admits(mem, p, virtual) {
		return
	}
	if from.learn {
		st.learn(mem, p, from, s)
	}
	if port.CompleteChecksums && p.Has(frame.FlagL4) {
		completeChecksum(mem, p, st)
	}
	if from.agent && p.Flags&(frame.FlagARP|frame.FlagND) == 0 && !st.serverReply(p, port, from.v, vip, virtual) {
		return
	}
	if from.v != nil {
		st.VIFs.AddPacket(int(from.vif)*stats.RxTxLen+stats.Rx, p.Len)
	}
	if p.Has(frame.FlagTagged) {
		stripTag(mem, p)
	}
	switch {
	case p.Flags&(frame.FlagARP|frame.FlagND) != 0:
		p.Next = frame.NextNeigh
	case p.Has(frame.FlagGroup):
		p.Next = frame.NextFlood
		if fib.VirtualRouterMAC(p.SrcMAC) {
			st.learnMaster(mem, p, s)
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

// cachedStations is the number of stations in a worker's cache.
const cachedStations = 256

// station is the cache entry of a station behind an access port, most often a VIF. It holds what is equal for all
// frames of the station, so that the tables need not be read for every frame.
type station struct {
	quick  uint64 // octets 6–13 of frames for quickAccess: MAC and EtherType (IPv4, or of the tag); 0 = none
	router uint64 // MAC of the segment's virtual router, 0 = none
	flow   uint64 // of vip: flow.HitWord without protocol
	vip    uint64 // MAC of the virtual address of this box that the station sent to last; noMAC = to none
	mac    uint64
	vipLoc fib.Loc
	vipIP  uint32 // of vip, if this box directs it and it is of IPv4; else 0
	at     uint32 // attachment
	seg    uint32
	vif    uint32 // local VIF index, NoIndex for a station on an open attachment that is no VIF
	source uint32 // an IPv4 source address that has passed the check; quickAccess compares the bits in mask
	mask   uint32
	// refused is the destination port of the UDP packets that quickAccess leaves to the checks in spoof.go.
	refused uint16
	port    uint16
	vid     uint16 // of the tag
	tagged  bool
	open    bool     // the attachment accepts stations that are no VIF
	agent   bool     // the VIF may have virtual addresses
	learn   bool     // control is to know the station and its addresses
	v       *fib.VIF // nil if the station is no VIF

	due int64     // with learn: when the station is compared with the bindings again
	ip  [2]uint64 // with learn: the address that was compared last

	received stats.Traffic // frames that quickAccess has processed and count has not counted
}

// count adds the frames that quickAccess has processed to the VIF's counters.
func (d *station) count(vifs *stats.Block) {
	if d.received.Packets > 0 && d.v != nil {
		vifs.AddTraffic(int(d.vif)*stats.RxTxLen+stats.Rx, d.received)
	}
	d.received = stats.Traffic{}
}

// Count adds the frames that quickAccess has processed to the counters of the VIFs. The pipeline calls it before it
// publishes the counters. Once a second it lets a frame of each station that is learned go the long way.
func (st *State) Count() {
	for i := range st.stations {
		st.stations[i].count(st.VIFs)
	}
	if st.Snap != nil && st.Snap.ControlVID != 0 && st.Now >= st.relearn {
		st.relearn = st.Now + relearn
		for i := range st.stations {
			if st.stations[i].learn {
				st.stations[i].quick = 0
			}
		}
	}
}

// syncCaches empties the caches of stations and segments when the tables have changed.
func (st *State) syncCaches(s *fib.Snapshot) {
	if st.cached != s {
		st.Count()
		st.cached = s
		st.stations = [cachedStations]station{}
		st.segments = [cachedSegments]segment{}
		if s != nil && s.VXLAN.Segments != nil {
			st.tunnels = [cachedTunnels]tunnel{}
			st.senders = [cachedSenders]vtepSender{}
		}
	}
}

// cacheSlot returns the index of a key (a MAC, or a pair of outer addresses) in the caches.
func cacheSlot(mac uint64) uint64 { return mac * 0x9e3779b97f4a7c15 >> (64 - 8) % cachedStations }

// station returns the cache entry of the station that sent p, a frame of attachment at. It fills the entry if needed.
func (st *State) station(p *frame.Packet, at uint32, s *fib.Snapshot) *station {
	d := &st.stations[cacheSlot(p.SrcMAC)]
	if tagged := p.Has(frame.FlagTagged); d.mac != p.SrcMAC || d.at != at ||
		d.port != p.Port || d.vid != p.VID || d.tagged != tagged {
		d.count(st.VIFs)
		*d = station{mac: p.SrcMAC, at: at, port: p.Port, vid: p.VID, tagged: tagged, vip: noMAC}
		d.load(s)
	}
	return d
}

// noMAC is no MAC: it has 64 bits.
const noMAC = ^uint64(0)

// toVIP notes that a station of this box has sent p to a virtual address of this box, which the bindings have at loc.
// Its next frames to that MAC need no lookup. Control moves a virtual address in a new snapshot alone.
func (st *State) toVIP(p *frame.Packet, loc fib.Loc, s *fib.Snapshot) {
	d := &st.stations[cacheSlot(p.SrcMAC)]
	if st.cached == s && d.mac == p.SrcMAC && d.at == p.Attach && d.seg == p.Seg {
		d.vip, d.vipLoc, d.vipIP = p.DstMAC, loc, 0
		if v := s.Directed4(loc); v != nil {
			d.vipIP, d.flow = v.IP4, flow.HitWord(v.Ref, 0)
		}
	}
}

// load fills the entry from the tables, by attachment and MAC.
func (d *station) load(s *fib.Snapshot) {
	a := &s.Attachments[d.at]
	d.seg, d.open, d.vif = a.Seg, a.Open, frame.NoIndex
	if r := s.Segments[a.Seg].Router; r != fib.None {
		d.router = s.Routers[r].MAC
	}
	d.refused = dhcpClient
	vif, ok := s.VIFByMAC.Get(fib.VIFKey(d.at, d.mac))
	if !ok && fib.VirtualRouterMAC(d.mac) {
		vif, ok = s.VRRP.Get(uint64(d.at))
	}
	if ok {
		d.vif, d.v = vif, &s.VIFs[vif]
		if d.v.Policy == fib.PolicyOff || d.v.Allow&fib.AllowDHCPServer != 0 {
			d.refused = 0
		}
		// What a VIF sends from a virtual address never goes the quick way: its last other address does.
		if d.agent = d.v.Agent != nil; d.agent || d.v.Strict() {
			d.mask = ^uint32(0)
		}
	}
	d.learn = a.Open && s.ControlVID != 0 && (d.v == nil || d.v.Policy == fib.PolicyOff)
}

// admits reports whether the station may send p, and drops p otherwise. It stores the source address of an IPv4 packet
// that the station may send, unless it is a virtual address.
func (d *station) admits(mem []byte, p *frame.Packet, virtual bool) bool {
	if d.v == nil && !d.open {
		p.DropFor(drop.SpoofMAC)
		return false
	}
	if d.v != nil {
		if r := checkSource(mem, p, d.v, virtual); r != drop.None {
			p.DropFor(r)
			return false
		}
	}
	if p.Has(frame.FlagIPv4) && !virtual {
		// Only some packets may have the unspecified source address: they are checked one by one.
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
