package perf

import (
	"math/rand/v2"
	"testing"

	"penstock/dataplane/frame"
)

// BenchmarkStages: what each stage of encapsulation costs by itself, on one batch that stays in the core's cache. The
// difference between their sum and BenchmarkEncap is memory. Figures with "copy" include putting the batch back.
func BenchmarkStages(b *testing.B) {
	const n = 1000
	r := bench(b, "web", n)
	rng := rand.New(rand.NewPCG(1, 2))
	s := r.Compiler.Snapshot()
	var batch, saved frame.Batch
	var lens [frame.BatchSize]uint16
	for i := range frame.BatchSize {
		mac, ip := remote(rng.IntN(n))
		lens[i] = uint16(copy(r.Mem[i*frameSize+frame.Headroom:],
			udp(mac, sender, 0x0a000001, ip, uint16(rng.Uint32()))))
	}
	reset := func() {
		batch.N = frame.BatchSize
		for k := range batch.N {
			p := &batch.Pkt[k]
			p.Off, p.Len, p.Port = uint32(k*frameSize+frame.Headroom), lens[k], 0
		}
	}
	r.SetTime(1)
	r.Port, r.Snap = 0, s
	reset()
	b.Run("reset", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			reset()
		}
	})
	b.Run("reset+access", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			reset()
			r.Overlay.Access(&batch)
		}
	})
	b.Run("reset+access+resolve", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			reset()
			r.Overlay.Access(&batch)
			r.Overlay.Resolve(&batch)
		}
	})
	saved = batch
	b.Run("copy+encapsulate", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			batch = saved
			r.Overlay.Encapsulate(&batch)
			r.Out(1)
		}
	})
	b.Run("all", func(b *testing.B) {
		for i := 0; i < b.N; i += frame.BatchSize {
			reset()
			r.Process(0, &batch, s)
			r.Out(1)
		}
	})
}
