package resolve

import (
	"bytes"
	"slices"
	"testing"

	"penstock/dataplane/drop"
)

// edit returns a copy of b with octets from at on replaced.
func edit(b []byte, at int, octets ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], octets)
	return b
}

func TestCheck(t *testing.T) {
	one, signed := octets(t, here), octets(t, sign)
	probe := edit(one, 3, OpProbe)
	six := append(edit(one, 5, FlagIPv6), make([]byte, MoreLen)...)
	unknown := edit(one, 3, 9)
	const mask16, mask24 = 0xffff, 0xffffff
	for _, c := range []struct {
		name   string
		b      []byte
		padded bool
		mask   uint32
		op     uint8
		n      int // 0 = all
		why    drop.Reason
	}{
		{name: "one", b: one, op: OpHere},
		{name: "36", b: bytes.Repeat(one, 36), op: OpHere},
		{name: "with IPv6", b: slices.Concat(six, one, six), op: OpHere},
		{name: "tagged", b: signed, op: OpHere},
		{name: "tagged behind others", b: slices.Concat(one, six, signed), op: OpHere},
		{name: "the first opcode", b: slices.Concat(edit(one, 3, OpPage), one), op: OpPage},
		{name: "unknown opcode first", b: slices.Concat(unknown, one), op: OpHere},
		{name: "unknown opcode last", b: slices.Concat(one, unknown), op: OpHere},
		{name: "unknown opcodes", b: slices.Concat(unknown, unknown), why: drop.MessageOpcode},
		{name: "opcode 0", b: edit(one, 3, 0), why: drop.MessageOpcode},
		{name: "probe", b: probe, op: OpProbe},
		{name: "probe without place", b: edit(probe, 32, 0, 0, 0, 0, 0, 0, 0, 0), op: OpProbe},
		{name: "echo", b: edit(probe, 3, OpEcho), op: OpEcho},
		{name: "probe among others", b: slices.Concat(one, probe), op: OpHere},
		{name: "nothing", why: drop.MessageShort},
		{name: "39 octets", b: one[:39], why: drop.MessageShort},
		{name: "a foreign short one", b: []byte{0x50, 0x54, 1}, why: drop.MessageMagic},
		{name: "1 octet behind", b: append(bytes.Clone(one), 0), why: drop.MessageShort},
		{name: "cut in the second", b: slices.Concat(one, one[:39]), why: drop.MessageShort},
		{name: "cut in IPv6", b: six[:55], why: drop.MessageShort},
		{name: "cut in the tag", b: signed[:55], why: drop.MessageShort},
		{name: "behind the tag", b: append(bytes.Clone(signed), 0), why: drop.MessageShort},
		{name: "no tag", b: signed[:BodyLen], why: drop.MessageShort},
		{name: "tag in the middle", b: slices.Concat(signed, one), why: drop.MessageShort},
		{name: "magic", b: edit(one, 1, 0x54), why: drop.MessageMagic},
		{name: "magic of the second", b: slices.Concat(one, edit(one, 0, 0)), why: drop.MessageMagic},
		{name: "version", b: edit(one, 2, 2), why: drop.MessageVersion},
		{name: "port 0", b: edit(one, 39, 0), why: drop.MessagePlace},
		{name: "port 0 of the second", b: slices.Concat(one, edit(one, 39, 0)), why: drop.MessagePlace},
		{name: "port 256", b: edit(one, 38, 1, 0), why: drop.MessagePlace},
		{name: "port 255", b: edit(one, 39, 255), op: OpHere},
		{name: "port 224 of p.t", b: edit(one, 39, 224), mask: mask24, why: drop.MessagePlace},
		{name: "port 127 of p.t", b: edit(one, 39, 127), mask: mask24, why: drop.MessagePlace},
		{name: "port 223 of p.t", b: edit(one, 39, 223), mask: mask24, op: OpHere},
		{name: "switch 0", b: edit(one, 32, 0, 0, 0, 0, 0, 0), why: drop.MessagePlace},
		{name: "switch of a group", b: edit(one, 32, 3), why: drop.MessagePlace},
		{name: "padding", b: append(bytes.Clone(one), 0, 0, 0, 0, 0, 0), padded: true, op: OpHere, n: BodyLen},
		{name: "more padding than a frame has", b: append(bytes.Clone(one), make([]byte, 11)...), padded: true,
			why: drop.MessageShort},
		{name: "padding that is none", b: append(bytes.Clone(one), 0, 0, 0, 1), padded: true, why: drop.MessageShort},
		{name: "no frame, no padding", b: append(bytes.Clone(one), 0, 0), why: drop.MessageShort},
		{name: "padding alone", b: make([]byte, 46), padded: true, why: drop.MessageMagic},
	} {
		if c.mask == 0 {
			c.mask = mask16
		}
		if c.n == 0 && c.why == drop.None {
			c.n = len(c.b)
		}
		op, n, why := Check(c.b, c.padded, c.mask)
		if op != c.op || n != c.n || why != c.why {
			t.Errorf("%s: opcode %d, %d octets, %v, want %d, %d, %v", c.name, op, n, why, c.op, c.n, c.why)
		}
	}
}

// TestCheckFlips: a tagged message with any bit of its first octets flipped is refused or left to the tag.
func TestCheckFlips(t *testing.T) {
	b := octets(t, sign)
	for i := range 8 * len(b) {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if op, n, why := Check(bad, true, 0xffff); why == drop.None && (n != len(b) || op == 0) {
			t.Errorf("bit %d: opcode %d, %d octets, want the whole message or a refusal", i, op, n)
		}
	}
}

// FuzzCheck: what Check accepts is bodies that Parse reads, to the last octet.
func FuzzCheck(f *testing.F) {
	f.Add(octets(f, here), false)
	f.Add(append(octets(f, here), 0, 0), true)
	f.Add(append(octets(f, here), octets(f, sign)...), false)
	f.Fuzz(func(t *testing.T, b []byte, padded bool) {
		op, n, why := Check(b, padded, 0xffff)
		if why != drop.None {
			return
		}
		if n > len(b) || op == 0 || op > OpEcho {
			t.Fatalf("opcode %d, %d of %d octets", op, n, len(b))
		}
		if op >= OpProbe {
			return
		}
		first := uint8(0)
		for rest := b[:n]; len(rest) > 0; {
			m, k, ok := Parse(rest)
			if !ok {
				t.Fatalf("%x: Check accepts it, and Parse refuses %x", b, rest)
			}
			if first == 0 && m.Op < OpProbe {
				first = m.Op
			}
			if rest = rest[k:]; m.Flags&FlagTag != 0 {
				if len(rest) != TagLen {
					t.Fatalf("%x: %d octets behind the body with the tag, want %d", b, len(rest), TagLen)
				}
				rest = nil
			}
		}
		if first != op {
			t.Errorf("%x: opcode %d, want %d", b, op, first)
		}
	})
}
