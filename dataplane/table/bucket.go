package table

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// bucketSize is one cache line, in octets.
const bucketSize = 64

// bucket is one cache line. Word 0 is the head; what changes it is a single store.
//
// A bucket of rows has 4 slots:
//
//	 63          36 35  32 31    24 23    16 15     8 7      0
//	┌──────────────┬──────┬────────┬────────┬────────┬────────┐
//	│   version    │ more │ mark 3 │ mark 2 │ mark 1 │ mark 0 │ head
//	├──────────────┴──────┴────────┴────────┴────────┴────────┤
//	│     MAC of slot i            │ low half of its segment  │ words 1–4
//	├──────────────┬───────────────┬────────────────┬─────────┤
//	│      …3      │      …2       │       …1       │ high …0 │ word 5: high halves of the segments
//	├──────────────┴───────────────┼────────────────┴─────────┤
//	│      location of slot 1      │    location of slot 0    │ word 6; word 7: slots 3 and 2
//	└──────────────────────────────┴──────────────────────────┘
//
// mark: 8 bits of the key's hash, 2 to 255, 0 for a free slot: all slots of both candidate buckets are compared in one
// go, and without a branch, for which slot it is cannot be predicted. more: the row may have addresses in the extra
// table.
// The version counts changes. Within one reading it would have to wrap 2^28 times to deceive.
//
// A bucket of addresses has 7 slots. Its head is version (32 bits), 25 zeros, used (7 bits); words 1–7 are 14 lanes
// of 32 bits, the lower half first: 7 tags, 7 numbers of the rows' slots. The tag is the address masked with a
// function of the segment, so that equal addresses of many segments do not look alike.
type bucket [8]uint64

