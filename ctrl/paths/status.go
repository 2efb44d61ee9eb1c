package paths

import (
	"math/bits"
	"slices"

	"penstock/ctrl/compile"
	"penstock/ctrl/status"
	"penstock/dataplane/fib"
	"penstock/dataplane/liveness"
)

// Changes is how many changes of a path are kept.
const Changes = 64

// Change is a change of a path's state.
type Change = status.PathChange

// stateName is the name of a state for people: a path of which nothing is known yet is used.
func stateName(s liveness.State) string {
	if s == liveness.Init {
		return "unknown"
	}
	return s.String()
}

// note keeps a change.
func (s *Service) note(l *fib.PathLive, c Change) {
	h := s.history[l]
	if len(h) == Changes {
		h = slices.Delete(h, 0, 1)
	}
	s.history[l] = append(h, c)
}

// Fill adds to the status of a path what its probes have shown.
func (s *Service) Fill(to *status.Path, p *compile.PathInfo) {
	l := p.Probe
	to.PortUp, to.State = p.PortUp, stateName(liveness.State(l.State.Load()))
	if why := liveness.Why(l.Why.Load()); why != liveness.None {
		to.Reason = why.String()
	}
	since := s.wall(l.Since.Load())
	to.Since = &since
	if held := l.Held.Load(); held > s.cfg.Engine.Clock() {
		at := s.wall(held)
		to.Held = &at
	}
	to.Failures, to.Probes, to.Answers, to.Missed = l.Fails.Load(), l.Probes.Load(), l.Answers.Load(), l.Missed.Load()
	if n := min(to.Answers+to.Missed, 64); n > 0 {
		to.Loss = float64(bits.OnesCount64(l.Lost.Load())) / float64(n)
	}
	to.RTT = roundTrips(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Changes = append([]Change{}, s.history[l]...)
}

// roundTrips returns the quantiles of the last round trips, or nil.
func roundTrips(l *fib.PathLive) *status.RTT {
	var list []int64
	for i := range l.RTT {
		if n := l.RTT[i].Load(); n != 0 {
			list = append(list, int64(n))
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	at := func(percent int) int64 { return list[(len(list)-1)*percent/100] }
	return &status.RTT{Count: l.Trips.Load(), Min: at(0), P50: at(50), P90: at(90), P99: at(99), Max: at(100)}
}
