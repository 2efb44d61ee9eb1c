package table

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// batch is what a worker carries through the stages at a time (frame.BatchSize).
const batch = 64

// round is the number of packets that are timed together.
const round = 256 * batch

// manyRows makes n rows of 64 segments with one IPv4 address each, random and distinct.
func manyRows(n int) []Binding {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	rows := make([]Binding, n)
	ips := make([]uint32, n)
	for i := range rows {
		ips[i] = uint32(i+1) * 2654435761 // a bijection: distinct, and not 0
		rows[i] = Binding{
			Seg: uint32(rng.IntN(64)), MAC: uint64(rng.Uint32())<<24&0xffffff000000 | uint64(i),
			Loc: uint32(i), IP4: ips[i : i+1 : i+1],
		}
	}
	rng.Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

func filled(tb testing.TB, rows []Binding) *Bindings {
	tb.Helper()
	t, err := NewBindings(Config{Capacity: len(rows)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	if _, err := t.UpsertAll(rows); err != nil {
		tb.Fatal(err)
	}
	return t
}

var sizes = []struct {
	name string
	n    int
}{{"1k", 1 << 10}, {"1M", 1_000_000}}

type probe struct {
	mac     uint64
	seg, ip uint32
}

func probes(rows []Binding) []probe {
	p := make([]probe, len(rows)/batch*batch)
	for i, j := range rand.New(rand.NewPCG(7, 7)).Perm(len(rows))[:len(p)] {
		p[i] = probe{rows[j].MAC, rows[j].Seg, rows[j].IP4[0]}
	}
	return p
}

var sink uint64

func benchFind(b *testing.B, turn func(t *Bindings, p *[batch]probe) (uint64, int)) {
	benchDelta(b, 0, func(t *Bindings, _ *Delta, p *[batch]probe) (uint64, int) { return turn(t, p) })
}

// benchDelta does so under a delta of so many rows.
func benchDelta(b *testing.B, changes int, turn func(t *Bindings, d *Delta, p *[batch]probe) (uint64, int)) {
	for _, size := range sizes {
		b.Run("bindings="+size.name, func(b *testing.B) {
			rows := manyRows(size.n)
			t := filled(b, rows)
			p := probes(rows)
			var d *Delta
			if changes > 0 {
				ups := make([]Binding, changes)
				for i := range ups {
					ups[i] = Binding{Seg: 1 << 20, MAC: uint64(i)}
				}
				d = NewDelta(t, ups, nil)
			}
			b.ReportAllocs()
			b.ResetTimer()
			// The best of many short rounds says more than the mean where others use the machine, too.
			best, at := time.Duration(math.MaxInt64), 0
			for n := 0; n < b.N; n += round {
				begin := time.Now()
				for range round / batch {
					s, found := turn(t, d, (*[batch]probe)(p[at:]))
					if found != batch {
						b.Fatalf("found %d of %d", found, batch)
					}
					sink += s
					if at += batch; at == len(p) {
						at = 0
					}
				}
				best = min(best, time.Since(begin))
			}
			b.ReportMetric(float64(best.Nanoseconds())/round, "best-ns/op")
		})
	}
}

// BenchmarkFindMAC: ns/op is per packet: touch a batch, then find it.
func BenchmarkFindMAC(b *testing.B) {
	benchFind(b, func(t *Bindings, p *[batch]probe) (sum uint64, found int) {
		for i := range p {
			sum += t.TouchMAC(p[i].seg, p[i].mac)
		}
		for i := range p {
			if loc, ok := FindMAC(t, nil, p[i].seg, p[i].mac); ok {
				sum += uint64(loc)
				found++
			}
		}
		return sum, found
	})
}

// BenchmarkFindMACHash hashes once.
func BenchmarkFindMACHash(b *testing.B) {
	benchFind(b, func(t *Bindings, p *[batch]probe) (sum uint64, found int) {
		var h [batch]uint64
		for i := range p {
			h[i] = t.HashMAC(p[i].seg, p[i].mac)
		}
		for i := range h {
			sum += t.TouchHash(h[i])
		}
		for i := range p {
			if loc, ok := FindMACHash(t, nil, h[i], p[i].seg, p[i].mac); ok {
				sum += uint64(loc)
				found++
			}
		}
		return sum, found
	})
}

// BenchmarkFindMACUntouched shows what the touching saves.
func BenchmarkFindMACUntouched(b *testing.B) {
	benchFind(b, func(t *Bindings, p *[batch]probe) (sum uint64, found int) {
		for i := range p {
			if loc, ok := FindMAC(t, nil, p[i].seg, p[i].mac); ok {
				sum += uint64(loc)
				found++
			}
		}
		return sum, found
	})
}

// BenchmarkFindIP4: ns/op is per packet: touch, seek, touch the rows, find.
func BenchmarkFindIP4(b *testing.B) {
	benchFind(b, func(t *Bindings, p *[batch]probe) (sum uint64, found int) {
		var h, at [batch]uint64
		for i := range p {
			h[i] = t.HashIP4(p[i].seg, p[i].ip)
			sum += t.TouchIP4Hash(h[i])
		}
		for i := range p {
			at[i] = t.SeekIP4(h[i], p[i].seg, p[i].ip)
		}
		for i := range at {
			sum += t.TouchRow(at[i])
		}
		for i := range p {
			if _, loc, ok := FindIP4At(t, nil, at[i], h[i], p[i].seg, p[i].ip); ok {
				sum += uint64(loc)
				found++
			}
		}
		return sum, found
	})
}

// BenchmarkFindIP4Plain does without the steps in the middle.
func BenchmarkFindIP4Plain(b *testing.B) {
	benchFind(b, func(t *Bindings, p *[batch]probe) (sum uint64, found int) {
		for i := range p {
			sum += t.TouchIP4(p[i].seg, p[i].ip)
		}
		for i := range p {
			if _, loc, ok := FindIP4(t, nil, p[i].seg, p[i].ip); ok {
				sum += uint64(loc)
				found++
			}
		}
		return sum, found
	})
}

// BenchmarkLoad: ns/op is per row of a fresh table of a million.
func BenchmarkLoad(b *testing.B) {
	rows := manyRows(1_000_000)
	load := func(b *testing.B, put func(t *Bindings)) {
		for n := 0; n < b.N; n += len(rows) {
			b.StopTimer()
			t, err := NewBindings(Config{Capacity: len(rows)})
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			put(t)
			b.StopTimer()
			if t.Len() != len(rows) {
				b.Fatal(t.Len())
			}
			_ = t.Close()
			b.StartTimer()
		}
	}
	b.Run("one", func(b *testing.B) {
		load(b, func(t *Bindings) {
			for i := range rows {
				if err := t.Upsert(&rows[i]); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("all", func(b *testing.B) {
		load(b, func(t *Bindings) {
			if _, err := t.UpsertAll(rows); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkGrow: ns/op is of one growth of a table with a million rows; the old memory goes at once.
func BenchmarkGrow(b *testing.B) {
	t := filled(b, manyRows(1_000_000))
	b.ResetTimer()
	for range b.N {
		release, err := t.Grow(1_500_000)
		if err != nil {
			b.Fatal(err)
		}
		if err := release(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplace: a million rows whose location changes.
func BenchmarkReplace(b *testing.B) {
	rows := manyRows(1_000_000)
	t := filled(b, rows)
	b.ResetTimer()
	for n := 0; n < b.N; n++ {
		r := &rows[n%len(rows)]
		r.Loc++
		if err := t.Upsert(r); err != nil {
			b.Fatal(err)
		}
	}
}
