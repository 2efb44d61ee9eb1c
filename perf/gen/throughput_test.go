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
	"penstock/perf/gen/search"
	"penstock/perf/traffic"
)

func goal(name string, ratio float64) search.Goal {
	return search.Goal{
		Name: name, LossRatio: ratio, Width: 0.1, Trial: 100 * time.Millisecond, Sum: 100 * time.Millisecond,
	}
}

// TestThroughput: a device that forwards so many frames a second, by a token bucket on the frames' own time stamps, so
// that it does not depend on the machine. NDR and PDR are found on both sides of that, and latency is measured.
func TestThroughput(t *testing.T) {
	const capacity = 10_000
	var tokens, last float64
	newDevice(t, func(_ int, f []byte, send func([]byte)) {
		_, stamp, _ := traffic.Signature(f)
		now := float64(stamp) / 1e9
		tokens = min(tokens+(now-last)*capacity, 40) // 4 ms
		last = now
		if tokens < 1 {
			return
		}
		tokens--
		send(f)
	})
	e := open(t, oneWay(t))
	measured := 0
	rep, err := e.Throughput(t.Context(), Throughput{
		Options: search.Options{
			Min: 1000, Max: 20_000, Goals: []search.Goal{goal("NDR", 0), goal("PDR", 0.1)}, Phases: 1,
		},
		Latency: []float64{0.1, 0.5}, Measuring: func(float64) { measured++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	ndr, pdr := rep.Results[0], rep.Results[1]
	// The generator pays debts at a quarter above the rate, so on a busy machine the bucket may overflow below the
	// capacity, or the generator may miss its rate, which the report says.
	if ndr.Status != search.Found || ndr.Rate > 1.11*capacity || ndr.Rate < 0.5*capacity && !ndr.GeneratorLimited ||
		ndr.Width() > 0.101 {
		t.Errorf("%+v, %d trials", ndr, len(rep.Trials))
	}
	if pdr.Status != search.Found || pdr.Rate > 1.25*capacity || pdr.Rate < 0.9*capacity && !pdr.GeneratorLimited ||
		pdr.Rate < ndr.Rate {
		t.Errorf("PDR %+v, want one near %v and not below the NDR of %v", pdr, capacity, ndr.Rate)
	}
	if rep.Max != 20_000 || rep.MaxWhy != "asked for" || len(rep.Latency) != 2 || measured != 2 {
		t.Fatalf("report %+v, want the highest rate 20000 as asked for, and 2 latencies (%d measured)", rep, measured)
	}
	for _, l := range rep.Latency {
		if d := &l.Report.Directions[0]; d.Latency.Frames == 0 || d.Requested != l.Rate || l.Rate != pdr.Rate*l.Share {
			t.Errorf("latency %+v, want frames measured at the share of the PDR of %v", l, pdr.Rate)
		}
	}
}

// TestThroughputOfAWire: without a configured highest rate, the highest rate is that of the generator. A search that
// ends there says so.
func TestThroughputOfAWire(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	rep, err := e.Throughput(t.Context(), Throughput{
		Options: search.Options{Goals: []search.Goal{goal("PDR", 0.5)}, Phases: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := rep.Results[0]
	if rep.Max < 1000 || !strings.Contains(rep.MaxWhy, "port a sent") || r.Rate > rep.Max || r.Rate == 0 ||
		r.Status == search.Found && !r.GeneratorLimited {
		t.Errorf("report %+v, results %+v, want the generator's rate as the highest, and as the limit",
			rep, rep.Results)
	}
}

func TestThroughputTroubles(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	alone, err := Open(t.Context(), Config{Ports: oneWay(t).Ports[:1]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Throughput(t.Context(), Throughput{}); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "--rx") {
		t.Errorf("%v", err)
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := traffic.Builtin("size-64")
	if err != nil {
		t.Fatal(err)
	}
	mute, err := p.Program(traffic.Options{Set: map[string]string{"signature": "false"}})
	if err != nil {
		t.Fatal(err)
	}
	c := oneWay(t)
	c.Ports[0].Program = mute
	e := open(t, c)
	if _, err := e.Throughput(t.Context(), Throughput{}); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "signature") {
		t.Errorf("%v", err)
	}
	x := Disturbance{
		Rates: []float64{1000}, Lead: time.Millisecond, Length: time.Millisecond,
		Runs: 1, Do: func(context.Context, int) error { return nil },
	}
	if _, err := e.Blocked(t.Context(), x); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "signature") {
		t.Errorf("%v", err)
	}
	// Of such frames it is known how many were sent, and no more.
	r := run(t, e, Load{Rates: []float64{20_000}, Count: 500})
	d := &r.Directions[0]
	if d.Sent != 500 || d.Unsigned != 500 || d.Followed != 0 || d.Received != 0 || d.Lost != 0 || d.Gap.Length != 0 ||
		r.Ports[1].Foreign != 500 {
		t.Errorf("%+v\n%+v", d, r.Ports)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Throughput(ctx, Throughput{}); err == nil {
		t.Error("no error")
	}
}

// TestLatencyContradicts: a device passes a rate in the search, but loses frames far below that rate when latency is
// measured. The result names the goals that this contradicts.
func TestLatencyContradicts(t *testing.T) {
	var lossy atomic.Bool
	n := 0
	newDevice(t, func(_ int, f []byte, send func([]byte)) {
		if n++; lossy.Load() && n%20 == 0 {
			return
		}
		send(f)
	})
	e := open(t, oneWay(t))
	rep, err := e.Throughput(t.Context(), Throughput{
		Options: search.Options{
			Min: 1000, Max: 2000, Goals: []search.Goal{goal("NDR", 0), goal("PDR", 0.2)}, Phases: 1,
		},
		Latency: []float64{0.5}, Measuring: func(float64) { lossy.Store(true) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Latency) != 1 {
		t.Fatalf("%d runs of latency, want 1", len(rep.Latency))
	}
	at := &rep.Latency[0]
	if at.Loss < 0.03 || at.Loss > 0.07 {
		t.Errorf("loss %g, want about 0.05", at.Loss)
	}
	want := []string{"NDR"}
	// On a busy machine half of the PDR is more than the NDR, and may have losses.
	if rep.Results[0].Rate < at.Rate {
		want = nil
	}
	if at.Fault == "" && !slices.Equal(at.Contradicts, want) {
		t.Errorf("NDR %g, PDR %g: %g lost at %g contradicts %q, want %q",
			rep.Results[0].Rate, rep.Results[1].Rate, at.Loss, at.Rate,
			at.Contradicts, want)
	}
}

// TestLatencyAt: the loss of a run is held against every goal whose rate is not below the run's.
func TestLatencyAt(t *testing.T) {
	results := []search.Result{
		{Goal: search.Goal{Name: "NDR"}, Rate: 1000},
		{Goal: search.Goal{Name: "PDR", LossRatio: 0.01}, Rate: 2000},
	}
	for _, tc := range []struct {
		rate       float64
		sent, lost uint64
		want       []string
	}{
		{500, 1000, 0, nil},
		{500, 1000, 1, []string{"NDR"}},
		{1000, 1000, 10, []string{"NDR"}},
		{1000, 1000, 11, []string{"NDR", "PDR"}},
		{1500, 1000, 10, nil},
		{1500, 1000, 11, []string{"PDR"}},
		{500, 0, 0, nil},
	} {
		m := search.Measurement{Sent: tc.sent, Lost: tc.lost, Fault: "slow"}
		at := latencyAt(m, results, LatencyAt{Rate: tc.rate})
		if !slices.Equal(at.Contradicts, tc.want) || at.Fault != "slow" {
			t.Errorf("%d of %d lost at %g: contradicts %q (fault %q), want %q",
				tc.lost, tc.sent, tc.rate, at.Contradicts, at.Fault, tc.want)
		}
	}
}
