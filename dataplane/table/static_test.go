package table

import (
	"math/rand/v2"
	"testing"
)

func TestStaticAgainstMap(t *testing.T) {
	var none *Static
	if v, ok := none.Get(0); ok || v != 0 || none.Len() != 0 {
		t.Fatalf("a nil map has key 0: %d", v)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 2, 3, 4, 5, 16, 17, 1000, 100_000} {
		want := map[uint64]uint32{}
		keys, values := make([]uint64, n), make([]uint32, n)
		for i := range keys {
			keys[i], values[i] = rng.Uint64N(uint64(2*n)), rng.Uint32() // some of them equal: the last one counts
			if n > 1000 {
				keys[i] <<= 40
			}
			want[keys[i]] = values[i]
		}
		s := NewStatic(keys, values)
		if s.Len() != len(want) || len(s.slots) < 2*len(want) {
			t.Fatalf("%d keys: Len() = %d, want %d; %d slots", n, s.Len(), len(want), len(s.slots))
		}
		for k, v := range want {
			if got, ok := s.Get(k); !ok || got != v {
				t.Fatalf("%d keys: Get(%#x) = %d, %v; want %d", n, k, got, ok, v)
			}
		}
		for range 10_000 {
			k := rng.Uint64N(uint64(4*n + 10))
			if n > 1000 && k%2 == 0 {
				k <<= 40
			}
			got, ok := s.Get(k)
			if v, there := want[k]; ok != there || got != v {
				t.Fatalf("%d keys: Get(%#x) = %d, %v; want %d, %v", n, k, got, ok, v, there)
			}
		}
	}
}

func BenchmarkStatic(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, size := range []struct {
		name string
		n    int
	}{{"10", 10}, {"10k", 10_000}} {
		b.Run("keys="+size.name, func(b *testing.B) {
			keys, values := make([]uint64, size.n), make([]uint32, size.n)
			for i := range keys {
				keys[i], values[i] = rng.Uint64()>>8, uint32(i)
			}
			s := NewStatic(keys, values)
			order := make([]uint64, 1<<16)
			for i := range order {
				order[i] = keys[rng.IntN(size.n)]
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				v, _ := s.Get(order[i&(len(order)-1)])
				sink += uint64(v)
			}
		})
	}
}
