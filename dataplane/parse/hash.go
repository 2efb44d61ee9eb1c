package parse

import (
	"math/bits"

	"penstock/dataplane/frame"
)

// Odd constants with about as many ones as zeros.
const (
	mixA = 0xa0761d6478bd642f
	mixB = 0xe7037ed1a0b428db
	mixC = 0x8ebc6af09c88c6e3
)

// mix hashes 128 bits to 32: it combines the halves of one 64×64-bit product, and multiplies once more, so that flows
// that differ in one low bit are distributed for any modulus. The hash is equal on all boxes and after a restart: it
// chooses paths, and is no index of a table.
func mix(a, b uint64) uint32 {
	hi, lo := bits.Mul64(a^mixA, b^mixB)
	return uint32((hi ^ lo) * mixC >> 32)
}

// FlowHash is the hash of a TCP or UDP flow over IPv4: addresses, both ports in one word, protocol.
func FlowHash(addrs uint64, ports uint32, proto uint8) uint32 {
	return mix(addrs, uint64(ports)<<8|uint64(proto))
}

// FlowHash6 is FlowHash for IPv6. Addresses are pairs of the high and the low half.
func FlowHash6(src, dst [2]uint64, ports uint32, proto uint8) uint32 {
	return mix3(src[0]*mixC^src[1], dst[0]*mixC^dst[1], uint64(ports)<<8|uint64(proto))
}

// mix3 hashes 192 bits.
func mix3(a, b, c uint64) uint32 {
	hi, lo := bits.Mul64(a^mixA, b^mixB)
	return mix(hi^lo, c)
}

// hashLink is the hash of a frame without IP: MAC pair and EtherType.
func hashLink(p *frame.Packet) uint32 {
	return mix(p.DstMAC, p.SrcMAC<<16|uint64(p.EtherType))
}
