package announce

import (
	"encoding/binary"
	"net/netip"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// minFrame is octets without FCS and tag (IEEE 802.3, 3.2.8).
const minFrame = 60

const advertHopLimit = 255 // RFC 4861, 7.1.2

// frameOf returns the announcement of a move for an attachment, of at least the length that Ethernet has.
func frameOf(m Move, vid uint16, round int, router bool) []byte {
	f := Frame(m, vid, round, router)
	least := minFrame
	if vid != 0 {
		least += wire.VLANTagLen
	}
	return append(f, make([]byte, max(0, least-len(f)))...)
}

// Frame returns the announcement of an address and its MAC, without padding: gratuitous ARP, or an unsolicited
// neighbour advertisement (RFC 4861, 7.2.6). It has a tag if vid is not 0. An ARP announcement has the form of a
// request; the second round has the form of a reply, since some receivers accept only one of the two (RFC 5227, 3).
func Frame(m Move, vid uint16, round int, router bool) []byte {
	f := make([]byte, 0, minFrame+wire.VLANTagLen+wire.IPv6Len)
	if m.Addr.Is4() {
		f = link(f, wire.Broadcast, uint64(m.MAC), vid, wire.EtherTypeARP)
		at := len(f)
		f = append(f, make([]byte, wire.ARPLen)...)
		op, target := uint16(wire.ARPRequest), uint64(0)
		if round > 0 {
			op, target = wire.ARPReply, wire.Broadcast
		}
		ip := addr4(m.Addr)
		wire.ARP(f[at:]).Set(op, uint64(m.MAC), ip, target, ip)
		return f
	}
	const n = wire.NeighborLen + wire.NDLinkAddrLen
	all := wire.AllNodes()
	f = link(f, wire.MulticastMAC(all), uint64(m.MAC), vid, wire.EtherTypeIPv6)
	at := len(f)
	f = append(f, make([]byte, wire.IPv6Len+n)...)
	h := wire.IPv6(f[at:])
	h.SetFlow(0, 0)
	h.SetPayloadLen(n)
	h.SetNextHeader(wire.ProtoICMPv6)
	h.SetHopLimit(advertHopLimit)
	h.SetSrc(addr6(m.Addr))
	h.SetDst(all)
	flags := uint32(wire.NAFlagOverride)
	if router {
		flags |= wire.NAFlagRouter
	}
	a := wire.NeighborAdvert(h.Payload())
	a.Set(flags, addr6(m.Addr), uint64(m.MAC))
	wire.ICMPv6(a).SetChecksum(checksum.Checksum(a, checksum.Sum(h.Addrs(), wire.ProtoICMPv6+n)))
	return f
}

// link appends an Ethernet header, with a tag if vid is not 0.
func link(f []byte, dst, src uint64, vid, etherType uint16) []byte {
	f = append(f, make([]byte, wire.EthernetLen-2)...)
	wire.PutMAC(f, dst)
	wire.PutMAC(f[6:], src)
	if vid != 0 {
		f = binary.BigEndian.AppendUint32(f, uint32(wire.EtherTypeVLAN)<<16|uint32(vid))
	}
	return binary.BigEndian.AppendUint16(f, etherType)
}

func addr4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addr6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}
