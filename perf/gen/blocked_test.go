package gen

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
)

// TestBlocked: a device that stops forwarding when it is told to. How long, it measures itself.
func TestBlocked(t *testing.T) {
	var blocked atomic.Bool
	var lost int
	dev := newDevice(t, func(_ int, f []byte, send func([]byte)) {
		if blocked.Load() {
			lost++
			return
		}
		send(f)
	})
	e := open(t, oneWay(t))
	undone := 0
	const rate = 2000
	b, err := e.Blocked(t.Context(), Disturbance{
		Rates: []float64{rate}, Lead: 200 * time.Millisecond, Length: 800 * time.Millisecond, Runs: 2,
		Do: func(_ context.Context, run int) error {
			blocked.Store(true)
			time.Sleep(time.Duration(run) * 150 * time.Millisecond)
			blocked.Store(false)
			return nil
		},
		Undo: func(context.Context, int) error { undone++; return nil },
	})
	dev.end()
	if err != nil || len(b.Runs) != 2 || undone != 2 {
		t.Fatalf("%v, %d undone, %+v", err, undone, b)
	}
	// What the device saw: the longest time between two frames that it sent on, in each run.
	first := slices.IndexFunc(dev.went, func(s sighting) bool { return s.seq >= 2000 })
	var all uint64
	for i, went := range [][]sighting{dev.went[:first], dev.went[first:]} {
		var least, most int64
		for k := range len(went) - 1 {
			least = max(least, went[k+1].before-went[k].after)
			most = max(most, went[k+1].after-went[k].before)
		}
		r := &b.Runs[i]
		// Beyond what was certainly silent, and not much beyond what can have been: arrival may be put off by the kernel.
		if r.Error != "" || r.Gap < least || float64(r.Gap) > 1.2*float64(most) || r.Gap <= r.Before || r.Command < r.Gap/2 {
			t.Errorf("run %d: %+v, the device was silent for %d to %d ns", r.Run, r, least, most)
		}
		d := &r.Report.Directions[0]
		all += d.Lost
		if want := int64(float64(d.Lost) / d.TxRate * 1e9); r.ByLoss != want {
			t.Errorf("run %d: %d ns of loss, want %d", r.Run, r.ByLoss, want)
		}
	}
	if all != uint64(lost) {
		t.Errorf("%d frames are lost, the device dropped %d", all, lost)
	}
	if b.Gap.Max != max(b.Runs[0].Gap, b.Runs[1].Gap) || b.Gap.P50 != min(b.Runs[0].Gap, b.Runs[1].Gap) || b.Gap.P99 != b.Gap.Max || b.ByLoss.Max == 0 {
		t.Errorf("%+v", b)
	}
}

// TestBlockedTroubles: a command that fails or does not end, a device that does not forward, an interruption.
func TestBlockedTroubles(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	x := Disturbance{Rates: []float64{1000}, Lead: 50 * time.Millisecond, Length: 100 * time.Millisecond, Runs: 2}
	x.Do = func(ctx context.Context, run int) error {
		if run == 1 {
			return errors.New("exit status 7")
		}
		<-ctx.Done()
		return ctx.Err()
	}
	b, err := e.Blocked(t.Context(), x)
	if err != nil || len(b.Runs) != 2 || b.Runs[0].Error != "exit status 7" || b.Runs[1].Error != "the command did not end within 100ms" || b.Gap.Max != 0 {
		t.Errorf("%v, %+v", err, b)
	}
	for i := range b.Runs {
		if d := &b.Runs[i].Report.Directions[0]; d.Lost != 0 || d.Received == 0 {
			t.Errorf("%+v", d)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	x.Do = func(context.Context, int) error { cancel(); return nil }
	if b, err := e.Blocked(ctx, x); !errors.Is(err, context.Canceled) || len(b.Runs) != 0 {
		t.Errorf("%v, %+v", err, b)
	}
	xsktest.Down(t, "b")
	x.Do = func(context.Context, int) error { return nil }
	if _, err := e.Blocked(t.Context(), x); !errors.Is(err, ErrNotForwarding) {
		t.Errorf("%v", err)
	}
	for want, change := range map[string]func(*Disturbance){
		"0 runs": func(x *Disturbance) { x.Runs = 0 }, "steady rate": func(x *Disturbance) { x.Rates = []float64{0} }, "above 0": func(x *Disturbance) { x.Lead = 0 },
	} {
		bad := x
		change(&bad)
		if _, err := e.Blocked(t.Context(), bad); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestSpread(t *testing.T) {
	var times []int64
	for n := range int64(200) {
		times = append(times, 200-n)
	}
	if s := spreadOf(times); s != (Spread{1, 100, 198, 200}) {
		t.Errorf("%+v", s)
	}
	if s := spreadOf([]int64{5}); s != (Spread{5, 5, 5, 5}) {
		t.Errorf("%+v", s)
	}
	if s := spreadOf(nil); s != (Spread{}) {
		t.Errorf("%+v", s)
	}
}
