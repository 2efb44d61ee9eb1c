package parse

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Fabric parses a frame from the edge switch: untagged (or priority-tagged) Ethernet with a whole IPv4 header or ARP.
// For IPv4, Proto, TOS and FlagFragment are those of the outer header, and L4 is the offset behind that header
// (without FlagL4). The frame may have padding behind the packet. Access parses the inner frame.
func Fabric(mem []byte, p *frame.Packet) bool {
	fabric(mem, p)
	return p.Next == frame.NextParsed
}

func fabric(mem []byte, p *frame.Packet) {
	f := link(mem, p)
	if f == nil {
		return
	}
	l3 := wire.EthernetLen
	if taggedType(p.EtherType) {
		if !tag(f, p) {
			if p.Drop == drop.VLANStacked {
				p.DropFor(drop.FabricVLAN)
			}
			return
		}
		if p.VID != 0 {
			p.DropFor(drop.FabricVLAN)
			return
		}
		l3 += wire.VLANTagLen
	}
	switch p.EtherType {
	case wire.EtherTypeIPv4:
		if r := header4(f[l3:], p); r != drop.None {
			dropIP(p, r)
		}
	case wire.EtherTypeARP:
		p.Hash = hashLink(p)
		arp(f, p, l3)
	default:
		p.Hash = hashLink(p)
		p.DropFor(drop.FabricNotIP)
	}
}

// Edge parses a frame on a port of the edge switch: Ethernet and at most one tag. It sets FlagIPv4 or FlagARP if a
// valid IPv4 header or ARP packet follows. Edge accepts all other frames without these flags: a switch forwards them
// too.
func Edge(mem []byte, p *frame.Packet) bool {
	edge(mem, p)
	return p.Next == frame.NextParsed
}

func edge(mem []byte, p *frame.Packet) {
	f := link(mem, p)
	if f == nil {
		return
	}
	l3 := wire.EthernetLen
	if p.EtherType == wire.EtherTypeVLAN {
		if !tag(f, p) {
			// A switch forwards a second tag as payload. Only a truncated tag is an error.
			if p.Drop != drop.VLANStacked {
				return
			}
			p.Next, p.Drop = frame.NextParsed, drop.None
		}
		l3 += wire.VLANTagLen
	}
	p.Hash = hashLink(p)
	switch p.EtherType {
	case wire.EtherTypeIPv4:
		header4(f[l3:], p)
	case wire.EtherTypeARP:
		if len(f) >= l3+wire.ARPLen && wire.ARP(f[l3:]).Header() == wire.ARPHeader {
			p.Flags |= frame.FlagARP
		}
	}
}

// header4 checks the IPv4 header at the start of ip, and sets Proto, TOS, Hash, L4 and the flags from it.
func header4(ip []byte, p *frame.Packet) drop.Reason {
	if len(ip) < wire.IPv4Len {
		return drop.IPv4Truncated
	}
	h := (*[wire.IPv4Len]byte)(ip)
	w0 := binary.BigEndian.Uint64(h[0:8])
	w1 := binary.BigEndian.Uint64(h[8:16])
	w2 := binary.BigEndian.Uint32(h[16:20])
	hl := uint(w0>>56&0x0f) * 4
	if w0>>60 != 4 || hl < wire.IPv4Len {
		return drop.IPv4Header
	}
	if hl > uint(len(ip)) {
		return drop.IPv4Truncated
	}
	if hl == wire.IPv4Len {
		if !SumOK(w0, w1, w2) {
			return drop.IPv4Checksum
		}
	} else if checksum.Checksum(ip[:hl], 0) != 0 {
		return drop.IPv4Checksum
	}
	total := uint(w0 >> 32 & 0xffff)
	if total < hl || total > uint(len(ip)) {
		return drop.IPv4Length
	}
	p.Flags |= frame.FlagIPv4
	if w0&(wire.IPv4MF|wire.IPv4OffsetMask) != 0 {
		p.Flags |= frame.FlagFragment
	}
	p.Proto = uint8(w1 >> 48)
	p.TOS = uint8(w0 >> 48)
	p.L4 = p.L3 + uint16(hl)
	p.Hash = mix(w1<<32|uint64(w2), w0&0xffff0000|uint64(p.Proto))
	return drop.None
}
