package table

import (
	"math/bits"
	"sync/atomic"
)

// The extra table holds the addresses that the address index does not: IPv6, and the second and further IPv4
// addresses of a row. It is sized on demand: open addressing with linear probing, a new array in the place of the old
// one when it gets full. Its arrays hold no pointers and belong to the collector, so that an old one goes away when
// the last reader has left it. An entry never changes its place within an array.

// kind tells what an entry's address is.
type kind uint64

const (
	kind4 kind = 4
	kind6 kind = 6
)

type extraKey struct {
	kind   kind
	seg    uint32
	hi, lo uint64
}

func (k *keys) extra(e extraKey) uint64 { return k.ip6(e.seg^uint32(e.kind), e.hi, e.lo) }

// entry is one address: its high and low half; the owner, MAC<<16 | low half of the segment; and the state:
//
//	 63            32 31     20 19  16 15          0
//	┌────────────────┬─────────┬──────┬─────────────┐
//	│    version     │    0    │ kind │ seg's high  │   kind 0: never used, 1: deleted
//	└────────────────┴─────────┴──────┴─────────────┘
type entry [4]uint64

const (
	deleted      kind = 1
	entryMask         = 1<<20 - 1 // kind and segment
	entryVersion      = 1 << 32
)

func (e *entry) owner() uint64 { return atomic.LoadUint64(&e[2]) }
func (e *entry) state() uint64 { return atomic.LoadUint64(&e[3]) }

func (e *entry) key() extraKey {
	return extraKey{
		kind: kind(e[3] >> 16 & 15), seg: uint32(e[3]&0xffff)<<16 | uint32(e[2]&0xffff), hi: e[0], lo: e[1],
	}
}

func (k extraKey) state() uint64 { return uint64(k.kind)<<16 | uint64(k.seg>>16) }

type extra struct {
	entries []entry
	// The writer's way from a row to its addresses: chains by the hash of (seg, mac). Numbers count from 1, 0 ends.
	chain []uint32 // by hash
	next  []uint32 // by entry

	ip4s atomic.Int64 // IPv4 addresses in it
	ip6s atomic.Int64
	gone int // deleted entries
}

func newExtra(n int) *extra {
	return &extra{entries: make([]entry, n), chain: make([]uint32, n), next: make([]uint32, n)}
}

func (x *extra) bytes() int { return len(x.entries) * (32 + 4 + 4) }
func (x *extra) used() int  { return int(x.ip4s.Load() + x.ip6s.Load()) }

func (x *extra) entry(i int) *entry { return &x.entries[i] }

func (x *extra) start(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(x.entries)))
	return int(hi)
}

func (x *extra) touch(h uint64) uint64 { return x.entries[x.start(h)].state() }

// at reports whether entry i holds k, and the state under which it does.
func (x *extra) at(i int, k extraKey) (state uint64, ok bool) {
	e := &x.entries[i]
	for {
		s := e.state()
		if s&entryMask != k.state() {
			return s, false
		}
		ok = atomic.LoadUint64(&e[0]) == k.hi && atomic.LoadUint64(&e[1]) == k.lo &&
			uint32(e.owner()&0xffff) == k.seg&0xffff
		if e.state() == s {
			return s, ok
		}
	}
}

// find returns the place of k and its state there. A quarter of the entries is free, so that every search ends.
func (x *extra) find(h uint64, k extraKey) (i int, state uint64, ok bool) {
	for i = x.start(h); ; {
		if state, ok = x.at(i, k); ok || state&entryMask == 0 {
			return i, state, ok
		}
		if i++; i == len(x.entries) {
			i = 0
		}
	}
}

// insert adds k, which must not be there, to the row of mac.
func (x *extra) insert(ks *keys, k extraKey, mac uint64) {
	i := x.start(ks.extra(k))
	for {
		if s := kind(x.entries[i].state() >> 16 & 15); s == 0 {
			break
		} else if s == deleted {
			x.gone--
			break
		}
		if i++; i == len(x.entries) {
			i = 0
		}
	}
	e := &x.entries[i]
	atomic.StoreUint64(&e[0], k.hi)
	atomic.StoreUint64(&e[1], k.lo)
	atomic.StoreUint64(&e[2], rowWord(k.seg, mac))
	atomic.StoreUint64(&e[3], e[3]>>32<<32+entryVersion|k.state())
	x.count(k.kind, 1)
	x.link(ks, i, k.seg, mac)
}

// remove deletes entry i.
func (x *extra) remove(ks *keys, i int) {
	e := &x.entries[i]
	k := e.key()
	x.unlink(ks, i, k.seg, e[2]>>16)
	atomic.StoreUint64(&e[3], e[3]>>32<<32+entryVersion|uint64(deleted)<<16)
	x.gone++
	x.count(k.kind, -1)
}

// give lets entry i belong to another row of its segment. The step of the version tells a reader on the way to the old
// row, to which the address may be back when it looks again.
func (x *extra) give(ks *keys, i int, mac uint64) {
	e := &x.entries[i]
	seg := e.key().seg
	x.unlink(ks, i, seg, e[2]>>16)
	atomic.StoreUint64(&e[2], rowWord(seg, mac))
	atomic.StoreUint64(&e[3], e[3]+entryVersion)
	x.link(ks, i, seg, mac)
}

func (x *extra) count(k kind, n int64) {
	if k == kind4 {
		x.ip4s.Add(n)
	} else {
		x.ip6s.Add(n)
	}
}

func (x *extra) link(ks *keys, i int, seg uint32, mac uint64) {
	c := &x.chain[x.start(ks.row(seg, mac))]
	x.next[i], *c = *c, uint32(i)+1
}

func (x *extra) unlink(ks *keys, i int, seg uint32, mac uint64) {
	for p := &x.chain[x.start(ks.row(seg, mac))]; *p != 0; p = &x.next[*p-1] {
		if *p == uint32(i)+1 {
			*p = x.next[i]
			return
		}
	}
}

// first and after walk the addresses of a row; the walk ends with -1.
func (x *extra) first(ks *keys, seg uint32, mac uint64) int {
	return x.own(x.chain[x.start(ks.row(seg, mac))], rowWord(seg, mac), seg)
}

func (x *extra) after(i int, seg uint32, mac uint64) int {
	return x.own(x.next[i], rowWord(seg, mac), seg)
}

func (x *extra) own(n uint32, w uint64, seg uint32) int {
	for ; n != 0; n = x.next[n-1] {
		if e := &x.entries[n-1]; e[2] == w && uint32(e[3]&0xffff) == seg>>16 {
			return int(n) - 1
		}
	}
	return -1
}

// extraForInsert returns the extra table with room for one more.
func (t *Bindings) extraForInsert() *extra {
	x := t.extra.Load()
	if x != nil && (x.used()+x.gone+1)*4 <= len(x.entries)*3 {
		return x
	}
	if x == nil {
		n := newExtra(64)
		t.extra.Store(n)
		return n
	}
	n := newExtra(max(64, 2*(x.used()+1)))
	for i := range x.entries {
		e := &x.entries[i]
		if k := e.key(); k.kind > deleted {
			n.insert(&t.keys, k, e[2]>>16)
		}
	}
	t.extra.Store(n)
	return n
}
