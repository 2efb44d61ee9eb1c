package table

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// bucketSize is one cache line, in octets.
const bucketSize = 64

// bucket is one cache line. Word 0 is the head; what changes it is a single store:
//
//	 63            32 31    12 11   8 7    4 3    0
//	┌────────────────┬────────┬──────┬──────┬──────┐
//	│    version     │   0    │ more │ has4 │ used │   a bucket of rows
//	├────────────────┼────────┴──────┴───┬──┴──────┤
//	│    version     │         0         │  used   │   a bucket of addresses (bits 0–6)
//	└────────────────┴───────────────────┴─────────┘
//
// used: the slot holds an entry; has4: the row has an address in the address index; more: it may have some in the
// extra table.
//
// Bucket of rows, slot i of 4: word 1+i is MAC<<16 | low half of the segment; the 16 bits at 16·i of word 5 are the
// high half of the segment; the 32 bits at 32·(i mod 2) of word 6+i/2 are the location.
//
// Bucket of addresses, slot i of 7: word 1+i is tag<<32 | number of the row's slot. The tag is the address masked
// with a function of the segment, so that equal addresses of many segments do not look alike.
type bucket [8]uint64

const (
	rowSlots = 4
	ipSlots  = 7

	rowsUsed = 1<<rowSlots - 1
	ipsUsed  = 1<<ipSlots - 1
	has4Bit  = 4 // of slot 0 in the head
	moreBit  = 8

	version = 1 << 32 // one step of the head's version
)

// keys are the secrets of one table's hash functions.
type keys [10]uint64

// newKeys draws the secrets. A product by zero would forget the other factor, hence the bits that are set.
func newKeys() keys {
	var b [8 * len(keys{})]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program first
	var k keys
	for i := range k {
		k[i] = binary.LittleEndian.Uint64(b[8*i:]) | 1<<63 | 1
	}
	return k
}

// mum multiplies to 128 bits and folds the halves.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// rowWord is the word that a row's slot holds for its key.
func rowWord(seg uint32, mac uint64) uint64 { return mac<<16 | uint64(seg&0xffff) }

func (k *keys) row(seg uint32, mac uint64) uint64 {
	return mum(mum(rowWord(seg, mac)^k[0], uint64(seg)^k[1])^k[2], k[3])
}

func (k *keys) ip4(seg, ip uint32) uint64 {
	return mum(mum(uint64(ip)^k[4], uint64(seg)^k[5])^k[2], k[3])
}

func (k *keys) ip6(seg uint32, hi, lo uint64) uint64 {
	return mum(mum(hi^k[6], lo^k[7])^uint64(seg)^k[2], k[8])
}

// mask is what an address of segment seg is masked with to be its tag.
func (k *keys) mask(seg uint32) uint32 { return uint32(uint64(seg) * k[9] >> 32) }

// pair reduces a hash to the two candidate buckets of n.
func pair(h uint64, n int) (first, second uint64) {
	return (h >> 32) * uint64(n) >> 32, (h & 0xffffffff) * uint64(n) >> 32
}

// matchRows returns the slots, one bit each, whose word is w. Without branches: which slot it is cannot be predicted.
func (b *bucket) matchRows(w uint64) uint64 {
	var m0, m1, m2, m3 uint64
	if atomic.LoadUint64(&b[1]) == w {
		m0 = 1
	}
	if atomic.LoadUint64(&b[2]) == w {
		m1 = 2
	}
	if atomic.LoadUint64(&b[3]) == w {
		m2 = 4
	}
	if atomic.LoadUint64(&b[4]) == w {
		m3 = 8
	}
	return m0 | m1 | m2 | m3
}

// findRow returns the slot of (seg, mac) under head, or -1. What it says holds only if the head is still the same.
func (b *bucket) findRow(head, w uint64, seg uint32) int {
	for m := b.matchRows(w) & head; m != 0; m &= m - 1 {
		if i := bits.TrailingZeros64(m) & 3; b.segHigh(i) == seg>>16 {
			return i
		}
	}
	return -1
}

func (b *bucket) head() uint64 { return atomic.LoadUint64(&b[0]) }

func (b *bucket) segHigh(i int) uint32 {
	return uint32(atomic.LoadUint64(&b[5])>>(uint(i&3)*16)) & 0xffff
}

func (b *bucket) loc(i int) uint32 {
	return uint32(atomic.LoadUint64(&b[6+uint(i)>>1&1]) >> (uint(i&1) * 32))
}

func (b *bucket) rowKey(i int) (seg uint32, mac uint64) {
	w := atomic.LoadUint64(&b[1+i&3])
	return b.segHigh(i)<<16 | uint32(w&0xffff), w >> 16
}

// putRow fills the free slot i; flags are bits of the head (has4, more) for slot 0.
func (b *bucket) putRow(i int, seg uint32, mac uint64, loc uint32, flags uint64) {
	atomic.StoreUint64(&b[1+i&3], rowWord(seg, mac))
	s := uint(i&3) * 16
	atomic.StoreUint64(&b[5], b[5]&^(0xffff<<s)|uint64(seg>>16)<<s)
	b.setLoc(i, loc)
	atomic.StoreUint64(&b[0], b[0]+version|(1|flags)<<uint(i&3))
}

// setLoc flips the location: one store, no reader sees a mixture.
func (b *bucket) setLoc(i int, loc uint32) {
	w, s := &b[6+uint(i)>>1&1], uint(i&1)*32
	atomic.StoreUint64(w, *w&^(0xffffffff<<s)|uint64(loc)<<s)
}

// rowFlags returns has4 and more of slot i, shifted to slot 0.
func (b *bucket) rowFlags(i int) uint64 { return b[0] >> uint(i&3) & (1<<has4Bit | 1<<moreBit) }

// setFlag sets or clears the flag bit of slot i. Readers do not look at flags.
func (b *bucket) setFlag(i int, bit uint, on bool) {
	head := b[0] &^ (1 << (bit + uint(i&3)))
	if on {
		head |= 1 << (bit + uint(i&3))
	}
	atomic.StoreUint64(&b[0], head)
}

// clearRow frees slot i. The step of the version tells readers that are in it.
func (b *bucket) clearRow(i int) {
	atomic.StoreUint64(&b[0], (b[0]+version)&^((1|1<<has4Bit|1<<moreBit)<<uint(i&3)))
}

// matchTags returns the slots, one bit each, whose tag is tag.
func (b *bucket) matchTags(tag uint32) uint64 {
	var m uint64
	for i := 1; i < len(b); i++ {
		var bit uint64
		if uint32(atomic.LoadUint64(&b[i])>>32) == tag {
			bit = 1 << (i - 1)
		}
		m |= bit
	}
	return m
}

func (b *bucket) ref(i int) uint32 { return uint32(atomic.LoadUint64(&b[1+uint(i)%ipSlots])) }

// putIP fills the free slot i.
func (b *bucket) putIP(i int, tag, ref uint32) {
	atomic.StoreUint64(&b[1+i], uint64(tag)<<32|uint64(ref))
	atomic.StoreUint64(&b[0], b[0]+version|1<<uint(i))
}

// setRef lets the address in slot i lead to another row.
func (b *bucket) setRef(i int, ref uint32) {
	atomic.StoreUint64(&b[1+i], b[1+i]>>32<<32|uint64(ref))
	atomic.StoreUint64(&b[0], b[0]+version)
}

// clearIP frees slot i.
func (b *bucket) clearIP(i int) {
	atomic.StoreUint64(&b[0], (b[0]+version)&^(1<<uint(i)))
}
