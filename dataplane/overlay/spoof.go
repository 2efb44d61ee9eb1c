package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// ND message types (RFC 4861, 4).
const (
	ndRouterAdvert    = 134
	ndNeighborAdvert  = 136
	ndRedirect        = 137
	ndTargetOffset    = 8
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

// checkSource holds a frame to the VIF it claims to come from. The VIF's MAC is right already: it was found by it.
// A VIF without configured addresses is held to its MAC only (a tenant may use no IP at all; seed 003, paragraph 14).
func checkSource(mem []byte, p *frame.Packet, v *fib.VIF) drop.Reason {
	if v.Policy == fib.PolicyOff {
		return drop.None
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	strict := v.Policy == fib.PolicyStrict && len(v.IP4)+len(v.IP6) > 0
	switch {
	case p.Has(frame.FlagIPv4):
		if strict && !sourceIP4(l3, p, v) {
			return drop.SpoofIP
		}
	case p.Has(frame.FlagARP):
		if wire.MAC(l3[arpSenderMAC:]) != v.MAC {
			return drop.SpoofARP
		}
		if ip := binary.BigEndian.Uint32(l3[arpSenderIP:]); strict && ip != 0 && !hasIP4(v, ip) {
			return drop.SpoofARP
		}
	case p.Has(frame.FlagIPv6):
		hi, lo := binary.BigEndian.Uint64(l3[ip6SourceOffset:]), binary.BigEndian.Uint64(l3[ip6SourceOffset+8:])
		if strict && !sourceIP6(hi, lo, v) {
			if p.Has(frame.FlagND) {
				return drop.SpoofND
			}
			return drop.SpoofIP
		}
		if p.Has(frame.FlagND) {
			return checkND(mem[p.Off+uint32(p.L4):p.Off+uint32(p.Len)], v, strict)
		}
	}
	return drop.None
}

func sourceIP4(l3 []byte, p *frame.Packet, v *fib.VIF) bool {
	src := binary.BigEndian.Uint32(l3[ip4SourceOffset:])
	if hasIP4(v, src) {
		return true
	}
	// A client that has no address yet asks for one (RFC 2131, 4.1).
	if src != 0 || p.Proto != protoUDP || !p.Has(frame.FlagL4) || binary.BigEndian.Uint32(l3[ip4DestinationOff:]) != limitedBroadcast {
		return false
	}
	udp := l3[p.L4-p.L3:]
	return len(udp) >= 4 && binary.BigEndian.Uint16(udp) == dhcpClient && binary.BigEndian.Uint16(udp[2:]) == dhcpServer
}

// sourceIP6 accepts configured addresses, the link-local address that follows from the MAC, and the unspecified
// address (duplicate address detection).
func sourceIP6(hi, lo uint64, v *fib.VIF) bool {
	if hi|lo == 0 || hi == linkLocalHigh && lo == interfaceID(v.MAC) {
		return true
	}
	return hasIP6(v, hi, lo)
}

// checkND refuses tenants that pose as a router or announce addresses of others.
func checkND(icmp []byte, v *fib.VIF, strict bool) drop.Reason {
	if len(icmp) < ndTargetOffset {
		return drop.SpoofND
	}
	switch icmp[0] {
	case ndRouterAdvert, ndRedirect:
		return drop.SpoofND
	case ndNeighborAdvert:
		if len(icmp) < ndTargetOffset+16 {
			return drop.SpoofND
		}
		hi, lo := binary.BigEndian.Uint64(icmp[ndTargetOffset:]), binary.BigEndian.Uint64(icmp[ndTargetOffset+8:])
		if strict && !(hi == linkLocalHigh && lo == interfaceID(v.MAC)) && !hasIP6(v, hi, lo) {
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
