package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func goals() []Goal {
	g := Goal{Width: 0.005, Trial: time.Second, Sum: 3 * time.Second, Exceed: 0.5}
	ndr, pdr := g, g
	ndr.Name, pdr.Name, pdr.LossRatio = "NDR", "PDR", 0.005
	return []Goal{ndr, pdr}
}

// device is a simulated device and generator.
type device struct {
	capacity float64 // frames per second
	noise    float64 // standard deviation of the capacity from trial to trial, relative
	glitches float64 // how many disturbances a second: each costs 20 ms of traffic
	leak     float64 // share of the frames lost at any rate
	sender   float64 // most that the generator can send, 0 = anything
	rng      *rand.Rand
	trials   int
	took     time.Duration
}

func (d *device) measure(_ context.Context, rate float64, dur time.Duration) (m Measurement, err error) {
	d.trials++
	d.took += dur
	m.Reached = rate
	if d.sender > 0 && rate > d.sender {
		m.Reached, m.Fault = d.sender, "the generator was too slow"
	}
	sent := m.Reached * dur.Seconds()
	c := d.capacity
	if d.noise > 0 {
		c *= 1 + d.noise*d.rng.NormFloat64()
	}
	lost := max(0, sent-c*dur.Seconds()) + sent*d.leak
	for t := d.exp(); t < dur.Seconds(); t += d.exp() {
		lost += 0.02 * m.Reached
	}
	m.Sent, m.Lost = uint64(sent), min(uint64(lost), uint64(sent))
	return m, nil
}

func (d *device) exp() float64 {
	if d.glitches == 0 {
		return math.Inf(1)
	}
	return d.rng.ExpFloat64() / d.glitches
}

func run(t *testing.T, d *device, o Options) *Report {
	t.Helper()
	if o.Goals == nil {
		o.Goals = goals()
	}
	if o.Max == 0 {
		o.Max, o.Min = 10e6, 1000
	}
	r, err := Run(t.Context(), o, d.measure)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != len(o.Goals) || len(r.Trials) != d.trials || r.Took != d.took {
		t.Fatalf("%d results, %d trials of %d, took %v of %v", len(r.Results), len(r.Trials), d.trials, r.Took, d.took)
	}
	return r
}

// TestCliff: a device that forwards exactly so much. Both rates are found to the width, wherever they are.
func TestCliff(t *testing.T) {
	for _, c := range []float64{1001, 1234.5, 14_880, 333_333, 1e6, 4.2e6, 9.9e6} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			d := &device{capacity: c}
			r := run(t, d, Options{})
			for i, want := range []float64{c, c / 0.995} { // lost: (rate − c) ÷ rate
				got := r.Results[i]
				// A trial's frames are whole: at low rates one lost frame needs a little more than the capacity.
				if got.Status != Found || got.Rate > want*1.0005+2 || got.Upper < want-2 ||
					got.Width() > got.Goal.Width*1.01 || got.GeneratorLimited {
					t.Errorf("%+v, width %.4f, want %.0f", got, got.Width(), want)
				}
			}
			if d.trials > 60 || d.took > 80*time.Second {
				t.Errorf("%d trials, %v", d.trials, d.took)
			}
		})
	}
}

