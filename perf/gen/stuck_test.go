package gen

import (
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/traffic"
)

// TestStuck: frames that one run could not get out, since its interface was down, go out in the next one, and count in
// neither as sent.
func TestStuck(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	for range 2 {
		xsktest.Down(t, "a")
		r, err := e.Run(t.Context(), Load{Rates: []float64{5000}, Count: 200, Duration: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if d := &r.Directions[0]; d.Stuck == 0 || d.Sent+d.Stuck > 200 {
			t.Fatalf("the interface is down: %+v", d)
		}
		xsktest.Up(t, "a")
		r = run(t, e, Load{Rates: []float64{5000}, Count: 300})
		if d := &r.Directions[0]; d.Sent != 300 || d.Received != 300 || d.Lost != 0 {
			t.Errorf("link up again: direction %+v, want 300 frames sent and received", d)
		}
		if r.Ports[1].Stale == 0 {
			t.Error("nothing of the run before arrived: nothing was stuck")
		}
	}
}

// TestSlowDevice: what a device holds up for longer than nothing arrives is not lost: neither the first frames, before
// which nothing tells how long it takes, nor those that come after a pause shorter than that.
func TestSlowDevice(t *testing.T) {
	const count = 100
	newDevice(t, func(n int, f []byte, send func([]byte)) {
		_, stamp, _ := traffic.Signature(f)
		hold := 2 * stillMissing
		if n >= count/2 {
			hold += stillMissing * 3 / 2
		}
		for monotonic() < stamp+int64(hold) {
			time.Sleep(time.Millisecond)
		}
		send(f)
	})
	e := open(t, oneWay(t))
	r := run(t, e, Load{Rates: []float64{1e6}, Count: count})
	if d := &r.Directions[0]; d.Sent != count || d.Received != count || d.Lost != 0 {
		t.Errorf("direction %+v, want %d frames sent and received", d, count)
	}
}

// TestPartlyFollowed: if some of the frames carry no signature, loss and blocked time are those of the others. A
// profile without signatures has no blocked time.
func TestPartlyFollowed(t *testing.T) {
	dev := newDevice(t, func(n int, f []byte, send func([]byte)) {
		if _, _, ok := traffic.Signature(f); ok && n < 400 {
			return
		}
		send(f)
	})
	c := oneWay(t)
	c.Ports[0].Program = program(t, "malformed", traffic.Options{})
	e := open(t, c)
	look := make(chan LiveDirection, 1)
	go func() {
		w := e.Watch()
		for {
			if l, ok := w.Look(); ok && l.Directions[0].Missing > 0 {
				look <- l.Directions[0]
				return
			}
			if t.Context().Err() != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	r := run(t, e, Load{Rates: []float64{5000}, Count: 1000})
	dev.end()
	d := &r.Directions[0]
	if d.Unsigned == 0 || d.Followed == 0 || d.Sent != 1000 || d.Unsigned+d.Followed != d.Sent || d.Lost == 0 ||
		d.Received+d.Lost != d.Followed {
		t.Fatalf("direction %+v, want 1000 frames, some without signature, some lost, all accounted for", d)
	}
	// A share of the followed frames is missing: it takes as long as the same share of all.
	want := float64(d.Lost) / float64(d.Followed) * float64(d.Sent) / d.TxRate * 1e9
	if float64(d.ByLoss) < want*0.999 || float64(d.ByLoss) > want*1.001 {
		t.Errorf("lost time %d ns, want %.0f", d.ByLoss, want)
	}
	select {
	case l := <-look:
		if l.Missing > l.Sent-l.Unsigned {
			t.Errorf("live %+v, want no more missing than are followed", l)
		}
	default:
		t.Error("the live view never saw one missing")
	}
}
