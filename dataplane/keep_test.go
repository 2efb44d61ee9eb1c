package dataplane

import (
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
	"penstock/dataplane/xsk/xsktest"
)

// TestRoomForProbes: tenants that send more than a port carries leave slots of the transmit ring free for the Keeper,
// and the Keeper's frames use these slots.
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
			t.Errorf("stuck %v, %d frames taken; want true, 0", stuck, taken)
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
			t.Errorf("%d of the Keeper's frames were discarded, want none", n)
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

// TestStartBeforePorts: the workers run before the ports are open. The Keeper sends no probe by a port that is not
// open, so that the first probe is not lost, and does not count against the member to start with.
func TestStartBeforePorts(t *testing.T) {
	x, _, stop := withGateways(t, 2, PollAdaptive)
	defer stop()
	g := x.snapshot.Load().Groups[1]
	g.Live.Start = 1
	waited := false
	log := x.cfg.Log
	x.cfg.Log = func(l Level, msg string, args ...any) {
		log(l, msg, args...)
		if msg != "port open" || waited {
			return
		}
		waited = true // after the first port, which is no uplink, wait ten intervals
		from := x.Clock()
		within(t, "ten intervals", func() bool { return x.Clock()-from > 10*g.Policy.Interval })
		for i := range g.Members {
			if m := g.Members[i].Live; m.Probes.Load() != 0 || gateway.State(m.State.Load()) != gateway.Init {
				t.Errorf("member %d before its port was open: %d probes, state %v; want 0, %v",
					i, m.Probes.Load(), gateway.State(m.State.Load()), gateway.Init)
			}
		}
		if a := g.Live.Active.Load(); a != 1 {
			t.Errorf("member %d is active, want 1, the member to start with", int32(a))
		}
	}
	x.start()
	if !waited {
		t.Fatal("no message that a port is open, want one for each port")
	}
	up := func(i int) bool { return gateway.State(g.Members[i].Live.State.Load()) == gateway.Up }
	within(t, "both gateways up", func() bool { return up(0) && up(1) })
	x.end()
}

// TestNewsBeforeNap: news from another worker between the Keeper's turn and the nap, when the first worker is not
// asleep yet, keeps the first worker awake.
func TestNewsBeforeNap(t *testing.T) {
	x, _, stop := withGateways(t, 2, PollInterrupt)
	defer stop()
	w := x.workers[0]
	s := x.snapshot.Load()
	slept := func() bool {
		before := w.loop.Load(loopSleeps)
		w.sleep()
		w.loop.Publish()
		return w.loop.Load(loopSleeps) != before
	}
	for range 3 {
		w.keep(x.Clock(), s)
		if w.pending() || !slept() {
			t.Error("the worker does not sleep without news, want it to sleep")
		}
		x.workers[1].setRefused(2, true)
		if slept() {
			t.Error("the worker sleeps after another one could not send, want it awake")
		}
		x.workers[1].setRefused(2, false)
	}
	w.gen.Store(idle)
	x.start()
	x.end()
}

// TestRefusedEnds: a faulty port without frames to send counts as sound again after some time.
func TestRefusedEnds(t *testing.T) {
	x, _, stop := withGateways(t, 1, PollAdaptive)
	defer stop()
	g := x.snapshot.Load().Groups[1]
	state := func() gateway.State { return gateway.State(g.Members[1].Live.State.Load()) }
	x.start()
	within(t, "the gateway up", func() bool { return state() == gateway.Up })
	var faulty bool
	x.workers[0].do(func(w *worker) {
		for w.sent[3] > 0 {
			w.complete(w.tx[3], 3)
		}
		w.setRefused(3, true)
		w.keep(x.Clock(), x.snapshot.Load())
		faulty = state() == gateway.Down && gateway.Why(g.Members[1].Live.Why.Load()) == gateway.WhyTransmit
	})
	if !faulty {
		t.Errorf("state %v for %v after the fault, want %v for %v", state(),
			gateway.Why(g.Members[1].Live.Why.Load()), gateway.Down, gateway.WhyTransmit)
	}
	within(t, "the gateway up again", func() bool { return state() == gateway.Up })
	x.end()
}
