package stats

import "math/bits"

// A histogram of durations has four buckets for each power of two of nanoseconds: the bounds of a bucket differ by a
// quarter at most. Bucket i counts durations in [GapBound(i-1), GapBound(i)) ns. The last bucket counts all longer
// ones.
const (
	GapOctaves = 40 // powers of two
	GapBuckets = 4 * GapOctaves
)

// GapBucket returns the bucket of a duration of ns nanoseconds.
func GapBucket(ns int64) int {
	if ns < 4 {
		return 4 * bits.Len64(uint64(max(ns, 0)))
	}
	e := bits.Len64(uint64(ns))
	return min(4*e+int(ns>>(e-3)&3), GapBuckets-1)
}

// GapBound returns the upper bound of bucket i in nanoseconds: durations in bucket i are shorter.
func GapBound(i int) int64 {
	if i < 12 {
		return 1 << (i / 4)
	}
	return int64(5+i%4) << (i/4 - 3)
}
