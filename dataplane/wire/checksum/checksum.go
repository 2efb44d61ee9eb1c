// Package checksum computes the Internet checksum (RFC 1071), whole and incrementally (RFC 1624).
//
// A sum is a uint32 to which 16-bit words in network order have been added without folding; sums of several
// pieces may be added up (65,000 of them), if every piece but the last has an even number of octets. Fold brings
// a sum to 16 bits; the checksum that stands in a header is its complement.
package checksum

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the octets of b to initial. An odd last octet counts as the high half of a word.
func Sum(b []byte, initial uint32) uint32 {
	// Summing is indifferent to byte order up to one swap at the end (RFC 1071, 2(B)), and words may be
	// wider than 16 bits (2(C)): add eight octets at a time with end-around carry.
	var s, c uint64
	for len(b) >= 64 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[32:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[40:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[48:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[56:]), c)
		s, c = bits.Add64(s, 0, c)
		b = b[64:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s += c
		b = b[8:]
	}
	var t uint64 // fewer than 8 octets: no carry out of 64 bits within t
	if len(b) >= 4 {
		t = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		t += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		t += uint64(b[0])
	}
	s, c = bits.Add64(s, t, 0)
	s += c
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return initial + uint32(bits.ReverseBytes16(uint16(s)))
}

// Fold brings a sum to 16 bits, not complemented.
func Fold(s uint32) uint16 {
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// Checksum returns the checksum of b on top of initial, as it goes into a header.
// Over octets that include a right checksum the result is 0.
func Checksum(b []byte, initial uint32) uint16 { return ^Fold(Sum(b, initial)) }

// PseudoIPv4 returns the sum of the pseudo-header of TCP and UDP over IPv4 (RFC 9293, 3.1); n is the length of the
// transport header and its data in octets.
func PseudoIPv4(src, dst uint32, proto uint8, n uint16) uint32 {
	return src>>16 + src&0xffff + dst>>16 + dst&0xffff + uint32(proto) + uint32(n)
}

// PseudoIPv6 returns the sum of the pseudo-header of IPv6 (RFC 8200, 8.1); addresses as high and low half,
// n is the length of the transport header and its data in octets.
func PseudoIPv6(src, dst [2]uint64, proto uint8, n uint32) uint32 {
	return half(src[0]) + half(src[1]) + half(dst[0]) + half(dst[1]) + uint32(proto) + n>>16 + n&0xffff
}

func half(v uint64) uint32 {
	return uint32(v>>48) + uint32(v>>32&0xffff) + uint32(v>>16&0xffff) + uint32(v&0xffff)
}

// Update16 returns checksum c after a 16-bit word that it covers changed from old to new (RFC 1624, equation 3).
func Update16(c, old, new uint16) uint16 {
	return ^Fold(uint32(^c) + uint32(^old) + uint32(new))
}

// Update32 returns checksum c after a 32-bit value at an even offset changed from old to new.
func Update32(c uint16, old, new uint32) uint16 {
	old = ^old
	return ^Fold(uint32(^c) + old>>16 + old&0xffff + new>>16 + new&0xffff)
}

// UpdateUDP16 is Update16 for UDP, where 0 means "no checksum": 0 stays 0, and a sum that comes to 0 is sent as
// 0xffff (RFC 768).
func UpdateUDP16(c, old, new uint16) uint16 {
	if c == 0 {
		return 0
	}
	return NonZero(Update16(c, old, new))
}

// UpdateUDP32 is Update32 for UDP, see UpdateUDP16.
func UpdateUDP32(c uint16, old, new uint32) uint16 {
	if c == 0 {
		return 0
	}
	return NonZero(Update32(c, old, new))
}

// NonZero returns c as UDP sends it: 0xffff instead of 0 (RFC 768).
func NonZero(c uint16) uint16 {
	if c == 0 {
		return 0xffff
	}
	return c
}