const (
	rowSlots = 4
	ipSlots  = 7

	moreBit    = 32 // of slot 0
	rowVersion = 1 << 36

	ipsUsed   = 1<<ipSlots - 1
	ipVersion = 1 << 32
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

// mark is what the head says of a key with hash h: 2 to 255. The low bits say next to nothing of the buckets.
// Not 1, so that zeroBytes, which may take a 1 for a 0, never takes a free slot for the key.
func mark(h uint64) uint64 {
	m := h & 0xff
	return m + (m-2)>>63<<1
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x8080808080808080
	noMarks  = 0xffffffff00000000 // the part of a head of rows that is not marks
	eachHalf = 0x0000000100000001
	topHalfs = 0x8000000080000000
)

// zeroBytes sets the top bit of every zero byte of x, and perhaps of bytes of value 1 above the lowest of these.
func zeroBytes(x uint64) uint64 { return (x - eachByte) &^ x & topBits }

// zeroHalves does so with halves of 32 bits.
func zeroHalves(x uint64) uint64 { return (x - eachHalf) &^ x & topHalfs }

func (b *bucket) head() uint64 { return atomic.LoadUint64(&b[0]) }

// used reports whether row slot i holds one. For the writer.
func (b *bucket) used(i int) bool { return b.mark(i) != 0 }

func (b *bucket) mark(i int) uint64 { return b[0] >> (uint(i&3) * 8) & 0xff }

// word returns what slot i holds for its key; see rowWord.
func (b *bucket) word(i int) uint64 { return atomic.LoadUint64(&b[1+uint(i&3)]) }

func (b *bucket) segHigh(i int) uint32 {
	return uint32(atomic.LoadUint64(&b[5])>>(uint(i&3)*16)) & 0xffff
}

func (b *bucket) loc(i int) uint32 {
	return uint32(atomic.LoadUint64(&b[6+uint(i>>1&1)]) >> (uint(i&1) * 32))
}

func (b *bucket) rowKey(i int) (seg uint32, mac uint64) {
	w := b.word(i)
	return b.segHigh(i)<<16 | uint32(w&0xffff), w >> 16
}

// putRow fills the free slot i.
func (b *bucket) putRow(i int, mark uint64, seg uint32, mac uint64, loc uint32, more bool) {
	atomic.StoreUint64(&b[1+i&3], rowWord(seg, mac))
	s := uint(i&3) * 16
	atomic.StoreUint64(&b[5], b[5]&^(0xffff<<s)|uint64(seg>>16)<<s)
	b.setLoc(i, loc)
	head := b[0] + rowVersion | mark<<(uint(i&3)*8)
	if more {
		head |= 1 << (moreBit + uint(i&3))
	}
	atomic.StoreUint64(&b[0], head)
}

// setLoc flips the location: one store, no reader sees a mixture.
func (b *bucket) setLoc(i int, loc uint32) {
	w, s := &b[6+uint(i>>1&1)], uint(i&1)*32
	atomic.StoreUint64(w, *w&^(0xffffffff<<s)|uint64(loc)<<s)
}

func (b *bucket) more(i int) bool { return b[0]>>(moreBit+uint(i&3))&1 != 0 }

// setMore sets or clears more of slot i. Readers do not look at it.
func (b *bucket) setMore(i int, on bool) {
	bit := uint64(1) << (moreBit + uint(i&3))
	if head := b[0]&^bit | -b2u(on)&bit; head != b[0] {
		atomic.StoreUint64(&b[0], head)
	}
}

func b2u(b bool) (one uint64) {
	if b {
		one = 1
	}
	return one
}

// clearRow frees slot i. The step of the version tells readers that are in it.
func (b *bucket) clearRow(i int) {
	atomic.StoreUint64(&b[0], (b[0]+rowVersion)&^(1<<(moreBit+uint(i&3))|0xff<<(uint(i&3)*8)))
}

// matchTags returns the slots, one bit each, whose tag may be tag; tag tells for sure.
// Bit 31 or 63 of word k, moved down by 4-k, tells the slots apart: the bits 28–31 and 60–63 of the sum are the slots
// 0, 2, 4, 6 and 1, 3, 5.
func (b *bucket) matchTags(tag uint32) uint64 {
	t := uint64(tag) * eachHalf
	return zeroHalves(atomic.LoadUint64(&b[1])^t)>>3 | zeroHalves(atomic.LoadUint64(&b[2])^t)>>2 |
		zeroHalves(atomic.LoadUint64(&b[3])^t)>>1 | zeroHalves(atomic.LoadUint64(&b[4])^t)&(1<<31)
}

// tagSlot returns the slot of the lowest bit of a matchTags.
func tagSlot(m uint64) int {
	at := bits.TrailingZeros64(m)
	return (at&3)<<1 | at>>5&1
}

func (b *bucket) lane(i int) uint32 {
	return uint32(atomic.LoadUint64(&b[(1+uint(i>>1))&7]) >> (uint(i&1) * 32))
}

func (b *bucket) setLane(i int, v uint32) {
	w, s := &b[(1+uint(i>>1))&7], uint(i&1)*32
	atomic.StoreUint64(w, *w&^(0xffffffff<<s)|uint64(v)<<s)
}

func (b *bucket) tag(i int) uint32 { return b.lane(i) }
func (b *bucket) ref(i int) uint32 { return b.lane(ipSlots + i) }

// putIP fills the free slot i.
func (b *bucket) putIP(i int, tag, ref uint32) {
	b.setLane(i, tag)
	b.setLane(ipSlots+i, ref)
	atomic.StoreUint64(&b[0], b[0]+ipVersion|1<<uint(i))
}

// setRef lets the address in slot i lead to another row.
func (b *bucket) setRef(i int, ref uint32) {
	b.setLane(ipSlots+i, ref)
	atomic.StoreUint64(&b[0], b[0]+ipVersion)
}

// clearIP frees slot i.
func (b *bucket) clearIP(i int) { atomic.StoreUint64(&b[0], (b[0]+ipVersion)&^(1<<uint(i))) }

func trailing(m uint64) int { return bits.TrailingZeros64(m) }
