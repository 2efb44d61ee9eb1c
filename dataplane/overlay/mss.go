package overlay

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

// clampMSS lowers the MSS that a TCP SYN offers to what fits through the fabric, so that hosts that ignore or never see
// "fragmentation needed" get through as well. A SYN without the option is left alone: its sender assumes 536.
func clampMSS(mem []byte, p *frame.Packet, mtu uint16, st *State) {
	tcp := wire.TCP(mem[p.Off+uint32(p.L4) : p.Off+uint32(p.Len)])
	if tcp.Flags()&wire.TCPSyn == 0 {
		return
	}
	limit := mtu - Overhead - ipLen - wire.TCPLen
	if p.Has(frame.FlagIPv6) {
		limit = mtu - Overhead - wire.IPv6Len - wire.TCPLen
	}
	opts := tcp.Options()
	for i := 0; i+1 < len(opts); {
		switch opts[i] {
		case optEnd:
			return
		case optNop:
			i++
			continue
		}
		n := int(opts[i+1])
		if n < 2 || i+n > len(opts) {
			return
		}
		if opts[i] == optMSS && n == 4 {
			old := binary.BigEndian.Uint16(opts[i+2:])
			if old <= limit {
				return
			}
			binary.BigEndian.PutUint16(opts[i+2:], limit)
			tcp.SetChecksum(updateAt(tcp.Checksum(), i, old, limit))
			st.Events.MSSClamped++
			return
		}
		i += n
	}
}

// updateAt corrects a checksum for a 16-bit value that may stand at an odd offset: there its octets belong to two
// words of the sum, which is the same as a value with its octets swapped.
func updateAt(sum uint16, offset int, old, new uint16) uint16 {
	if offset&1 == 1 {
		old, new = old<<8|old>>8, new<<8|new>>8
	}
	return checksum.Update16(sum, old, new)
}
