package wire

import "encoding/binary"

// IPv6 header (RFC 8200, 3):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version| Traffic Class |           Flow Label                  |
//	|         Payload Length        |  Next Header  |   Hop Limit   |
//	|                  Source Address (16 octets)                   |
//	|                Destination Address (16 octets)                |
const (
	ip6Flow       = 0
	ip6PayloadLen = 4
	ip6NextHeader = 6
	ip6HopLimit   = 7
	ip6Src        = 8
	ip6Dst        = 24

	IPv6Len         = 40 // octets of an IPv6 header
	IPv6FragmentLen = 8  // octets of a fragment extension header

	IPv6FragMF         = 0x0001 // more fragments, in the third and fourth octet of a fragment header
	IPv6FragOffsetMask = 0xfff8 // fragment offset in octets, likewise
)

// IPv6 is an IPv6 packet from its header on.
type IPv6 []byte

// Version returns 6 for IPv6.
func (h IPv6) Version() uint8 { return h[ip6Flow] >> 4 }

// TrafficClass returns DSCP and ECN as one octet.
func (h IPv6) TrafficClass() uint8 { return uint8(binary.BigEndian.Uint16(h[ip6Flow:]) >> 4) }

// DSCP returns the differentiated services code point, 6 bits.
func (h IPv6) DSCP() uint8 { return h.TrafficClass() >> 2 }

// FlowLabel returns the flow label, 20 bits.
func (h IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(h[ip6Flow:]) & 0xfffff }

// PayloadLen returns the length of what follows the header, in octets.
func (h IPv6) PayloadLen() uint16 { return binary.BigEndian.Uint16(h[ip6PayloadLen:]) }

// NextHeader returns the protocol number of what follows the header.
func (h IPv6) NextHeader() uint8 { return h[ip6NextHeader] }

// HopLimit returns the hop limit.
func (h IPv6) HopLimit() uint8 { return h[ip6HopLimit] }

// Src returns the source address.
func (h IPv6) Src() [2]uint64 { return Addr6(h[ip6Src:]) }

// Dst returns the destination address.
func (h IPv6) Dst() [2]uint64 { return Addr6(h[ip6Dst:]) }

// Addrs returns the 32 octets of source and destination, for the pseudo-header's sum.
func (h IPv6) Addrs() []byte { return h[ip6Src : ip6Src+32 : ip6Src+32] }

// Payload returns what is behind the header, up to the end of the slice.
func (h IPv6) Payload() []byte { return h[IPv6Len:] }

// SetFlow writes version 6, the traffic class and the flow label (20 bits).
func (h IPv6) SetFlow(class uint8, label uint32) {
	binary.BigEndian.PutUint32(h[ip6Flow:], 6<<28|uint32(class)<<20|label&0xfffff)
}

// SetPayloadLen writes the length of what follows the header, in octets.
func (h IPv6) SetPayloadLen(n uint16) { binary.BigEndian.PutUint16(h[ip6PayloadLen:], n) }

// SetNextHeader writes the protocol number of what follows the header.
func (h IPv6) SetNextHeader(v uint8) { h[ip6NextHeader] = v }

// SetHopLimit writes the hop limit.
func (h IPv6) SetHopLimit(v uint8) { h[ip6HopLimit] = v }

// SetSrc writes the source address.
func (h IPv6) SetSrc(a [2]uint64) { PutAddr6(h[ip6Src:], a) }

// SetDst writes the destination address.
func (h IPv6) SetDst(a [2]uint64) { PutAddr6(h[ip6Dst:], a) }

// Multicast6 reports whether a is in ff00::/8 (RFC 4291, 2.7).
func Multicast6(a [2]uint64) bool { return a[0]>>56 == 0xff }

// LinkLocal6 reports whether a is in fe80::/10 (RFC 4291, 2.5.6).
func LinkLocal6(a [2]uint64) bool { return a[0]>>54 == 0xfe80>>6 }

// Unspecified6 reports whether a is :: (RFC 4291, 2.5.2).
func Unspecified6(a [2]uint64) bool { return a[0]|a[1] == 0 }

// Loopback6 reports whether a is ::1 (RFC 4291, 2.5.3).
func Loopback6(a [2]uint64) bool { return a[0] == 0 && a[1] == 1 }

// SolicitedNode returns the solicited-node multicast address of a (RFC 4291, 2.7.1).
func SolicitedNode(a [2]uint64) [2]uint64 {
	return [2]uint64{0xff02_0000_0000_0000, 0x0000_0001_ff00_0000 | a[1]&0xffffff}
}

// AllNodes is the link-local all-nodes multicast address ff02::1.
func AllNodes() [2]uint64 { return [2]uint64{0xff02_0000_0000_0000, 1} }

// MulticastMAC returns the MAC address that carries the IPv6 multicast address a (RFC 2464, 7).
func MulticastMAC(a [2]uint64) uint64 { return 0x3333_0000_0000 | a[1]&0xffffffff }

// EUI64LinkLocal returns the link-local address that follows from a MAC address (RFC 4291, appendix A).
func EUI64LinkLocal(mac uint64) [2]uint64 {
	mac ^= 1 << 41 // the universal/local bit is inverted
	return [2]uint64{0xfe80_0000_0000_0000, mac>>24<<40 | 0xfffe<<24 | mac&0xffffff}
}
