package edge

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// route sends an IPv4 packet for the switch's own MAC on to a downlink: tag off, the fixed route of the port number
// in the destination address, TTL, MACs (spec/overlay.md, "Addressing of the fabric"). The packet is tagged and its
// IPv4 header valid.
func (t *turn) route(p *frame.Packet) {
	s, e := t.s, &t.s.Edge
	b := p.Bytes(t.mem)
	l3 := int(p.L3)
	if l3 != macHeader+tagSize || len(b) < l3+20 {
		p.DropFor(drop.EdgeNotIP) // no parser leaves it so; the check bounds what follows
		return
	}
	ip := b[l3 : l3+20 : l3+20]

	dst := binary.BigEndian.Uint32(ip[16:])
	if (dst^e.Net)>>(e.HostBits+8) != 0 {
		p.DropFor(drop.EdgeNoRoute)
		return
	}
	d := &e.Downlinks[uint8(dst>>e.HostBits)]
	if !d.Valid || int(d.Port) >= len(s.Ports) {
		p.DropFor(drop.EdgeNoRoute)
		return
	}
	if d.Port == t.port {
		p.DropFor(drop.EdgeHairpin)
		return
	}
	if ip[8] <= 1 {
		p.DropFor(drop.EdgeTTL)
		return
	}
	if d.BoxMAC == 0 {
		p.DropFor(drop.EdgeNeighbor)
		return
	}
	out := &s.Ports[d.Port]
	if !out.Up {
		p.DropFor(drop.TxPortDown)
		return
	}
	if len(b)-l3 > int(out.MTU) {
		p.DropFor(drop.EdgeMTU)
		return
	}

	// RFC 1624, equation 3, for one off the high octet of a header word: the checksum grows by 0x0100, with
	// end-around carry; 0xffff becomes 0, as the sum of a header is never zero.
	ip[8]--
	sum := uint32(binary.BigEndian.Uint16(ip[10:])) + 0x0100
	if sum >= 0xffff {
		sum++
	}
	binary.BigEndian.PutUint16(ip[10:], uint16(sum))

	// The tag lies between the MACs, which are written anew, and the EtherType, which stays: no octet moves.
	own := t.own
	p.Pull(tagSize)
	m := b[tagSize : tagSize+12 : tagSize+12]
	binary.BigEndian.PutUint64(m[0:], d.BoxMAC<<16|own>>32)
	binary.BigEndian.PutUint32(m[8:], uint32(own))
	p.DstMAC, p.SrcMAC = d.BoxMAC, own
	p.Flags &^= frame.FlagTagged
	p.VID, p.PCP = 0, 0
	p.SendTo(d.Port)
}

// arp takes an ARP packet that a downlink's box sent to the switch or to all. Replies are what ctrl/neighbor waits
// for; the switch has no IP address, so there is no question that it could answer. ARP for others does not cross the
// fabric. While the box is not resolved its MAC is not known, and any source may answer; ctrl/neighbor judges it.
func (t *turn) arp(p *frame.Packet) {
	if p.SrcMAC == t.own || t.box != 0 && p.SrcMAC != t.box {
		p.DropFor(drop.EdgeSourceMAC)
		return
	}
	b := p.Bytes(t.mem)
	l3 := int(p.L3)
	if l3 < macHeader || len(b) < l3+28 {
		p.DropFor(drop.ARPMalformed)
		return
	}
	a := b[l3 : l3+8 : l3+8]
	// Hardware type Ethernet, protocol IPv4, address lengths 6 and 4 (RFC 826).
	if binary.BigEndian.Uint64(a)>>16 != 0x0001_0800_06_04 {
		p.DropFor(drop.ARPMalformed)
		return
	}
	const reply = 2
	if binary.BigEndian.Uint16(a[6:]) != reply || p.DstMAC != t.own {
		p.DropFor(drop.PuntUnwanted)
		return
	}
	punt(p, PuntARP)
}
