package resolve

import (
	"encoding/binary"

	"penstock/dataplane/drop"
)

// maxPadded is the length of the longest payload behind which Ethernet may have padding: of a frame of 64 octets
// without FCS, as a switch sends that pads tagged frames so that they are long enough without the tag.
const maxPadded = 50

// Check checks the structure of a message: whole bodies of this version, an opcode of this version among them, a place
// in each, and, with FlagTag, a tag behind the last one. It returns the opcode of the first body that has one of this
// version, and the length of the message. b may have Ethernet's padding behind it, if padded is set. hostMask is that
// of the addressing scheme (fib.Fabric): which port numbers there are depends on it.
//
// A PROBE or ECHO comes alone: of these, Check looks at the first body only, and not at its place.
func Check(b []byte, padded bool, hostMask uint32) (op uint8, n int, why drop.Reason) {
	for rest := b; ; {
		if len(rest) < BodyLen {
			if n == 0 && len(b) >= 2 && binary.BigEndian.Uint16(b) != Magic {
				return 0, 0, drop.MessageMagic // it was never meant to be one
			}
			return 0, 0, drop.MessageShort
		}
		h := (*[BodyLen]byte)(rest)
		w := binary.BigEndian.Uint64(h[0:8])
		switch {
		case w>>48 != Magic:
			return 0, 0, drop.MessageMagic
		case w>>40&0xff != Version:
			return 0, 0, drop.MessageVersion
		}
		body, this := BodyLen, uint8(w>>32)
		if w>>16&FlagIPv6 != 0 {
			if body += MoreLen; len(rest) < body {
				return 0, 0, drop.MessageShort
			}
		}
		switch {
		case this == 0 || this > OpEcho:
		case this >= OpProbe:
			if op == 0 {
				return this, n + body, drop.None
			}
		case !place(binary.BigEndian.Uint64(h[32:40]), hostMask):
			return 0, 0, drop.MessagePlace
		case op == 0:
			op = this
		}
		n, rest = n+body, rest[body:]
		if w>>16&FlagTag != 0 {
			if len(rest) != TagLen {
				return 0, 0, drop.MessageShort
			}
			n, rest = n+TagLen, nil
		}
		if len(rest) == 0 || padded && len(b) <= maxPadded && zero(rest) {
			break
		}
	}
	if op == 0 {
		return 0, 0, drop.MessageOpcode
	}
	return op, n, drop.None
}

// place reports whether octets 32–39 of a body are a place: a switch's MAC, and a port number of the addressing scheme.
func place(w uint64, hostMask uint32) bool {
	sw, p := w>>16, w&0xffff
	if sw == 0 || sw>>40&1 != 0 || p == 0 || p > 255 {
		return false
	}
	return hostMask == 0xffff || p != 127 && p < 224
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
