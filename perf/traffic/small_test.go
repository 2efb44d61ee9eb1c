package traffic

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestDivisor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		d := r.Uint64N(1<<r.IntN(41)) + 1
		n := r.Uint64N(1 << (1 + r.IntN(48)))
		if r.IntN(4) == 0 { // around a multiple
			n = (n/d*d + uint64(r.IntN(3)) + d - 1) % (MaxSeq + 1)
		}
		v := newDivisor(d)
		if q, m := v.divMod(n); q != n/d || m != n%d || v.mod(n) != m {
			t.Fatalf("%d by %d: %d remainder %d, want %d remainder %d", n, d, q, m, n/d, n%d)
		}
	}
	for _, d := range []uint64{1, 2, 3, 1<<32 - 1, 1 << 32, MaxSeq} {
		v := newDivisor(d)
		for _, n := range []uint64{0, 1, d - 1, d, d + 1, MaxSeq} {
			if q, m := v.divMod(n); q != n/d || m != n%d {
				t.Errorf("%d by %d: %d remainder %d", n, d, q, m)
			}
		}
	}
}

// TestRandom: what is computed at once is what one gets step by step.
func TestRandom(t *testing.T) {
	for _, seed := range []uint32{1, 4711, 65535, 1<<32 - 1} {
		short, long := seed, seed
		next := func(s *uint32) uint32 {
			*s = *s*214013 + 2531011
			return *s >> 16 & 0x7fff
		}
		for k := range uint32(100_000) {
			if got, want := draw15(seed, k), next(&short); got != want {
				t.Fatalf("seed %d, draw %d: %#x, want %#x", seed, k, got, want)
			}
			high := next(&long)
			if got, want := draw30(seed, k), high<<16+next(&long); got != want {
				t.Fatalf("seed %d, long draw %d: %#x, want %#x", seed, k, got, want)
			}
		}
		// Two ways to the same state.
		a := jumpSingle.state(jumpSingle.state(seed, 3_000_000_000), 1_000_000_007)
		if b := jumpSingle.state(seed, 4_000_000_007); a != b {
			t.Errorf("seed %d: %#x, %#x", seed, a, b)
		}
		if a, b := jumpDouble.state(seed, 1_999_999_999), jumpSingle.state(seed, 3_999_999_998); a != b {
			t.Errorf("seed %d: %#x, %#x", seed, a, b)
		}
	}
}

func TestSignature(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	frame := make([]byte, 300)
	for range 50_000 {
		n := SignatureLen + r.IntN(200)
		for i := range frame {
			frame[i] = byte(r.Uint32())
		}
		seq, stamp := r.Uint64N(MaxSeq+1), int64(r.Uint64())
		f := frame[:n]
		clear(f[n-SignatureLen:])
		before := words(f)
		sign(f[n-SignatureLen:], seq, stamp)
		if got := words(f); got != before && (got != 0xffff || before != 0) && (got != 0 || before != 0xffff) {
			t.Fatalf("the sum changed from %#x to %#x", before, got)
		}
		got, at, ok := Signature(f)
		if !ok || got != seq || at != stamp {
			t.Fatalf("%d octets: %d, %d, %v, want %d, %d", n, got, at, ok, seq, stamp)
		}
		pad := r.IntN(maxTrailer + 1)
		clear(frame[n : n+pad])
		if got, at, ok := Signature(frame[:n+pad]); !ok || got != seq || at != stamp {
			t.Fatalf("%d octets and %d of padding: %d, %d, %v, want %d, %d", n, pad, got, at, ok, seq, stamp)
		}
		// One octet changed is no signature any more.
		i := n - SignatureLen + r.IntN(SignatureLen)
		f[i] ^= byte(1 + r.IntN(255))
		if _, _, ok := Signature(f); ok {
			t.Fatalf("octet %d changed: still a signature", i)
		}
	}
	for range 200_000 { // 50 places each: one in 400 runs finds a random one
		for i := 0; i < len(frame); i += 4 {
			binary.LittleEndian.PutUint32(frame[i:], r.Uint32())
		}
		if _, _, ok := Signature(frame); ok {
			t.Fatalf("a signature in %x", frame)
		}
	}
	if _, _, ok := Signature(make([]byte, SignatureLen-1)); ok {
		t.Error("a signature in 17 octets")
	}
	if _, _, ok := Signature(nil); ok {
		t.Error("a signature in nothing")
	}
	if _, _, ok := Signature(make([]byte, 1500)); ok {
		t.Error("a signature in zeros")
	}
}

