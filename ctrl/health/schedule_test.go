package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// simulate runs a schedule of n probes on a clock of its own for some time: each check lasts up to a tenth of its
// interval. It returns when checks began, in all and of each probe.
func simulate(n int, interval, d time.Duration) (all []int64, each [][]int64) {
	s := newSchedule(7)
	r := rand.New(rand.NewPCG(1, 2))
	probes := make([]*probe, n)
	index := map[*probe]int{}
	for i := range probes {
		probes[i] = &probe{}
		index[probes[i]] = i
		s.add(probes[i], interval, 0)
	}
	each = make([][]int64, n)
	type end struct {
		at, start int64
		p         *probe
	}
	var running []end
	for now := int64(0); now < int64(d); now += int64(time.Millisecond) {
		running = slices.DeleteFunc(running, func(e end) bool {
			if e.at <= now {
				s.done(e.p, e.start, false)
			}
			return e.at <= now
		})
		for {
			p, _ := s.take(now)
			if p == nil {
				break
			}
			all = append(all, now)
			each[index[p]] = append(each[index[p]], now)
			running = append(running, end{now + r.Int64N(int64(interval)/10), now, p})
		}
	}
	return all, each
}

// busiest returns the most checks that began in any second.
func busiest(all []int64) (n int) {
	from := 0
	for to := range all {
		for all[to]-all[from] >= int64(time.Second) {
			from++
		}
		n = max(n, to-from+1)
	}
	return n
}

// TestSchedule: never more than 5,000 checks begin in a second, whichever second it is, nor twice the mean; every
// server is checked once an interval, give or take a tenth, as soon as the limit allows.
func TestSchedule(t *testing.T) {
	const d = 60 * time.Second
	for _, tc := range []struct {
		servers  int
		interval time.Duration
	}{{10_000, 2 * time.Second}, {10_000, 10 * time.Second}, {3000, time.Second}, {200, 2 * time.Second},
		{20_000, 2 * time.Second}} {
		t.Run(fmt.Sprintf("%d every %v", tc.servers, tc.interval), func(t *testing.T) {
			all, each := simulate(tc.servers, tc.interval, d)
			mean := float64(len(all)) / d.Seconds()
			n := busiest(all)
			t.Logf("%.0f checks a second, %d in the second with the most", mean, n)
			if n > MaxRate {
				t.Errorf("%d checks begin within a second, want at most %d", n, MaxRate)
			}
			if float64(n) > 2*mean {
				t.Errorf("%d checks begin within a second, want at most twice the mean of %.0f", n, mean)
			}
			ideal := float64(tc.servers) / tc.interval.Seconds()
			slower := max(1, ideal/MaxRate) // than the interval says, where the limit is reached
			longest := time.Duration(float64(tc.interval) * (1.15*slower + 0.1))
			for i, list := range each {
				if len(list) < 2 {
					t.Fatalf("server %d was checked %d times in %v", i, len(list), d)
				}
				for k := 2; k < len(list); k++ { // the first interval is shorter
					gap := time.Duration(list[k] - list[k-1])
					if gap < tc.interval*9/10 || gap > longest {
						t.Fatalf("server %d: %v from check to check, want %v ± 10 %%, at most %v under the limit",
							i, gap, tc.interval, longest)
					}
				}
			}
		})
	}
}

// TestFewStartAtOnce: a handful of new servers does not wait for the spreading of thousands.
func TestFewStartAtOnce(t *testing.T) {
	_, each := simulate(5, 10*time.Second, time.Second)
	for i, list := range each {
		if len(list) == 0 || list[0] > int64(300*time.Millisecond) {
			t.Errorf("server %d is first checked at %v, want within 300 ms", i, list)
		}
	}
}

// TestScheduleRemove: a probe that was removed is not checked again, also if its check was under way, and what is left
// has its rate.
func TestScheduleRemove(t *testing.T) {
	s := newSchedule(1)
	a, b := &probe{}, &probe{}
	s.add(a, time.Second, 0)
	s.add(b, time.Second, 0)
	p, _ := s.take(0)
	s.remove(p)
	s.done(p, 0, false)
	other := b
	if p == b {
		other = a
	}
	for now := int64(0); now < int64(5*time.Second); now += int64(time.Millisecond) {
		if q, _ := s.take(now); q == p {
			t.Fatal("the removed probe is checked again")
		} else if q != nil {
			s.done(q, now, false)
		}
	}
	if s.mean < 0.99 || s.mean > 1.01 {
		t.Errorf("a mean of %v checks a second is left, want 1", s.mean)
	}
	s.remove(other)
	if p, _ := s.take(int64(time.Hour)); p != nil || s.mean != 0 {
		t.Errorf("%v is due in an empty schedule, whose mean is %v", p, s.mean)
	}
}

// TestHungServerIsOutInTime: with checks every 2 s that wait for 1 s, the third failure in a row of a server that hangs
// comes at most 7 s after its last good answer, whatever the jitter.
func TestHungServerIsOutInTime(t *testing.T) {
	s := newSchedule(3)
	for range 10_000 {
		p := &probe{}
		s.add(p, 2*time.Second, 0)
		p.slot.first = false
		now := int64(0)
		for n := range 4 { // the first one succeeds
			q, at := s.take(now)
			for ; q == nil; q, at = s.take(now) {
				now = at
			}
			s.done(p, now, n > 0)
		}
		if out := time.Duration(now) + time.Second; out > 7*time.Second {
			t.Fatalf("it is out after %v, want at most 7s", out)
		}
		s.remove(p)
		s.full = 0
	}
}
