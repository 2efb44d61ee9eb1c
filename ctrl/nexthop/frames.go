package nexthop

import (
	"encoding/binary"
	"net/netip"

	"penstock/ctrl/model"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

const (
	minFrame   = 60 // octets without FCS, IEEE 802.3
	solicitLen = wire.NeighborLen + wire.NDLinkAddrLen
)

// question builds an ARP request or a neighbour solicitation to mac, or to all if it is 0.
func question(h *Hop, mac model.MAC) []byte {
	if h.Addr.Is4() {
		b := make([]byte, minFrame)
		if mac == 0 {
			mac = model.MAC(wire.Broadcast)
		}
		ether(b, mac, h.MAC, wire.EtherTypeARP)
		from, to := h.Source.As4(), h.Addr.As4()
		wire.ARP(b[wire.EthernetLen:]).Set(wire.ARPRequest, uint64(h.MAC), binary.BigEndian.Uint32(from[:]), 0,
			binary.BigEndian.Uint32(to[:]))
		return b
	}
	b := make([]byte, wire.EthernetLen+wire.IPv6Len+solicitLen)
	from, to := halves(h.Source), halves(h.Addr)
	dst := to
	if mac == 0 {
		dst = wire.SolicitedNode(to)
		mac = model.MAC(wire.MulticastMAC(dst))
	}
	ether(b, mac, h.MAC, wire.EtherTypeIPv6)
	ip := wire.IPv6(b[wire.EthernetLen:])
	ip.SetFlow(0, 0)
	ip.SetPayloadLen(solicitLen)
	ip.SetNextHeader(wire.ProtoICMPv6)
	ip.SetHopLimit(255)
	ip.SetSrc(from)
	ip.SetDst(dst)
	m := ip.Payload()
	wire.NeighborSolicit(m).Set(to, uint64(h.MAC))
	wire.ICMPv6(m).SetChecksum(checksum.Checksum(m, checksum.Sum(ip.Addrs(), wire.ProtoICMPv6+solicitLen)))
	return b
}

func ether(b []byte, dst, src model.MAC, typ uint16) {
	e := wire.Ethernet(b)
	e.SetDst(uint64(dst))
	e.SetSrc(uint64(src))
	e.SetType(typ)
}

func halves(a netip.Addr) [2]uint64 {
	b := a.As16()
	return wire.Addr6(b[:])
}

// answer reads an ARP reply or a neighbour advertisement whose structure the packet path has checked: the address that
// it is about, and its MAC.
func answer(f []byte) (addr netip.Addr, mac model.MAC, ok bool) {
	if len(f) < wire.EthernetLen+wire.VLANTagLen {
		return addr, 0, false
	}
	typ, l3 := wire.Ethernet(f).Type(), f[wire.EthernetLen:]
	if typ == wire.EtherTypeVLAN {
		typ, l3 = wire.Ethernet(f).Tag().Type(), f[wire.EthernetLen+wire.VLANTagLen:]
	}
	switch {
	case typ == wire.EtherTypeARP && len(l3) >= wire.ARPLen:
		a := wire.ARP(l3)
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a.SenderIP())
		addr, mac = netip.AddrFrom4(b), model.MAC(a.SenderMAC())
	case typ == wire.EtherTypeIPv6 && len(l3) >= wire.IPv6Len+wire.NeighborLen:
		ip := wire.IPv6(l3)
		end := min(len(l3), wire.IPv6Len+int(ip.PayloadLen()))
		if end < wire.IPv6Len+wire.NeighborLen {
			return addr, 0, false
		}
		m := wire.NeighborAdvert(l3[wire.IPv6Len:end])
		addr = netip.AddrFrom16([16]byte(m[8:24]))
		// Without the option the answer is to a unicast question: the frame's source is the station.
		x, named := m.Options().LinkAddr(wire.NDOptionTargetAddr)
		if !named {
			x = wire.Ethernet(f).Src()
		}
		mac = model.MAC(x)
	default:
		return addr, 0, false
	}
	return addr, mac, mac != 0 && !mac.IsGroup()
}
