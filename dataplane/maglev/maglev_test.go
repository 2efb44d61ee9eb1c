package maglev

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/dchest/siphash"
)

var testKey = KeyOf([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})

// naive builds a table as PROTOCOL.md#balancer says, word by word.
func naive(key *Key, servers []Server, m uint64) []uint16 {
	h := func(name string, with byte) uint64 { return siphash.Hash(key[0], key[1], append([]byte(name), with)) }
	most := uint64(0)
	perm := make([][]uint64, len(servers))
	for i, s := range servers {
		offset, skip := h(s.Name, 0)%m, h(s.Name, 1)%(m-1)+1
		for j := range m {
			perm[i] = append(perm[i], (offset+j*skip)%m)
		}
		most = max(most, uint64(s.Weight))
	}
	ceil := func(r, w uint64) uint64 { return (r*w + most - 1) / most }
	table := make([]int, m)
	for i := range table {
		table[i] = -1
	}
	next, filled := make([]int, len(servers)), uint64(0)
	for r := uint64(1); ; r++ {
		for i := range servers {
			w := uint64(servers[i].Weight)
			if ceil(r, w) <= ceil(r-1, w) {
				continue
			}
			for table[perm[i][next[i]]] >= 0 {
				next[i]++
			}
			table[perm[i][next[i]]] = i
			if filled++; filled == m {
				out := make([]uint16, m)
				for i, v := range table {
					out[i] = uint16(v)
				}
				return out
			}
		}
	}
}

func serversOf(n int, weight func(i int) uint16) (list []Server) {
	for i := range n {
		list = append(list, Server{fmt.Sprintf("web%03d", i), weight(i)})
	}
	return list
}

func one(int) uint16 { return 1 }

// TestBuildNaive compares tables with those of an implementation that follows PROTOCOL.md#balancer word by word.
func TestBuildNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	primes := []uint32{2, 3, 5, 7, 101, 251, 1009, 4099}
	for round := range 300 {
		m := primes[rng.IntN(len(primes))]
		n := 1 + rng.IntN(min(int(m), 40))
		most := []int{1, 2, 10, 1000, 65535}[rng.IntN(5)]
		list := serversOf(n, func(i int) uint16 {
			if most > 10 && i > 0 && round%2 == 0 {
				return uint16(1 + rng.IntN(3)) // one of great weight, all others of little
			}
			return uint16(1 + rng.IntN(most))
		})
		if most > 10 && round%2 == 0 {
			list[0].Weight = uint16(most)
		}
		key := Key{rng.Uint64(), rng.Uint64()}
		if got, want := Build(&key, list, m), naive(&key, list, uint64(m)); !slices.Equal(got, want) {
			t.Fatalf("round %d: %d servers with weights up to %d, %d entries: the table differs from the naive one",
				round, n, most, m)
		}
	}
}

// TestVectors holds table and hashes to values that another program made, in another language: PROTOCOL.md has them.
func TestVectors(t *testing.T) {
	want := []uint16{1, 1, 2, 0, 2, 0, 0, 2, 1, 2, 2, 2, 2, 0, 2, 2, 0, 2, 0, 1, 2, 1, 1}
	if got := Build(&testKey, []Server{{"web1", 1}, {"web2", 1}, {"web3", 2}}, 23); !slices.Equal(got, want) {
		t.Errorf("table %v, want %v", got, want)
	}
	if got := Hash4(&testKey, 0x0a0a010a, 36000, 0x0a0a0164, 80, 6); got != 0x51dc5d8840fa48b6 {
		t.Errorf("10.10.1.10:36000 to 10.10.1.100:80: hash %#x, want 0x51dc5d8840fa48b6", got)
	}
	net := uint64(0xfd000010) << 32
	if got := Hash6(&testKey, [2]uint64{net, 0x10}, 36000, [2]uint64{net, 0x100}, 53, 17); got != 0xa2d8d66bad1ba651 {
		t.Errorf("[fd00:10::10]:36000 to [fd00:10::100]:53: hash %#x, want 0xa2d8d66bad1ba651", got)
	}
	if got := Build(&testKey, nil, 13); got != nil {
		t.Errorf("a table of no server is %v, want none", got)
	}
}

// TestBuildLarge compares large tables with naive ones.
func TestBuildLarge(t *testing.T) {
	for _, c := range []struct {
		n int
		m uint32
	}{{20, 65537}, {3, 655373}} {
		list := serversOf(c.n, func(i int) uint16 { return uint16(1 + i%4) })
		if got, want := Build(&testKey, list, c.m), naive(&testKey, list, uint64(c.m)); !slices.Equal(got, want) {
			t.Errorf("%d servers, %d entries: the table differs from the naive one", c.n, c.m)
		}
	}
}

func count(table []uint16, n int) []int {
	out := make([]int, n)
	for _, s := range table {
		out[s]++
	}
	return out
}

// TestBalance: with equal weights the servers' entries differ by one at most.
func TestBalance(t *testing.T) {
	for i, n := range count(Build(&testKey, serversOf(100, one), 65537), 100) {
		if n != 655 && n != 656 {
			t.Errorf("server %d has %d entries of 65537, want 655 or 656", i, n)
		}
	}
	for i, n := range count(Build(&testKey, serversOf(3, func(i int) uint16 { return uint16(i) + 1 }), 65537), 3) {
		if want := (i + 1) * 65537 / 6; n < want-2 || n > want+2 {
			t.Errorf("weight %d has %d entries of 65537, want about %d", i+1, n, want)
		}
	}
}

