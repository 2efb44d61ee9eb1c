package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

const second = 1_000_000_000

// naive is a textbook's token bucket: its tokens are measured in nanoseconds, and are credited as time passes.
type naive struct {
	credit, last int64 // nanoseconds
	started      bool
}

func (b *naive) take(now, interval, burst, n int64) bool {
	if !b.started {
		b.credit, b.started = burst*interval, true
	} else {
		b.credit = min(burst*interval, b.credit+max(0, now-b.last))
	}
	b.last = max(b.last, now)
	if b.credit < min(n, burst)*interval {
		return false
	}
	b.credit -= n * interval
	return true
}

// TestTake: random callers get the same answers from Bucket and from naive. The rates divide a second into whole
// nanoseconds.
func TestTake(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, rate := range []uint32{1, 8, 1000, 40_000, 1_000_000, 100_000_000} {
		for range 50 {
			burst := 1 + rng.Uint32N(300)
			interval := int64(second / rate)
			var b Bucket
			var want naive
			now := rng.Int64N(1000)
			for step := range 2000 {
				now += rng.Int64N(2*interval + 1)
				n := 1 + rng.Uint32N(3)
				if rng.IntN(50) == 0 {
					n = rng.Uint32N(2*burst) + 1
				}
				got, want := b.Take(now, rate, burst, n), want.take(now, interval, int64(burst), int64(n))
				if got != want {
					t.Fatalf("rate %d, burst %d, step %d: taking %d gives %v, want %v", rate, burst, step, n, got, want)
				}
			}
		}
	}
}

func TestEnds(t *testing.T) {
	var none *Bucket
	if none.Take(1, 100, 100, 1) {
		t.Error("a bucket that does not exist allows something, want nothing")
	}
	var b Bucket
	now := int64(5)
	take := func(rate, burst uint32) (n int) {
		for n < 1000 && b.Take(now, rate, burst, 1) {
			n++
		}
		return n
	}
	for _, tc := range []struct {
		name        string
		after       int64
		rate, burst uint32
		want        int
	}{
		{"full at first, and a burst of 0 counts as 1", 0, 1, 0, 1},
		{"rate 0 allows nothing", 3600 * second, 0, 10, 0},
		{"never more than the burst", 3600 * second, 100, 10, 10},
		{"a clock that goes back gives nothing", -second, 100, 10, 0},
		{"nor does time that was there before", second, 100, 10, 0},
		{"one token after its time", second / 100, 100, 10, 1},
		{"not a nanosecond before", second/100 - 1, 100, 10, 0},
		{"and nothing is lost in between", 1, 100, 10, 1},
		{"a lowered burst holds at once", second, 100, 3, 3},
		{"the largest rate and burst do not overflow", second, ^uint32(0), ^uint32(0), 1000},
		{"nor does the largest burst of the lowest rate", second, 1, ^uint32(0), 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now += tc.after
			if got := take(tc.rate, tc.burst); got != tc.want {
				t.Errorf("%d tokens, want %d", got, tc.want)
			}
		})
	}
}

// TestDebt: the rate holds for a caller that takes more tokens at once than the bucket holds.
func TestDebt(t *testing.T) {
	var b Bucket
	passed := 0
	for ms := range int64(100_000) {
		if b.Take(ms*1e6, 1000, 200, 500) {
			passed += 500
		}
	}
	if passed < 99_500 || passed > 100_500 {
		t.Errorf("%d tokens in 100 s at 1000 a second, want 100,000 give or take one frame", passed)
	}
}

// TestShared: several workers that take from one bucket share one rate.
func TestShared(t *testing.T) {
	const rate, burst, workers = 1000, 100, 8
	var b Bucket
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for us := range int64(1_000_000) { // a second
				if us%7 == 0 && b.Take(us*1000, rate, burst, 1) {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n < rate-1 || n > rate+burst {
		t.Errorf("%d tokens to %d workers in a second, want %d and a burst of %d at most", n, workers, rate, burst)
	}
}

// TestTable: a table that grows keeps its buckets, has no bucket beyond its end, and Reset fills a new owner's bucket.
func TestTable(t *testing.T) {
	var none *Table
	if none.Len() != 0 || none.At(0) != nil {
		t.Errorf("a nil table has %d buckets and bucket 0 %v, want none", none.Len(), none.At(0) != nil)
	}
	a := NewTable(3)
	if a.At(2) == nil || a.At(uint32(a.Len())) != nil || a.At(^uint32(0)) != nil {
		t.Errorf("a table of %d buckets: bucket 2 %v, bucket %d %v, bucket 2³²−1 %v; want bucket 2 alone",
			a.Len(), a.At(2) != nil, a.Len(), a.At(uint32(a.Len())) != nil, a.At(^uint32(0)) != nil)
	}
	if same := a.Grown(a.Len()); same != a {
		t.Error("Grown returns another table for a number of buckets that the table has, want the same table")
	}
	b := a.Grown(70_000)
	if b.Len() < 70_000 || b.At(69_999) == nil {
		t.Fatalf("%d buckets, want 70,000 at least", b.Len())
	}
	if !a.At(2).Take(1, 1, 1, 1) || b.At(2).Take(1, 1, 1, 1) {
		t.Error("a token taken from the smaller table is left in the larger one, want shared buckets")
	}
	if b.Reset([]uint32{2, 1 << 30}); !b.At(2).Take(1, 1, 1, 1) {
		t.Error("a bucket gives no token after Reset, want a full bucket")
	}
}
