package dataplane

import (
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/stats"
	"penstock/dataplane/xsk/xsktest"
)

// TestRoomForProbes: tenants who offer more than a port carries leave the Keeper its slots of the transmit ring, and what
// it sends goes into them.
func TestRoomForProbes(t *testing.T) {
	x := newBench(t, 1, small(1))
	x.start()
	xsktest.Down(t, "pb") // the kernel takes nothing
	x.workers[0].do(func(w *worker) {
		ring := w.eng.cfg.RingSize
		for seq := range uint64(2 * ring) {
			w.Inject(1, data(0, seq))
		}
		w.flush(1)
		if n := w.room(1); n != keeperSlots {
			t.Errorf("room for %d frames, want %d", n, keeperSlots)
		}
		stuck, taken := w.stuck(1, 0)
		if !stuck || taken != 0 {
			t.Errorf("stuck %v, %d frames taken", stuck, taken)
		}
		w.Ports.Publish()
		before := w.Ports.Of(1, stats.Drops+int(drop.TxRingFull))
		w.leave = 0
		for seq := range uint64(keeperSlots) {
			w.Inject(1, data(0, seq))
		}
		if n := w.room(1); n != 0 {
			t.Errorf("room for %d frames, want none", n)
		}
		w.flush(1)
		w.leave = keeperSlots
		w.Ports.Publish()
		if n := w.Ports.Of(1, stats.Drops+int(drop.TxRingFull)) - before; n != 0 {
			t.Errorf("%d of the Keeper's frames were discarded", n)
		}
		for range 3 {
			w.Inject(1, data(0, 0))
		}
		w.flush(1)
		w.Ports.Publish()
		if n := w.Ports.Of(1, stats.Drops+int(drop.TxRingFull)) - before; n != 3 {
			t.Errorf("%d frames were discarded, want 3", n)
		}
	})
	xsktest.Up(t, "pb")
}
