package wire

import "encoding/binary"

// ICMP header, the same for ICMPv4 (RFC 792) and ICMPv6 (RFC 4443, 2.1) in its first four octets:
//
//	octet 0 type | 1 code | 2–3 checksum | 4–7 depend on the type
const (
	icmpType     = 0
	icmpCode     = 1
	icmpChecksum = 2
	icmpRest     = 4

	ICMPLen            = 8 // octets of an ICMP header as Penstock uses it
	ICMPChecksumOffset = icmpChecksum
)

// ICMPv4 types (RFC 792).
const (
	ICMPv4EchoReply    = 0
	ICMPv4Unreachable  = 3
	ICMPv4SourceQuench = 4
	ICMPv4Redirect     = 5
	ICMPv4Echo         = 8
	ICMPv4TimeExceeded = 11
	ICMPv4Parameter    = 12
)

// Codes of ICMPv4Unreachable (RFC 792; RFC 1812, 5.2.7.1).
const (
	ICMPv4Net                = 0
	ICMPv4Host               = 1
	ICMPv4Protocol           = 2
	ICMPv4Port               = 3
	ICMPv4FragmentationNeed  = 4
	ICMPv4AdminProhibited    = 13
	ICMPv4TransitTTLExceeded = 0 // code of ICMPv4TimeExceeded
)

// ICMPv6 types (RFC 4443, RFC 4861).
const (
	ICMPv6Unreachable     = 1
	ICMPv6TooBig          = 2
	ICMPv6TimeExceeded    = 3
	ICMPv6Parameter       = 4
	ICMPv6Echo            = 128
	ICMPv6EchoReply       = 129
	ICMPv6RouterSolicit   = 133
	ICMPv6RouterAdvert    = 134
	ICMPv6NeighborSolicit = 135
	ICMPv6NeighborAdvert  = 136
	ICMPv6Redirect        = 137
)

// Codes of ICMPv6Unreachable (RFC 4443, 3.1).
const (
	ICMPv6NoRoute         = 0
	ICMPv6AdminProhibited = 1
	ICMPv6AddressUnreach  = 3
	ICMPv6PortUnreach     = 4
)

// ICMPv4 is an ICMPv4 message from its header on.
type ICMPv4 []byte

// Type returns the message type.
func (h ICMPv4) Type() uint8 { return h[icmpType] }

// Code returns the code.
func (h ICMPv4) Code() uint8 { return h[icmpCode] }

// Checksum returns the checksum as it stands.
func (h ICMPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[icmpChecksum:]) }

// Rest returns the four octets behind the checksum: identifier and sequence, or the next-hop MTU (RFC 1191, 4).
func (h ICMPv4) Rest() uint32 { return binary.BigEndian.Uint32(h[icmpRest:]) }

// Set writes type, code, checksum 0 and the four octets behind it.
func (h ICMPv4) Set(typ, code uint8, rest uint32) {
	binary.BigEndian.PutUint64(h, uint64(typ)<<56|uint64(code)<<48|uint64(rest))
}

// SetType writes the message type.
func (h ICMPv4) SetType(t uint8) { h[icmpType] = t }

// SetChecksum writes the checksum.
func (h ICMPv4) SetChecksum(v uint16) { binary.BigEndian.PutUint16(h[icmpChecksum:], v) }

// ICMPv6 is an ICMPv6 message from its header on.
type ICMPv6 []byte

// Type returns the message type.
func (h ICMPv6) Type() uint8 { return h[icmpType] }

// Code returns the code.
func (h ICMPv6) Code() uint8 { return h[icmpCode] }

// Checksum returns the checksum as it stands.
func (h ICMPv6) Checksum() uint16 { return binary.BigEndian.Uint16(h[icmpChecksum:]) }

// Rest returns the four octets behind the checksum: identifier and sequence, the MTU, or ND flags.
func (h ICMPv6) Rest() uint32 { return binary.BigEndian.Uint32(h[icmpRest:]) }

// Set writes type, code, checksum 0 and the four octets behind it.
func (h ICMPv6) Set(typ, code uint8, rest uint32) {
	binary.BigEndian.PutUint64(h, uint64(typ)<<56|uint64(code)<<48|uint64(rest))
}

// SetType writes the message type.
func (h ICMPv6) SetType(t uint8) { h[icmpType] = t }

// SetChecksum writes the checksum.
func (h ICMPv6) SetChecksum(v uint16) { binary.BigEndian.PutUint16(h[icmpChecksum:], v) }
