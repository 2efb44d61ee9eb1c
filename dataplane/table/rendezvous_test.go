package table

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func choose(flow uint32, seeds []uint32, weights []uint16) int {
	best, most := -1, uint64(0)
	for i, s := range seeds {
		if x := WeightedScore(score(flow, s), weights[i]); best < 0 || x > most {
			best, most = i, x
		}
	}
	return best
}

// score is the high half of a candidate's Mix.
func score(flow, seed uint32) uint32 { return uint32(Mix(flow, Seed(seed)) >> 32) }

func TestWeightedShares(t *testing.T) {
	flows := uint32(1_000_000)
	if testing.Short() {
		flows = 100_000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, weights := range [][]uint16{
		{1, 3, 6}, {1, 1}, {5, 5, 5, 5, 5, 5, 5}, {1, 99}, {1000, 3000, 6000}, {65535, 32768, 100}, {0, 2, 3},
	} {
		// Seeds that differ little, as well as random ones; hashes that count up, as well as random ones.
		for round := range 4 {
			seeds, sum := make([]uint32, len(weights)), 0
			for i, w := range weights {
				seeds[i] = uint32(i)
				if round&1 != 0 {
					seeds[i] = rng.Uint32()
				}
				sum += int(w)
			}
			got := make([]int, len(weights))
			for flow := range flows {
				if round&2 != 0 {
					flow = rng.Uint32()
				}
				got[choose(flow, seeds, weights)]++
			}
			for i, w := range weights {
				want := float64(flows) * float64(w) / float64(sum)
				// 2 %, and where so few flows are expected that chance has more to say, 5 standard deviations.
				if math.Abs(float64(got[i])-want) > max(0.02*want, 5*math.Sqrt(want)) {
					t.Errorf("weights %v, round %d: candidate %d got %d flows, want %.0f",
						weights, round, i, got[i], want)
				}
			}
		}
	}
}

func TestMinimalDisruption(t *testing.T) {
	seeds, weights := []uint32{7, 8, 9, 10, 11}, []uint16{1, 3, 6, 3, 2}
	moved := 0
	for flow := range uint32(200_000) {
		before := choose(flow, seeds, weights)
		after := choose(flow, append([]uint32{7, 8}, seeds[3:]...), append([]uint16{1, 3}, weights[3:]...))
		if after >= 2 {
			after++
		}
		switch {
		case before == 2:
			moved++
		case before != after:
			t.Fatalf("flow %d went from %d to %d when 2 left", flow, before, after)
		}
		// More weight draws flows to a candidate and from nowhere else.
		heavier := choose(flow, seeds, []uint16{1, 3, 6, 4, 2})
		if heavier != before && heavier != 3 {
			t.Fatalf("flow %d went from %d to %d when 3 got heavier", flow, before, heavier)
		}
	}
	if moved < 78_000 || moved > 82_000 {
		t.Fatalf("%d flows were of the one that left, want about 80000", moved)
	}
}

// TestWeightedScoreMonotone: equal weights must choose as Mix alone does.
func TestWeightedScoreMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 1_000_000 {
		a, b, w := rng.Uint32(), rng.Uint32(), uint16(rng.Uint32()|1)
		if rng.Uint32()&1 == 0 {
			b = a + rng.Uint32()&0xff
		}
		if a > b {
			a, b = b, a
		}
		if WeightedScore(a, w) > WeightedScore(b, w) {
			t.Fatalf("%#x scores more than %#x", a, b)
		}
		if w > 1 && WeightedScore(a, w-1) > WeightedScore(a, w) {
			t.Fatalf("weight %d scores more than %d", w-1, w)
		}
	}
	for _, h := range []uint32{0, 1, 1000, 1 << 31, math.MaxUint32 - 1000, math.MaxUint32} {
		for _, w := range []uint16{1, 2, math.MaxUint16} {
			u := (float64(h) + 0.5) / (1 << 32)
			got, want := float64(WeightedScore(h, w)), float64(w)/-math.Log2(u)*(1<<16)
			if tolerance := 0.002; math.Abs(got-want) > tolerance*want+1 && h != math.MaxUint32 {
				t.Errorf("WeightedScore(%#x, %d) = %.0f, want %.0f", h, w, got, want)
			} else if got <= 0 || got < float64(WeightedScore(h/2, w)) {
				t.Errorf("WeightedScore(%#x, %d) = %.0f", h, w, got)
			}
		}
	}
}

