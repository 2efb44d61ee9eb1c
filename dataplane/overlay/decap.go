package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

const etherTypeARP = 0x0806

// Decap takes frames of a fabric port out of their encapsulation. A frame is accepted only if it comes from the edge
// switch, is addressed to a special address of this box, and its tenant and segment exist here
// (spec/overlay.md, "Encapsulation"). What remains is delivered by (tenant, segment, inner destination MAC). The
// returned bits are as with Ingress.
func Decap(mem []byte, b *frame.Batch, s *fib.Snapshot) (todo uint32) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next == frame.NextParsed {
			decap(mem, p, s)
		}
		todo |= 1 << p.Next
	}
	return todo
}

func decap(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	f := &s.Ports[p.Port].Fabric
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
	case dst&^f.HostMask != f.Prefix, f.HostMask == 0xffff && src>>24 != 10:
		p.DropFor(drop.FabricAddress)
	default:
		inner(mem, p, s, int(binary.BigEndian.Uint16(l3[2:4]))-ipLen, dst&f.HostMask, src&f.HostMask)
	}
}

// inner strips the outer headers; n is the length of the inner frame, which ends where the outer packet says, not where
// Ethernet's padding does.
func inner(mem []byte, p *frame.Packet, s *fib.Snapshot, n int, tenant, segment uint32) {
	seg, ok := s.SegmentByID.Get(fib.SegmentKey(tenant, segment))
	if !ok {
		p.DropFor(drop.FabricSegment)
		if _, known := s.Tenants.Get(uint64(tenant)); !known {
			p.DropFor(drop.FabricTenant)
		}
		return
	}
	if n < ethLen || n > int(p.Len)-int(p.L3)-ipLen {
		p.DropFor(drop.FabricInner)
		return
	}
	p.Pull(p.L3 + ipLen)
	p.Len = uint16(n)
	e := mem[p.Off : p.Off+ethLen]
	macs := binary.BigEndian.Uint64(e[0:8])
	p.DstMAC = macs >> 16
	p.SrcMAC = macs<<32&0xffff00000000 | uint64(binary.BigEndian.Uint32(e[8:12]))
	p.EtherType = binary.BigEndian.Uint16(e[12:14])
	p.Seg = seg
	p.Flags = frame.FlagFromFabric
	p.L3, p.L4, p.PCP, p.VID = ethLen, 0, 0, 0
	switch {
	case p.SrcMAC == 0 || p.SrcMAC>>40&1 == 1:
		p.DropFor(drop.FabricInner)
	case p.EtherType == etherTypeARP:
		p.DropFor(drop.ARPForeign)
	case p.EtherType == wire.EtherTypeVLAN || p.EtherType == wire.EtherTypeSTag || p.EtherType == wire.EtherTypeOldQinQ:
		// No box sends a tag inside; behind an untagged attachment it would lead into another one's VLAN.
		p.DropFor(drop.FabricInner)
	case p.DstMAC>>40&1 == 1:
		p.Flags |= frame.FlagGroup
		p.Next = frame.NextFlood
	default:
		p.Next = frame.NextLookup
	}
}
