// Package wire gives names to the octets of the headers that Penstock reads and writes.
//
// A header is a named []byte that starts at its first octet; the diagram of its RFC stands above the offsets.
// Getters and setters check nothing: they are for headers whose length the parser (package parse) has checked,
// or that the caller has just made. A slice that is too short panics, as any index out of range does.
//
// Values are in host order. A MAC address is the low 48 bits of a uint64 (aa:bb:cc:dd:ee:ff = 0xaabbccddeeff),
// an IPv4 address a uint32 (10.0.0.1 = 0x0a000001), an IPv6 address its high and low half.
package wire

import "encoding/binary"

// MACLen is the length of a MAC address in octets.
const MACLen = 6

// Broadcast is the broadcast MAC address.
const Broadcast uint64 = 0xffffffffffff

// MAC returns the MAC address in the first 6 octets of b.
func MAC(b []byte) uint64 {
	_ = b[5]
	return uint64(binary.BigEndian.Uint32(b))<<16 | uint64(binary.BigEndian.Uint16(b[4:]))
}

// PutMAC writes the low 48 bits of m to the first 6 octets of b.
func PutMAC(b []byte, m uint64) {
	_ = b[5]
	binary.BigEndian.PutUint32(b, uint32(m>>16))
	binary.BigEndian.PutUint16(b[4:], uint16(m))
}

// GroupMAC reports whether m is a broadcast or multicast address (IEEE 802, the I/G bit).
func GroupMAC(m uint64) bool { return m>>40&1 != 0 }

// Addr6 returns the IPv6 address in the first 16 octets of b as its high and low half.
func Addr6(b []byte) [2]uint64 {
	_ = b[15]
	return [2]uint64{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// PutAddr6 writes a to the first 16 octets of b.
func PutAddr6(b []byte, a [2]uint64) {
	_ = b[15]
	binary.BigEndian.PutUint64(b, a[0])
	binary.BigEndian.PutUint64(b[8:], a[1])
}