func TestLog2(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 1_000_000 {
		x := rng.Uint64() >> (rng.Uint32() % 64)
		if x == 0 {
			continue
		}
		if got, want := float64(log2(x))/(1<<32), math.Log2(float64(x)); got > want+1e-9 || got < want-3e-6 {
			t.Fatalf("log2(%d) = %v, want %v", x, got, want)
		}
	}
}

// TestMixAvalanche: every bit of the input turns every bit of the output half of the time.
func TestMixAvalanche(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	const rounds = 20_000
	for in := range 64 {
		var flips [32]int
		for range rounds {
			h, s := rng.Uint32(), rng.Uint32()
			h2, s2 := h, s
			if in < 32 {
				h2 ^= 1 << in
			} else {
				s2 ^= 1 << (in - 32)
			}
			for d := score(h, s) ^ score(h2, s2); d != 0; d &= d - 1 {
				flips[bits.TrailingZeros32(d)]++
			}
		}
		for out, n := range flips {
			if p := float64(n) / rounds; p < 0.45 || p > 0.55 {
				t.Errorf("input bit %d turns output bit %d with probability %.3f", in, out, p)
			}
		}
	}
}

func BenchmarkWeightedScore(b *testing.B) {
	var sum uint32
	for i := range b.N {
		sum += uint32(WeightedScore(uint32(Mix(uint32(i), 12345)>>32), 7))
	}
	sink += uint64(sum)
}

func BenchmarkMix(b *testing.B) {
	var sum uint32
	for i := range b.N {
		sum += uint32(Mix(uint32(i), 12345))
	}
	sink += uint64(sum)
}

// TestBest: of any number of candidates each gets its share of the flows, and those of one that goes away are shared
// evenly by the others.
func TestBest(t *testing.T) {
	const flows = 100_000
	rng := rand.New(rand.NewPCG(5, 6))
	far := func(got, want float64) bool { return math.Abs(got-want) > 6*math.Sqrt(want) }
	for trial := range 60 {
		n := 2 + trial/4
		seeds, first := make([]uint64, n), rng.Uint32()
		for i := range seeds {
			seeds[i] = Seed(first + uint32(i)) // alike
			if trial&1 != 0 {
				seeds[i] = Seed(rng.Uint32())
			}
		}
		share, heirs := make([]int, n), make([]int, n)
		for flow := range uint32(flows) {
			if trial&2 != 0 {
				flow = rng.Uint32()
			}
			best := Best(flow, seeds)
			share[best]++
			for i, seed := range seeds {
				if Mix(flow, seed)>>16 > Mix(flow, seeds[best])>>16 {
					t.Fatalf("flow %#x: %d was chosen, %d has the higher score", flow, best, i)
				}
			}
			if best == 0 {
				heirs[1+Best(flow, seeds[1:])]++
			}
		}
		for i := range seeds {
			if want := float64(flows) / float64(n); far(float64(share[i]), want) {
				t.Errorf("%d candidates: number %d got %d flows, want %.0f", n, i, share[i], want)
			}
			if want := float64(share[0]) / float64(n-1); i > 0 && far(float64(heirs[i]), want) {
				t.Errorf("%d candidates: number %d inherited %d flows, want %.0f", n, i, heirs[i], want)
			}
		}
	}
	if Best(7, nil) != 0 {
		t.Error("nobody to choose from")
	}
}
