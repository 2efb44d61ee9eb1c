package parse

import (
	"encoding/binary"

	"penstock/dataplane/wire"
)

// etherTypeLong is the EtherType of LLC frames that are too long for a length field (draft-ietf-isis-ext-eth).
const etherTypeLong = 0x8870

// Service access points of LLC (IEEE 802.2; RFC 1042). The lowest bit is not part of an address.
const (
	sapIP   = 0x06
	sapARP  = 0x98
	sapSNAP = 0xaa
	sapLow  = 0x01
)

// Length of the headers: LLC, and LLC with SNAP.
const (
	llcLen  = 3
	snapLen = 8
)

// The organisations whose protocol identifier is an EtherType: RFC 1042, and IEEE 802.1H for bridges.
const (
	ouiEthernet = 0x000000
	ouiTunnel   = 0x0000f8
)

// llcIP reports whether b, the octets behind a length field, are an LLC header with IP, ARP, or an encapsulation of
// these. Receivers that implement RFC 1042 accept such frames, and the box does not check their addresses (CERT
// VU#855201).
func llcIP(b []byte) bool {
	if len(b) < llcLen {
		return false
	}
	switch b[0] &^ sapLow {
	case sapIP, sapARP:
		return true
	case sapSNAP:
		if len(b) < snapLen {
			return false
		}
		w := binary.BigEndian.Uint64(b)
		oui := w >> 16 & 0xffffff
		return (oui == ouiEthernet || oui == ouiTunnel) && (network(uint16(w)) || Encapsulates(uint16(w)))
	}
	return false
}

// network reports whether Access parses what follows EtherType t.
func network(t uint16) bool {
	return t == wire.EtherTypeIPv4 || t == wire.EtherTypeIPv6 || t == wire.EtherTypeARP || taggedType(t)
}

// Encapsulates reports whether packets of an EtherType carry IP, or whole frames, that Access does not parse: their
// inner source addresses cannot be checked. Encrypted encapsulations (MACsec, IPsec) are not among these EtherTypes.
func Encapsulates(etherType uint16) bool {
	switch etherType {
	case 0x8847, 0x8848, // MPLS
		0x8864,         // PPPoE, session
		0x880b,         // PPP
		0x6558, 0x6559, // bridged Ethernet, raw frame relay
		0x9200, 0x9300, // service tags of old
		0x88e7, 0x22f3, // backbone service instance, TRILL
		0x894f,        // NSH
		etherTypeLong: // LLC, checked by itself
		return true
	}
	return false
}
