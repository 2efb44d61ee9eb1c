package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"penstock/dataplane/stats"
)

// TestGap: every duration lies within the bounds of its bucket, and the bounds are at most a quarter apart.
func TestGap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lengths := []int64{-1, 0, 1, 2, 3, 4, 5, 7, 8, 255, 256, 1<<38 - 1, 1 << 38, math.MaxInt64}
	for range 10_000 {
		lengths = append(lengths, rng.Int64()>>rng.IntN(63))
	}
	for _, ns := range lengths {
		i := stats.GapBucket(ns)
		if i < 0 || i >= stats.GapBuckets {
			t.Fatalf("%d ns: bucket %d, want one of 0 to %d", ns, i, stats.GapBuckets-1)
		}
		if end := stats.GapBound(i); ns >= end && i < stats.GapBuckets-1 {
			t.Errorf("%d ns: bucket %d, want a later one: bucket %d ends at %d ns", ns, i, i, end)
		}
		if i > 0 && i < stats.GapBuckets-1 && ns < stats.GapBound(i-1) {
			t.Errorf("%d ns: bucket %d, want an earlier one: bucket %d begins at %d ns", ns, i, i, stats.GapBound(i-1))
		}
	}
	for i := 13; i < stats.GapBuckets; i++ {
		if a, b := stats.GapBound(i-1), stats.GapBound(i); b <= a || float64(b-a) > 0.25*float64(a) {
			t.Errorf("bucket %d: bounds %d and %d ns, want them rising and at most a quarter apart", i, a, b)
		}
	}
}