// TestDisruption: when one of 100 servers goes, comes back or has another weight, at most one in a hundred of the
// entries of others moves.
func TestDisruption(t *testing.T) {
	all := serversOf(100, one)
	base := Build(&testKey, all, 65537)
	for changed := range 100 {
		for _, weight := range []uint16{0, 2} {
			list := slices.Clone(all)
			list[changed].Weight = weight
			where := func(i uint16) uint16 { return i }
			if weight == 0 {
				list = slices.Delete(list, changed, changed+1)
				where = func(i uint16) uint16 {
					if int(i) >= changed {
						i++
					}
					return i
				}
			}
			moved, others := 0, 0
			for slot, i := range Build(&testKey, list, 65537) {
				was, is := base[slot], where(i)
				if int(was) == changed || int(is) == changed {
					continue
				}
				others++
				if was != is {
					moved++
				}
			}
			if moved*100 > others {
				t.Errorf("%s to weight %d: %d of %d entries of others moved, want 1 %% at most", all[changed].Name,
					weight, moved, others)
			}
		}
	}
}

// TestHash compares with SipHash-2-4 over the octets, as PROTOCOL.md writes them down.
func TestHash(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		var c, v [16]byte
		for i := range c {
			c[i], v[i] = byte(rng.Uint32()), byte(rng.Uint32())
		}
		cp, p, proto := uint16(rng.Uint32()), uint16(rng.Uint32()), uint8(rng.Uint32())
		octets := func(c, v netip.Addr) uint64 {
			b := c.AsSlice()
			b = append(b, byte(cp>>8), byte(cp))
			b = append(b, v.AsSlice()...)
			return siphash.Hash(testKey[0], testKey[1], append(b, byte(p>>8), byte(p), proto))
		}
		c4, v4 := [4]byte(c[:4]), [4]byte(v[:4])
		got := Hash4(&testKey, binary.BigEndian.Uint32(c4[:]), cp, binary.BigEndian.Uint32(v4[:]), p, proto)
		if want := octets(netip.AddrFrom4(c4), netip.AddrFrom4(v4)); got != want {
			t.Fatalf("IPv4: hash %#x, want %#x", got, want)
		}
		half := func(b [16]byte) [2]uint64 {
			return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
		}
		got = Hash6(&testKey, half(c), cp, half(v), p, proto)
		if want := octets(netip.AddrFrom16(c), netip.AddrFrom16(v)); got != want {
			t.Fatalf("IPv6: hash %#x, want %#x", got, want)
		}
	}
	// SipHash-2-4, the test vector of its paper (appendix A): 15 octets 00 … 0e.
	if got := siphash.Hash(testKey[0], testKey[1], []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}); got !=
		0xa129ca6149be45e5 {
		t.Errorf("SipHash-2-4 of the paper's vector: %#x, want 0xa129ca6149be45e5", got)
	}
}

// TestHashAllocates: hashing allocates nothing.
func TestHashAllocates(t *testing.T) {
	var sum uint64
	if n := testing.AllocsPerRun(100, func() {
		sum += Hash4(&testKey, 1, 2, 3, 4, 6)
		sum += Hash6(&testKey, [2]uint64{1}, 2, [2]uint64{3}, 4, 6)
	}); n != 0 {
		t.Errorf("two hashes allocate %g times, want never (%d)", n, sum)
	}
}

func TestPrimes(t *testing.T) {
	sieve := make([]bool, 10_000)
	for n := 2; n < len(sieve); n++ {
		if sieve[n] == IsPrime(uint32(n)) {
			t.Errorf("IsPrime(%d) = %v, want %v", n, sieve[n], !sieve[n])
		}
		for k := 2 * n; !sieve[n] && k < len(sieve); k += n {
			sieve[k] = true
		}
	}
	for _, c := range [][2]uint32{{65536, 65537}, {65537, 65537}, {65600, 65609}, {655360, 655373},
		{MaxTable, MaxTable}} {
		if got := NextPrime(c[0]); got != c[1] {
			t.Errorf("NextPrime(%d) = %d, want %d", c[0], got, c[1])
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, c := range []struct {
		n      int
		m      uint32
		weight func(int) uint16
		name   string
	}{
		{100, 65537, one, "equal"}, {3, 65537, one, "equal"}, {655, 65537, one, "equal"},
		{100, 65537, func(i int) uint16 { return uint16(1 + i%10) }, "weighted"},
		{100, 65537, func(i int) uint16 { return 1 + uint16(max(i-98, 0))*65000 }, "sparse"},
		{100, 655373, one, "equal"}, {6553, 655373, one, "equal"},
		{6553, 655373, func(i int) uint16 { return uint16(1 + i%10) }, "weighted"},
	} {
		b.Run(fmt.Sprintf("%s/servers=%d/entries=%d", c.name, c.n, c.m), func(b *testing.B) {
			list := serversOf(c.n, c.weight)
			for b.Loop() {
				Build(&testKey, list, c.m)
			}
		})
	}
}

func BenchmarkHash4(b *testing.B) {
	for b.Loop() {
		Hash4(&testKey, 1, 2, 3, 4, 6)
	}
}

func BenchmarkHash6(b *testing.B) {
	for b.Loop() {
		Hash6(&testKey, [2]uint64{1}, 2, [2]uint64{3}, 4, 6)
	}
}
