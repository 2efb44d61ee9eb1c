// Package mss lowers the MSS that TCP SYNs offer to what fits the links of the path (RFC 9293, 3.7.1). Without it,
// hosts that ignore or do not receive ICMP "fragmentation needed" could not transfer data.
package mss

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// TCP options (RFC 9293, 3.1).
const (
	optEnd = 0
	optNop = 1
	optMSS = 2
)

// The lowest MSS that Clamp sets: every host accepts segments of that size (RFC 9293, 3.7.1).
const (
	least4 = 536
	least6 = 1220
)

// Clamp lowers the MSS that the TCP segment p offers to what fits an IP packet of mtu octets, and reports whether it
// did. The parser has checked that the TCP header of p is whole. Clamp changes SYNs alone. It changes each of several
// MSS options, since hosts differ in which one they use. It does not change a SYN without the option: the receiver of
// that SYN assumes 536.
func Clamp(mem []byte, p *frame.Packet, mtu uint16) (lowered bool) {
	tcp := wire.TCP(mem[p.Off+uint32(p.L4) : p.Off+uint32(p.Len)])
	if tcp.Flags()&wire.TCPSyn == 0 {
		return false
	}
	most, least := int(mtu)-wire.IPv4Len-wire.TCPLen, least4
	if p.Has(frame.FlagIPv6) {
		most, least = int(mtu)-wire.IPv6Len-wire.TCPLen, least6
	}
	limit := uint16(max(most, least))
	opts := tcp.Options()
	for i := 0; i+1 < len(opts); {
		switch opts[i] {
		case optEnd:
			return lowered
		case optNop:
			i++
			continue
		}
		n := int(opts[i+1])
		if n < 2 || i+n > len(opts) {
			return lowered
		}
		if opts[i] == optMSS && n == 4 {
			if old := binary.BigEndian.Uint16(opts[i+2:]); old > limit {
				binary.BigEndian.PutUint16(opts[i+2:], limit)
				tcp.SetChecksum(updateAt(tcp.Checksum(), i, old, limit))
				lowered = true
			}
		}
		i += n
	}
	return lowered
}

// updateAt corrects a checksum for a 16-bit value that changes from old to new at the given offset. At an odd offset
// the two octets of the value belong to two words of the sum; swapping the octets has the same effect.
func updateAt(sum uint16, offset int, old, new uint16) uint16 {
	if offset&1 == 1 {
		old, new = old<<8|old>>8, new<<8|new>>8
	}
	return checksum.Update16(sum, old, new)
}
