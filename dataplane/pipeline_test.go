package dataplane

import (
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// TestFramesBeforeTheFirstSnapshot: until tables are published, every frame is discarded as no_role and freed.
func TestFramesBeforeTheFirstSnapshot(t *testing.T) {
	const frames, size = 256, 2048
	pool, err := frame.NewPool(frames, size, 1)
	if err != nil {
		t.Fatal(err)
	}
	v := frame.NewVerify(frames, size)
	pl := NewPipeline(make([]byte, frames*size), pool, v, 1, 1, 1)
	var b frame.Batch
	for range 10 {
		for b.N = 0; b.N < frame.BatchSize; b.N++ {
			addr, ok := pl.Cache.Get()
			if !ok {
				t.Fatal("no frame is free, want all frames free after each batch")
			}
			v.Move(addr, frame.OwnerPool, frame.OwnerBatch)
			b.Pkt[b.N] = frame.Packet{Off: addr + frame.Headroom, Len: 60}
		}
		pl.Process(0, &b, &fib.Snapshot{})
	}
	pl.Publish()
	if n := pl.Ports.Of(0, stats.Drops+int(drop.NoRole)); n != 10*frame.BatchSize {
		t.Errorf("%d frames counted as no_role, want %d", n, 10*frame.BatchSize)
	}
	if n := v.Count()[frame.OwnerPool.String()]; n != frames {
		t.Errorf("%d frames are in the pool, want all %d", n, frames)
	}
}
