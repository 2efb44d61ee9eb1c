// Package resolve has the binding messages of the boxes: their format, and the ways from the packet path to control of
// messages and of what the packet path itself has to tell.
//
//	body.go   the body of a message, octet by octet
//	tag.go    a message of bodies, the keys, and the tag that ends it; for control
//	check.go  the structure of a message, which the worker checks once
//	event.go  what control gets: messages, and events of the packet path
//	ring.go   from a worker to control, with a share for each opcode; messages.go and the reader's side
//
// A message is one body or several. With keys, a tag of TagLen octets ends it. Control makes and verifies tags, but for
// those of path probes, which package pathprobe does.
package resolve

import (
	"encoding/binary"
	"net/netip"
)

// Fixed values of a message.
const (
	Magic   = 0x5053
	Version = 1

	BodyLen = 40 // octets of a body without an IPv6 address or summary
	MoreLen = 16 // octets that FlagIPv6 adds
	TagLen  = 16 // octets of the tag that ends a message with FlagTag: of HMAC-SHA-256 over all before it, the first
)

// The opcodes of a body.
const (
	OpWhere   = 1
	OpHere    = 2
	OpNotHere = 3
	OpHello   = 4
	OpPull    = 5
	OpPage    = 6
	OpProbe   = 7
	OpEcho    = 8
)

// The flags of a body.
const (
	FlagIPv6    = 1 << 0 // IP6 follows the body; in a HELLO, its summary
	FlagTag     = 1 << 1 // the tag follows: this is the last body
	FlagAdd     = 1 << 2 // an address more of the binding with the same sequence
	FlagStatic  = 1 << 3 // the VIF is configured, not learned
	FlagVTEP    = 1 << 4 // the MAC is behind a VTEP
	FlagLast    = 1 << 5 // the last frame of what was pulled
	FlagSolicit = 1 << 6 // the sender of the HELLO has begun and asks for those of the others

	flagsKnown = 1<<7 - 1
)

// The largest values of a body's fields that are shorter than their Go types.
const (
	MaxTenant  = 1<<24 - 1
	MaxSegment = 1<<24 - 1
	MaxMAC     = 1<<48 - 1
)

// Body is one body of a message, in network byte order on the wire (PROTOCOL.md#binding-messages):
//
//	octets 0–1 magic | 2 version | 3 opcode | 4–5 flags | 6 key ID | 7 zero | 8–15 sequence | 16–18 tenant |
//	19–21 segment | 22–27 MAC | 28–31 IPv4 | 32–37 switch | 38–39 port | 40–55 IPv6, with FlagIPv6
type Body struct {
	Op, KeyID uint8 // KeyID is the tag's key, 0 without a tag
	Flags     uint16
	Sequence  uint64
	Tenant    uint32 // 24 bits
	Segment   uint32 // 24 bits
	MAC       uint64 // 48 bits; 0 in a WHERE by address
	IP4       uint32 // 0 = none
	IP6       [16]byte
	Switch    uint64 // 48 bits: the MAC of an edge switch
	Port      uint16 // number of that switch's port
}

// Len returns the number of octets that Append writes.
func (m *Body) Len() int {
	if m.Flags&FlagIPv6 != 0 {
		return BodyLen + MoreLen
	}
	return BodyLen
}

// SetAddress puts an address into the body: IP4, or IP6 and FlagIPv6. One that is not valid changes nothing.
func (m *Body) SetAddress(a netip.Addr) {
	if a.Is4() {
		b := a.As4()
		m.IP4 = binary.BigEndian.Uint32(b[:])
	} else if a.Is6() {
		m.Flags |= FlagIPv6
		m.IP6 = a.As16()
	}
}

// Append appends the body to b. The caller appends the tag, if the body has FlagTag. Of fields that are longer than on
// the wire, the low bits count.
func (m *Body) Append(b []byte) []byte {
	b = append(b, Magic>>8, Magic&0xff, Version, m.Op)
	b = append(binary.BigEndian.AppendUint16(b, m.Flags), m.KeyID, 0)
	b = binary.BigEndian.AppendUint64(b, m.Sequence)
	b = binary.BigEndian.AppendUint32(b, m.Tenant<<8|m.Segment>>16&0xff)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Segment)<<48|m.MAC&MaxMAC)
	b = binary.BigEndian.AppendUint32(b, m.IP4)
	b = binary.BigEndian.AppendUint64(b, m.Switch<<16|uint64(m.Port))
	if m.Flags&FlagIPv6 != 0 {
		b = append(b, m.IP6[:]...)
	}
	return b
}

// Parse returns the first body of b and its length in octets. ok is false if b does not begin with a whole body of this
// version. Flags that have no meaning are left out. The values of the fields are as they came: a place may be none.
func Parse(b []byte) (m Body, n int, ok bool) {
	if len(b) < BodyLen {
		return Body{}, 0, false
	}
	h := (*[BodyLen]byte)(b)
	w0, w2, w3 := binary.BigEndian.Uint64(h[0:8]), binary.BigEndian.Uint64(h[16:24]), binary.BigEndian.Uint64(h[24:32])
	if w0>>40 != Magic<<8|Version {
		return Body{}, 0, false
	}
	w4 := binary.BigEndian.Uint64(h[32:40])
	m = Body{
		Op: uint8(w0 >> 32), Flags: uint16(w0>>16) & flagsKnown, KeyID: uint8(w0 >> 8),
		Sequence: binary.BigEndian.Uint64(h[8:16]),
		Tenant:   uint32(w2 >> 40), Segment: uint32(w2>>16) & MaxSegment, MAC: w2<<32&MaxMAC | w3>>32, IP4: uint32(w3),
		Switch: w4 >> 16, Port: uint16(w4),
	}
	n = BodyLen
	if m.Flags&FlagIPv6 != 0 {
		if len(b) < BodyLen+MoreLen {
			return Body{}, 0, false
		}
		m.IP6 = [MoreLen]byte(b[BodyLen:])
		n += MoreLen
	}
	return m, n, true
}

// Summary is what a HELLO with FlagIPv6 says of the bindings that its sender owns, in place of an address:
//
//	octets 40–43 count | 44–51 digest | 52–55 seconds that the sender has its place
type Summary struct {
	Count  uint32
	Digest uint64
	Held   uint32
}

// SetSummary puts s into a HELLO, and sets FlagIPv6.
func (m *Body) SetSummary(s Summary) {
	m.Flags |= FlagIPv6
	binary.BigEndian.PutUint32(m.IP6[0:], s.Count)
	binary.BigEndian.PutUint64(m.IP6[4:], s.Digest)
	binary.BigEndian.PutUint32(m.IP6[12:], s.Held)
}

// Summary returns the summary of a HELLO; ok is false if it has none.
func (m *Body) Summary() (s Summary, ok bool) {
	if m.Op != OpHello || m.Flags&FlagIPv6 == 0 {
		return Summary{}, false
	}
	return Summary{
		Count: binary.BigEndian.Uint32(m.IP6[0:]), Digest: binary.BigEndian.Uint64(m.IP6[4:]),
		Held: binary.BigEndian.Uint32(m.IP6[12:]),
	}, true
}
