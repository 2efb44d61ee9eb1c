package gen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Disturbance describes a measurement of blocked time: for how long does a command block the frames of a steady load?
type Disturbance struct {
	Rates  []float64     // of the load, as in Load; not without limit
	Lead   time.Duration // of steady load before
	Length time.Duration // of the load afterwards
	Runs   int
	// Do is what happens. It is ended with its run, by its context. Undo is called after each run, before the next one,
	// if it is not nil.
	Do, Undo func(ctx context.Context, run int) error
	Progress func(BlockedRun) // called after each run; may be nil
}

// BlockedRun is one run.
type BlockedRun struct {
	Run int `json:"run"`
	// Gap is the longest time without an arrival that ended after the command began, in the worst direction.
	Gap     int64   `json:"gap_ns"`
	ByLoss  int64   `json:"lost_time_ns"`      // lost ÷ rate, of the worst direction
	Before  int64   `json:"background_gap_ns"` // the longest before the command
	Command int64   `json:"command_ns"`        // how long it took
	Error   string  `json:"error,omitempty"`   // what was wrong with the run
	Report  *Report `json:"report"`
}

// Blocked is the result of all runs that were whole.
type Blocked struct {
	Runs   []BlockedRun `json:"runs"`
	Gap    Spread       `json:"gap"`
	ByLoss Spread       `json:"lost_time"`
}

// Spread is how times are distributed, in ns, by nearest rank.
type Spread struct {
	Min int64 `json:"min_ns"`
	P50 int64 `json:"p50_ns"`
	P99 int64 `json:"p99_ns"`
	Max int64 `json:"max_ns"`
}

func spreadOf(times []int64) (s Spread) {
	if len(times) == 0 {
		return s
	}
	times = slices.Sorted(slices.Values(times))
	rank := func(p float64) int64 { return times[max(int(math.Ceil(p*float64(len(times))))-1, 0)] }
	return Spread{Min: times[0], P50: rank(0.5), P99: rank(0.99), Max: times[len(times)-1]}
}

// ErrNotForwarding says that nothing came through before anything had happened.
var ErrNotForwarding = errors.New("no frame came through before the command: is the device forwarding?")

// ErrNoWholeRun says that every run failed, each for the reason it states.
var ErrNoWholeRun = errors.New("no run was whole")

// Blocked measures blocked time. If ctx ends, or a port fails, the result has the runs until then.
func (e *Engine) Blocked(ctx context.Context, x Disturbance) (*Blocked, error) {
	if x.Runs < 1 || x.Lead <= 0 || x.Length <= 0 {
		return nil, refuse("%d runs of %v and %v: want 1 or more, and times above 0", x.Runs, x.Lead, x.Length)
	}
	if !slices.ContainsFunc(e.directions, func(d *direction) bool { return d.to != nil }) {
		return nil, refuse("blocked time is measured where frames arrive: name the receiving port (--rx)")
	}
	if err := e.measurable(); err != nil {
		return nil, err
	}
	for _, r := range x.Rates {
		if r <= 0 {
			return nil, refuse("blocked time needs a steady rate that the device can bear: set --rate")
		}
	}
	b := &Blocked{}
	for run := 1; run <= x.Runs; run++ {
		one, err := e.blockedRun(ctx, &x, run)
		if one != nil && one.Error == "" && err == nil && ctx.Err() == nil || one != nil && one.Error != "" {
			b.Runs = append(b.Runs, *one)
			if x.Progress != nil {
				x.Progress(*one)
			}
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			b.conclude()
			return b, err
		}
	}
	b.conclude()
	if b.Gap.Max == 0 {
		return b, ErrNoWholeRun
	}
	return b, nil
}

func (b *Blocked) conclude() {
	var gaps, losses []int64
	for i := range b.Runs {
		if r := &b.Runs[i]; r.Error == "" {
			gaps, losses = append(gaps, r.Gap), append(losses, r.ByLoss)
		}
	}
	b.Gap, b.ByLoss = spreadOf(gaps), spreadOf(losses)
}

func (e *Engine) blockedRun(ctx context.Context, x *Disturbance, run int) (*BlockedRun, error) {
	one := &BlockedRun{Run: run}
	done := make(chan error, 1)
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-during.Done():
			done <- during.Err()
			return
		case <-time.After(x.Lead):
		}
		e.Mark()
		start := time.Now()
		err := x.Do(during, run)
		one.Command = int64(time.Since(start))
		done <- err
	}()
	rep, err := e.Run(ctx, Load{Rates: x.Rates, Duration: x.Lead + x.Length})
	cancel()
	failed := <-done
	var undone error
	if x.Undo != nil {
		if u := x.Undo(context.WithoutCancel(ctx), run); u != nil {
			undone = fmt.Errorf("to undo it: %w", u)
		}
	}
	if one.Report = rep; rep == nil {
		return nil, errors.Join(err, undone)
	}
	forwarding := true
	for i := range rep.Directions {
		d := &rep.Directions[i]
		d.Latency.HDR = "" // of little use here, and there are many
		if d.To == "" {
			continue
		}
		one.Gap = max(one.Gap, d.Gap.Length)
		one.ByLoss = max(one.ByLoss, d.ByLoss)
		one.Before = max(one.Before, d.Background.Length)
		forwarding = forwarding && d.Early > 0
	}
	switch {
	case ctx.Err() != nil || err != nil: // not a whole run, but what is not put back must be known
		return one, errors.Join(err, undone)
	case !forwarding:
		return one, errors.Join(ErrNotForwarding, undone)
	case errors.Is(failed, context.Canceled):
		failed = fmt.Errorf("the command did not end within %v", x.Length)
	}
	for _, err := range []error{failed, undone} {
		if err != nil {
			one.Error = strings.TrimPrefix(one.Error+"; "+err.Error(), "; ")
		}
	}
	return one, nil
}
