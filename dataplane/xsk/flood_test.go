package xsk_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// flood sends frames from both outer ends as fast as it can until stop is called, whatever happens to the
// interfaces.
func flood(ends ...*xsktest.PacketSocket) (stop func()) {
	var done atomic.Bool
	var wg sync.WaitGroup
	for _, e := range ends {
		wg.Go(func() {
			f := xsktest.Frame(1, 60)
			for !done.Load() {
				if e.TrySend(f) != nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return func() {
		done.Store(true)
		wg.Wait()
	}
}

// TestDisturbedUnderFlood forwards both ways at full load while interfaces go down, lose their carrier or are
// deleted. Frames are accounted for to the last one each time.
func TestDisturbedUnderFlood(t *testing.T) {
	disturb := map[string]func(t *testing.T){
		"nothing":        func(t *testing.T) {},
		"down and up":    func(t *testing.T) { xsktest.Down(t, "c"); xsktest.Up(t, "c") },
		"carrier":        func(t *testing.T) { xsktest.Down(t, "d"); xsktest.Up(t, "d") },
		"down":           func(t *testing.T) { xsktest.Down(t, "b") },
		"delete first":   func(t *testing.T) { xsktest.Delete(t, "b") },
		"delete second":  func(t *testing.T) { xsktest.Delete(t, "c") },
		"delete far end": func(t *testing.T) { xsktest.Delete(t, "d") },
		"delete both":    func(t *testing.T) { xsktest.Delete(t, "b"); xsktest.Delete(t, "c") },
	}
	for name, what := range disturb {
		t.Run(name, func(t *testing.T) {
			xsktest.Namespace(t)
			a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
			c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
			p := newPool(t, 2048)
			pb, pc := openPort(t, p, b, 1, steer.Auto), openPort(t, p, c, 1, steer.Auto)
			stop := flood(xsktest.Packet(t, a), xsktest.Packet(t, d))
			defer stop()
			run := func(d time.Duration) (moved int) {
				for until := time.Now().Add(d); time.Now().Before(until); {
					for _, way := range [][2]*port{{pb, pc}, {pc, pb}} {
						n, err := forward(way[0], way[1], 0)
						if err != nil && !errors.Is(err, xsk.ErrLinkDown) && !errors.Is(err, xsk.ErrGone) {
							t.Fatal(err)
						}
						moved += n
					}
				}
				return moved
			}
			flows := func(when string) {
				for until := time.Now().Add(2 * time.Second); run(10*time.Millisecond) == 0; {
					if time.Now().After(until) {
						t.Errorf("no traffic %s", when)
						return
					}
				}
			}
			flows("before the disturbance")
			for i := range 5 {
				if i == 0 || name[:2] != "de" {
					what(t)
				}
				run(10 * time.Millisecond)
			}
			if name == "nothing" {
				flows("at the end")
			}
			stop()
			for _, o := range []*port{pb, pc} {
				held := o.sock[0].Held()
				if err := o.prog.Close(); err != nil {
					t.Error(err)
				}
				if err := o.sock[0].Close(); err != nil {
					t.Error(err)
				}
				if n := o.sock[0].Held(); n != held {
					t.Errorf("%s: %d frames held before Close, %d after", o.end.Name, held, n)
				}
				o.close()
			}
			p.whole(t)
		})
	}
}

// TestRecovery: after the flood's interface is down and up again, frames flow as before.
func TestRecovery(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	p := newPool(t, 2048)
	pb, pc := openPort(t, p, b, 1, steer.Auto), openPort(t, p, c, 1, steer.Auto)
	left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)
	for i, name := range []string{"b", "c", "d", "a"} {
		stop := flood(left)
		xsktest.Down(t, name)
		for range 200 {
			if _, err := forward(pb, pc, 0); err != nil && !errors.Is(err, xsk.ErrLinkDown) {
				t.Fatal(err)
			}
		}
		xsktest.Up(t, name)
		stop()
		deadline := time.Now().Add(2 * time.Second)
		for seq := uint64(i+1) * 1000; ; seq++ {
			_ = left.TrySend(xsktest.Frame(seq, 60))
			if _, err := forward(pb, pc, 0); err != nil {
				t.Fatal(err)
			}
			f := right.Receive(0)
			if got, ok := xsktest.Seq(f); ok && got >= uint64(i+1)*1000 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s was down: no frame passes since it is up again", name)
			}
		}
	}
	pb.close()
	pc.close()
	p.whole(t)
}
