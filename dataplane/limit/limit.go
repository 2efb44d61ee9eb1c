// Package limit holds the token buckets of the packet path: punted frames, floods, ICMP errors.
//
// A bucket is one word, the time at which it is full again (the virtual scheduling form of GCRA, ITU-T I.371, annex A):
// taking n tokens moves that time n intervals on, and as many are missing from a full bucket as intervals lie between
// now and then. Nothing has to be credited as time passes, and the zero value is a full bucket.
//
// All workers share a bucket, so that a limit holds whatever the number of workers and queues. A refusal reads the
// word and writes nothing: what a flood costs beyond its limit stays in every worker's own cache. Only what is
// allowed is a compare-and-swap, at most rate times a second.
package limit

import "sync/atomic"

// unit is how finely time is kept: 1/16 of a nanosecond, so that a rate of 100,000,000 a second is right to a
// percent. The word holds 18 years of that.
const unit = 16

// farthest is how far ahead the word may be, so that nothing overflows: 4.5 years.
const farthest = 1 << 61

// tries is how often Take begins again after another worker has taken from the same bucket. Then it refuses: with so
// many takers at once the bucket does not stay full anyway.
const tries = 64

// Bucket is a token bucket. The zero value is full. It is safe for concurrent use.
type Bucket struct{ full atomic.Int64 }

// Take takes n tokens (0 counts as 1) and reports whether it did. now is in nanoseconds of a clock that does not run
// backwards; the clocks of callers may differ, time that one of them has not seen yet gives it nothing. rate is in
// tokens per second, 0 allows nothing; burst is how many tokens the bucket holds, at least 1.
//
// Who wants more tokens than the bucket holds gets them from a full bucket, which then owes the rest: over time it is
// the rate all the same.
func (b *Bucket) Take(now int64, rate, burst, n uint32) bool {
	if b == nil || rate == 0 {
		return false
	}
	now *= unit
	interval := max(int64(1e9*unit/uint64(rate)), 1)
	burst, n = max(burst, 1), max(n, 1)
	latest := now + min(int64(burst-min(n, burst)), farthest/interval)*interval
	for range tries {
		full := b.full.Load()
		if full > latest {
			return false
		}
		if b.full.CompareAndSwap(full, max(full, now)+int64(n)*interval) {
			return true
		}
	}
	return false
}

// Reset fills the bucket.
func (b *Bucket) Reset() { b.full.Store(0) }

// chunk is how many buckets a table has in one piece of memory: 4 KiB.
const chunk = 512

// Table is buckets by dense index. It never changes: a larger one shares its buckets.
type Table struct{ chunks []*[chunk]Bucket }

// NewTable returns full buckets for indices below n.
func NewTable(n int) *Table { return (*Table)(nil).Grown(n) }

// Grown returns t if it has buckets for indices below n, else a table that has them; what t has is in both. t may be
// nil.
func (t *Table) Grown(n int) *Table {
	if n <= t.Len() {
		return t
	}
	g := &Table{}
	if t != nil {
		g.chunks = append(g.chunks, t.chunks...)
	}
	for len(g.chunks)*chunk < n {
		g.chunks = append(g.chunks, new([chunk]Bucket))
	}
	return g
}

// Len returns how many buckets the table has. t may be nil.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.chunks) * chunk
}

// At returns bucket i, nil if there is none; a nil bucket allows nothing.
func (t *Table) At(i uint32) *Bucket {
	if t == nil || uint(i/chunk) >= uint(len(t.chunks)) {
		return nil
	}
	return &t.chunks[i/chunk][i%chunk]
}

// Reset fills the buckets with the given indices: those of new owners.
func (t *Table) Reset(list []uint32) {
	for _, i := range list {
		if b := t.At(i); b != nil {
			b.Reset()
		}
	}
}
