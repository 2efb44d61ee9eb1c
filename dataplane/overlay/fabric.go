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

// Fabric parses frames of a fabric port and takes them out of their encapsulation. A frame is accepted only if it comes
// from the edge switch, is addressed to a special address of this box, and its tenant and segment exist here
// (PROTOCOL.md#reception). What remains is delivered by (tenant, segment, inner destination MAC).
//
// It is a stage (stage.Func).
func (st *State) Fabric(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	st.follow(s)
	st.pending = 0
	f := &s.Ports[st.Port].Fabric
	for i := 0; ; i++ {
		var done uint32
		i, done = quickFabric(mem, b, i, f, s, st)
		todo |= done
		if i >= b.N {
			return todo
		}
		p := &b.Pkt[i]
		if parse.Fabric(mem, p) && !st.outerElsewhere(mem, p) {
			decap(mem, p, f, s, st)
			if p.Next == frame.NextLookup {
				st.lookUp(i, p.Seg, p.DstMAC, s)
			}
		}
		todo |= p.Next.Bit()
	}
}

// remembered is how many segments a worker remembers by the outer addresses of their frames.
const remembered = 256

// segment is what the addresses of an outer header stand for.
type segment struct {
	addrs uint64 // source and destination; 0 = none
	seg   uint32
	port  uint16
}

func decap(mem []byte, p *frame.Packet, f *fib.Fabric, s *fib.Snapshot, st *State) {
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
	case p.Proto != protoEthernet:
		p.DropFor(drop.FabricProtocol)
	case p.Has(frame.FlagFragment):
		p.DropFor(drop.FabricFragment)
	case l3[0] != 0x45:
		p.DropFor(drop.FabricOptions)
	case dst&^f.HostMask != f.Prefix, !special(src, f.HostMask):
		p.DropFor(drop.FabricAddress)
	default:
		if inner(mem, p, s, st, int(binary.BigEndian.Uint16(l3[2:4]))-ipLen, dst&f.HostMask, src&f.HostMask) {
			addrs := uint64(src)<<32 | uint64(dst)
			st.segments[place(addrs)] = segment{addrs: addrs, seg: p.Seg, port: p.Port}
		}
	}
}

// special reports whether an outer source is of the fabric's scheme: an address behind a port that a switch can have.
func special(src, hostMask uint32) bool {
	if hostMask == 0xffff {
		return src>>24 == 10 && src>>16&0xff != 0
	}
	p := src >> 24
	return p != 0 && p != 127 && p < 224
}

// inner strips the outer headers; n is the length of the inner frame, which ends where the outer packet says, not where
// Ethernet's padding does. It reports whether tenant and segment exist.
func inner(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, n int, tenant, segment uint32) bool {
	seg, ok := s.SegmentByID.Get(fib.SegmentKey(tenant, segment))
	if !ok {
		p.DropFor(drop.FabricSegment)
		if _, known := s.Tenants.Get(uint64(tenant)); !known {
			p.DropFor(drop.FabricTenant)
		}
		return false
	}
	p.Seg = seg
	if n < ethLen || n > int(p.Len)-int(p.L3)-ipLen {
		p.DropFor(drop.FabricInner)
		return true
	}
	p.Pull(p.L3 + ipLen)
	p.Len = uint16(n)
	e := mem[p.Off : p.Off+ethLen]
	macs := binary.BigEndian.Uint64(e[0:8])
	p.DstMAC = macs >> 16
	p.SrcMAC = macs<<32&0xffff00000000 | uint64(binary.BigEndian.Uint32(e[8:12]))
	p.EtherType = binary.BigEndian.Uint16(e[12:14])
	p.Flags = frame.FlagFromFabric
	p.L3, p.L4, p.PCP, p.VID = ethLen, 0, 0, 0
	p.Hash = 0 // of the outer header: it says nothing of the flow
	switch {
	case p.SrcMAC == 0 || p.SrcMAC>>40&1 == 1:
		p.DropFor(drop.FabricInner)
	case p.DstMAC&^0xf == linkLocalGroups:
		p.DropFor(drop.LinkLocalGroup)
	case p.EtherType == etherTypeARP, p.EtherType == wire.EtherTypeIPv6 && !(p.Len > next6-ethLen-ipLen && plain6(mem[p.Off+next6-ethLen-ipLen])),
		p.EtherType < wire.EtherTypeMin, p.EtherType == etherTypeLong:
		lookInside(mem, p, s, st)
	case p.EtherType == wire.EtherTypeVLAN || p.EtherType == wire.EtherTypeSTag || p.EtherType == wire.EtherTypeOldQinQ:
		// No box sends a tag inside; behind an untagged attachment it would lead into another one's VLAN.
		p.DropFor(drop.FabricInner)
	default:
		onward(mem, p, s, st)
	}
	return true
}

// onward sends an inner frame to its destination.
func onward(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State) {
	if p.DstMAC>>40&1 == 1 {
		p.Flags |= frame.FlagGroup
		p.Next = frame.NextFlood
		if fib.VirtualRouterMAC(p.SrcMAC) {
			st.heard(mem, p, s)
		}
		return
	}
	p.Next = frame.NextLookup
}

// lookInside parses an inner frame that may be ARP or neighbour discovery: no box lets in everything that there is of
// these, so neigh decides. All others go on as they came.
func lookInside(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State) {
	q := frame.Packet{Off: p.Off, Len: p.Len, Port: p.Port}
	if !parse.Access(mem, &q) {
		if q.Drop == drop.LLCIP || q.Drop == drop.ARPMalformed || q.Drop == drop.NDMalformed {
			p.DropFor(drop.FabricForged)
			return
		}
	} else if q.Flags&(frame.FlagARP|frame.FlagND) != 0 {
		q.Flags |= frame.FlagFromFabric
		q.Seg, q.Next = p.Seg, frame.NextNeigh
		*p = q
		return
	}
	onward(mem, p, s, st)
}
