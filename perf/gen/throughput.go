package gen

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"penstock/perf/gen/search"
)

// Throughput describes a search for the rates that a device bears. Rates are those of the port that sends most; others
// send in proportion.
type Throughput struct {
	search.Options           // Max 0: what the generator sends when nothing holds it back
	Shares         []float64 // of each sending port's rate, at most 1; nil: all the same
	// Latency asks for latency at these shares of the last goal's rate, after the search.
	Latency []float64
	// Measuring is called before each run of latency; may be nil.
	Measuring func(rate float64)
}

// ThroughputReport is the result of a search.
type ThroughputReport struct {
	Max    float64 `json:"max_pps"`    // the highest rate that was tried
	MaxWhy string  `json:"max_reason"` // why not a higher one
	*search.Report
	Latency []LatencyAt `json:"latency,omitempty"`
}

// LatencyAt is the latency at a share of the rate that was found.
type LatencyAt struct {
	Share  float64 `json:"share"`
	Rate   float64 `json:"pps"`
	Report *Report `json:"report"`
	// Loss is that of all directions together, as in a trial, 0 to 1.
	Loss float64 `json:"loss_ratio"`
	// Contradicts names the goals whose rate was found to be at least Rate, and which allow less than Loss.
	Contradicts []string `json:"contradicts,omitempty"`
	// Fault says why the run is no word on the device: see search.Measurement.
	Fault string `json:"fault,omitempty"`
}

// sampling is how long the generator's own rate is measured for, at the least.
const sampling = 200 * time.Millisecond

// Throughput searches. If ctx ends, or a port fails, the report has what was found until then.
func (e *Engine) Throughput(ctx context.Context, t Throughput) (*ThroughputReport, error) {
	if !slices.ContainsFunc(e.directions, func(d *direction) bool { return d.to != nil }) {
		return nil, refuse("loss is measured where frames arrive: name the receiving port (--rx)")
	}
	if err := e.measurable(); err != nil {
		return nil, err
	}
	if t.Shares == nil {
		t.Shares = slices.Repeat([]float64{1}, len(e.directions))
	}
	rep := &ThroughputReport{Max: t.Max, MaxWhy: "asked for"}
	if t.Max == 0 {
		if err := e.highest(ctx, &t, rep); err != nil {
			return rep, err
		}
	}
	t.Options.Max = rep.Max
	if t.Min == 0 {
		t.Min = min(max(rep.Max/1000, 1), rep.Max)
	}
	var err error
	measure := func(ctx context.Context, rate float64, d time.Duration) (search.Measurement, error) {
		return e.trial(ctx, &t, rate, d)
	}
	rep.Report, err = search.Run(ctx, t.Options, measure)
	if err != nil || rep.Report == nil {
		return rep, err
	}
	return rep, e.latencies(ctx, &t, rep)
}

// measurable refuses profiles of which a side cannot be followed at all.
func (e *Engine) measurable() error {
	if slices.ContainsFunc(e.directions, func(d *direction) bool { return !d.measurable() }) {
		return refuse("the profile's frames carry no signature, so that their loss is not known: " +
			"use another one, or give its streams `signature = true`")
	}
	return nil
}

// measurable reports whether some of the frames can be followed.
func (d *direction) measurable() bool {
	for _, s := range d.program.Streams() {
		if s.Signed {
			return true
		}
	}
	return false
}

// highest finds out how much the generator sends when nothing holds it back.
func (e *Engine) highest(ctx context.Context, t *Throughput, rep *ThroughputReport) error {
	initial := sampling
	if len(t.Goals) > 0 {
		initial = max(initial, t.Goals[0].Trial/10)
	}
	r, err := e.Run(ctx, Load{Rates: make([]float64, len(e.directions)), Duration: initial})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range r.Directions {
		d := &r.Directions[i]
		if most := d.TxRate / t.Shares[i]; most > 0 && (rep.Max == 0 || most < rep.Max) {
			rep.Max, rep.MaxWhy = most, fmt.Sprintf("all that port %s sent (%s)", d.From, d.Sender.Why)
		}
	}
	if rep.Max == 0 {
		return fmt.Errorf("the generator could not send at all: %s", r.Directions[0].Sender.Why)
	}
	return nil
}

// loadOf is the load of a trial.
func (t *Throughput) loadOf(rate float64, d time.Duration) Load {
	l := Load{Duration: d}
	for _, s := range t.Shares {
		l.Rates = append(l.Rates, rate*s)
	}
	return l
}

// enough is the share of the requested rate that a trial must have sent.
const enough = 0.998

// trial is one trial of a search. What both directions lost is added up, as RFC 2544 does it.
func (e *Engine) trial(ctx context.Context, t *Throughput, rate float64, dur time.Duration) (
	m search.Measurement, err error,
) {
	r, err := e.Run(ctx, t.loadOf(rate, dur))
	if err != nil {
		return m, err
	}
	if err := ctx.Err(); err != nil {
		return m, err
	}
	return t.measurement(r, rate), nil
}

// measurement is what a run at a rate says about the device.
func (t *Throughput) measurement(r *Report, rate float64) (m search.Measurement) {
	m.Reached = rate
	for i := range r.Directions {
		d := &r.Directions[i]
		if d.To != "" {
			m.Sent += d.Followed
			m.Lost += d.Lost
		}
		m.Reached = min(m.Reached, d.TxRate/t.Shares[i])
		if d.Sent < d.Frames || d.TxRate < enough*d.Requested {
			m.Fault = fmt.Sprintf("port %s sent %.0f of %.0f frames per second: %s",
				d.From, d.TxRate, d.Requested, d.Sender.Why)
		}
	}
	for i := range r.Ports {
		if m.Fault == "" && m.Lost > 0 {
			m.Fault = r.Ports[i].fault()
		}
	}
	return m
}

// latencies measures latency at shares of what was found.
func (e *Engine) latencies(ctx context.Context, t *Throughput, rep *ThroughputReport) error {
	found := rep.Results[len(rep.Results)-1]
	if found.Rate == 0 {
		return nil
	}
	for _, share := range t.Latency {
		rate := found.Rate * share
		if t.Measuring != nil {
			t.Measuring(rate)
		}
		r, err := e.Run(ctx, t.loadOf(rate, found.Goal.Trial))
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		rep.Latency = append(rep.Latency,
			latencyAt(t.measurement(r, rate), rep.Results, LatencyAt{Share: share, Rate: rate, Report: r}))
	}
	return nil
}

// latencyAt holds a run of latency against what the search found: a device that loses more at a lower rate than a goal
// allows does not bear the goal's rate at all times.
func latencyAt(m search.Measurement, results []search.Result, at LatencyAt) LatencyAt {
	at.Fault = m.Fault
	if m.Sent > 0 {
		at.Loss = float64(m.Lost) / float64(m.Sent)
	}
	for i := range results {
		if r := &results[i]; r.Rate >= at.Rate && at.Loss > r.Goal.LossRatio {
			at.Contradicts = append(at.Contradicts, r.Goal.Name)
		}
	}
	return at
}
