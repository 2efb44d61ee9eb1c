package vm

import (
	"syscall"
	"testing"
	"time"

	"penstock/ctrl/status"
	"penstock/integration/endpoint"
)

// testRestarts ends the box in every way under traffic, starts it again, at once too, and expects traffic to flow with
// the tables that were stored, and interfaces left as they were found.
func testRestarts(t *testing.T, m *Machine) {
	s := settings{}
	w := open(t, m, s)
	w.through(10 * time.Second)
	for _, tc := range []struct {
		name string
		end  func() error
	}{{"killed", w.Kill}, {"terminated", w.Stop}} {
		t.Run(tc.name, func(t *testing.T) {
			w := *w
			w.t = t
			stop := w.steady(500, 8)
			for range 3 {
				time.Sleep(50 * time.Millisecond)
				must(t, tc.end())
				must(t, w.Start(s.toml())) // nothing is pushed
				w.expectMode("zero-copy", 2)
				w.through(10 * time.Second)
			}
			for _, r := range stop() {
				if r.Lost() == 0 {
					t.Error("nothing was lost: the box was not away")
				}
			}
			must(t, w.Balanced())
			must(t, tc.end())
			w.expectClean(t)
			must(t, w.Start(s.toml()))
			w.out(5, 200)
			w.in(6, 200)
		})
	}
}

// testStarved stops the box for a while under traffic: the kernel uses up all frames of the fill rings, and asks for a
// wakeup. When the box continues, reception must continue, in every poll mode, also if only waiting frames arrive.
func testStarved(t *testing.T, m *Machine, mode string) {
	for _, poll := range []string{"adaptive", "busy", "interrupt"} {
		t.Run(poll, func(t *testing.T) {
			w := open(t, m, settings{mode: mode, poll: poll, ring: 64})
			w.through(10 * time.Second)
			for round := range 3 {
				must(t, w.Signal(boxName, syscall.SIGSTOP))
				for range 2000 { // the rings and the driver's queues hold a fraction of that
					must(t, w.access.Send(w.udp(near, far, uint16(round))))
					must(t, w.fabric.Send(w.fabric.ToBox(otherPort, tenantID, segmentID, pathVLAN,
						w.udp(far, near, uint16(round))).Encode()))
				}
				time.Sleep(100 * time.Millisecond)
				must(t, w.Signal(boxName, syscall.SIGCONT))
				w.through(10 * time.Second)
			}
			ports, err := w.Ports()
			must(t, err)
			for name, p := range ports {
				if p.Kernel.FillRingEmpty == 0 {
					t.Errorf("port %s: the fill rings never ran empty: the test has starved nothing", name)
				}
			}
			must(t, w.Balanced())
			w.out(7, 500)
			w.in(8, 500)
		})
	}
}

// testWakeups lets the workers fall asleep and expects the first frame after it soon, on either queue.
func testWakeups(t *testing.T, m *Machine) {
	for _, poll := range []string{"adaptive", "interrupt"} {
		t.Run(poll, func(t *testing.T) {
			w := open(t, m, settings{poll: poll})
			w.through(10 * time.Second)
			before := w.workers()
			const rounds = 20
			for seq := range uint32(rounds) {
				time.Sleep(30 * time.Millisecond) // several naps
				frame := probe(seq)
				must(t, w.access.Send(frame))
				if _, err := w.fabric.Find(3*time.Second, func(b []byte) bool {
					_, ok := endpoint.MixSequence(b)
					return ok
				}); err != nil {
					t.Fatalf("after a pause frame %d does not arrive: %v", seq, err)
				}
			}
			for i, after := range w.workers() {
				if n := after.Sleeps - before[i].Sleeps; n < rounds {
					t.Errorf("worker %d slept %d times in %d pauses", i, n, rounds)
				}
			}
			w.completed()
		})
	}
}

func (w *site) workers() []status.Worker {
	w.t.Helper()
	var list status.Items[status.Worker]
	must(w.t, w.Call("GET", "/v1/stats/workers", nil, &list))
	return list.Items
}

// completed waits until the kernel has given back every frame that was sent.
func (w *site) completed() {
	w.t.Helper()
	var box status.Box
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		box = status.Box{}
		must(w.t, w.Call("GET", "/v1/box", nil, &box))
		if box.Frames.ByOwner["tx"] == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Errorf("frames are still with the kernel to be sent: %v", box.Frames.ByOwner)
			return
		}
	}
}

// testQueues sends many flows and expects both workers to receive their share. They go one way only: a tap follows a
// flow that has been sent on to the queue it came from.
func testQueues(t *testing.T, m *Machine) {
	w := open(t, m, settings{})
	w.through(10 * time.Second)
	before := w.workers()
	w.out(9, 2000)
	for i, after := range w.workers() {
		if n := after.Frames - before[i].Frames; n < 200 {
			t.Errorf("worker %d has received %d of 2,000 frames", i, n)
		}
	}
	w.completed()
}
