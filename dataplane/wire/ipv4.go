package wire

import "encoding/binary"

// IP protocol numbers (IANA), shared by IPv4 and IPv6.
const (
	ProtoHopByHop    = 0
	ProtoICMP        = 1
	ProtoTCP         = 6
	ProtoUDP         = 17
	ProtoRouting     = 43
	ProtoFragment    = 44
	ProtoESP         = 50
	ProtoAH          = 51
	ProtoICMPv6      = 58
	ProtoNoNext      = 59
	ProtoDestOptions = 60
	ProtoEthernet    = 143 // RFC 8986, 10.1
)

// IPv4 header (RFC 791, 3.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version|  IHL  |    DSCP   |ECN|          Total Length         |
//	|         Identification        |Flags|      Fragment Offset    |
//	|  Time to Live |    Protocol   |        Header Checksum        |
//	|                       Source Address                          |
//	|                    Destination Address                        |
//	|                    Options                    |    Padding    |
const (
	ip4VerIHL   = 0
	ip4TOS      = 1
	ip4TotalLen = 2
	ip4ID       = 4
	ip4Frag     = 6
	ip4TTL      = 8
	ip4Proto    = 9
	ip4Checksum = 10
	ip4Src      = 12
	ip4Dst      = 16

	IPv4Len    = 20 // octets of an IPv4 header without options
	IPv4MaxLen = 60 // octets of the longest IPv4 header

	IPv4DF         = 0x4000 // don't fragment, in FlagsFragment
	IPv4MF         = 0x2000 // more fragments, in FlagsFragment
	IPv4OffsetMask = 0x1fff // fragment offset in units of 8 octets, in FlagsFragment
)

// IPv4 is an IPv4 packet from its header on.
type IPv4 []byte

// Version returns 4 for IPv4.
func (h IPv4) Version() uint8 { return h[ip4VerIHL] >> 4 }

// HeaderLen returns the length of the header in octets, as IHL says.
func (h IPv4) HeaderLen() int { return int(h[ip4VerIHL]&0x0f) * 4 }

// TOS returns DSCP and ECN as one octet.
func (h IPv4) TOS() uint8 { return h[ip4TOS] }

// DSCP returns the differentiated services code point, 6 bits.
func (h IPv4) DSCP() uint8 { return h[ip4TOS] >> 2 }

// TotalLen returns the length of header and payload in octets.
func (h IPv4) TotalLen() uint16 { return binary.BigEndian.Uint16(h[ip4TotalLen:]) }

// ID returns the identification.
func (h IPv4) ID() uint16 { return binary.BigEndian.Uint16(h[ip4ID:]) }

// FlagsFragment returns flags and fragment offset as one number, see IPv4DF, IPv4MF, IPv4OffsetMask.
func (h IPv4) FlagsFragment() uint16 { return binary.BigEndian.Uint16(h[ip4Frag:]) }

// TTL returns the time to live.
func (h IPv4) TTL() uint8 { return h[ip4TTL] }

// Proto returns the protocol.
func (h IPv4) Proto() uint8 { return h[ip4Proto] }

// Checksum returns the header checksum as it stands.
func (h IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[ip4Checksum:]) }

// Src returns the source address.
func (h IPv4) Src() uint32 { return binary.BigEndian.Uint32(h[ip4Src:]) }

// Dst returns the destination address.
func (h IPv4) Dst() uint32 { return binary.BigEndian.Uint32(h[ip4Dst:]) }

// Payload returns what is behind the header, up to the end of the slice.
func (h IPv4) Payload() []byte { return h[h.HeaderLen():] }

// SetVersionIHL writes version 4 and a header length of n octets (a multiple of 4, 20–60).
func (h IPv4) SetVersionIHL(n int) { h[ip4VerIHL] = 0x40 | uint8(n/4) }

// SetTOS writes DSCP and ECN as one octet.
func (h IPv4) SetTOS(v uint8) { h[ip4TOS] = v }

// SetTotalLen writes the length of header and payload in octets.
func (h IPv4) SetTotalLen(n uint16) { binary.BigEndian.PutUint16(h[ip4TotalLen:], n) }

// SetID writes the identification.
func (h IPv4) SetID(v uint16) { binary.BigEndian.PutUint16(h[ip4ID:], v) }

// SetFlagsFragment writes flags and fragment offset as one number.
func (h IPv4) SetFlagsFragment(v uint16) { binary.BigEndian.PutUint16(h[ip4Frag:], v) }

// SetTTL writes the time to live; the checksum is the caller's.
func (h IPv4) SetTTL(v uint8) { h[ip4TTL] = v }

// SetProto writes the protocol.
func (h IPv4) SetProto(v uint8) { h[ip4Proto] = v }

// SetChecksum writes the header checksum.
func (h IPv4) SetChecksum(v uint16) { binary.BigEndian.PutUint16(h[ip4Checksum:], v) }

// SetSrc writes the source address.
func (h IPv4) SetSrc(a uint32) { binary.BigEndian.PutUint32(h[ip4Src:], a) }

// SetDst writes the destination address.
func (h IPv4) SetDst(a uint32) { binary.BigEndian.PutUint32(h[ip4Dst:], a) }
