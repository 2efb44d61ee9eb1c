package resolve

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// The HERE of an implementer's view: tenant 300, segment 7, port 17 of switch 02:00:00:00:00:0a; and the same with a
// tag of key 9.
const (
	here = "505301020000000018fae27693b4000000012c0000070200000001010a00000102000000000a0011"
	sign = "505301020002090018fae27693b4000000012c0000070200000001010a00000102000000000a0011" +
		"27e1ddd9cb78a1bf7e10c782049f4bde"
)

func octets(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOctets compares bodies with octets that were written by hand.
func TestOctets(t *testing.T) {
	want := Body{
		Op: OpHere, Sequence: 1_800_000_000_000_000_000, Tenant: 300, Segment: 7, MAC: 0x020000000101, IP4: 0x0a000001,
		Switch: 0x02000000000a, Port: 17,
	}
	b := octets(t, here)
	if got, n, ok := Parse(b); !ok || n != BodyLen || got != want {
		t.Errorf("Parse = %+v, %d, %v, want %+v, %d, true", got, n, ok, want, BodyLen)
	}
	if got := want.Append(nil); !bytes.Equal(got, b) {
		t.Errorf("Append = %x, want %x", got, b)
	}
	want.Flags, want.KeyID = FlagTag, 9
	b = octets(t, sign)
	if got, n, ok := Parse(b); !ok || n != BodyLen || got != want {
		t.Errorf("tagged: Parse = %+v, %d, %v, want %+v, %d, true", got, n, ok, want, BodyLen)
	}
	if got := want.Append(nil); !bytes.Equal(got, b[:BodyLen]) {
		t.Errorf("tagged: Append = %x, want %x", got, b[:BodyLen])
	}
}

// TestSummary is a HELLO with what its sender owns.
func TestSummary(t *testing.T) {
	m := Body{Op: OpHello, Sequence: 1, MAC: 0x02000000aa01, Switch: 0x02000000000a, Port: 17, Flags: FlagSolicit}
	want := Summary{Count: 0x01020304, Digest: 0x05060708090a0b0c, Held: 0x0d0e0f10}
	if _, ok := m.Summary(); ok {
		t.Error("a HELLO of 40 octets has a summary, want none")
	}
	m.SetSummary(want)
	b := m.Append(nil)
	if tail := octets(t, "0102030405060708090a0b0c0d0e0f10"); len(b) != m.Len() || !bytes.Equal(b[BodyLen:], tail) {
		t.Errorf("Append = %x, want %d octets that end with %x", b, m.Len(), tail)
	}
	got, n, ok := Parse(b)
	if s, has := got.Summary(); !ok || n != len(b) || got != m || !has || s != want {
		t.Errorf("Parse = %+v, %d, %v, want %+v, %d, true", got, n, ok, m, len(b))
		t.Errorf("its summary = %+v, %v, want %+v, true", s, has, want)
	}
	got.Op = OpHere
	if _, has := got.Summary(); has {
		t.Error("a HERE with an IPv6 address has a summary, want none")
	}
}

// TestParseRefuses: cut bodies, and what is not of this version.
func TestParseRefuses(t *testing.T) {
	b := octets(t, here)
	for n := range b {
		if _, _, ok := Parse(b[:n:n]); ok {
			t.Errorf("a body cut at %d octets is parsed", n)
		}
	}
	for _, at := range []int{0, 1, 2} {
		bad := bytes.Clone(b)
		bad[at]++
		if _, _, ok := Parse(bad); ok {
			t.Errorf("a body with octet %d = %#x is parsed", at, bad[at])
		}
	}
	six := bytes.Clone(b)
	six[5] |= FlagIPv6
	six = append(six, make([]byte, MoreLen)...)
	for n := BodyLen; n < len(six); n++ {
		if _, _, ok := Parse(six[:n:n]); ok {
			t.Errorf("a body with IPv6 cut at %d octets is parsed", n)
		}
	}
	if _, n, ok := Parse(six); !ok || n != len(six) {
		t.Errorf("a body with IPv6: %d octets, %v, want %d, true", n, ok, len(six))
	}
}

// random returns a body whose fields fit the wire.
func random(r *rand.Rand) Body {
	m := Body{
		Op: uint8(r.Uint32()), KeyID: uint8(r.Uint32()), Flags: uint16(r.Uint32()) & flagsKnown, Sequence: r.Uint64(),
		Tenant: r.Uint32() & MaxTenant, Segment: r.Uint32() & MaxSegment, MAC: r.Uint64() & MaxMAC, IP4: r.Uint32(),
		Switch: r.Uint64() & MaxMAC, Port: uint16(r.Uint32()),
	}
	if m.Flags&FlagIPv6 != 0 {
		for i := range m.IP6 {
			m.IP6[i] = byte(r.Uint32())
		}
	}
	return m
}

// TestRandom: what Append writes, Parse reads, behind other octets and in front of them.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		want := random(r)
		b := want.Append([]byte{1, 2, 3})
		got, n, ok := Parse(append(b, 4, 5)[3:])
		if !ok || n != len(b)-3 || n != want.Len() || got != want {
			t.Fatalf("Parse = %+v, %d, %v, want %+v, %d, true", got, n, ok, want, len(b)-3)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(octets(f, here))
	f.Add(octets(f, sign))
	f.Add(append(octets(f, here), octets(f, sign)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, ok := Parse(b)
		if !ok {
			return
		}
		want := bytes.Clone(b[:n])
		want[4], want[5], want[7] = 0, want[5]&flagsKnown, 0
		if got := m.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("Parse and Append = %x, want %x", got, want)
		}
	})
}
