// Package unicast makes and reads the messages that boxes send each other from box address to box address
// (PROTOCOL.md#directors).
package unicast

import (
	"encoding/binary"
	"slices"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire/checksum"
)

const (
	ethLen = 14
	ipLen  = 20
	udpLen = 8
)

// PortBinding is the UDP port of binding messages.
const PortBinding = 7471

// Broadcast returns a frame with a binding message for all boxes (PROTOCOL.md#binding-messages).
func Broadcast(switchMAC uint64, vlan uint16, payload []byte) []byte {
	b := append48(append48(make([]byte, 0, ethLen+4+len(payload)), 1<<48-1), switchMAC)
	b = binary.BigEndian.AppendUint16(b, 0x8100)
	b = binary.BigEndian.AppendUint16(b, 6<<13|vlan) // priority 6, as in Frame
	b = append(binary.BigEndian.AppendUint16(b, 0x88b5), payload...)
	for len(b) < 60 {
		b = append(b, 0)
	}
	return b
}

// AnyPort lets Frame choose the port to send from.
const AnyPort = -1

// Frame returns a frame that carries payload from this box's address to that of the box at a place, and the port to
// send it from. ok is false if no path leads there. All messages to a box take one path while it lives: they keep their
// order.
func Frame(s *fib.Snapshot, from int, sw uint32, number uint8, udpPort, source uint16, payload []byte) (
	port int, b []byte, ok bool) {
	if uint(sw) >= uint(len(s.Switches)) {
		return 0, nil, false
	}
	paths := s.Switches[sw].Paths
	i := slices.IndexFunc(paths, func(p fib.Path) bool { return from == AnyPort || int(p.Port) == from })
	if i < 0 {
		return 0, nil, false
	}
	p := &paths[i]
	if int(p.Port) >= len(s.Ports) {
		return 0, nil, false
	}
	total := ipLen + udpLen + len(payload)
	if total > int(p.MTU) {
		return 0, nil, false
	}
	b = make([]byte, 0, ethLen+4+total)
	b = append48(append48(b, p.DstMAC), p.SrcMAC)
	b = binary.BigEndian.AppendUint16(b, 0x8100)
	b = binary.BigEndian.AppendUint16(b, 6<<13|p.VID) // priority 6: internetwork control (IEEE 802.1Q, annex I)
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	at := len(b)
	b = append(b, 0x45, 48<<2) // DSCP CS6: network control (RFC 4594, 3.2)
	b = binary.BigEndian.AppendUint16(b, uint16(total))
	b = binary.BigEndian.AppendUint16(b, p.VID)
	b = append(b, 0x40, 0, 64, 17, 0, 0) // don't fragment
	b = binary.BigEndian.AppendUint32(b, s.Ports[p.Port].Fabric.BoxIP)
	b = binary.BigEndian.AppendUint32(b, p.DstBase|uint32(number)<<(p.DstShift&31)|1)
	binary.BigEndian.PutUint16(b[at+10:], checksum.Checksum(b[at:], 0))
	b = binary.BigEndian.AppendUint16(b, source)
	b = binary.BigEndian.AppendUint16(b, udpPort)
	b = binary.BigEndian.AppendUint16(b, uint16(udpLen+len(payload)))
	b = append(b, 0, 0) // no checksum (RFC 768)
	return int(p.Port), append(b, payload...), true
}

// Packet returns what a frame from the packet path carries: the sender's box address, its UDP port, and the payload.
func Packet(b []byte) (from uint32, source uint16, payload []byte, ok bool) {
	at := ethLen
	if len(b) >= ethLen+4 && binary.BigEndian.Uint16(b[12:]) == 0x8100 {
		at += 4
	}
	if len(b) < at+ipLen+udpLen {
		return 0, 0, nil, false
	}
	ip := b[at:]
	n := int(binary.BigEndian.Uint16(ip[ipLen+4:]))
	if n < udpLen || n > len(ip)-ipLen || n > int(binary.BigEndian.Uint16(ip[2:]))-ipLen {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint16(ip[ipLen:]), ip[ipLen+udpLen : ipLen+n], true
}

// SourcePort is the UDP port that the box at a place sends from. It tells boxes apart that hang from ports with the
// same number of different switches: their box addresses are equal.
func SourcePort(sw uint64, number uint8) uint16 {
	h := sw*0x9e3779b97f4a7c15 ^ uint64(number)*0xe7037ed1a0b428db
	return 0xc000 | uint16(h>>48)&0x3fff
}

func append48(b []byte, mac uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(mac>>32)), uint32(mac))
}
