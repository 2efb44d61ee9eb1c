package overlay

import (
	"encoding/binary"
	"sync/atomic"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// The MAC of a virtual router (VRRP between VMs) has no binding: its location is that of the current master. A VRRP
// advertisement has the virtual MAC and the master's own IP address as sources, and so gives the location of the
// virtual MAC. Frames to a virtual MAC with a known location need not be flooded.

const (
	protoVRRP = 112 // RFC 9568, 5.1.1.4

	virtuals    = 4096           // entries, for the virtual routers of all segments
	virtualLife = 30_000_000_000 // lifetime of an entry in nanoseconds after the last advertisement
)

// Virtuals holds the locations of the masters of virtual routers. All workers share it, without locks. If two workers
// write an entry at once, the entry may have the location from one advertisement and the time of the other.
type Virtuals [virtuals]struct {
	row  atomic.Uint64 // hash of segment and MAC, location
	seen atomic.Int64  // time of the last advertisement
}

// hash returns the slot of an entry, and the tag that distinguishes entries with the same slot.
func (v *Virtuals) hash(seg uint32, mac uint64) (slot uint64, tag uint64) {
	h := (uint64(seg)<<16 ^ mac&0xffff) * 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return h % virtuals, h >> 32 << 32
}

func (v *Virtuals) put(seg uint32, mac uint64, loc fib.Loc, now int64) {
	slot, tag := v.hash(seg, mac)
	r := &v[slot]
	if w := tag | uint64(loc); r.row.Load() != w {
		r.row.Store(w)
	}
	r.seen.Store(now)
}

func (v *Virtuals) get(seg uint32, mac uint64, now int64) (fib.Loc, bool) {
	slot, tag := v.hash(seg, mac)
	r := &v[slot]
	w := r.row.Load()
	return fib.Loc(uint32(w)), w != 0 && w>>32<<32 == tag && now-r.seen.Load() < virtualLife
}

// learnMaster stores the location of the sender of a VRRP advertisement. The sender's box has checked that the sender
// may use the virtual MAC.
func (st *State) learnMaster(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	if !p.Has(frame.FlagFromFabric) {
		if p.Proto == protoVRRP && p.VIF != frame.NoIndex {
			st.Virtual.put(p.Seg, p.SrcMAC, fib.LocLocal|p.VIF, st.Now)
		}
		return
	}
	if parse.Inner(mem, p) != drop.None || p.Proto != protoVRRP {
		return
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	var loc fib.Loc
	ok := false
	if p.Has(frame.FlagIPv4) {
		_, loc, ok = table.FindIP4(s.Bindings, s.Delta, p.Seg, binary.BigEndian.Uint32(l3[ip4SourceOffset:]))
	} else if p.Has(frame.FlagIPv6) {
		src := wire.IPv6(l3).Src()
		if _, loc, ok = table.FindIP6(s.Bindings, s.Delta, p.Seg, src[0], src[1]); !ok {
			_, loc, ok = s.Station6(p.Seg, src)
		}
	}
	if ok && loc&fib.LocLocal == 0 {
		st.Virtual.put(p.Seg, p.SrcMAC, loc, st.Now)
	}
}

// toMaster sends a packet to a virtual MAC, which would be flooded otherwise, to the master of the virtual router, if
// the master's location is known. A packet from the fabric goes to VIFs of this box only.
func (st *State) toMaster(p *frame.Packet, s *fib.Snapshot) {
	if !fib.VirtualRouterMAC(p.DstMAC) {
		return
	}
	loc, ok := st.Virtual.get(p.Seg, p.DstMAC, st.Now)
	switch fabric := p.Has(frame.FlagFromFabric); {
	case !ok:
	case loc&fib.LocLocal == 0:
		if !fabric {
			p.Loc, p.Next = loc, frame.NextEncap
		}
	default:
		// The index may belong to another VIF by now, even of another tenant.
		i := loc &^ fib.LocLocal
		if uint(i) >= uint(len(s.VIFs)) {
			return
		}
		if v := &s.VIFs[i]; v.Attach != fib.None && v.Seg == p.Seg && v.Attach != p.Attach {
			p.Loc, p.Next = loc, frame.NextDeliver
		}
	}
}