// TestSpread: noise from trial to trial, and disturbances that hit one trial in ten. Repeated searches agree.
func TestSpread(t *testing.T) {
	const c, searches = 1e6, 200
	search := func(o Options) (rates [][]float64) {
		for seed := range uint64(searches) {
			d := &device{capacity: c, noise: 0.002, glitches: 0.1, rng: rand.New(rand.NewPCG(seed, 3))}
			for i, r := range run(t, d, o).Results {
				if r.Status != Found {
					t.Fatalf("seed %d: %+v", seed, r)
				}
				if len(rates) == i {
					rates = append(rates, nil)
				}
				rates[i] = append(rates[i], r.Rate/c)
			}
		}
		for _, r := range rates {
			slices.Sort(r)
		}
		return rates
	}
	for i, rates := range search(Options{}) {
		low, median, high := rates[searches/10], rates[searches/2], rates[searches*9/10]
		t.Logf("%s: a tenth of the searches below %.4f, median %.4f, a tenth above %.4f, "+
			"all from %.4f to %.4f of the capacity",
			goals()[i].Name, low, median, high, rates[0], rates[searches-1])
		if median < 0.99 || median > 1.005 || high-low > 0.015 {
			t.Errorf("%s: %.4f, %.4f, %.4f of the capacity", goals()[i].Name, low, median, high)
		}
	}
	// The same device judged by single trials: the disturbances decide, which is what the repetition is for.
	g := goals()[:1]
	repeated := search(Options{Goals: g})[0]
	g[0].Sum, g[0].Exceed = g[0].Trial, 0
	single := search(Options{Goals: g})[0]
	t.Logf("NDR from single trials: a tenth below %.4f, median %.4f, lowest %.4f",
		single[searches/10], single[searches/2], single[0])
	short := func(rates []float64) (sum float64) {
		for _, r := range rates {
			sum += max(0, 1-r)
		}
		return sum / searches
	}
	if s, r := short(single), short(repeated); s < 1.5*r {
		t.Errorf("single trials fall short by %.4f, repeated ones by %.4f", s, r)
	}
}

// TestNeverLossless: there is no NDR, but there is a PDR.
func TestNeverLossless(t *testing.T) {
	r := run(t, &device{capacity: 2e6, leak: 0.001}, Options{})
	if got := r.Results[0]; got.Status != None || got.Rate != 0 || got.Upper != 1000 {
		t.Errorf("NDR %+v, want none, not even at 1000", got)
	}
	want := 2e6 / (1 - 0.004)
	if got := r.Results[1]; got.Status != Found || got.Rate > want || got.Upper < want || got.Loss < 0.001 ||
		got.Loss > 0.005 {
		t.Errorf("%+v, want %.0f", got, want)
	}
	// Worse than any goal.
	r = run(t, &device{capacity: 2e6, leak: 0.5}, Options{})
	for _, got := range r.Results {
		if got.Status != None {
			t.Errorf("a device worse than any goal: %+v, want none", got)
		}
	}
	r = run(t, &device{}, Options{}) // forwards nothing
	for _, got := range r.Results {
		if got.Status != None {
			t.Errorf("a device that forwards nothing: %+v, want none", got)
		}
	}
}

// TestAlwaysLossless: the highest rate is the result, after as many trials as decide one load.
func TestAlwaysLossless(t *testing.T) {
	d := &device{capacity: 1e9}
	r := run(t, d, Options{})
	for _, got := range r.Results {
		if got.Status != AtMax || got.Rate != 10e6 || got.Upper != 0 || got.Loss != 0 {
			t.Errorf("a device faster than the highest load: %+v, want that load, 10e6, and no loss", got)
		}
	}
	if d.trials > 8 {
		t.Errorf("%d trials", d.trials)
	}
}

// TestSlowGenerator: if the generator is the limit, the result names the generator and not the device.
func TestSlowGenerator(t *testing.T) {
	r := run(t, &device{capacity: 1e9, sender: 3e6}, Options{})
	for _, got := range r.Results {
		if got.Status != Found || !got.GeneratorLimited || got.Rate > 3e6 || got.Upper < 3e6 {
			t.Errorf("result %+v, want the generator's 3e6 as the limit", got)
		}
	}
	r = run(t, &device{capacity: 1e6, sender: 3e6}, Options{})
	for _, got := range r.Results {
		if got.Status != Found || got.GeneratorLimited || got.Rate > 1.01e6 {
			t.Errorf("result %+v, want the device's 1e6 as the limit", got)
		}
	}
}

