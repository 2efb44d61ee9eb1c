package parse

import (
	"testing"

	"penstock/dataplane/frame"
)

// benchmark parses a batch of copies of one packet, a frame buffer each, and reports ns per packet.
func benchmark(b *testing.B, data []byte, run func([]byte, *frame.Packet) bool) {
	const chunk = 2048
	mem := make([]byte, chunk*frame.BatchSize)
	var batch frame.Batch
	batch.N = frame.BatchSize
	for i := range batch.Pkt {
		p := &batch.Pkt[i]
		p.Off = uint32(i*chunk + frame.Headroom)
		p.Len = uint16(len(data))
		copy(mem[p.Off:], data)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch.Pkt {
			run(mem, &batch.Pkt[i])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
	if batch.Pkt[0].Next != frame.NextParsed {
		b.Fatal("dropped:", batch.Pkt[0].Drop)
	}
}

func BenchmarkAccess(b *testing.B) {
	for _, k := range kinds(b) {
		if k.drop == 0 {
			b.Run(k.name, func(b *testing.B) { benchmark(b, k.data, Access) })
		}
	}
}

func BenchmarkFabric(b *testing.B) {
	benchmark(b, kind(b, "tcp4"), Fabric)
}

func BenchmarkEdge(b *testing.B) {
	benchmark(b, kind(b, "tcp4-tag"), Edge)
}
