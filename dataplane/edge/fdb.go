package edge

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"penstock/dataplane/wire"
)

// The FDB is shared by all workers without locks. A row is two words, key and value, that are written one after the
// other; so that a reader never pairs the key of one row with the value of another, the value repeats 16 bits of the
// key's hash, and a pair that disagrees counts as empty. Whatever a race destroys is learned again from the next
// frame; until then the destination is unknown and flooded, as on any switch.
//
//	key    VLAN ID ≪ 48 | MAC             0 = empty
//	value  port ≪ 48 | hash ≪ 32 | second of the last sighting
//
// A key has two buckets of four rows, a cache line each. When both are full the row seen least recently goes.
// Two workers that learn one address at the same time can leave it in two rows: only the first in search order is
// refreshed from then on, so the other ages out first, and is what an eviction takes.

// MaxAge is the time in seconds after which an address that is not seen any more is forgotten (IEEE 802.1Q 8.8.3).
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

// NewFDB returns an empty FDB for the given number of entries, which is a bound: at twice that number, rounded up to
// a power of two, it begins to forget the oldest for the sake of the newest.
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

// expired allows for workers whose clock readings differ a little: a row from the future is new.
func expired(val uint64, now uint32) bool { return int32(now-uint32(val)) > MaxAge }

// find returns the row of key in b and its value. The rows are compared without a branch for each: which of them it
// is cannot be predicted.
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

// findSecond is apart so that the usual case, a row in the bucket of first choice, costs no call.
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

// learn notes that (vid, mac) was seen on port. Group addresses and zero are not learned. The row is written only if
// it says something else or was written in an earlier second, so that its cache line does not bounce between workers.
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

// insert takes an empty row of the bucket that has more of them, or else the oldest row.
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

// Entries calls fn for every address known at time now (seconds on the clock of State.Now) until it returns false.
func (f *FDB) Entries(now uint32, fn func(Entry) bool) {
	for i := range f.buckets {
		for j := range f.buckets[i] {
			r := &f.buckets[i][j]
			k, v := r.key.Load(), r.val.Load()
			if k == 0 || v>>32&0xffff != check(f.hash(k)) || expired(v, now) {
				continue
			}
			e := Entry{VID: uint16(k >> 48), Port: uint16(v >> 48), MAC: k & wire.Broadcast, Age: uint32(max(int32(now-uint32(v)), 0))}
			if !fn(e) {
				return
			}
		}
	}
}

// FlushPort forgets what was learned on port; to be called when its index is given to another interface.
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

// Cap returns the number of rows, Evicted how many addresses were forgotten for lack of room.
func (f *FDB) Cap() int        { return len(f.buckets) * bucketRows }
func (f *FDB) Evicted() uint64 { return f.evicted.Load() }