// words is the one's complement sum of b.
func words(b []byte) uint32 {
	s := uint32(0)
	for i, c := range b {
		s += uint32(c) << (8 * (1 - i%2))
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return s
}

func FuzzSignature(f *testing.F) {
	b := make([]byte, 60)
	f.Add(b, 0)
	sign(b[42:], 1<<47, -1)
	f.Add(b, 0)
	f.Add(b, 46)
	f.Add([]byte{0x50, 0x67}, 20)
	// A balance that is the other zero.
	f.Add([]byte("\x00\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x98\xff\xff/\xff\xff\xffPg"), 0)
	f.Fuzz(func(t *testing.T, b []byte, pad int) {
		seq, stamp, ok := Signature(b)
		if !ok {
			return
		}
		if seq > MaxSeq {
			t.Fatalf("sequence %d", seq)
		}
		var again [SignatureLen]byte
		sign(again[:], seq, stamp)
		if !bytes.Contains(b, again[:]) {
			t.Fatalf("%x is read as %d, %d, which is written as %x", b, seq, stamp, again)
		}
		if pad = int(uint(pad) % maxTrailer); !bytes.HasSuffix(b, again[:]) {
			return
		}
		if s, _, ok := Signature(append(bytes.Clone(b), make([]byte, pad)...)); !ok || s != seq {
			t.Fatalf("%x with %d of padding: %d, %v", b, pad, s, ok)
		}
	})
}

// tupleNaive is the tuple generator step by step.
type tupleNaive struct {
	ip, ipMin, ipMax, port, portMin, portMax, flow, limit uint32
}

func (n *tupleNaive) next() {
	n.flow++
	n.ip++
	if n.ip > n.ipMax {
		n.ip = n.ipMin
		n.port++
		if n.port > n.portMax {
			n.port = n.portMin
		}
	}
	if n.flow == n.limit {
		n.flow, n.ip, n.port = 0, n.ipMin, n.portMin
	}
}

// TestVariables holds every op to a counter that goes step by step.
func TestVariables(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		ips, ports := 1+r.Uint32N(50), 1+r.Uint32N(20)
		f := &flows{
			count:   1 + r.Uint32N(ips*ports),
			address: number{from: 100, to: uint64(99 + ips), step: 1, varies: true},
			port:    number{from: 7, to: uint64(6 + ports), step: 1, varies: true},
		}
		b := &builder{length: -1}
		b.grow(16)
		b.addresses("ipv4", 0, 4, number{}, number{}, f)
		b.ports("udp", 8, number{}, number{}, f)
		l := b.lane(false)
		n := tupleNaive{100, 100, 99 + ips, 7, 7, 6 + ports, 0, f.count}
		step, count := 1+r.Uint32N(5), 1+r.Uint32N(30)
		inc := (&number{from: 10, to: uint64(10 + step*count - 1), step: uint64(step), varies: true}).variable("inc", 4)
		dec := inc
		dec.op = opDec
		up, down := uint32(10), uint32(10+step*(count-1))
		buf := make([]byte, 16)
		for k := range uint64(3000) {
			l.make(k, 0, 0, buf)
			ip, port := binary.BigEndian.Uint32(buf), binary.BigEndian.Uint16(buf[8:])
			if ip != n.ip || uint32(port) != n.port {
				t.Fatalf("%d flows of %d × %d, packet %d: %d, %d, want %d, %d",
					f.count, ips, ports, k, ip, port, n.ip, n.port)
			}
			n.next()
			if v, _ := inc.at(k); v != up {
				t.Fatalf("inc by %d of %d, packet %d: %d, want %d", step, count, k, v, up)
			}
			if v, _ := dec.at(k); v != down {
				t.Fatalf("dec by %d of %d, packet %d: %d, want %d", step, count, k, v, down)
			}
			if up += step; up >= 10+step*count {
				up = 10
			}
			if down -= step; down < 10 {
				down = 10 + step*(count-1)
			}
		}
	}
}
