// Package maglev selects a server for a flow: the hash of a packet, and the table that leads from the hash to a server
// (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, 3.4). Both are functions
// of the key, the servers' names and their weights alone: all directors come to the same server (PROTOCOL.md#balancer).
package maglev

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// Key is the key of SipHash-2-4, its 16 octets as two numbers in little-endian order.
type Key = [2]uint64

// KeyOf returns the key of 16 octets.
func KeyOf(b [16]byte) Key {
	return Key{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// Hash4 is the hash of an IPv4 packet: SipHash-2-4 over client address, client port, VIP, service port and protocol in
// network order, 13 octets. Addresses are in host order. port is the destination port of the packet. For services whose
// servers are chosen by the client's address alone, both ports are 0.
func Hash4(key *Key, client uint32, clientPort uint16, vip uint32, port uint16, proto uint8) uint64 {
	var b [13]byte
	binary.BigEndian.PutUint32(b[0:], client)
	binary.BigEndian.PutUint16(b[4:], clientPort)
	binary.BigEndian.PutUint32(b[6:], vip)
	binary.BigEndian.PutUint16(b[10:], port)
	b[12] = proto
	return siphash.Hash(key[0], key[1], b[:])
}

// Hash6 is Hash4 for IPv6, over 37 octets. Addresses are pairs of the high and the low half.
func Hash6(key *Key, client [2]uint64, clientPort uint16, vip [2]uint64, port uint16, proto uint8) uint64 {
	var b [37]byte
	binary.BigEndian.PutUint64(b[0:], client[0])
	binary.BigEndian.PutUint64(b[8:], client[1])
	binary.BigEndian.PutUint16(b[16:], clientPort)
	binary.BigEndian.PutUint64(b[18:], vip[0])
	binary.BigEndian.PutUint64(b[26:], vip[1])
	binary.BigEndian.PutUint16(b[34:], port)
	b[36] = proto
	return siphash.Hash(key[0], key[1], b[:])
}

// Pick returns the table's entry for a hash: table[h mod M]. The table must not be empty.
func Pick(table []uint16, h uint64) uint16 { return table[h%uint64(len(table))] }

// nameHash is h(name ‖ with).
func nameHash(key *Key, name string, with byte) uint64 {
	var b [64]byte
	return siphash.Hash(key[0], key[1], append(append(b[:0], name...), with))
}
