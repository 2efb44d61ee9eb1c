// Package mss lowers the MSS that TCP SYNs offer to what fits the links ahead, so that hosts that ignore or never see
// "fragmentation needed" get through as well (RFC 9293, 3.7.1).
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

// The MSS is not lowered further than to what every host takes (RFC 9293, 3.7.1).
const (
	least4 = 536
	least6 = 1220
)

// Clamp lowers the MSS that p, a TCP segment that the parser has found whole, offers to what an IP packet of mtu
// octets holds, and reports whether it did. Only SYNs are touched; of several MSS options each, since hosts differ in
// which one they take. A SYN without the option is left alone: its sender assumes 536.
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

// updateAt corrects a checksum for a 16-bit value that may stand at an odd offset: there its octets belong to two
// words of the sum, which is the same as a value with its octets swapped.
func updateAt(sum uint16, offset int, old, new uint16) uint16 {
	if offset&1 == 1 {
		old, new = old<<8|old>>8, new<<8|new>>8
	}
	return checksum.Update16(sum, old, new)
}
