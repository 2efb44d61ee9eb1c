package failover

import (
	"math/rand/v2"
	"testing"
	"time"
)

const msec = int64(time.Millisecond)

// journey is n datagrams, one every ms from 1000 ms on, that arrive 0.1 ms after they were sent, unless lost excludes
// them.
func journey(n int, lost func(i int) bool) (sent, arrived []int64) {
	for i := range n {
		at := (1000 + int64(i)) * msec
		sent = append(sent, at)
		if lost(i) {
			arrived = append(arrived, 0)
		} else {
			arrived = append(arrived, at+msec/10)
		}
	}
	return sent, arrived
}

func between(from, to int) func(int) bool { return func(i int) bool { return i >= from && i < to } }

func TestAccount(t *testing.T) {
	const rate = 1000
	for _, tc := range []struct {
		name   string
		n      int
		lost   func(int) bool
		mark   int64 // ms
		outage bool
		want   Loss
	}{
		{"nothing happens", 100, between(0, 0), 1050, false, Loss{Offered: 51}},
		{
			"a hole behind the mark", 100, between(51, 71), 1050, false,
			Loss{Offered: 51, Lost: 20, Blocked: 20 * time.Millisecond, Gap: 20 * time.Millisecond},
		},
		{
			"what was under way at the mark", 100, between(49, 60), 1050, false,
			Loss{Offered: 51, Lost: 11, Blocked: 11 * time.Millisecond, Gap: 11 * time.Millisecond},
		},
		{"before the mark, and before it flowed", 100, between(10, 14), 1050, false, Loss{Offered: 51, Early: 2}},
		{
			"silent to the end", 100, between(60, 100), 1050, false,
			Loss{
				Offered: 51, Lost: 40, Blocked: 40 * time.Millisecond,
				Gap: 39*time.Millisecond - 100*time.Microsecond,
			},
		},
		{"two holes", 200, func(i int) bool { return between(60, 65)(i) || between(100, 130)(i) }, 1050, false,
			Loss{Offered: 151, Lost: 35, Blocked: 35 * time.Millisecond, Gap: 30 * time.Millisecond}},
		{"an outage that ends with the mark", 200, between(50, 100), 1100, true, Loss{Offered: 100}},
		{
			"an outage that ends after the mark", 200, between(50, 108), 1100, true,
			Loss{Offered: 100, Lost: 8, Blocked: 8 * time.Millisecond, Gap: 7*time.Millisecond + 100*time.Microsecond},
		},
		{"no datagram", 0, between(0, 0), 1000, false, Loss{}},
		{
			"none arrives", 10, between(0, 10), 1000, false,
			Loss{Offered: 10, Lost: 10, Blocked: 10 * time.Millisecond, Gap: 8 * time.Millisecond},
		},
	} {
		sent, arrived := journey(tc.n, tc.lost)
		if got := account(rate, sent, arrived, 1012*msec, tc.mark*msec, tc.outage); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// The sender is delayed: late datagrams are still sent, and their lateness is reported.
func TestAccountLate(t *testing.T) {
	sent, arrived := journey(100, between(0, 0))
	for i := 60; i < 80; i++ { // 60 … 79 all at the time of the last of them
		sent[i], arrived[i] = sent[79], arrived[79]
	}
	got := account(1000, sent, arrived, 0, 1050*msec, false)
	if got.Lost != 0 || got.Late != 19*time.Millisecond || got.Gap != 19*time.Millisecond {
		t.Errorf("account %+v, want nothing lost, late and longest gap of 19ms", got)
	}
}

// Against a model that looks at every arrival of every pair.
func TestAccountRandom(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := r.Float64()
		sent, arrived := journey(1+r.IntN(80), func(int) bool { return r.Float64() < p })
		for i := range arrived { // reordered
			if arrived[i] != 0 {
				arrived[i] += r.Int64N(5 * msec)
			}
		}
		mark := (1000 + r.Int64N(90)) * msec
		got := account(1000, sent, arrived, 0, mark, false)
		var want Loss
		events := append([]int64(nil), arrived...)
		if arrived[len(arrived)-1] == 0 {
			events = append(events, sent[len(sent)-1])
		}
		for _, end := range events {
			if end <= mark || end == 0 {
				continue
			}
			last := int64(0) // the latest before it
			for _, a := range arrived {
				if a != 0 && a < end {
					last = max(last, a)
				}
			}
			if last == 0 {
				last = mark
			}
			want.Gap = max(want.Gap, time.Duration(end-last-msec))
		}
		for i := range sent {
			switch late := sent[i] < mark-int64(grace); {
			case late && arrived[i] == 0:
				want.Early++
			case !late:
				want.Offered++
				want.Lost += one(arrived[i] == 0)
			}
		}
		if got.Gap != want.Gap || got.Lost != want.Lost || got.Offered != want.Offered || got.Early != want.Early ||
			got.Blocked != time.Duration(want.Lost)*time.Millisecond {
			t.Fatalf("seed %d: %+v, want %+v", seed, got, want)
		}
	}
}

func TestStall(t *testing.T) {
	steps := func(ms ...int64) (list []arrival) {
		for _, at := range ms {
			list = append(list, arrival{at * msec, 1})
		}
		return list
	}
	for _, tc := range []struct {
		arrivals  []arrival
		mark, end int64
		want      time.Duration
	}{
		{steps(1, 2, 3, 4), 2, 4, 0},
		{steps(1, 2, 30, 31), 2, 32, 27 * time.Millisecond},
		{steps(1, 20, 21, 22), 20, 23, 0}, // before the mark
		{steps(1, 2, 3), 2, 50, 46 * time.Millisecond},
		{steps(1, 40), 10, 41, 29 * time.Millisecond}, // counts from the mark
		{nil, 10, 30, 19 * time.Millisecond},
	} {
		if got := stall(tc.arrivals, tc.mark*msec, tc.end*msec, time.Millisecond); got != tc.want {
			t.Errorf("%v from %d to %d: %v, want %v", tc.arrivals, tc.mark, tc.end, got, tc.want)
		}
	}
}

func TestSpread(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i))
	}
	if got := spreadOf(times); got != (Spread{100, 198, 200}) {
		t.Errorf("spread of 200 times %v, want {100 198 200}", got)
	}
	if got := spreadOf(times[:1]); got != (Spread{200, 200, 200}) {
		t.Errorf("spread of one time %v, want {200 200 200}", got)
	}
	if got := spreadOf(nil); got != (Spread{}) {
		t.Errorf("spread of no times %v, want zeros", got)
	}
}
