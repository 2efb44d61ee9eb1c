package search

import (
	"slices"
	"time"
)

// verdict is what a load is for a goal.
type verdict uint8

const (
	undecided verdict = iota
	lower             // it meets the goal
	upper             // it does not
)

// good reports whether a trial meets a goal. A trial that says nothing about the device does not.
func (g *Goal) good(t *Trial) bool { return t.Fault == "" && t.Loss() <= g.LossRatio }

// classify says what the trials at a load make of it: RFC 9971, load classification. Trial time is summed up by whether
// the goal was met; trials shorter than full ones count only as far as they speak against the load and are not
// outweighed by such that speak for it. The load is decided when the time still missing could not turn the verdict.
func classify(g *Goal, trials []Trial) verdict {
	var goodLong, badLong, goodShort, badShort time.Duration
	for i := range trials {
		t := &trials[i]
		switch long, good := t.Duration >= g.Trial, g.good(t); {
		case long && good:
			goodLong += t.Duration
		case long:
			badLong += t.Duration
		case good:
			goodShort += t.Duration
		default:
			badShort += t.Duration
		}
	}
	balance := float64(goodShort) * g.Exceed / (1 - g.Exceed)
	bad := float64(badLong) + max(0, float64(badShort)-balance)
	whole := max(bad+float64(goodLong), float64(g.Sum))
	missing := whole - bad - float64(goodLong)
	switch {
	case bad/whole > g.Exceed:
		return upper
	case (bad+missing)/whole <= g.Exceed:
		return lower
	}
	return undecided
}

// medianLoss is the median loss of the trials that are at least that long, 0 if there are none.
func medianLoss(trials []Trial, least time.Duration) float64 {
	var losses []float64
	for i := range trials {
		if t := &trials[i]; t.Duration >= least && t.Fault == "" {
			losses = append(losses, t.Loss())
		}
	}
	if len(losses) == 0 {
		return 0
	}
	slices.Sort(losses)
	return losses[len(losses)/2]
}

// onlyFaults reports whether all trials that speak against a load do so because the generator failed.
func onlyFaults(trials []Trial, g *Goal) bool {
	faults := 0
	for i := range trials {
		switch t := &trials[i]; {
		case t.Fault != "":
			faults++
		case !g.good(t):
			return false
		}
	}
	return faults > 0
}
