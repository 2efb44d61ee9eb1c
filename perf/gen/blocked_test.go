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

// TestBlocked: a device that stops forwarding on command, and measures itself for how long.
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
	const rate, runs = 2000, 3
	b, err := e.Blocked(t.Context(), Disturbance{
		Rates: []float64{rate}, Lead: 200 * time.Millisecond, Length: 600 * time.Millisecond, Runs: runs,
		Do: func(_ context.Context, run int) error {
			blocked.Store(true)
			time.Sleep(time.Duration(run) * 100 * time.Millisecond)
			blocked.Store(false)
			return nil
		},
		Undo: func(context.Context, int) error { undone++; return nil },
	})
	dev.end()
	if err != nil || len(b.Runs) != runs || undone != runs {
		t.Fatalf("%v, %d undone, %+v", err, undone, b)
	}
	// What the device saw: the longest time between two frames that it sent on, in each run.
	var all uint64
	close, gaps := 0, []int64{}
	for i := range b.Runs {
		r := &b.Runs[i]
		start := r.Report.start
		var least, most int64
		for k := range len(dev.went) - 1 {
			if x, y := &dev.went[k], &dev.went[k+1]; x.stamp >= start && y.stamp < start+int64(800*time.Millisecond) {
				least, most = max(least, y.before-x.after), max(most, y.after-x.before)
			}
		}
		// A busy kernel may put an arrival off, and so the beginning of a gap or its end. Not in every run.
		if float64(r.Gap) > 0.95*float64(least) && float64(r.Gap) < 1.05*float64(most) {
			close++
		}
		d := &r.Report.Directions[0]
		if r.Error != "" || r.Gap < least/2 || r.Gap > 2*most || d.Lost == 0 ||
			r.ByLoss != int64(float64(d.Lost)/d.TxRate*1e9) {
			t.Errorf("run %d: %+v, the device was silent for %d to %d ns", r.Run, r, least, most)
		}
		all += r.Report.Directions[0].Lost
		gaps = append(gaps, r.Gap)
	}
	if close == 0 {
		t.Errorf("none of %+v is what the device saw", b.Runs)
	}
	if all != uint64(lost) {
		t.Errorf("%d frames are lost, the device dropped %d", all, lost)
	}
	slices.Sort(gaps)
	if b.Gap != (Spread{gaps[0], gaps[1], gaps[2], gaps[2]}) || b.ByLoss.Max == 0 {
		t.Errorf("blocked %+v, want gaps of %v and a time by loss", b, gaps)
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
	if err != ErrNoWholeRun || len(b.Runs) != 2 || b.Runs[0].Error != "exit status 7" ||
		b.Runs[1].Error != "the command did not end within 100ms" || b.Gap.Max != 0 {
		t.Errorf("error %v, %+v, want %v, a failed command and one that did not end", err, b, ErrNoWholeRun)
	}
	for i := range b.Runs {
		if d := &b.Runs[i].Report.Directions[0]; d.Lost != 0 || d.Received == 0 {
			t.Errorf("direction %+v, want frames received and none lost", d)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	x.Do = func(context.Context, int) error { cancel(); return nil }
	if b, err := e.Blocked(ctx, x); !errors.Is(err, context.Canceled) || len(b.Runs) != 0 {
		t.Errorf("canceled: error %v, %+v, want %v and no runs", err, b, context.Canceled)
	}
	xsktest.Down(t, "b")
	x.Do = func(context.Context, int) error { return nil }
	if _, err := e.Blocked(t.Context(), x); !errors.Is(err, ErrNotForwarding) {
		t.Errorf("%v", err)
	}
	for want, change := range map[string]func(*Disturbance){
		"0 runs":      func(x *Disturbance) { x.Runs = 0 },
		"steady rate": func(x *Disturbance) { x.Rates = []float64{0} },
		"above 0":     func(x *Disturbance) { x.Lead = 0 },
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
		t.Errorf("spread of 1 to 200: %+v, want {1 100 198 200}", s)
	}
	if s := spreadOf([]int64{5}); s != (Spread{5, 5, 5, 5}) {
		t.Errorf("spread of one time: %+v, want {5 5 5 5}", s)
	}
	if s := spreadOf(nil); s != (Spread{}) {
		t.Errorf("spread of no times: %+v, want zeros", s)
	}
}
