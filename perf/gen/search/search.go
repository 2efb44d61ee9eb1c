package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Goal is what is searched for: the highest rate with no more than a certain loss.
type Goal struct {
	Name      string        `json:"name"`       // "NDR"
	LossRatio float64       `json:"loss_ratio"` // the most that a trial may lose, 0 to 1
	Exceed    float64       `json:"exceed"`     // the share of trial time that may lose more, 0 to less than 1
	Width     float64       `json:"width"`      // of the result: (upper − lower) ÷ upper
	Trial     time.Duration `json:"trial_ns"`   // length of a full trial
	Sum       time.Duration `json:"sum_ns"`     // of full trials, until a load is decided
}

// Options of a search. Rates are frames per second.
type Options struct {
	Min, Max float64 // the loads that may be tried
	Goals    []Goal
	Initial  time.Duration // length of the shortest trials; 0: a tenth of the full ones
	Phases   int           // before the last one, with shorter trials and wider bounds; 0: 2
	Limit    time.Duration // of the whole search's trials; 0: none
	Progress func(Trial)   // called after each trial; may be nil
}

func (o *Options) check() error {
	if !(o.Min > 0 && o.Max >= o.Min && !math.IsInf(o.Max, 1)) {
		return fmt.Errorf("search: from %g to %g frames per second: want "+
			"a lowest rate above 0 and a highest that is not below it", o.Min, o.Max)
	}
	if len(o.Goals) == 0 {
		return errors.New("search: no goal")
	}
	if o.Initial < 0 || o.Phases < 0 || o.Limit < 0 {
		return errors.New("search: shortest trial, phases and limit must not be negative")
	}
	for _, g := range o.Goals {
		switch {
		case !(g.LossRatio >= 0 && g.LossRatio < 1):
			return fmt.Errorf("search: %s: loss ratio %g: want 0 to less than 1", g.Name, g.LossRatio)
		case !(g.Exceed >= 0 && g.Exceed < 1):
			return fmt.Errorf("search: %s: exceed ratio %g: want 0 to less than 1", g.Name, g.Exceed)
		case !(g.Width > 0 && g.Width < 1):
			return fmt.Errorf("search: %s: width %g: want more than 0 and less than 1", g.Name, g.Width)
		case g.Trial <= 0 || g.Sum < g.Trial || o.Initial > g.Trial:
			return fmt.Errorf("search: %s: trials of %v to %v, %v in all: "+
				"want the shortest not to exceed the longest, and that not the sum", g.Name, o.Initial, g.Trial, g.Sum)
		}
	}
	return nil
}

// Measurement is what a trial found out.
type Measurement struct {
	Sent uint64 // frames
	Lost uint64
	// Fault says why the trial says nothing about the device: the generator did not keep the rate, or its own receiver
	// lost frames. Empty: it does.
	Fault string
	// Reached is the rate that was sent, in frames per second.
	Reached float64
}

// Measure makes a trial: so many frames per second for so long.
type Measure func(ctx context.Context, rate float64, d time.Duration) (Measurement, error)

// Trial is a trial that was made.
type Trial struct {
	Rate     float64       `json:"rate"` // requested frames per second
	Duration time.Duration `json:"duration_ns"`
	Sent     uint64        `json:"sent"`
	Lost     uint64        `json:"lost"`
	Fault    string        `json:"fault,omitempty"`
	Phase    int           `json:"phase"`          // 0: where to begin
	Goal     string        `json:"goal,omitempty"` // that it was made for
}

// Loss is the share of frames lost, 0 to 1. A trial that sent nothing lost everything.
func (t *Trial) Loss() float64 {
	if t.Sent == 0 {
		return 1
	}
	return float64(t.Lost) / float64(t.Sent)
}

// Status says how a goal ended.
type Status string

// The statuses.
const (
	Found      Status = "found"      // between two bounds
	AtMax      Status = "at_max"     // the highest load tried meets the goal: the device may do more
	None       Status = "none"       // the lowest load tried does not meet the goal
	Unfinished Status = "unfinished" // time ran out or the search was interrupted
)

// Result is the outcome for one goal. Rates are frames per second; 0: there is none.
type Result struct {
	Goal   Goal   `json:"goal"`
	Status Status `json:"status"`
	// Rate is the largest load that meets the goal, Upper the smallest that does not.
	Rate  float64 `json:"rate"`
	Upper float64 `json:"upper"`
	// Loss is the median loss of the full trials at Rate. Rate × (1 − Loss) is what was forwarded (the conditional
	// throughput of RFC 9971).
	Loss float64 `json:"loss"`
	// GeneratorLimited says that Upper is no word on the device: there the generator failed, see the trials' faults.
	GeneratorLimited bool `json:"generator_limited,omitempty"`
}

