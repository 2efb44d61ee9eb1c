package wire

import "encoding/binary"

// ARP packet for Ethernet and IPv4 (RFC 826):
//
//	octets 0–1 hardware type 1 | 2–3 protocol type 0x0800 | 4 hardware length 6 | 5 protocol length 4 | 6–7 operation
//	8–13 sender MAC | 14–17 sender IP | 18–23 target MAC | 24–27 target IP
const (
	arpOp        = 6
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpTargetMAC = 18
	arpTargetIP  = 24

	ARPLen = 28 // octets of an ARP packet for Ethernet and IPv4

	ARPRequest = 1
	ARPReply   = 2

	// ARPHeader is what the first 6 octets of an ARP packet for Ethernet and IPv4 say, as one number.
	ARPHeader = 0x0001_0800_0604
)

// ARP is an ARP packet for Ethernet and IPv4 from its first octet on.
type ARP []byte

// Header returns the first 6 octets as one number, to be compared with ARPHeader.
func (h ARP) Header() uint64 { return MAC(h) }

// Op returns the operation.
func (h ARP) Op() uint16 { return binary.BigEndian.Uint16(h[arpOp:]) }

// SenderMAC returns the sender's MAC.
func (h ARP) SenderMAC() uint64 { return MAC(h[arpSenderMAC:]) }

// SenderIP returns the sender's address; 0 in a probe (RFC 5227, 2.1.1).
func (h ARP) SenderIP() uint32 { return binary.BigEndian.Uint32(h[arpSenderIP:]) }

// TargetMAC returns the target's MAC.
func (h ARP) TargetMAC() uint64 { return MAC(h[arpTargetMAC:]) }

// TargetIP returns the target's address.
func (h ARP) TargetIP() uint32 { return binary.BigEndian.Uint32(h[arpTargetIP:]) }

// Set writes a whole ARP packet for Ethernet and IPv4.
func (h ARP) Set(op uint16, senderMAC uint64, senderIP uint32, targetMAC uint64, targetIP uint32) {
	_ = h[ARPLen-1]
	binary.BigEndian.PutUint64(h, ARPHeader<<16|uint64(op))
	PutMAC(h[arpSenderMAC:], senderMAC)
	binary.BigEndian.PutUint32(h[arpSenderIP:], senderIP)
	PutMAC(h[arpTargetMAC:], targetMAC)
	binary.BigEndian.PutUint32(h[arpTargetIP:], targetIP)
}

// Neighbour discovery messages (RFC 4861, 4). Neighbour solicitation and advertisement are of one shape:
//
//	octet 0 type | 1 code 0 | 2–3 checksum | 4–7 flags (advertisement) or reserved | 8–23 target | 24… options
//
// An option is: octet 0 type | 1 length in units of 8 octets | 2… value.
const (
	ndFlags  = 4
	ndTarget = 8

	RouterSolicitLen = 8  // octets of a router solicitation without options
	RouterAdvertLen  = 16 // octets of a router advertisement without options
	NeighborLen      = 24 // octets of a neighbour solicitation or advertisement without options
	RedirectLen      = 40 // octets of a redirect without options
	NDLinkAddrLen    = 8  // octets of a link-layer address option for Ethernet

	NDOptionSourceAddr = 1 // source link-layer address
	NDOptionTargetAddr = 2 // target link-layer address

	NAFlagRouter    = 1 << 31 // the sender is a router
	NAFlagSolicited = 1 << 30 // the answer to a solicitation
	NAFlagOverride  = 1 << 29 // replaces a cached address
)

// NeighborSolicit is a neighbour solicitation (RFC 4861, 4.3) from its ICMPv6 header on.
type NeighborSolicit []byte

// Target returns the address that is asked for.
func (h NeighborSolicit) Target() [2]uint64 { return Addr6(h[ndTarget:]) }

// Set writes a solicitation of target with a source link-layer address option (32 octets), checksum 0.
func (h NeighborSolicit) Set(target [2]uint64, mac uint64) {
	_ = h[NeighborLen+NDLinkAddrLen-1]
	binary.BigEndian.PutUint64(h, ICMPv6NeighborSolicit<<56)
	PutAddr6(h[ndTarget:], target)
	binary.BigEndian.PutUint64(h[NeighborLen:], (NDOptionSourceAddr<<8|1)<<48|mac&Broadcast)
}

// Options returns what is behind the target, up to the end of the slice.
func (h NeighborSolicit) Options() NDOptions { return NDOptions(h[NeighborLen:]) }

// NeighborAdvert is a neighbour advertisement (RFC 4861, 4.4) from its ICMPv6 header on.
type NeighborAdvert []byte

// Flags returns the 32 bits of flags, see NAFlagRouter.
func (h NeighborAdvert) Flags() uint32 { return binary.BigEndian.Uint32(h[ndFlags:]) }

// Target returns the address that is advertised.
func (h NeighborAdvert) Target() [2]uint64 { return Addr6(h[ndTarget:]) }

// Options returns what is behind the target, up to the end of the slice.
func (h NeighborAdvert) Options() NDOptions { return NDOptions(h[NeighborLen:]) }

// Set writes an advertisement of target with a target link-layer address option (32 octets), checksum 0.
func (h NeighborAdvert) Set(flags uint32, target [2]uint64, mac uint64) {
	_ = h[NeighborLen+NDLinkAddrLen-1]
	binary.BigEndian.PutUint64(h, ICMPv6NeighborAdvert<<56|uint64(flags))
	PutAddr6(h[ndTarget:], target)
	binary.BigEndian.PutUint64(h[NeighborLen:], (NDOptionTargetAddr<<8|1)<<48|mac&Broadcast)
}

// NDOptions is the options of a neighbour discovery message.
type NDOptions []byte

// Valid reports whether every option has a length above 0 and ends within the slice (RFC 4861, 4.6).
func (o NDOptions) Valid() bool {
	for len(o) > 0 {
		if len(o) < 8 || o[1] == 0 || int(o[1])*8 > len(o) {
			return false
		}
		o = o[int(o[1])*8:]
	}
	return true
}

// LinkAddr returns the MAC address in the first option of type kind (NDOptionSourceAddr, NDOptionTargetAddr).
// The options must be valid.
func (o NDOptions) LinkAddr(kind uint8) (mac uint64, ok bool) {
	for len(o) >= 8 && o[1] != 0 && int(o[1])*8 <= len(o) {
		if o[0] == kind {
			return MAC(o[2:]), o[1] == 1
		}
		o = o[int(o[1])*8:]
	}
	return 0, false
}
