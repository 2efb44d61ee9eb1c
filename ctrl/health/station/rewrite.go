package station

import (
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// rewrite does to an IP packet of the stack what the director does to a client's packet: the destination port becomes
// the server's (0 = it stays), TTL or hop limit lose one, and the checksums follow (RFC 1624).
func rewrite(ip, l4 []byte, proto uint8, port uint16) {
	if ip[0]>>4 == 4 {
		checksum.DecrementTTL(ip)
	} else {
		h := wire.IPv6(ip)
		h.SetHopLimit(h.HopLimit() - 1)
	}
	if port != 0 {
		checksum.SetPort(l4, proto, checksum.DstPort, port)
	}
}
