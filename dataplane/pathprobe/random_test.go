package pathprobe

import (
	"math/rand/v2"
	"testing"

	"penstock/dataplane/fib"
)

// asked is a probe as the network saw it.
type asked struct {
	at     int64
	path   int
	number uint8
	lost   bool
}

// fault is a part of the network that loses everything for a time.
type fault struct {
	path     int   // −1: all
	number   uint8 // 0: all
	from, to int64
}

// TestRandom holds verdicts over random histories against a naive look at all that the network saw. Whenever a path
// falls, misses of its probes in a row were lost, and a box that was silent on it has answered a later probe elsewhere.
// Whenever a path was lost for long enough while a box answered elsewhere, it is down.
func TestRandom(t *testing.T) {
	falls, found, saved := 0, 0, 0
	for run := range uint64(60) {
		r := rand.New(rand.NewPCG(run, 7))
		s := Setting{Interval: (50 + r.Int64N(300)) * ms, Misses: 1 + r.Uint32N(4), Goods: 1 + r.Uint32N(5)}
		boxes := [fib.Targets]uint8{20, uint8(21 * r.IntN(2))}
		paths := 2 + r.IntN(4)
		w := newWorld(t, paths, s, boxes)
		w.prober.rand = r
		var faults []fault
		var log []asked
		noise := r.IntN(3)
		w.lost = func(path int, number uint8) bool {
			lost := r.IntN(100) < noise
			for _, f := range faults {
				lost = lost || w.now >= f.from && w.now < f.to && (f.path < 0 || f.path == path) &&
					(f.number == 0 || f.number == number)
			}
			log = append(log, asked{w.now, path, number, lost})
			return lost
		}
		w.run(idleEvery+5*s.Interval, true)
		for range 20 {
			f := fault{path: r.IntN(paths+1) - 1, from: w.now, to: w.now + r.Int64N(30*s.Interval)}
			if f.path < 0 {
				f.number = boxes[r.IntN(2)]
			}
			faults = append(faults, f)
			for w.now < f.to {
				n := len(w.events)
				w.run(turn, true)
				for _, e := range w.events[n:] {
					if e.Kind != PathChanged || e.To != down || e.From == down {
						continue
					}
					falls++
					if why := unjust(w, log, e, s.Misses); why != "" {
						t.Fatalf("run %d, %+v, %v, at %d ms: %s", run, s, boxes, w.now/ms, why)
					}
				}
			}
			long := f.to-f.from > int64(4*s.Misses+8)*s.Interval
			switch {
			case !long:
			case f.path < 0 && f.number != 0:
				saved++
			case f.path >= 0 && w.state(f.path) != down && w.snap.Probes[f.path].Live.Fails.Load() == 0:
				t.Fatalf("run %d, %+v, %v: path %d is %v after %d ms without an answer", run, s, boxes, f.path,
					w.state(f.path), (f.to-f.from)/ms)
			case f.path >= 0 && w.state(f.path) != down:
				t.Fatalf("run %d, %+v, %v: path %d is %v again after %d ms without an answer", run, s, boxes, f.path,
					w.state(f.path), (f.to-f.from)/ms)
			case f.path >= 0:
				found++
			}
			w.run(r.Int64N(10*s.Interval), true)
		}
	}
	if falls < 300 || found < 100 || saved < 50 {
		t.Errorf("%d falls, %d dead paths found, %d dead boxes: the test shows little", falls, found, saved)
	}
}

// unjust says what is wrong with a path's fall, by all probes that were sent, or "".
func unjust(w *world, log []asked, e Event, misses uint32) string {
	path := -1
	for i := range w.snap.Probes {
		if w.snap.Probes[i].Live == e.Path {
			path = i
		}
	}
	first := map[uint8]int64{} // by box: the first probe since the last answer
	run := uint32(0)
	for _, a := range log {
		switch {
		case a.path != path || a.at >= e.Time:
		case !a.lost:
			first, run = map[uint8]int64{}, 0
		default:
			run++
			if first[a.number] == 0 {
				first[a.number] = a.at
			}
		}
	}
	if run < misses {
		return "fewer probes in a row were lost than it takes"
	}
	for _, a := range log {
		if at := first[a.number]; !a.lost && a.path != path && at != 0 && a.at > at {
			return ""
		}
	}
	return "no box that was silent on the path has answered elsewhere since"
}
