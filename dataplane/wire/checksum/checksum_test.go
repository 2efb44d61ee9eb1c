package checksum

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// naive is the sum as RFC 1071 defines it, folded.
func naive(b []byte, s uint32) uint16 {
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
		for s>>16 != 0 {
			s = s>>16 + s&0xffff
		}
	}
	return uint16(s)
}

func random(r *rand.Rand, b []byte) {
	switch r.IntN(4) {
	case 0: // carries all the way
		for i := range b {
			b[i] = 0xff
		}
	case 1: // few bits
		clear(b)
		if len(b) > 0 {
			b[r.IntN(len(b))] = 1 << r.IntN(8)
		}
	default:
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
}

func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 2048)
	for range 50000 {
		at := r.IntN(16)
		b := buf[at : at+r.IntN(300)]
		if r.IntN(50) == 0 {
			b = buf[at : at+r.IntN(2000)]
		}
		random(r, b)
		initial := r.Uint32N(1 << 24)
		if got, want := Fold(Sum(b, initial)), naive(b, folded(initial)); got != want {
			t.Fatalf("%d octets at %d, initial %#x: %#04x, want %#04x", len(b), at, initial, got, want)
		}
	}
}

// folded keeps a folded initial value in range for naive.
func folded(s uint32) uint32 {
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return s
}

// TestSumLengths goes through every length around the unrolled loop's steps, with every carry there is.
func TestSumLengths(t *testing.T) {
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = 0xff
		}
		if got, want := Fold(Sum(b, 0)), naive(b, 0); got != want {
			t.Errorf("%d octets of 0xff: %#04x, want %#04x", n, got, want)
		}
		for i := range b {
			b[i] = byte(i*31 + 7)
		}
		if got, want := Fold(Sum(b, 0)), naive(b, 0); got != want {
			t.Errorf("%d octets: %#04x, want %#04x", n, got, want)
		}
	}
	if Sum(nil, 5) != 5 {
		t.Error("nothing adds something")
	}
}

func TestSumPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 1501)
	random(r, b)
	for range 1000 {
		at := r.IntN(750) * 2
		if got, want := Fold(Sum(b[at:], Sum(b[:at], 0))), naive(b, 0); got != want {
			t.Fatalf("in two pieces at %d: %#04x, want %#04x", at, got, want)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint32(0))
	f.Add(make([]byte, 65), uint32(0xffff))
	f.Fuzz(func(t *testing.T, b []byte, initial uint32) {
		initial &= 0xffffff
		if got, want := Fold(Sum(b, initial)), naive(b, folded(initial)); got != want {
			t.Errorf("%#04x, want %#04x", got, want)
		}
	})
}

// TestRFC1071 is the example of RFC 1071, section 3.
func TestRFC1071(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := Fold(Sum(b, 0)); got != 0xddf2 {
		t.Errorf("sum %#04x, want 0xddf2", got)
	}
	if got := Checksum(b, 0); got != 0x220d {
		t.Errorf("checksum %#04x, want 0x220d", got)
	}
}

func TestPseudo(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 10000 {
		var b [40]byte
		random(r, b[:32])
		n := uint16(r.Uint32())
		proto := uint8(r.Uint32())
		v4 := append(append([]byte(nil), b[:8]...), 0, proto, byte(n>>8), byte(n))
		src, dst := binary.BigEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[4:])
		if got, want := Fold(PseudoIPv4(src, dst, proto, n)), naive(v4, 0); got != want {
			t.Fatalf("IPv4: %#04x, want %#04x", got, want)
		}
		n6 := r.Uint32N(1 << 20)
		binary.BigEndian.PutUint32(b[32:], n6)
		b[36], b[37], b[38], b[39] = 0, 0, 0, proto
		u := func(i int) uint64 { return binary.BigEndian.Uint64(b[i:]) }
		pseudo := PseudoIPv6([2]uint64{u(0), u(8)}, [2]uint64{u(16), u(24)}, proto, n6)
		if got, want := Fold(pseudo), naive(b[:], 0); got != want {
			t.Fatalf("IPv6: %#04x, want %#04x", got, want)
		}
	}
}

// TestUpdate changes words of random packets: the updated checksum must be the one computed anew, which for a packet
// that is not all zero is a single value.
func TestUpdate(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 50000 {
		b := make([]byte, 20+2*r.IntN(20))
		random(r, b)
		b[0] = 0x45
		c := Checksum(b, 0)
		at := 2 + 2*r.IntN(len(b)/2-3)
		old16, new16 := binary.BigEndian.Uint16(b[at:]), uint16(r.Uint32())
		if r.IntN(4) == 0 {
			new16 = []uint16{0, 0xffff, old16, ^old16}[r.IntN(4)]
		}
		binary.BigEndian.PutUint16(b[at:], new16)
		if got, want := Update16(c, old16, new16), Checksum(b, 0); got != want {
			t.Fatalf("Update16(%#04x, %#04x, %#04x) = %#04x, want %#04x", c, old16, new16, got, want)
		}
		c = Checksum(b, 0)
		old32, new32 := binary.BigEndian.Uint32(b[at:]), r.Uint32()
		binary.BigEndian.PutUint32(b[at:], new32)
		if got, want := Update32(c, old32, new32), Checksum(b, 0); got != want {
			t.Fatalf("Update32(%#04x, %#08x, %#08x) = %#04x, want %#04x", c, old32, new32, got, want)
		}
	}
}

// TestRFC1624 is the example of RFC 1624, section 4, which equation 2 gets wrong.
func TestRFC1624(t *testing.T) {
	if got := Update16(0xdd2f, 0x5555, 0x3285); got != 0x0000 {
		t.Errorf("updated checksum %#04x, want 0", got)
	}
}

func TestUpdateUDP(t *testing.T) {
	if UpdateUDP16(0, 1, 2) != 0 || UpdateUDP32(0, 1, 2) != 0 {
		t.Error("a datagram without checksum got one")
	}
	if got := UpdateUDP16(0xdd2f, 0x5555, 0x3285); got != 0xffff {
		t.Errorf("0 is sent as %#04x, want 0xffff", got)
	}
	if got := UpdateUDP32(0xdd2f, 0x5555, 0x3285); got != 0xffff {
		t.Errorf("0 is sent as %#04x, want 0xffff", got)
	}
	if got, want := UpdateUDP16(0x1234, 1, 2), Update16(0x1234, 1, 2); got != want {
		t.Errorf("UpdateUDP16: %#04x, want %#04x as by Update16", got, want)
	}
	if got, want := UpdateUDP32(0x1234, 1<<16, 2), Update32(0x1234, 1<<16, 2); got != want {
		t.Errorf("UpdateUDP32: %#04x, want %#04x as by Update32", got, want)
	}
	if zero, seven := NonZero(0), NonZero(7); zero != 0xffff || seven != 7 {
		t.Errorf("NonZero of 0 and 7: %#04x and %#04x, want 0xffff and 0x0007", zero, seven)
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 64, 1460} {
		buf := make([]byte, n)
		b.Run(map[int]string{20: "20", 64: "64", 1460: "1460"}[n], func(b *testing.B) {
			b.SetBytes(int64(n))
			var s uint32
			for b.Loop() {
				s += Sum(buf, 0)
			}
			sink = s
		})
	}
}

func BenchmarkUpdate16(b *testing.B) {
	c := uint16(1)
	for b.Loop() {
		c = Update16(c, 0x4006, 0x3f06)
	}
	sink = uint32(c)
}

var sink uint32
