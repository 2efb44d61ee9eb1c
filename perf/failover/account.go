package failover

import (
	"math"
	"slices"
	"time"
)

// Loss is what became of the datagrams of a run.
type Loss struct {
	Offered    int           // datagrams, from the fault on
	Lost       int           // of them
	Blocked    time.Duration // Lost ÷ rate
	Gap        time.Duration // longest time without an arrival from the fault on, less the time between two datagrams
	Early      int           // lost before the fault, since traffic began to flow, which is to be none
	Duplicates int           // in the whole run
	Late       time.Duration // how late the sender was at most, from the fault on
}

// grace before a fault: what was sent then is under way when it happens.
const grace = time.Millisecond

// account returns for how long traffic was blocked since mark. sent and arrived are the times of the datagrams by
// number, in nanoseconds (0: never). At start traffic was seen to flow. With outage set traffic was cut off before mark
// on purpose, and only datagrams sent since mark count.
func account(rate int, sent, arrived []int64, start, mark int64, outage bool) (l Loss) {
	interval := int64(time.Second) / int64(rate)
	from := mark
	if !outage {
		from -= int64(grace)
	}
	var times []int64
	for i, at := range arrived {
		if at != 0 {
			times = append(times, at)
		}
		if sent[i] < from {
			if at == 0 && !outage && sent[i] >= start {
				l.Early++
			}
			continue
		}
		l.Offered++
		if at == 0 {
			l.Lost++
		}
		if i > 0 {
			l.Late = max(l.Late, time.Duration(sent[i]-sent[i-1]-interval))
		}
	}
	l.Blocked = time.Duration(int64(l.Lost) * interval)
	slices.Sort(times)
	last := mark
	note := func(at int64) {
		if at > mark {
			l.Gap = max(l.Gap, time.Duration(at-last-interval))
		}
		last = max(last, at)
	}
	if !outage { // a gap that the fault falls into began before it
		for _, at := range times {
			if at <= mark {
				last = at
			}
		}
	}
	for _, at := range times {
		note(at)
	}
	if n := len(sent); n > 0 && arrived[n-1] == 0 { // silent to the end
		note(sent[n-1])
	}
	return l
}

// arrival is so many octets of a stream at a time, in nanoseconds.
type arrival struct {
	at     int64
	octets int
}

// stall returns the longest time since mark in which nothing of a stream arrived, beyond the time between two writes.
// The stream ended at end.
func stall(arrivals []arrival, mark, end int64, interval time.Duration) (longest time.Duration) {
	last := mark
	for _, a := range arrivals {
		if a.at > mark {
			longest = max(longest, time.Duration(a.at-last)-interval)
		}
		last = max(last, a.at)
	}
	return max(longest, time.Duration(end-last)-interval, 0)
}

// Spread is how times are distributed, by nearest rank.
type Spread struct{ P50, P99, Max time.Duration }

func spreadOf(times []time.Duration) (s Spread) {
	if len(times) == 0 {
		return s
	}
	times = slices.Sorted(slices.Values(times))
	rank := func(p float64) time.Duration { return times[max(int(math.Ceil(p*float64(len(times))))-1, 0)] }
	return Spread{rank(0.5), rank(0.99), times[len(times)-1]}
}
