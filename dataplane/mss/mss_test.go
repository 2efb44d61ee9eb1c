package mss

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// A checksum corrected for a value at an odd offset equals one computed anew.
func TestUpdateAtOddOffset(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		b := make([]byte, 40)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		at := rng.IntN(38)
		sum := checksum.Checksum(b, 0)
		old := uint16(b[at])<<8 | uint16(b[at+1])
		v := uint16(rng.Uint32())
		b[at], b[at+1] = byte(v>>8), byte(v)
		if got, want := updateAt(sum, at, old, v), checksum.Checksum(b, 0); got != want && got^want != 0xffff {
			t.Fatalf("offset %d, %#x → %#x: checksum %#x, want %#x", at, old, v, got, want)
		}
	}
}

// syn returns a TCP segment with these flags and options behind an IP header of the given version. Its checksum covers
// the TCP part alone.
func syn(version int, flags byte, options ...byte) ([]byte, *frame.Packet) {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	b := make([]byte, 64+wire.TCPLen, 64+wire.TCPLen+len(options))
	b = append(b, options...)
	p := &frame.Packet{Off: 0, Len: uint16(len(b)), L4: 64, Flags: frame.FlagL4 | frame.FlagIPv4, Proto: wire.ProtoTCP}
	if version == 6 {
		p.Flags = frame.FlagL4 | frame.FlagIPv6
	}
	tcp := wire.TCP(b[64:])
	tcp[12] = byte(len(tcp)/4) << 4
	tcp[13] = flags
	tcp.SetChecksum(checksum.Checksum(tcp, 0))
	return b, p
}

// TestClamp: Clamp lowers every MSS option of a SYN to what fits, at any offset, changes nothing else, and keeps the
// checksum right.
func TestClamp(t *testing.T) {
	const synFlag, ack = wire.TCPSyn, 0x10
	mss := func(n uint16) []byte { return []byte{2, 4, byte(n >> 8), byte(n)} }
	join := func(list ...[]byte) []byte { return bytes.Join(list, nil) }
	for _, tc := range []struct {
		name      string
		version   int
		flags     byte
		mtu       uint16
		old, want []byte
	}{
		{"too large", 4, synFlag, 1466, mss(1460), mss(1426)},
		{"IPv6", 6, synFlag, 1466, mss(1460), mss(1406)},
		{"fits", 4, synFlag, 1466, mss(1426), mss(1426)},
		{"SYN and ACK", 4, synFlag | ack, 1466, mss(1460), mss(1426)},
		{"no SYN", 4, ack, 1466, mss(1460), mss(1460)},
		{"at an odd offset", 4, synFlag, 1466, join([]byte{1}, mss(1460)), join([]byte{1}, mss(1426))},
		{"a second one", 4, synFlag, 1466, join(mss(1460), mss(9000)), join(mss(1426), mss(1426))},
		{"a small one first", 4, synFlag, 1466,
			join(mss(500), []byte{1}, mss(9000)), join(mss(500), []byte{1}, mss(1426))},
		{"behind others", 4, synFlag, 1466,
			join([]byte{4, 2, 3, 3, 7}, mss(1460)), join([]byte{4, 2, 3, 3, 7}, mss(1426))},
		{"behind the end of the options", 4, synFlag, 1466,
			join([]byte{0, 0, 0, 0}, mss(1460)), join([]byte{0, 0, 0, 0}, mss(1460))},
		{"behind a malformed option", 4, synFlag, 1466,
			join([]byte{3, 1, 1, 1}, mss(1460)), join([]byte{3, 1, 1, 1}, mss(1460))},
		{"never below 536", 4, synFlag, 60, mss(1460), mss(536)},
		{"in IPv6 never below 1220", 6, synFlag, 0, mss(1460), mss(1220)},
		{"no MSS option", 4, synFlag, 1466, nil, nil},
	} {
		b, p := syn(tc.version, tc.flags, tc.old...)
		lowered := Clamp(b, p, tc.mtu)
		tcp := wire.TCP(b[64:])
		if got := tcp.Options()[:len(tc.want)]; !bytes.Equal(got, tc.want) {
			t.Errorf("%s: options % x, want % x", tc.name, got, tc.want)
		}
		if want := !bytes.Equal(tc.old, tc.want); lowered != want {
			t.Errorf("%s: Clamp returns %v, want %v", tc.name, lowered, want)
		}
		if checksum.Checksum(tcp, 0) != 0 {
			t.Errorf("%s: checksum over the segment %#x, want 0", tc.name, checksum.Checksum(tcp, 0))
		}
	}
}