// TestEnds: one load only; an interrupted search; one whose time is up; a trial that fails.
func TestEnds(t *testing.T) {
	r := run(t, &device{capacity: 1e6}, Options{Min: 5e5, Max: 5e5})
	if got := r.Results[0]; got.Status != AtMax || got.Rate != 5e5 {
		t.Errorf("one load below the capacity: %+v, want it met at 5e5", got)
	}
	r = run(t, &device{capacity: 1e5}, Options{Min: 5e5, Max: 5e5})
	if got := r.Results[0]; got.Status != None {
		t.Errorf("one load above the capacity: %+v, want none", got)
	}
	d := &device{capacity: 1e6}
	r = run(t, d, Options{Limit: 5 * time.Second})
	if got := r.Results[1]; got.Status != Unfinished || r.Took > 5*time.Second {
		t.Errorf("%+v after %v", got, r.Took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	r, err := Run(ctx, Options{Min: 1, Max: 1e7, Goals: goals(), Progress: func(Trial) {
		if n++; n == 12 {
			cancel()
		}
	}}, (&device{capacity: 1e6}).measure)
	if !errors.Is(err, context.Canceled) || len(r.Trials) != 12 || len(r.Results) != 2 ||
		r.Results[0].Status != Unfinished {
		t.Errorf("interrupted: error %v, %+v, want %v after 12 trials and 2 results, unfinished",
			err, r, context.Canceled)
	}
	broken := errors.New("broken")
	fail := func(context.Context, float64, time.Duration) (Measurement, error) { return Measurement{}, broken }
	r, err = Run(t.Context(), Options{Min: 1, Max: 2, Goals: goals()}, fail)
	if !errors.Is(err, broken) || len(r.Trials) != 0 {
		t.Errorf("a trial that fails: error %v, %+v, want %v and no trials", err, r, broken)
	}
}

func TestOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"from 0 to":         func(o *Options) { o.Min = 0 },
		"to 0.5":            func(o *Options) { o.Max = 0.5 },
		"from NaN":          func(o *Options) { o.Min = math.NaN() },
		"to +Inf":           func(o *Options) { o.Max = math.Inf(1) },
		"no goal":           func(o *Options) { o.Goals = nil },
		"negative":          func(o *Options) { o.Phases = -1 },
		"NDR: loss ratio 1": func(o *Options) { o.Goals[0].LossRatio = 1 },
		"exceed ratio -1":   func(o *Options) { o.Goals[0].Exceed = -1 },
		"width 0":           func(o *Options) { o.Goals[0].Width = 0 },
		"NDR: trials of":    func(o *Options) { o.Initial = time.Minute },
		"PDR: trials of":    func(o *Options) { o.Goals[1].Sum = 0 },
	} {
		o := Options{Min: 1, Max: 10, Goals: goals()}
		change(&o)
		if _, err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestClassify: the rule, case by case. F is a full trial of the goal, s a short one; upper case letters met it.
func TestClassify(t *testing.T) {
	g := Goal{Trial: time.Second, Sum: 3 * time.Second, Exceed: 0.5, Width: 0.01}
	even := g // as `penstock gen --repeat 4` has it: a tie is no majority
	even.Sum, even.Exceed = 4*time.Second, 0.375
	strict := g
	strict.Sum, strict.Exceed = time.Second, 0
	for _, tc := range []struct {
		goal   *Goal
		trials string // G/B full good and bad, g/b short, F a fault
		want   verdict
	}{
		{&g, "", undecided}, {&g, "G", undecided}, {&g, "GG", lower}, {&g, "B", undecided}, {&g, "BB", upper},
		{&g, "GB", undecided}, {&g, "GBG", lower}, {&g, "GBB", upper}, {&g, "BGGB", lower}, {&g, "BGGBB", upper},
		{&g, "gggggggg", undecided}, {&g, "bbbbbbbbbbbbbbbb", upper},
		{&g, "ggggbbbb", undecided}, {&g, "GGbbbbbbbbbbbbbbbbbbb", lower},
		{&g, "FF", upper}, {&g, "FGG", lower},
		{&even, "GGG", lower}, {&even, "GGB", undecided}, {&even, "GGBG", lower},
		{&even, "BB", upper}, {&even, "GGBB", upper},
		{&strict, "G", lower}, {&strict, "B", upper}, {&strict, "GB", upper},
		{&strict, "g", undecided}, {&strict, "b", upper},
	} {
		var trials []Trial
		for _, c := range tc.trials {
			tr := Trial{Duration: time.Second, Sent: 100}
			switch c {
			case 'g', 'b':
				tr.Duration = time.Second / 10
			case 'F':
				tr.Fault = "too slow"
			}
			if c == 'b' || c == 'B' {
				tr.Lost = 1
			}
			trials = append(trials, tr)
		}
		if got := classify(tc.goal, trials); got != tc.want {
			t.Errorf("%q: %d, want %d", tc.trials, got, tc.want)
		}
	}
}
