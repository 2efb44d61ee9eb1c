package e2e

import (
	"errors"
	"sync/atomic"
	"time"

	"penstock/dataplane/stats"
)

// Histogram counts lengths of time, in the buckets of stats.GapBucket.
type Histogram []uint64

// Minus returns what has come since an earlier reading.
func (h Histogram) Minus(earlier []uint64) (Histogram, error) {
	if len(earlier) != len(h) {
		return nil, errors.New("histograms of different sizes")
	}
	d := make(Histogram, len(h))
	for i := range h {
		if h[i] < earlier[i] {
			return nil, errors.New("a histogram that shrinks")
		}
		d[i] = h[i] - earlier[i]
	}
	return d, nil
}

// Count is the number of lengths.
func (h Histogram) Count() (n uint64) {
	for _, c := range h {
		n += c
	}
	return n
}

// At is the length below which the given share of them lies, 0 to 1: the end of the bucket, up to a quarter too long.
func (h Histogram) At(share float64) time.Duration {
	need := share * float64(h.Count())
	sum := 0.0
	for i, c := range h {
		if sum += float64(c); c > 0 && sum >= need {
			return time.Duration(stats.GapBound(i))
		}
	}
	return 0
}

// Above is how many are longer than d, and the time that they make up.
func (h Histogram) Above(d time.Duration) (n uint64, sum time.Duration) {
	for i, c := range h {
		if end := stats.GapBound(i); c > 0 && end > int64(d) {
			n += c
			sum += time.Duration(float64(c) * 0.9 * float64(end))
		}
	}
	return n, sum
}

// counter counts octets written.
type counter struct{ n atomic.Uint64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(uint64(len(b)))
	return len(b), nil
}
