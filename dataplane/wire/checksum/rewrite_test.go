package checksum_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// TestSetQuotedPort cuts a message that quotes a TCP or UDP packet off anywhere behind the ports: the checksum of the
// message stays right, and the quoted header is as SetPort makes it.
func TestSetQuotedPort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const l4 = wire.ICMPLen + wire.IPv4Len
	for range 1000 {
		proto := []uint8{wire.ProtoTCP, wire.ProtoUDP}[r.IntN(2)]
		at := []int{checksum.SrcPort, checksum.DstPort}[r.IntN(2)]
		m := make([]byte, l4+4+r.IntN(30))
		for i := range m {
			m[i] = byte(r.Uint32())
		}
		wire.ICMPv4(m).SetChecksum(0)
		wire.ICMPv4(m).SetChecksum(checksum.Checksum(m, 0))
		alone := append([]byte(nil), m[l4:]...)
		port := uint16(r.Uint32())
		checksum.SetQuotedPort(m, l4, proto, at, port)
		checksum.SetPort(alone, proto, at, port)
		if c := checksum.Checksum(m, 0); c != 0 {
			t.Fatalf("the message %x does not verify: %#x, want 0", m, c)
		}
		if string(m[l4:]) != string(alone) || binary.BigEndian.Uint16(m[l4+at:]) != port {
			t.Fatalf("quoted header %x, want %x with port %d", m[l4:], alone, port)
		}
	}
}
