package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

const (
	etherTypeARP  = 0x0806
	etherTypeLong = 0x8870 // LLC follows
)

// Fabric parses frames of a fabric port and removes their encapsulation. It accepts a frame only if the frame comes
// from the edge switch, is addressed to a special address of this box, and its tenant and segment exist on this box
// (PROTOCOL.md#reception). Tenant, segment and inner destination MAC then select the receiver.
//
// It is a stage (stage.Func).
func (st *State) Fabric(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	st.syncCaches(s)
	st.pending = 0
	f := &s.Ports[st.Port].Fabric
	if f.Form.VXLAN() {
		return st.fabricVXLAN(b, f)
	}
	for i := 0; ; i++ {
		var done uint32
		if f.Form == fib.FormIP {
			i, done = quickFabric(mem, b, i, f, s, st)
		} else {
			i, done = quickFabricUDP(mem, b, i, f, s, st)
		}
		todo |= done
		if i >= b.N {
			return todo
		}
		p := &b.Pkt[i]
		if !parse.Fabric(mem, p) {
			st.refused(mem, p)
		} else if !st.outerElsewhere(mem, p, f.Form) {
			decapsulate(mem, p, f, s, st)
			if p.Next == frame.NextLookup {
				st.queueLookup(i, p.Seg, p.DstMAC, s)
			}
		}
		todo |= p.Next.Bit()
	}
}

// cachedSegments is the number of segments in a worker's cache.
const cachedSegments = 256

// segment is the cache entry of a segment, by the outer addresses of its frames.
type segment struct {
	addrs uint64 // source and destination; 0 = none
	seg   uint32
	port  uint16
}

func decapsulate(mem []byte, p *frame.Packet, f *fib.Fabric, s *fib.Snapshot, st *State) {
	if p.SrcMAC != f.SwitchMAC {
		p.DropFor(drop.FabricSwitchMAC)
		return
	}
	if p.Has(frame.FlagARP) {
		p.Next = frame.NextNeigh
		return
	}
	if p.DstMAC != f.OwnMAC {
		p.DropFor(drop.FabricOwnMAC)
		return
	}
	if !p.Has(frame.FlagIPv4) {
		p.DropFor(drop.FabricNotIP)
		return
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if len(l3) < ipLen {
		p.DropFor(drop.IPv4Truncated)
		return
	}
	src, dst := binary.BigEndian.Uint32(l3[12:16]), binary.BigEndian.Uint32(l3[16:20])
	switch {
	case p.Proto == wire.ProtoUDP && dst == f.BoxIP && f.BoxIP != 0:
		st.toBox(p, l3, src, f)
	case p.Proto != protoEthernet && p.Proto != wire.ProtoUDP:
		p.DropFor(drop.FabricProtocol)
	case p.Has(frame.FlagFragment):
		p.DropFor(drop.FabricFragment)
	case l3[0] != 0x45:
		p.DropFor(drop.FabricOptions)
	case dst&^f.HostMask != f.Prefix, !special(src, f.HostMask):
		p.DropFor(drop.FabricAddress)
	default:
		at, n, why := inside(l3, p.Proto, f)
		if why != drop.None {
			p.DropFor(why)
			return
		}
		if stripOuter(mem, p, s, st, p.L3+at, n, dst&f.HostMask, src&f.HostMask) {
			addrs := uint64(src)<<32 | uint64(dst)
			st.segments[cacheSlot(addrs)] = segment{addrs: addrs, seg: p.Seg, port: p.Port}
		}
	}
}

// special reports whether an outer source follows the addressing scheme: its port number is one that a switch can have.
func special(src, hostMask uint32) bool {
	if hostMask == 0xffff {
		return src>>24 == 10 && src>>16&0xff != 0
	}
	p := src >> 24
	return p != 0 && p != 127 && p < 224
}

// stripOuter removes the outer headers and reports whether tenant and segment exist. The inner frame is at offset at,
// and n is its length by the outer headers, without Ethernet's padding.
func stripOuter(
	mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, at uint16, n int, tenant, segment uint32,
) bool {
	seg, ok := s.SegmentByID.Get(fib.SegmentKey(tenant, segment))
	if !ok {
		p.DropFor(drop.FabricSegment)
		if _, known := s.Tenants.Get(uint64(tenant)); !known {
			p.DropFor(drop.FabricTenant)
		}
		return false
	}
	p.Seg = seg
	unwrap(mem, p, s, st, at, n)
	return true
}

// unwrap is the rest of decapsulation, when the segment is known: it makes p the inner frame.
func unwrap(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, at uint16, n int) {
	if n < ethLen || n > int(p.Len)-int(at) {
		p.DropFor(drop.FabricInner)
		return
	}
	p.Pull(at)
	p.Len = uint16(n)
	e := mem[p.Off : p.Off+ethLen]
	macs := binary.BigEndian.Uint64(e[0:8])
	p.DstMAC = macs >> 16
	p.SrcMAC = macs<<32&0xffff00000000 | uint64(binary.BigEndian.Uint32(e[8:12]))
	p.EtherType = binary.BigEndian.Uint16(e[12:14])
	p.Flags = frame.FlagFromFabric
	p.L3, p.L4, p.PCP, p.VID, p.Proto = ethLen, 0, 0, 0, protoEthernet
	if p.TOS&ecnECT1 != 0 && !mergeECN(mem, p) {
		p.DropFor(drop.FabricECN)
		return
	}
	p.Hash = 0 // the hash of the outer header does not identify the flow
	switch {
	case p.SrcMAC == 0 || p.SrcMAC>>40&1 == 1:
		p.DropFor(drop.FabricInner)
	case p.DstMAC&^0xf == linkLocalGroups:
		p.DropFor(drop.LinkLocalGroup)
	case p.EtherType == etherTypeARP,
		p.EtherType == wire.EtherTypeIPv6 &&
			!(p.Len > next6-ethLen-ipLen && noDiscovery6(mem[p.Off+next6-ethLen-ipLen])),
		p.EtherType < wire.EtherTypeMin, p.EtherType == etherTypeLong:
		parseInner(mem, p, s, st)
	case p.EtherType == wire.EtherTypeVLAN || p.EtherType == wire.EtherTypeSTag || p.EtherType == wire.EtherTypeOldQinQ:
		// No box sends an inner tag. Behind an untagged attachment the tag would select the VLAN of another attachment.
		p.DropFor(drop.FabricInner)
	default:
		forwardInner(mem, p, s, st)
	}
}

// forwardInner sets an inner frame to NextFlood or NextLookup, by its destination MAC.
func forwardInner(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State) {
	if p.DstMAC>>40&1 == 1 {
		p.Flags |= frame.FlagGroup
		p.Next = frame.NextFlood
		if fib.VirtualRouterMAC(p.SrcMAC) {
			st.learnMaster(mem, p, s)
		}
		return
	}
	p.Next = frame.NextLookup
}

// parseInner parses an inner frame that may be ARP or neighbour discovery. Boxes forward only some of these messages,
// so that neigh has to check them. Extension headers that cannot be parsed may hide one. Any other frame continues by
// its destination MAC.
func parseInner(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State) {
	switch parse.Inner(mem, p) {
	case drop.LLCIP, drop.ARPMalformed, drop.NDMalformed, drop.IPv6Extensions:
		p.DropFor(drop.FabricForged)
		return
	}
	if p.Flags&(frame.FlagARP|frame.FlagND) != 0 {
		p.Next = frame.NextNeigh
		return
	}
	forwardInner(mem, p, s, st)
}
