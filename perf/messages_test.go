package perf

import (
	"fmt"
	"testing"

	"penstock/ctrl/compile"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/integration/rig"
)

// BenchmarkMessages: bindings that other boxes broadcast, alone in their frames and 36 in each, from the fabric port
// through the worker's checks and ring to control, which parses each; all on one core. ns/op is ns per HERE. With
// "beside" a batch of 64 packets is encapsulated for every batch of 64 messages. Copying a frame into the UMEM, which
// the kernel does in a running box, is part of it.
func BenchmarkMessages(b *testing.B) {
	for _, bodies := range []int{1, 36} {
		for _, beside := range []bool{false, true} {
			name := fmt.Sprintf("bodies=%d", bodies)
			if beside {
				name += "/beside"
			}
			b.Run(name, func(b *testing.B) { benchMessages(b, bodies, beside) })
		}
	}
}

func benchMessages(b *testing.B, bodies int, beside bool) {
	r := bench(b, "web", 1000)
	if err := r.Compiler.Reconfigure(func(c *compile.Config) { c.MessageVLAN = 4000 }); err != nil {
		b.Fatal(err)
	}
	message := append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\xbb\x81\x00\x0f\xa0\x88\xb5"),
		make([]byte, 0, bodies*resolve.BodyLen)...)
	for n := range bodies {
		mac, _ := remote(n)
		m := resolve.Body{Op: resolve.OpHere, Sequence: 1_800_000_000_000_000_000, Tenant: 100, Segment: 7,
			MAC: uint64(mac), Switch: uint64(switchB), Port: 17}
		message = m.Append(message)
	}
	mac, ip := remote(7)
	data := udp(mac, sender, 0x0a000001, ip, 1000)
	reader := resolve.NewReader(r.Resolve)
	heres, packets, want := 0, 0, 0
	take := func(a resolve.Arrival) {
		for p := a.Payload; len(p) > 0; heres++ {
			_, n, _ := resolve.Parse(p)
			p = p[n:]
		}
	}
	var batch frame.Batch
	now := int64(1)
	b.ReportAllocs()
	b.ResetTimer()
	for heres < b.N {
		now += 5000
		r.SetTime(now)
		batchOf(r, &batch, fab, message)
		r.Process(fab, &batch, r.Compiler.Snapshot())
		if beside {
			batchOf(r, &batch, acc, data)
			r.Process(acc, &batch, r.Compiler.Snapshot())
			for _, d := range r.Out(fab) {
				r.Free(uint32(d.Addr))
				packets++
			}
		}
		want += frame.BatchSize
		r.Resolve.Wake()
		for reader.TakeMessages(take) > 0 {
		}
	}
	b.StopTimer()
	if heres != want*bodies || beside && packets != want {
		b.Fatalf("%d of %d bindings reached control, %d of %d packets came out", heres, want*bodies, packets, want)
	}
	b.ReportMetric(float64(heres)/b.Elapsed().Seconds(), "HERE/s")
	if beside {
		b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "packets/s")
	}
}

// batchOf fills a batch with copies of f as if they had arrived on port.
func batchOf(r *rig.Rig, batch *frame.Batch, port uint16, f []byte) {
	batch.N = frame.BatchSize
	for k := range batch.N {
		addr, _ := r.Cache.Get()
		p := &batch.Pkt[k]
		p.Off, p.Port = addr+frame.Headroom, port
		p.Len = uint16(copy(r.Mem[p.Off:addr+frameSize], f))
	}
}
