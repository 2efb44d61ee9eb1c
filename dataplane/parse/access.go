// Package parse turns the octets of a received frame into the metadata of its frame.Packet, or a drop reason.
//
// The package checks every length, header and checksum that a later stage relies on, once. The flags of a packet state
// the result:
//
//   - FlagIPv4, FlagIPv6: the header is whole, and the packet ends within the frame. Octets behind the packet are
//     Ethernet padding: Packet.Len is the frame's length, and the IP header has the packet's length.
//   - FlagL4: the frame has the whole TCP header with its options, or the first 8 octets of UDP, ICMP or ICMPv6.
//   - FlagARP, FlagND: the message is whole and well-formed.
//
// The worker sets Off, Len and Port of a packet. A parser sets every other field and reports whether the frame is
// well-formed. A parser drops a packet that is not.
//
// A frame whose outermost tag is a service tag (0x88a8, 0x9100) counts as stacked. If the box forwarded it as an
// unknown protocol, its content would evade the anti-spoofing rules. For the same reason the parser drops IP and ARP
// in LLC (llc.go).
package parse

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// Access parses a frame from a tenant: Ethernet, at most one 802.1Q tag, ARP, IPv4, IPv6 with its extension headers,
// TCP, UDP, ICMP and neighbour discovery. It accepts frames of other protocols with their MAC addresses and EtherType.
func Access(mem []byte, p *frame.Packet) bool {
	f := link(mem, p)
	if f == nil {
		return false
	}
	l3 := wire.EthernetLen
	if taggedType(p.EtherType) {
		if !tag(f, p) {
			return false
		}
		l3 += wire.VLANTagLen
	}
	switch p.EtherType {
	case wire.EtherTypeIPv4:
		return ipv4(f, p, l3)
	case wire.EtherTypeIPv6:
		return ipv6(f, p, l3)
	case wire.EtherTypeARP:
		p.Hash = hashLink(p)
		return arp(f, p, l3)
	}
	p.Hash = hashLink(p)
	if (p.EtherType < wire.EtherTypeMin || p.EtherType == etherTypeLong) && llcIP(f[l3:]) {
		p.DropFor(drop.LLCIP)
		return false
	}
	return true
}

// link parses the Ethernet header and resets the fields that later headers may set. It drops a malformed frame and
// returns nil.
func link(mem []byte, p *frame.Packet) []byte {
	off := uint(p.Off)
	end := off + uint(p.Len)
	reset(p)
	if p.Len < wire.EthernetLen || end > uint(len(mem)) || off > end {
		badLength(p)
		return nil
	}
	f := mem[off:end:end]
	h := (*[wire.EthernetLen]byte)(f)
	dst := binary.BigEndian.Uint64(h[:8]) >> 16
	w := binary.BigEndian.Uint64(h[6:14])
	p.DstMAC = dst
	p.SrcMAC = w >> 16
	p.EtherType = uint16(w)
	p.Flags = uint16(dst>>40&1) * frame.FlagGroup
	if w>>16 == 0 || w>>56&1 != 0 {
		p.DropFor(drop.SourceMAC)
		return nil
	}
	return f
}

// reset clears the fields that are not set for every frame.
func reset(p *frame.Packet) {
	p.Out, p.L3, p.L4 = 0, wire.EthernetLen, 0
	p.VID, p.PCP, p.Proto, p.TOS = 0, 0, 0, 0
	p.Next, p.Drop, p.Kind = frame.NextParsed, drop.None, 0
	p.Hash = 0
	p.Seg, p.VIF, p.Attach = frame.NoIndex, frame.NoIndex, frame.NoIndex
	p.Loc = 0
}

// badLength drops a frame that is too short for Ethernet, or that is outside the UMEM.
func badLength(p *frame.Packet) {
	p.EtherType, p.Flags, p.DstMAC, p.SrcMAC = 0, 0, 0, 0
	p.L3 = 0
	if p.Len < wire.EthernetLen {
		p.DropFor(drop.FrameShort)
		return
	}
	p.DropFor(drop.FrameLong)
}

func taggedType(t uint16) bool {
	return t == wire.EtherTypeVLAN || t == wire.EtherTypeSTag || t == wire.EtherTypeOldQinQ
}

// tag parses the one allowed 802.1Q tag and sets L3 and EtherType to what follows the tag.
func tag(f []byte, p *frame.Packet) bool {
	if p.EtherType != wire.EtherTypeVLAN {
		p.DropFor(drop.VLANStacked)
		return false
	}
	if len(f) < wire.EthernetLen+wire.VLANTagLen {
		p.DropFor(drop.VLANTruncated)
		return false
	}
	t := wire.Ethernet(f).Tag()
	p.VID = t.VID()
	p.PCP = t.PCP()
	p.EtherType = t.Type()
	p.Flags |= frame.FlagTagged
	p.L3 = wire.EthernetLen + wire.VLANTagLen
	if taggedType(p.EtherType) {
		p.DropFor(drop.VLANStacked)
		return false
	}
	return true
}

// arp checks an ARP packet for Ethernet and IPv4.
func arp(f []byte, p *frame.Packet, l3 int) bool {
	a := f[l3:]
	if len(a) < wire.ARPLen || wire.ARP(a).Header() != wire.ARPHeader {
		p.DropFor(drop.ARPMalformed)
		return false
	}
	p.Flags |= frame.FlagARP
	return true
}
