package balance

import (
	"encoding/binary"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// QUIC's long header (RFC 8999, 5.1): the form bit, the version, the length of the destination connection ID, the ID.
const (
	quicLong      = 0x80
	quicVersion   = 1
	quicLength    = 5
	quicLongID    = 6
	quicShortID   = 1 // in the short header (RFC 8999, 5.2)
	quicMaxID     = 20
	quicV1        = 0x00000001 // RFC 9000
	quicV2        = 0x6b3343cf // RFC 9369
	quicTypeShift = 4
)

// byConnectionID returns the server that the destination connection ID of a QUIC packet names: the octets behind the
// first are the server's ID (plaintext of draft-ietf-quic-load-balancers, 4.1). ok is false if the client chose the ID
// (Initial, 0-RTT), for other versions of QUIC, for what is truncated, and if no server has the ID.
func byConnectionID(mem []byte, p *frame.Packet, s *fib.Snapshot, svc *fib.Service) (server uint32, ok bool) {
	if svc.QUICLen == 0 || svc.QUICLen > 16 || p.Proto != wire.ProtoUDP {
		return 0, false
	}
	f := mem[p.Off+uint32(p.L4) : p.Off+uint32(end(mem, p))]
	if len(f) <= wire.UDPLen {
		return 0, false
	}
	f = f[wire.UDPLen:]
	at := quicShortID
	if f[0]&quicLong != 0 {
		if len(f) < quicLongID {
			return 0, false
		}
		t := f[0] >> quicTypeShift & 3
		switch binary.BigEndian.Uint32(f[quicVersion:]) {
		case quicV1: // Initial 0, 0-RTT 1
			if t <= 1 {
				return 0, false
			}
		case quicV2: // Initial 1, 0-RTT 2
			if t == 1 || t == 2 {
				return 0, false
			}
		default:
			return 0, false
		}
		n := int(f[quicLength])
		if n > quicMaxID || n < 1+int(svc.QUICLen) || len(f) < quicLongID+n {
			return 0, false
		}
		at = quicLongID
	}
	at++ // the first octet of the ID: configuration and length
	if len(f) < at+int(svc.QUICLen) {
		return 0, false
	}
	var b [16]byte
	copy(b[:], f[at:at+int(svc.QUICLen)])
	id := [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	server, ok = quicServer(svc.QUIC, id)
	return server, ok && uint(server) < uint(len(s.Servers)) && s.Servers[server].Accept != fib.AcceptNone
}

// quicServer searches the sorted list.
func quicServer(list []fib.QUICServer, id [2]uint64) (server uint32, ok bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if m := &list[mid].ID; m[0] < id[0] || m[0] == id[0] && m[1] < id[1] {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].ID == id {
		return list[lo].Server, true
	}
	return 0, false
}

// end returns the offset of the end of p's IP packet in its frame: octets behind it are padding.
func end(mem []byte, p *frame.Packet) uint16 {
	if p.Flags&frame.FlagIPv6 != 0 {
		h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
		return p.L3 + wire.IPv6Len + h.PayloadLen()
	}
	return p.L3 + wire.IPv4((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:]).TotalLen()
}
