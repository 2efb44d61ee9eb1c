// Package table holds the lookup structures of the packet path: the bindings of all tenants (Bindings), a
// transaction's changes to them (Delta), small immutable maps (Static) and the choice among weighted candidates
// (Mix, WeightedScore).
package table

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// The bindings
//
// A million rows with an IPv4 address each take 31.4 octets a row, both ways of looking up included:
//
//   - rows: cache-line buckets of 4 slots of 14 octets (MAC, segment, location) at load 0.92: 17.4 octets a row. Two
//     candidate buckets for every key, entries that give way to others (cuckoo.go);
//   - address index: cache-line buckets of 7 slots of 8 octets (address, number of the row's slot) at load 0.95:
//     9.6 octets a row. The segment is verified in the row;
//   - the address of each row's slot, for the writer, who must find the index entry when the row moves or goes:
//     4.35 octets a row;
//   - further addresses and IPv6 are few and live apart (extra.go), some 53 to 80 octets an address.
//
// What lost:
//
//   - chaining or linear probing: at the load that the memory allows, the longest run spans many lines; two candidate
//     lines, touched ahead, are the same price for every key;
//   - touching the first candidate, and the second only if the first is of no use: three quarters of the rows are in
//     their first, but the saving in memory traffic goes for the deciding;
//   - MAC and location within the address index, which would save FindIP4 a cache miss but take 23 octets a row
//     instead of 10; the address within the row, with a fingerprint in the index: 3 slots a line instead of 4, in sum
//     no less, and a slower FindMAC;
//   - one odd/even lock per bucket: a writer that is preempted in its bucket would hold up the packet path. Here every
//     state in between is consistent, and a reader tries again only because the writer got on.

// ErrFull is returned by Upsert and Fold when Capacity bindings are in the table.
var ErrFull = errors.New("bindings table is full: raise its capacity")

// MaxCapacity is the largest capacity: slot numbers have 32 bits.
const MaxCapacity = 1 << 30

// Config sizes the bindings table.
type Config struct {
	Capacity int // bindings that must fit; the table refuses more (ErrFull)
}

// Binding is one row: (Seg, MAC) → Loc, with the VIF's addresses.
type Binding struct {
	Seg uint32
	MAC uint64      // low 48 bits
	Loc uint32      // see fib.Loc
	IP4 []uint32    // host order
	IP6 [][2]uint64 // high, low half
}

// Bindings is the table of all bindings. One writer at a time, any number of readers without locks.
type Bindings struct {
	keys  keys
	cur   atomic.Pointer[arrays]
	extra atomic.Pointer[extra] // nil until the first address for it

	_        [64]byte // what the writer changes shares no cache line with what readers read
	counts   counts
	capacity atomic.Int64
	resident atomic.Int64 // octets outside the Go heap
	retired  []*arrays    // replaced, not yet handed out by Grow
	released []*arrays    // handed out by Grow
	search   *search
	rowShelf rowShelf
	ipShelf  ipShelf
	sink     uint64 // keeps touches alive
}

type counts struct {
	rows, indexed, moves, takeovers, refused, rebuilds atomic.Int64
}

// NewBindings allocates outside the Go heap, with huge pages where the kernel grants them.
func NewBindings(c Config) (*Bindings, error) {
	if err := checkCapacity(c.Capacity); err != nil {
		return nil, err
	}
	a, err := newArrays(rowBuckets(c.Capacity), ipBuckets(c.Capacity))
	if err != nil {
		return nil, fmt.Errorf("bindings table of capacity %d: %w", c.Capacity, err)
	}
	t := &Bindings{keys: newKeys(), search: new(search)}
	t.capacity.Store(int64(c.Capacity))
	t.resident.Store(int64(len(a.Bytes())))
	t.cur.Store(a)
	return t, nil
}

func checkCapacity(n int) error {
	if n < 1 || n > MaxCapacity {
		return fmt.Errorf("capacity of the bindings table is %d: choose 1 to %d", n, MaxCapacity)
	}
	return nil
}

// Close unmaps the memory; no reader may be left, and nothing may be called afterwards but Close.
func (t *Bindings) Close() error {
	a := t.cur.Swap(nil)
	if a == nil {
		return nil
	}
	all := append(append(t.released, t.retired...), a)
	t.released, t.retired = nil, nil
	return t.release(all)
}

// Len returns the number of bindings. Anyone may call it at any time.
func (t *Bindings) Len() int { return int(t.counts.rows.Load()) }

// Capacity returns the number of bindings that fit. Anyone may call it at any time.
func (t *Bindings) Capacity() int { return int(t.capacity.Load()) }

// Bytes returns the memory the table takes, in octets: what is mapped and the extra table on the Go heap.
// Anyone may call it at any time.
func (t *Bindings) Bytes() int {
	n := int(t.resident.Load())
	if x := t.extra.Load(); x != nil {
		n += x.bytes()
	}
	return n
}

// Stats is what the table counts.
type Stats struct {
	Rows, Capacity int // bindings in it, and that fit
	Bytes          int // see Bindings.Bytes
	IndexedIP4     int // IPv4 addresses in the index: the first of a row
	ExtraIP4       int // further IPv4 addresses
	IP6            int // IPv6 addresses

	Moves     int64 // entries that gave way to others
	Takeovers int64 // addresses that went from one row to another because that claimed them
	Refused   int64 // rows refused with ErrFull
	Rebuilds  int64 // enlargements below capacity, next to impossible
}

// Stats returns the counters. Anyone may call it at any time.
func (t *Bindings) Stats() Stats {
	s := Stats{
		Rows: t.Len(), Capacity: t.Capacity(), Bytes: t.Bytes(), IndexedIP4: int(t.counts.indexed.Load()),
		Moves: t.counts.moves.Load(), Takeovers: t.counts.takeovers.Load(),
		Refused: t.counts.refused.Load(), Rebuilds: t.counts.rebuilds.Load(),
	}
	if x := t.extra.Load(); x != nil {
		s.ExtraIP4, s.IP6 = int(x.ip4s.Load()), int(x.ip6s.Load())
	}
	return s
}

// count adds to a counter that has one writer: no locked instruction needed.
func (t *Bindings) count(c *atomic.Int64, n int64) { c.Store(c.Load() + n) }
