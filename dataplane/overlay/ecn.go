package overlay

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Explicit congestion notification through the fabric (RFC 6040). The outer header of a frame gets the ECN field of
// the tenant's packet, as it gets its DSCP. At the end of the way a mark of the outer header goes into the packet.

// The values of the ECN field (RFC 3168, 5). Not-ECT is 0.
const (
	ecnECT1 = 1 // also the bit that ECT(1) and CE alone have
	ecnECT0 = 2
	ecnCE   = 3
	ecnMask = 3
)

// mergedECN returns the ECN field of the decapsulated packet (RFC 6040, figure 4), by the outer and the inner field. It
// returns false if the packet has to be dropped: it is marked, and its sender does not understand marks.
func mergedECN(outer, inner uint8) (uint8, bool) {
	switch {
	case inner == 0:
		return 0, outer != ecnCE
	case outer == ecnCE:
		return ecnCE, true
	case inner == ecnECT0 && outer == ecnECT1:
		return ecnECT1, true
	}
	return inner, true
}

// mergeECN applies the outer ECN field, which is in p.TOS, to the inner frame. It returns false if the frame has to be
// dropped. A frame that is not IP has no ECN.
func mergeECN(mem []byte, p *frame.Packet) bool {
	ip := mem[p.Off+ethLen : p.Off+uint32(p.Len)]
	outer := p.TOS & ecnMask
	switch {
	case p.EtherType == wire.EtherTypeIPv4 && len(ip) >= wire.IPv4Len && ip[0]>>4 == 4:
		h := wire.IPv4(ip)
		ecn, ok := mergedECN(outer, h.TOS()&ecnMask)
		if old := binary.BigEndian.Uint16(ip); ok && uint8(old)&ecnMask != ecn {
			h.SetTOS(h.TOS()&^ecnMask | ecn)
			h.SetChecksum(checksum.Update16(h.Checksum(), old, binary.BigEndian.Uint16(ip)))
		}
		return ok
	case p.EtherType == wire.EtherTypeIPv6 && len(ip) >= wire.IPv6Len && ip[0]>>4 == 6:
		ecn, ok := mergedECN(outer, ip[1]>>4&ecnMask)
		if ok {
			ip[1] = ip[1]&^(ecnMask<<4) | ecn<<4
		}
		return ok
	}
	return outer != ecnCE
}
