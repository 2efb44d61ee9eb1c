// Package limit holds the token buckets of the packet path: punted frames, floods, ICMP errors.
//
// A bucket is one word: the time at which the bucket will be full (the virtual scheduling form of GCRA, ITU-T I.371,
// annex A). Taking n tokens moves that time n intervals ahead. The number of missing tokens is the number of intervals
// from now to that time. No work is due as time passes, and the zero value is a full bucket.
//
// All workers share a bucket, so that a limit does not depend on the number of workers and queues. A refusal reads the
// word and writes nothing: during a flood the word stays in every worker's own cache. Only a successful Take writes the
// word, by a compare-and-swap, at most rate times a second.
package limit

import "sync/atomic"

// unit is the resolution of time, in units per nanosecond: a rate of 100,000,000 tokens per second is exact to a
// percent. The word holds 18 years of such units.
const unit = 16

// farthest is the largest distance of the word from now, in units (4.5 years): nothing overflows.
const farthest = 1 << 61

// tries is the number of attempts of Take: an attempt fails when another worker takes from the same bucket meanwhile.
// After that many attempts Take refuses: with so many workers at once the bucket is empty soon.
const tries = 64

// Bucket is a token bucket. The zero value is full. It is safe for concurrent use.
type Bucket struct{ full atomic.Int64 }

// Take takes n tokens (0 counts as 1) and reports whether it did. now is in nanoseconds on a monotonic clock. The
// clocks of callers may differ: a caller whose clock is behind gets no tokens for time that its clock has not
// reached. rate is in tokens per second, 0 allows nothing. burst is the number of tokens that the bucket holds, at
// least 1.
//
// A caller may take more tokens than the bucket holds, if the bucket is full. The bucket then stays empty for longer,
// so that the rate holds over time.
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

// chunk is the number of buckets in one piece of a table's memory, of 4 KiB.
const chunk = 512

// Table holds buckets by dense index. A table never changes; a larger table shares its buckets.
type Table struct{ chunks []*[chunk]Bucket }

// NewTable returns a table of full buckets for indices below n.
func NewTable(n int) *Table { return (*Table)(nil).Grown(n) }

// Grown returns t if t has buckets for indices below n, else a larger table that shares the buckets of t. t may be nil.
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

// Len returns the number of buckets of the table. t may be nil.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.chunks) * chunk
}

// At returns bucket i, or nil if the table has no bucket i. A nil bucket allows nothing.
func (t *Table) At(i uint32) *Bucket {
	if t == nil || uint(i/chunk) >= uint(len(t.chunks)) {
		return nil
	}
	return &t.chunks[i/chunk][i%chunk]
}

// Reset fills the buckets with the given indices.
func (t *Table) Reset(list []uint32) {
	for _, i := range list {
		if b := t.At(i); b != nil {
			b.Reset()
		}
	}
}
