package checksum

import (
	"encoding/binary"

	"penstock/dataplane/wire"
)

// DecrementTTL takes one from the TTL of an IPv4 header, which is not 0. The TTL is the high octet of its 16-bit word,
// so that the checksum grows by 0x100 (RFC 1624, equation 3).
func DecrementTTL(h wire.IPv4) {
	h.SetChecksum(Update16(h.Checksum(), 0x0100, 0))
	h.SetTTL(h.TTL() - 1)
}

// The offsets of the ports in a TCP or UDP header, for SetPort.
const (
	SrcPort = 0
	DstPort = 2
)

// SetPort writes a port at offset at of a TCP or UDP header of at least 4 octets, and updates the header's checksum, so
// that a wrong one stays wrong. UDP without a checksum stays without. A header that ends before its checksum, as in a
// packet that an ICMP error quotes, has none to update.
func SetPort(l4 []byte, proto uint8, at int, port uint16) {
	old := binary.BigEndian.Uint16(l4[at:])
	binary.BigEndian.PutUint16(l4[at:], port)
	if proto == wire.ProtoTCP {
		if len(l4) >= wire.TCPChecksumOffset+2 {
			c := l4[wire.TCPChecksumOffset:]
			binary.BigEndian.PutUint16(c, Update16(binary.BigEndian.Uint16(c), old, port))
		}
		return
	}
	if len(l4) >= wire.UDPChecksumOffset+2 {
		c := l4[wire.UDPChecksumOffset:]
		binary.BigEndian.PutUint16(c, UpdateUDP16(binary.BigEndian.Uint16(c), old, port))
	}
}

// SetQuotedPort is SetPort for the packet that the ICMP error m quotes, whose TCP or UDP header begins at offset l4. It
// updates the checksum of m, too. All headers in front have an even number of octets, so that what changes are whole
// words of m.
func SetQuotedPort(m []byte, l4 int, proto uint8, at int, port uint16) {
	h, sumAt := m[l4:], wire.TCPChecksumOffset
	if proto != wire.ProtoTCP {
		sumAt = wire.UDPChecksumOffset
	}
	c := Update16(wire.ICMPv4(m).Checksum(), binary.BigEndian.Uint16(h[at:]), port)
	if len(h) < sumAt+2 {
		SetPort(h, proto, at, port)
	} else {
		was := binary.BigEndian.Uint16(h[sumAt:])
		SetPort(h, proto, at, port)
		c = Update16(c, was, binary.BigEndian.Uint16(h[sumAt:]))
	}
	wire.ICMPv4(m).SetChecksum(c)
}
