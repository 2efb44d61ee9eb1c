package table

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func newTable(tb testing.TB, capacity int) *Bindings {
	tb.Helper()
	t, err := NewBindings(Config{Capacity: capacity})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	return t
}

func randomBytes(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 99))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestAgainstModel runs some millions of operations on few keys: every kind of conflict, full tables, growth.
func TestAgainstModel(t *testing.T) {
	rounds, octets := 24, 1<<18
	if testing.Short() {
		rounds, octets = 4, 1<<16
	}
	for seed := range rounds {
		b, m := newTable(t, 1+seed*seed*3), newModel()
		s := script{data: randomBytes(uint64(seed), octets), macs: 8 << (seed % 6)}
		s.run(t, b, m)
	}
}

func FuzzBindings(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomBytes(seed, 200), uint8(seed*5))
	}
	f.Fuzz(func(t *testing.T, data []byte, capacity uint8) {
		b, m := newTable(t, int(capacity)+1), newModel()
		s := script{data: data, macs: 64}
		s.run(t, b, m)
	})
}

// TestFillRandom fills tables of all sizes to the brim: each must take exactly its capacity.
func TestFillRandom(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 20, 63, 64, 65, 200, 1000, 5000, 40_000, 300_000} {
		rows := manyRows(n + 1)
		b := filled(t, rows[:n])
		if err := b.Upsert(&rows[n]); !errors.Is(err, ErrFull) {
			t.Fatalf("row %d of %d: %v, want ErrFull", n+1, n, err)
		}
		s := b.Stats()
		if s.Refused != 1 || s.Rows != n || s.Capacity != n || s.ExtraIP4 != 0 || s.Rebuilds != 0 {
			t.Fatalf("stats of a full table of %d: %+v", n, s)
		}
		for i := range rows[:n] {
			r := &rows[i]
			if loc, ok := b.FindMAC(r.Seg, r.MAC); !ok || loc != r.Loc {
				t.Fatalf("FindMAC: %d, %v", loc, ok)
			}
			if mac, loc, ok := b.FindIP4(r.Seg, r.IP4[0]); !ok || mac != r.MAC || loc != r.Loc {
				t.Fatalf("FindIP4: %#x, %d, %v", mac, loc, ok)
			}
		}
		checkInside(t, b)
	}
}

// TestZeroBytes holds what findMAC relies on: the slots of the key's mark are found, free ones never are.
func TestZeroBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2_000_000 {
		m := mark(rng.Uint64() & 0xff >> (rng.Uint32() % 8)) // small ones often
		var marks uint64
		for i := range 8 {
			var other uint64
			switch rng.Uint32() % 4 {
			case 0:
				other = m
			case 1:
				other = mark(m ^ 1)
			case 2:
				other = mark(rng.Uint64())
			}
			marks |= other << (8 * i)
		}
		got := zeroBytes(marks ^ m*eachByte)
		for i := range 8 {
			other, found := marks>>(8*i)&0xff, got>>(8*i)&0xff != 0
			if other == m && !found || other == 0 && found {
				t.Fatalf("mark %#x in %#016x: %#016x", m, marks, got)
			}
		}
	}
}
