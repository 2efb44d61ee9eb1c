package edge

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// route forwards an IPv4 packet to the switch's own MAC to a downlink, by the port number in the destination address.
// It removes the tag, decrements the TTL and rewrites the MACs (PROTOCOL.md#edge-switch). The packet is tagged and
// its IPv4 header is valid.
func (t *forwarding) route(p *frame.Packet) {
	s, e := t.s, &t.s.Edge
	b := p.Bytes(t.mem)
	const l3 = wire.EthernetLen + wire.VLANTagLen
	if p.L3 != l3 || len(b) < l3+wire.IPv4Len {
		p.DropFor(drop.EdgeNotIP) // the parser excludes it; the check bounds the accesses below
		return
	}
	ip := wire.IPv4(b[l3 : l3+wire.IPv4Len : l3+wire.IPv4Len])

	dst := ip.Dst()
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
	ttl := ip.TTL()
	if ttl <= 1 {
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

	// TTL is the high octet of its 16-bit word.
	ip.SetTTL(ttl - 1)
	ip.SetChecksum(checksum.Update16(ip.Checksum(), uint16(ttl)<<8, uint16(ttl-1)<<8))

	// The frame begins four octets later: the new MACs overwrite the tag, and the EtherType and the payload do not
	// move.
	p.Pull(wire.VLANTagLen)
	eth := wire.Ethernet(b[wire.VLANTagLen : wire.VLANTagLen+wire.EthernetLen])
	eth.SetDst(d.BoxMAC)
	eth.SetSrc(t.own)
	p.DstMAC, p.SrcMAC = d.BoxMAC, t.own
	p.Flags &^= frame.FlagTagged
	p.VID, p.PCP = 0, 0
	p.SendTo(d.Port)
}

// arp processes an ARP packet from a downlink's box to the switch or to all stations. It punts replies to
// ctrl/neighbor. It drops all other ARP packets: the switch has no IP address, and ARP for other stations does not
// cross the fabric. Until the box is resolved, any source may reply, and ctrl/neighbor checks the reply.
func (t *forwarding) arp(p *frame.Packet) {
	if p.SrcMAC == t.own || t.box != 0 && p.SrcMAC != t.box {
		p.DropFor(drop.EdgeSourceMAC)
		return
	}
	if !p.Has(frame.FlagARP) {
		p.DropFor(drop.ARPMalformed)
		return
	}
	b := p.Bytes(t.mem)
	l3 := int(p.L3)
	if len(b) < l3+wire.ARPLen || wire.ARP(b[l3:]).Op() != wire.ARPReply || p.DstMAC != t.own {
		p.DropFor(drop.PuntUnwanted)
		return
	}
	toControl(p, punt.ARP)
}
