package perf

import (
	"encoding/binary"
	"testing"
	"time"

	"penstock/dataplane/frame"
	"penstock/dataplane/xsk"
)

// tableOctets is what a million bindings take, rounded to a power of two.
const tableOctets = 32 << 20

// BenchmarkFloor is what memory alone costs: the frames of the other benchmarks, in batches, with the octets read that
// encapsulation reads and the 38 octets written that it writes, and no decisions. No pipeline over these frames can be
// faster. near: with 256 frames in place of 16,384, so that they stay in the core's cache. 2-lines, 4-lines: in
// addition, 2 or 4 cache lines are read for each frame at independent places of a table, as encapsulation and router do
// with a million bindings.
func BenchmarkFloor(b *testing.B) {
	b.Run("far", func(b *testing.B) { floor(b, frames, 0) })
	b.Run("near", func(b *testing.B) { floor(b, 256, 0) })
	b.Run("2-lines", func(b *testing.B) { floor(b, frames, 2) })
	b.Run("4-lines", func(b *testing.B) { floor(b, frames, 4) })
}

// area is memory as the box has it for its frames, filled.
func area(b *testing.B, octets int) []byte {
	u, err := xsk.NewUmem(xsk.UmemConfig{Frames: octets / frameSize, FrameSize: frameSize})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := u.Close(); err != nil {
			b.Error(err)
		}
	})
	for i := range u.Mem() {
		u.Mem()[i] = byte(i)
	}
	return u.Mem()
}

// random is the number that follows (Knuth, MMIX); its upper bits are the good ones.
func random(n uint64) uint64 { return n*6364136223846793005 + 1442695040888963407 }

func floor(b *testing.B, n, lines int) {
	mem, table := area(b, n*frameSize), area(b, tableOctets)
	var sum, at uint64
	var rounds []float64
	b.ResetTimer()
	began := time.Now()
	for done, i := 0, 0; done < b.N; done, i = done+frame.BatchSize, i+frame.BatchSize {
		if i == n {
			rounds = append(rounds, float64(time.Since(began).Nanoseconds())/float64(n))
			i, began = 0, time.Now()
		}
		for k := range frame.BatchSize {
			sum += uint64(mem[(i+k)*frameSize+frame.Headroom])
		}
		for range frame.BatchSize * lines {
			at = random(at)
			sum += uint64(table[at>>39&(tableOctets-1)])
		}
		for k := range frame.BatchSize {
			off := (i+k)*frameSize + frame.Headroom
			f := mem[off : off+42 : off+42]
			for at := 0; at < 40; at += 8 {
				sum += binary.LittleEndian.Uint64(f[at:])
			}
			h := mem[off-38 : off : off]
			for at := 0; at < 32; at += 8 {
				binary.LittleEndian.PutUint64(h[at:], sum)
			}
			binary.LittleEndian.PutUint64(h[30:], sum)
		}
	}
	b.StopTimer()
	reportRounds(b, rounds)
}
