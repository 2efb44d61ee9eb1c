package perf

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"penstock/dataplane/frame"
)

// BenchmarkFloor is what memory alone costs: the frames of the other benchmarks, in batches, with the octets read that
// encapsulation reads and the 38 octets written that it writes, and nothing decided. No pipeline over these frames can be
// faster. near: with 256 frames in place of 16,384, so that they stay in the core's cache.
func BenchmarkFloor(b *testing.B) {
	b.Run("far", func(b *testing.B) { floor(b, frames) })
	b.Run("near", func(b *testing.B) { floor(b, 256) })
}

func floor(b *testing.B, n int) {
	mem := make([]byte, n*frameSize)
	for i := range mem {
		mem[i] = byte(i)
	}
	var sum uint64
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
	if len(rounds) > 0 {
		slices.Sort(rounds)
		b.ReportMetric(rounds[0], "min-ns/op")
		b.ReportMetric(rounds[len(rounds)/2], "median-ns/op")
	}
}
