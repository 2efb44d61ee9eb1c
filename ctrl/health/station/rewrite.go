package station

import (
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// rewrite does to an IP packet of the stack what the director does to a client's packet: the destination port becomes
// the server's (0 = it stays), TTL or hop limit lose one, and the checksums follow (RFC 1624).
func rewrite(ip, l4 []byte, proto uint8, port uint16) {
	if ip[0]>>4 == 4 {
		h := wire.IPv4(ip)
		old := uint16(h.TTL())<<8 | uint16(h.Proto())
		h.SetTTL(h.TTL() - 1)
		h.SetChecksum(checksum.Update16(h.Checksum(), old, old-0x100))
	} else {
		h := wire.IPv6(ip)
		h.SetHopLimit(h.HopLimit() - 1)
	}
	if port == 0 {
		return
	}
	if proto == wire.ProtoTCP {
		t := wire.TCP(l4)
		t.SetChecksum(checksum.Update16(t.Checksum(), t.DstPort(), port))
		t.SetDstPort(port)
		return
	}
	u := wire.UDP(l4)
	if sum := u.Checksum(); sum != 0 {
		u.SetChecksum(checksum.UpdateUDP16(sum, u.DstPort(), port))
	}
	u.SetDstPort(port)
}