// Width is the width of the result relative to its upper bound.
func (r *Result) Width() float64 {
	if r.Upper == 0 {
		return 0
	}
	return (r.Upper - r.Rate) / r.Upper
}

// Report is what a search found out.
type Report struct {
	Results []Result      `json:"results"` // in the order of the goals
	Trials  []Trial       `json:"trials"`  // in the order in which they were made
	Took    time.Duration `json:"took_ns"` // sum of the trials' lengths
}

// errLimit ends a search whose time is up.
var errLimit = errors.New("search: time is up")

// searcher is a search under way.
type searcher struct {
	Options
	measure Measure
	report  Report
	loads   map[float64][]Trial
}

// Run searches for all goals at once: they share their trials. If ctx ends, or a trial fails, the report has what was
// found until then, and the error says so.
func Run(ctx context.Context, o Options, m Measure) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Phases == 0 {
		o.Phases = 2
	}
	s := &searcher{Options: o, measure: m, loads: map[float64][]Trial{}}
	err := s.run(ctx)
	s.conclude()
	if errors.Is(err, errLimit) {
		err = nil // the results say that they are unfinished
	}
	return &s.report, err
}

func (s *searcher) run(ctx context.Context) error {
	first, err := s.begin(ctx)
	if err != nil {
		return err
	}
	hints := make([]interval, len(s.Goals))
	for i := range hints {
		hints[i] = interval{lower: first}
	}
	for phase := 1; phase <= s.Phases+1; phase++ {
		for i := range s.Goals {
			t := s.target(phase, &s.Goals[i])
			if hints[i], err = s.narrow(ctx, phase, &t, hints[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// target is a goal as one phase pursues it: until the last one with shorter and fewer trials and a larger width.
func (s *searcher) target(phase int, g *Goal) Goal {
	t := *g
	left := s.Phases + 1 - phase
	if left == 0 {
		return t
	}
	initial := s.initial(g)
	share := float64(phase-1) / float64(s.Phases)
	t.Trial = time.Duration(float64(initial) * math.Pow(float64(g.Trial)/float64(initial), share))
	t.Sum = t.Trial
	t.Width = min(g.Width*math.Exp2(float64(left)), 0.5)
	return t
}

func (s *searcher) initial(g *Goal) time.Duration {
	if s.Initial > 0 {
		return s.Initial
	}
	return max(g.Trial/10, 1)
}

// begin makes a trial at the highest load. What comes through says where to look.
func (s *searcher) begin(ctx context.Context) (float64, error) {
	t, reached, err := s.try(ctx, 0, "", s.Max, s.initial(&s.Goals[0]))
	if err != nil {
		return 0, err
	}
	return s.clamp(min(s.Max, reached) * (1 - t.Loss())), nil
}

// clamp keeps a load within what may be tried, in whole frames per second where that leaves enough digits.
func (s *searcher) clamp(rate float64) float64 {
	if rate > 1e5 {
		rate = math.Round(rate)
	}
	return min(max(rate, s.Min), s.Max)
}

// tries is how often a trial is made that says nothing about the device, before that counts as a failure at that load.
const tries = 3

// try makes a trial.
func (s *searcher) try(ctx context.Context, phase int, goal string, rate float64, d time.Duration) (
	t Trial, reached float64, err error,
) {
	for n := 1; ; n++ {
		if s.Limit > 0 && s.report.Took+d > s.Limit {
			return t, 0, errLimit
		}
		if err := ctx.Err(); err != nil {
			return t, 0, err
		}
		m, err := s.measure(ctx, rate, d)
		if err != nil {
			return t, 0, err
		}
		t = Trial{Rate: rate, Duration: d, Sent: m.Sent, Lost: m.Lost, Fault: m.Fault, Phase: phase, Goal: goal}
		s.report.Took += d
		s.report.Trials = append(s.report.Trials, t)
		if s.Progress != nil {
			s.Progress(t)
		}
		if m.Fault == "" || n == tries || phase == 0 {
			s.loads[rate] = append(s.loads[rate], t)
			return t, m.Reached, nil
		}
	}
}

// conclude writes the results down, from all trials.
func (s *searcher) conclude() {
	for i := range s.Goals {
		g := &s.Goals[i]
		in := s.bounds(g)
		r := Result{Goal: *g, Status: Unfinished, Rate: in.lower, Upper: in.upper}
		switch {
		case in.lower > 0 && in.upper > 0 && narrow(in, g.Width):
			r.Status = Found
		case in.lower == s.Max:
			r.Status = AtMax
		case in.upper == s.Min:
			r.Status = None
		}
		if in.lower > 0 {
			r.Loss = medianLoss(s.loads[in.lower], g.Trial)
		}
		r.GeneratorLimited = in.upper > 0 && onlyFaults(s.loads[in.upper], g)
		s.report.Results = append(s.report.Results, r)
	}
}
