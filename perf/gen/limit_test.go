package gen

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// TestLimit: the limit of a sender is the part that took most of its time. The limit is the CPU only if the sender was
// without a CPU, or late without another reason.
func TestLimit(t *testing.T) {
	const ms = 1_000_000
	for name, tc := range map[string]struct {
		u         usage
		lag       int64
		requested float64
		stuck     uint64
		want      string
	}{
		"receiving": {
			usage{kernel: 20 * ms, own: 10 * ms, receiving: 65 * ms, cpu: 100 * ms},
			50 * ms, 1e6, 0, LimitReceiver,
		},
		"receiving, some": {
			usage{kernel: 15 * ms, own: 5 * ms, receiving: 40 * ms, cpu: 100 * ms}, 50 * ms, 1e6, 0, LimitReceiver,
		},
		"kernel, and receive": {
			usage{kernel: 50 * ms, own: 10 * ms, receiving: 35 * ms, cpu: 100 * ms}, 50 * ms, 1e6, 0, LimitKernel,
		},
		"own":           {usage{kernel: 10 * ms, own: 80 * ms, cpu: 100 * ms}, 50 * ms, 1e6, 0, LimitGenerator},
		"without a CPU": {usage{kernel: 50 * ms, own: 10 * ms, cpu: 60 * ms}, 50 * ms, 1e6, 0, LimitCPU},
		"slept too long": {
			usage{kernel: 10 * ms, own: 10 * ms, cpu: 20 * ms, slept: 80 * ms}, 50 * ms, 1e6, 0, LimitCPU,
		},
		"stuck": {
			usage{kernel: 10 * ms, own: 10 * ms, cpu: 20 * ms, slept: 80 * ms}, 0, 1e6, 5, LimitKernel,
		},
		"never late": {usage{kernel: 30 * ms, own: 10 * ms, cpu: 100 * ms}, 0, 1e6, 0, LimitKernel},
		"down": {
			usage{kernel: 10 * ms, down: 60 * ms, cpu: 30 * ms, slept: 60 * ms}, 50 * ms, 1e6, 0, LimitLink,
		},
		"as fast as it goes": {
			usage{kernel: 20 * ms, own: 10 * ms, receiving: 65 * ms, cpu: 100 * ms}, 0, 0, 0, LimitReceiver,
		},
	} {
		tc.u.until = 100 * ms
		d := &Direction{Requested: tc.requested, Frames: 1000, Sent: 500, Stuck: tc.stuck}
		s := tc.u.sender(d, &running{}, 1, tc.lag, 1, 100*time.Millisecond)
		if s.Limit != tc.want || s.Why == "" || s.Reached != (tc.requested == 0) {
			t.Errorf("%s: %+v, want %q", name, s, tc.want)
		}
	}
}

// TestReceiverFault: a trial with a loss counts for nothing if the generator's own receiver may be what lost the
// frames.
func TestReceiverFault(t *testing.T) {
	for want, p := range map[string]PortReport{
		"":                          {Interface: "b", Counters: Counters{RxDropped: 5, TxErrors: 1}},
		"port b: the receiver had ": {Interface: "b", Overrun: 3, FillEmpty: 3},
		"port b: the card missed 7": {Interface: "b", FillEmpty: 3, Counters: Counters{RxMissed: 7}},
		"port b: the driver was ou": {Interface: "b", FillEmpty: 3},
	} {
		if got := p.fault(); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c := oneWay(t)
	c.Ring = minRing
	e := open(t, c)
	// In copy mode the chunks run out, and the kernel says both.
	for range 20 {
		r := run(t, e, Load{Rates: []float64{0}, Duration: 50 * time.Millisecond})
		if p := &r.Ports[1]; p.Overrun > 0 {
			if p.FillEmpty == 0 || r.Directions[0].Lost == 0 {
				t.Errorf("%+v\n%+v", p, r.Directions[0])
			}
			return
		}
	}
	t.Error("a ring of 64 slots was never full")
}

// TestBlockedLeft: what could not be undone is said, also when the measurement is interrupted.
func TestBlockedLeft(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	ctx, cancel := context.WithCancel(t.Context())
	left := errors.New("the link is still down")
	x := Disturbance{Rates: []float64{1000}, Lead: 50 * time.Millisecond, Length: 100 * time.Millisecond, Runs: 1}
	x.Do = func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
	x.Undo = func(context.Context, int) error { return left }
	b, err := e.Blocked(ctx, x)
	const want = "the command did not end within 100ms; to undo it: the link is still down"
	if err != ErrNoWholeRun || b.Runs[0].Error != want {
		t.Errorf("error %v, %+v, want %v and the failures of command and undo", err, b, ErrNoWholeRun)
	}
	x.Do = func(context.Context, int) error { cancel(); return nil }
	if _, err := e.Blocked(ctx, x); !errors.Is(err, context.Canceled) || !errors.Is(err, left) {
		t.Errorf("%v", err)
	}
}

// TestZeroCopy: over a wire with zero-copy mode at both ends, all frames go out and come in, also without a rate limit
// and with more frames than the driver's ring holds.
func TestZeroCopy(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Wire(t, "a", "b")
	c := oneWay(t)
	c.Socket, c.Force = xsk.ModeZeroCopy, true
	e := open(t, c)
	for _, p := range e.Ports() {
		if p.Socket != "zero-copy" {
			t.Fatalf("port %+v, want a zero-copy socket", p)
		}
	}
	for _, l := range []Load{{Rates: []float64{5000}, Count: 5000}, {Rates: []float64{0}, Count: 20 * txRing}} {
		r := run(t, e, l)
		d, p := &r.Directions[0], &r.Ports[1]
		if d.Sent != l.Count || d.Duplicates != 0 || d.Received+d.Lost != d.Sent || d.Received == 0 ||
			d.Lost > 0 && p.fault() == "" && l.Rates[0] > 0 {
			t.Errorf("%+v\n%+v", d, p)
		}
	}
}
