package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// ND message types (RFC 4861, 4).
const (
	ndRouterSolicit   = 133
	ndRouterAdvert    = 134
	ndNeighborSolicit = 135
	ndNeighborAdvert  = 136
	ndRedirect        = 137
	ndTargetOffset    = 8
	mldReport         = 131 // RFC 2710
	mldDone           = 132
	mldReport2        = 143 // RFC 3810
	protoICMPv6       = 58
	dhcp6Client       = 546
	linkScope         = 0xff02
	arpSenderMAC      = 8
	arpSenderIP       = 14
	ip4SourceOffset   = 12
	ip6SourceOffset   = 8
	linkLocalHigh     = 0xfe80 << 48
	protoUDP          = 17
	dhcpServer        = 67
	dhcpClient        = 68
	protoTCP          = 6
	limitedBroadcast  = 0xffffffff
	ip4DestinationOff = 16
)

// checkSource checks the source addresses of a frame from VIF v, and returns the reason to drop the frame. The source
// MAC needs no check, since the VIF was found by it. For a VIF without configured addresses checkSource does not
// check IP addresses (a tenant may use no IP at all). v.Allow has the exceptions. If virtual is set, the source address
// is a VIP that the VIF may have: package agent checks it.
func checkSource(mem []byte, p *frame.Packet, v *fib.VIF, virtual bool) drop.Reason {
	if v.Policy == fib.PolicyOff {
		return drop.None
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	strict := v.Strict()
	switch {
	case p.Has(frame.FlagIPv4):
		if strict && !virtual && !sourceIP4(l3, p, v) {
			return drop.SpoofIP
		}
		if v.Allow&fib.AllowDHCPServer == 0 && p.Has(frame.FlagL4) && p.Proto == protoUDP &&
			toPort(l3, p) == dhcpClient {
			return drop.SpoofDHCP
		}
	case p.Has(frame.FlagARP):
		if !ownMAC(wire.MAC(l3[arpSenderMAC:]), p, v) {
			return drop.SpoofARP
		}
		if ip := binary.BigEndian.Uint32(l3[arpSenderIP:]); strict && !virtual && ip != 0 && !hasIP4(v, ip) {
			return drop.SpoofARP
		}
	case p.Has(frame.FlagIPv6):
		hi, lo := binary.BigEndian.Uint64(l3[ip6SourceOffset:]), binary.BigEndian.Uint64(l3[ip6SourceOffset+8:])
		if strict && !virtual && !sourceIP6(hi, lo, l3, p, v) {
			if p.Has(frame.FlagND) {
				return drop.SpoofND
			}
			return drop.SpoofIP
		}
		switch {
		case p.Has(frame.FlagND):
			return checkND(mem[p.Off+uint32(p.L4):p.Off+uint32(p.Len)], p, v, strict)
		case v.Allow&fib.AllowDHCPServer == 0 && p.Has(frame.FlagL4) && p.Proto == protoUDP &&
			toPort(l3, p) == dhcp6Client:
			return drop.SpoofDHCP
		}
	case strict && parse.Encapsulates(p.EtherType):
		return drop.SpoofEncapsulated
	}
	return drop.None
}

// toPort returns the destination port of a packet with FlagL4; l3 begins with its network header. A DHCP server's
// answer is known by it alone: clients accept answers from any source port, and no RFC names one (RFC 2131, 4.1; RFC
// 8415, 7.2).
func toPort(l3 []byte, p *frame.Packet) uint16 {
	return binary.BigEndian.Uint16(l3[p.L4-p.L3+2:])
}

// ownMAC reports whether the sender of p may state mac as its own MAC in ARP and neighbour discovery. A VIF with
// AllowVRRP may state a virtual MAC in a frame from its own MAC, and its own MAC in a frame from a virtual MAC (RFC
// 9568, 8.1.2).
func ownMAC(mac uint64, p *frame.Packet, v *fib.VIF) bool {
	return mac == p.SrcMAC || v.Allow&fib.AllowVRRP != 0 && (mac == v.MAC || fib.VirtualRouterMAC(mac))
}

// ownLinkLocal reports whether an address is the link-local address that follows from the sender's MAC.
func ownLinkLocal(hi, lo uint64, p *frame.Packet, v *fib.VIF) bool {
	return hi == linkLocalHigh && (lo == interfaceID(v.MAC) || lo == interfaceID(p.SrcMAC))
}

func sourceIP4(l3 []byte, p *frame.Packet, v *fib.VIF) bool {
	src := binary.BigEndian.Uint32(l3[ip4SourceOffset:])
	if hasIP4(v, src) {
		return true
	}
	// A DHCP client without an address sends from 0.0.0.0 (RFC 2131, 4.1).
	if src != 0 || p.Proto != protoUDP || !p.Has(frame.FlagL4) ||
		binary.BigEndian.Uint32(l3[ip4DestinationOff:]) != limitedBroadcast {
		return false
	}
	udp := l3[p.L4-p.L3:]
	return len(udp) >= 4 && binary.BigEndian.Uint16(udp) == dhcpClient && binary.BigEndian.Uint16(udp[2:]) == dhcpServer
}

// sourceIP6 accepts configured addresses, the link-local address that follows from the MAC, and the unspecified address
// in packets that a host without an address sends.
func sourceIP6(hi, lo uint64, l3 []byte, p *frame.Packet, v *fib.VIF) bool {
	if hi|lo == 0 {
		return unspecified6(l3, p)
	}
	return ownLinkLocal(hi, lo, p, v) || hasIP6(v, hi, lo)
}

// unspecified6 reports whether a packet may have the source ::. These are the solicitation of duplicate address
// detection, router solicitations (RFC 4861, 4.1 and 4.3), and reports of multicast listeners (RFC 3590, 4; RFC 3810,
// 5.2.13).
func unspecified6(l3 []byte, p *frame.Packet) bool {
	if p.Proto != protoICMPv6 || !p.Has(frame.FlagL4) || p.Has(frame.FlagFragment) ||
		binary.BigEndian.Uint16(l3[24:]) != linkScope {
		return false
	}
	switch l3[p.L4-p.L3] {
	case ndRouterSolicit, ndNeighborSolicit, mldReport, mldDone, mldReport2:
		return true
	}
	return false
}

// checkND returns the reason to drop a neighbour discovery message of VIF v. It refuses router messages without
// AllowRA, and addresses and MACs that are not the VIF's own.
func checkND(icmp []byte, p *frame.Packet, v *fib.VIF, strict bool) drop.Reason {
	if len(icmp) < ndTargetOffset {
		return drop.SpoofND
	}
	options, kind := ndTargetOffset, uint8(wire.NDOptionSourceAddr)
	switch icmp[0] {
	case ndRouterAdvert:
		if v.Allow&fib.AllowRA == 0 {
			return drop.SpoofND
		}
		options = wire.RouterAdvertLen
	case ndRedirect:
		if v.Allow&fib.AllowRA == 0 {
			return drop.SpoofND
		}
		return drop.None // its link-layer address is another station's
	case ndNeighborSolicit:
		options = wire.NeighborLen
	case ndNeighborAdvert:
		options, kind = wire.NeighborLen, wire.NDOptionTargetAddr
		if len(icmp) < ndTargetOffset+16 {
			return drop.SpoofND
		}
		hi, lo := binary.BigEndian.Uint64(icmp[ndTargetOffset:]), binary.BigEndian.Uint64(icmp[ndTargetOffset+8:])
		if strict && !ownLinkLocal(hi, lo, p, v) && !hasIP6(v, hi, lo) {
			return drop.SpoofND
		}
	}
	if len(icmp) < options {
		return drop.SpoofND
	}
	for o := icmp[options:]; len(o) >= 8 && o[1] != 0 && int(o[1])*8 <= len(o); o = o[int(o[1])*8:] {
		if o[0] == kind && !ownMAC(wire.MAC(o[2:]), p, v) {
			return drop.SpoofND
		}
	}
	return drop.None
}

func hasIP4(v *fib.VIF, ip uint32) bool {
	for _, a := range v.IP4 {
		if a == ip {
			return true
		}
	}
	return false
}

func hasIP6(v *fib.VIF, hi, lo uint64) bool {
	for i := range v.IP6 {
		if v.IP6[i][0] == hi && v.IP6[i][1] == lo {
			return true
		}
	}
	return false
}

// interfaceID is the modified EUI-64 of a MAC (RFC 4291, appendix A).
func interfaceID(mac uint64) uint64 {
	return (mac>>24^0x020000)<<40 | 0xfffe<<24 | mac&0xffffff
}
