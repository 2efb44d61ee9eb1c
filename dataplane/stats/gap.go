package stats

import "math/bits"

// A histogram of lengths of time has four buckets for each power of two of nanoseconds: a bucket's ends differ by a
// quarter at most. Bucket i counts lengths of [GapBound(i-1), GapBound(i)) ns, the last one all that are longer.
const (
	GapOctaves = 40 // powers of two
	GapBuckets = 4 * GapOctaves
)

// GapBucket returns the bucket of a length of ns nanoseconds.
func GapBucket(ns int64) int {
	if ns < 4 {
		return 4 * bits.Len64(uint64(max(ns, 0)))
	}
	e := bits.Len64(uint64(ns))
	return min(4*e+int(ns>>(e-3)&3), GapBuckets-1)
}

// GapBound returns the end of bucket i in nanoseconds: what it counts is shorter.
func GapBound(i int) int64 {
	if i < 12 {
		return 1 << (i / 4)
	}
	return int64(5+i%4) << (i/4 - 3)
}
