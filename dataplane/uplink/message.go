package uplink

import (
	"encoding/binary"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

const (
	etherTypeRARP  = 0x8035
	rarpRequest    = 3  // "request reverse" (RFC 903)
	minFrame       = 60 // octets without FCS and tag (IEEE 802.3, 3.2.8)
	messageLen     = 96 // octets of the longest message here: a tagged neighbour advertisement
	advertHopLimit = 255
)

// message is a frame of the box itself.
type message [messageLen]byte

// link writes the Ethernet header, with a tag if vid is not 0, and returns its length. The rest is zero.
func (m *message) link(dst, src uint64, vid, etherType uint16) int {
	*m = message{}
	e := wire.Ethernet(m[:])
	e.SetDst(dst)
	e.SetSrc(src)
	if vid == 0 {
		e.SetType(etherType)
		return wire.EthernetLen
	}
	e.Tag().Set(vid, 0)
	binary.BigEndian.PutUint16(m[wire.EthernetLen+2:], etherType)
	return wire.EthernetLen + wire.VLANTagLen
}

// padded returns the frame, whose header has h octets and whose content ends at n.
func (m *message) padded(h, n int) []byte { return m[:max(n, minFrame+h-wire.EthernetLen)] }

// arpRequest requests the MAC of target. With sender 0 it is a probe of RFC 5227, which no cache stores.
func (m *message) arpRequest(dst, src uint64, vid uint16, sender, target uint32) []byte {
	h := m.link(dst, src, vid, wire.EtherTypeARP)
	wire.ARP(m[h:]).Set(wire.ARPRequest, src, sender, 0, target)
	return m.padded(h, h+wire.ARPLen)
}

// announce announces by broadcast that ip is at src (RFC 5227, 2.3: an announcement has the form of a request).
func (m *message) announce(src uint64, vid uint16, ip uint32) []byte {
	return m.arpRequest(wire.Broadcast, src, vid, ip, ip)
}

// rarp makes the switches learn where src is, and has no other effect (RFC 903).
func (m *message) rarp(src uint64, vid uint16) []byte {
	h := m.link(wire.Broadcast, src, vid, etherTypeRARP)
	wire.ARP(m[h:]).Set(rarpRequest, src, 0, src, 0)
	return m.padded(h, h+wire.ARPLen)
}

// advertise announces to all nodes that ip is at src (RFC 4861, 7.2.6). The frame has the router flag.
func (m *message) advertise(src uint64, vid uint16, ip [2]uint64) []byte {
	const n = wire.NeighborLen + wire.NDLinkAddrLen
	all := wire.AllNodes()
	at := m.link(wire.MulticastMAC(all), src, vid, wire.EtherTypeIPv6)
	h := wire.IPv6(m[at : at+wire.IPv6Len+n])
	h.SetFlow(0, 0)
	h.SetPayloadLen(n)
	h.SetNextHeader(wire.ProtoICMPv6)
	h.SetHopLimit(advertHopLimit)
	h.SetSrc(ip)
	h.SetDst(all)
	a := wire.NeighborAdvert(h.Payload())
	a.Set(wire.NAFlagRouter|wire.NAFlagOverride, ip, src)
	wire.ICMPv6(a).SetChecksum(checksum.Checksum(a, checksum.Sum(h.Addrs(), wire.ProtoICMPv6+n)))
	return m.padded(at, at+wire.IPv6Len+n)
}
