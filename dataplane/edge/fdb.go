package edge

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"penstock/dataplane/wire"
)

// All workers share the FDB without locks. A row is two words, key and value, which are written one after the other.
// The value repeats 16 bits of the key's hash, so that a reader detects a value that does not belong to the key; such
// a row counts as empty. The switch learns an address that a race has destroyed from the next frame, and until then
// floods frames to it, as any switch does.
//
//	key    VLAN ID ≪ 48 | MAC             0 = empty
//	value  port ≪ 48 | hash ≪ 32 | second of the last sighting
//
// A key has two buckets of four rows, a cache line each. When both are full, the oldest row is evicted. Two workers
// that learn one address at the same time can write two rows. Only the first in search order is refreshed from then
// on, so that the other ages out, or is evicted.

// MaxAge is the time in seconds after which the FDB forgets an address without frames (IEEE 802.1Q, 8.8.3).
const MaxAge = 300

const (
	bucketRows = 4
	maxBuckets = 1 << 20
)

type row struct {
	key, val atomic.Uint64
}

type bucket [bucketRows]row

// FDB is the forwarding database: which trunk leads to a MAC address in a VLAN.
type FDB struct {
	buckets []bucket
	mask    uint64
	seed    [2]uint64
	evicted atomic.Uint64
}

// NewFDB returns an empty FDB for the given number of entries. The FDB has twice that number of rows, rounded up to a
// power of two, and evicts the oldest entries when its rows are used up.
func NewFDB(entries int) *FDB {
	n := uint64(1)
	for n*bucketRows < 2*uint64(max(entries, 1)) && n < maxBuckets {
		n *= 2
	}
	f := &FDB{buckets: make([]bucket, n), mask: n - 1}
	var r [16]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	f.seed[0] = binary.NativeEndian.Uint64(r[:8])
	f.seed[1] = binary.NativeEndian.Uint64(r[8:]) | 1
	return f
}

func fdbKey(vid uint16, mac uint64) uint64 { return uint64(vid)<<48 | mac }

func (f *FDB) hash(key uint64) uint64 {
	hi, lo := bits.Mul64(key^f.seed[0], f.seed[1])
	hi, lo = bits.Mul64(hi^lo, 0x9e3779b97f4a7c15) // one multiplication leaves patterns of regular keys
	return hi ^ lo
}

// The parts of a hash: bucket of first choice, of second choice, and the check in the value.
func (f *FDB) first(h uint64) *bucket  { return &f.buckets[h&f.mask] }
func (f *FDB) second(h uint64) *bucket { return &f.buckets[h>>24&f.mask] }
func check(h uint64) uint64            { return h >> 48 }

func pack(port uint16, h uint64, now uint32) uint64 {
	return uint64(port)<<48 | check(h)<<32 | uint64(now)
}

// expired reports whether a row is older than MaxAge. The clocks of workers differ a little: a row from the future is
// new.
func expired(val uint64, now uint32) bool { return int32(now-uint32(val)) > MaxAge }

// find returns the row of key in b and its value. It compares the rows without a branch for each, since the row with
// the key cannot be predicted.
func (b *bucket) find(key, h uint64) (*row, uint64) {
	i := bucketRows
	if b[3].key.Load() == key {
		i = 3
	}
	if b[2].key.Load() == key {
		i = 2
	}
	if b[1].key.Load() == key {
		i = 1
	}
	if b[0].key.Load() == key {
		i = 0
	}
	if i < bucketRows {
		r := &b[i]
		if v := r.val.Load(); v>>32&0xffff == check(h) {
			return r, v
		}
	}
	return nil, 0
}

// findSecond is a function of its own, so that the common case, a row in the first bucket, needs no call.
//
//go:noinline
func (f *FDB) findSecond(key, h uint64) (*row, uint64) { return f.second(h).find(key, h) }

// lookup returns the port behind which (vid, mac) was seen in the last MaxAge seconds.
func (f *FDB) lookup(vid uint16, mac uint64, now uint32) (port uint16, ok bool) {
	key := fdbKey(vid, mac)
	h := f.hash(key)
	r, v := f.first(h).find(key, h)
	if r == nil {
		r, v = f.findSecond(key, h)
	}
	if r == nil || expired(v, now) {
		return 0, false
	}
	return uint16(v >> 48), true
}

// learn stores that (vid, mac) was seen on port. It ignores group addresses and zero. It writes the row only if the
// port differs or the row is from an earlier second, so that the cache line stays shared between the workers' cores.
func (f *FDB) learn(vid uint16, mac uint64, port uint16, now uint32) {
	if mac == 0 || mac>>40&1 != 0 {
		return
	}
	key := fdbKey(vid, mac)
	h := f.hash(key)
	r, v := f.first(h).find(key, h)
	if r == nil {
		if r, v = f.findSecond(key, h); r == nil {
			f.insert(key, h, port, now)
			return
		}
	}
	if uint16(v>>48) == port && int32(now-uint32(v)) <= 0 {
		return
	}
	r.val.Store(pack(port, h, now))
}

// insert writes the key into an empty row of the bucket with more empty rows, or else into the oldest row.
func (f *FDB) insert(key, h uint64, port uint16, now uint32) {
	var (
		victim, empty *row
		oldest        int32
		most          int
	)
	for _, b := range [2]*bucket{f.first(h), f.second(h)} {
		var free *row
		n := 0
		for i := range b {
			r := &b[i]
			k, v := r.key.Load(), r.val.Load()
			if k == 0 || expired(v, now) || v>>32&0xffff != check(f.hash(k)) {
				if n++; n == 1 {
					free = r
				}
			} else if age := int32(now - uint32(v)); victim == nil || age > oldest {
				victim, oldest = r, age
			}
		}
		if n > most {
			empty, most = free, n
		}
	}
	if empty == nil {
		f.evicted.Add(1)
		empty = victim
	}
	f.put(empty, key, pack(port, h, now))
}

func (f *FDB) put(r *row, key, val uint64) {
	r.key.Store(key)
	r.val.Store(val)
}

// Entry is one row of the FDB, for display.
type Entry struct {
	VID  uint16
	Port uint16 // index
	MAC  uint64
	Age  uint32 // seconds since it was last seen
}

// Entries calls fn for every address known at time now (seconds on the clock of State.Now) until fn returns false.
func (f *FDB) Entries(now uint32, fn func(Entry) bool) {
	for i := range f.buckets {
		for j := range f.buckets[i] {
			r := &f.buckets[i][j]
			k, v := r.key.Load(), r.val.Load()
			if k == 0 || v>>32&0xffff != check(f.hash(k)) || expired(v, now) {
				continue
			}
			e := Entry{
				VID: uint16(k >> 48), Port: uint16(v >> 48), MAC: k & wire.Broadcast,
				Age: uint32(max(int32(now-uint32(v)), 0)),
			}
			if !fn(e) {
				return
			}
		}
	}
}

// FlushPort removes all entries of port. Control calls it when the port index gets another interface.
func (f *FDB) FlushPort(port uint16) {
	for i := range f.buckets {
		for j := range f.buckets[i] {
			r := &f.buckets[i][j]
			if r.key.Load() != 0 && uint16(r.val.Load()>>48) == port {
				r.key.Store(0)
			}
		}
	}
}

// Cap returns the number of rows. Evicted returns the number of addresses evicted because no row was free.
func (f *FDB) Cap() int        { return len(f.buckets) * bucketRows }
func (f *FDB) Evicted() uint64 { return f.evicted.Load() }
