package search

import (
	"context"
	"math"
	"slices"
)

// interval is a pair of loads; 0: there is none.
type interval struct{ lower, upper float64 }

// narrow reports whether an interval is no wider than width, relative to its upper end.
func narrow(in interval, width float64) bool {
	// Loads are rounded, hence the little more.
	return in.upper-in.lower <= width*in.upper*(1+1e-9)+1e-9
}

// bounds are the relevant bounds of a goal (RFC 9971): the smallest load that does not meet it, and the largest below
// that one that does. Trials of a device that is not monotonous contradict each other; this leaves the careful answer.
func (s *searcher) bounds(g *Goal) (in interval) {
	rates := make([]float64, 0, len(s.loads))
	for r := range s.loads {
		rates = append(rates, r)
	}
	slices.Sort(rates)
	for _, r := range rates {
		switch classify(g, s.loads[r]) {
		case lower:
			in.lower = r
		case upper:
			in.upper = r
			return in
		}
	}
	return in
}

// narrow makes trials until the target's bounds are known. Hint is where the phase before found them.
func (s *searcher) narrow(ctx context.Context, phase int, t *Goal, hint interval) (interval, error) {
	stride := 1 // how many widths the next step outwards goes
	for {
		in := s.bounds(t)
		next, ok := s.next(t, in, hint, &stride)
		if !ok {
			return in, nil
		}
		for classify(t, s.loads[next]) == undecided {
			if _, _, err := s.try(ctx, phase, t.Name, next, t.Trial); err != nil {
				return in, err
			}
		}
	}
}

// next is the load to be decided next; ok is false when the target is reached.
func (s *searcher) next(t *Goal, in, hint interval, stride *int) (rate float64, ok bool) {
	open := func(rate float64) bool {
		return rate > 0 && classify(t, s.loads[rate]) == undecided &&
			(in.lower == 0 || rate > in.lower) && (in.upper == 0 || rate < in.upper)
	}
	switch {
	case open(hint.lower):
		return hint.lower, true
	case open(hint.upper):
		return hint.upper, true
	case in.lower == 0 && in.upper == 0:
		return s.clamp(hint.lower), true
	case in.lower == 0 && in.upper > s.Min:
		return s.step(in.upper, math.Pow(1-t.Width, float64(*stride)), stride), true
	case in.upper == 0 && in.lower < s.Max:
		return s.step(in.lower, math.Pow(1-t.Width, -float64(*stride)), stride), true
	case in.lower == 0 || in.upper == 0 || narrow(in, t.Width):
		return 0, false
	}
	mid := s.clamp(math.Sqrt(in.lower * in.upper))
	if mid <= in.lower || mid >= in.upper {
		return 0, false // the requested width is finer than the steps between loads
	}
	return mid, true
}

// step goes outwards from a load, and twice as far the next time.
func (s *searcher) step(from, factor float64, stride *int) float64 {
	*stride *= 2
	to := s.clamp(from * factor)
	if to == from { // rounding
		to = s.clamp(from + math.Copysign(1, factor-1))
	}
	return to
}
