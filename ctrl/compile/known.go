package compile

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"penstock/dataplane/fib"
	"penstock/dataplane/memory"
)

// known is what the compiler keeps of the rows that the fabric's protocol has taught, beside the bindings table, which
// has their addresses: 24 octets each, outside the heap, since there are a million of them.
//
// It is a hash table with linear probing, in parts that grow one by one: a growth needs little memory besides, and
// takes little time.
//
//	octets 0–7 MAC << 16 | low half of the segment | 8–15 sequence | 16–17 high half of the segment |
//	18–23 location << 24 | time << 3 | flags: see knownRow
type known struct {
	parts [knownParts]knownPart
	seed  [2]uint64
	count int
	base  uint32 // of the times in the slots
	size  atomic.Int64
}

// knownPart has the rows whose hash begins with its index. Six sevenths of its slots are used at most.
type knownPart struct {
	region memory.Region
	mem    []byte
	slots  uint64
	count  uint64
}

const (
	knownParts = 32
	knownLen   = 24
	knownUsed  = 1 << 0
	knownFixed = 1 << 1 // the VIF is configured at its owner
	knownVTEP  = 1 << 2

	knownTimes = 1 << 21 // that a slot tells apart
)

// knownRow is one of them.
type knownRow struct {
	sequence uint64
	flags    uint8
	loc      fib.Loc // a remote one
	time     uint32  // of learning: see learned.time
}

// hash returns the part of k, and the rest of its hash.
func (h *known) hash(k rowKey) (p *knownPart, rest uint64) {
	hi, lo := bits.Mul64(k.mac<<16^uint64(k.seg)^h.seed[0], h.seed[1])
	part, rest := bits.Mul64(hi^lo, knownParts)
	return &h.parts[part], rest
}

func (p *knownPart) home(rest uint64) uint64 {
	i, _ := bits.Mul64(rest, p.slots)
	return i
}

func (p *knownPart) slot(i uint64) []byte { return p.mem[i*knownLen : (i+1)*knownLen] }

func (p *knownPart) after(i uint64) uint64 {
	if i++; i == p.slots {
		return 0
	}
	return i
}

func slotUsed(b []byte) bool { return b[18]&knownUsed != 0 }

func slotKey(b []byte) rowKey {
	w := binary.LittleEndian.Uint64(b)
	return rowKey{uint32(binary.LittleEndian.Uint16(b[16:]))<<16 | uint32(w&0xffff), w >> 16}
}

// slotRest is the last 48 bits of a slot.
func slotRest(b []byte) uint64 { return binary.LittleEndian.Uint64(b[16:]) >> 16 }

func (h *known) row(b []byte) knownRow {
	x := slotRest(b)
	return knownRow{binary.LittleEndian.Uint64(b[8:]), uint8(x & 7), fib.Loc(x >> 24),
		h.base + uint32(x>>3&(knownTimes-1))}
}

func (h *known) write(b []byte, k rowKey, r knownRow) {
	time := uint64(0)
	if r.time > h.base {
		time = uint64(r.time - h.base)
	}
	binary.LittleEndian.PutUint64(b, k.mac<<16|uint64(k.seg&0xffff))
	binary.LittleEndian.PutUint64(b[8:], r.sequence)
	binary.LittleEndian.PutUint64(b[16:], uint64(k.seg>>16)|(uint64(r.loc)<<24|time<<3|uint64(r.flags)|knownUsed)<<16)
}

// find returns the slot of k, or the free one where it belongs. There must be slots.
func (p *knownPart) find(k rowKey, rest uint64) (i uint64, ok bool) {
	for i = p.home(rest); ; i = p.after(i) {
		b := p.slot(i)
		if !slotUsed(b) {
			return i, false
		}
		if slotKey(b) == k {
			return i, true
		}
	}
}

// touch reads the slot where a search for k begins; the result is to be kept alive.
func (h *known) touch(k rowKey) uint64 {
	p, rest := h.hash(k)
	if p.slots == 0 {
		return 0
	}
	return uint64(p.slot(p.home(rest))[18])
}

func (h *known) get(k rowKey) (r knownRow, ok bool) {
	if h.count == 0 {
		return r, false
	}
	p, rest := h.hash(k)
	if p.count == 0 {
		return r, false
	}
	i, ok := p.find(k, rest)
	if !ok {
		return r, false
	}
	return h.row(p.slot(i)), true
}

// put adds or replaces a row. The error is a lack of memory.
func (h *known) put(k rowKey, r knownRow) error {
	if h.seed == [2]uint64{} {
		h.seed = [2]uint64{rand.Uint64(), rand.Uint64() | 1<<63 | 1}
	}
	p, rest := h.hash(k)
	if (p.count+1)*7 > p.slots*6 {
		if err := h.grow(p); err != nil {
			return err
		}
	}
	i, ok := p.find(k, rest)
	if !ok {
		p.count++
		h.count++
	}
	h.write(p.slot(i), k, r)
	return nil
}

// remove forgets a row. Those behind it move up, so that no search ends too early.
func (h *known) remove(k rowKey) {
	if h.count == 0 {
		return
	}
	p, rest := h.hash(k)
	if p.count == 0 {
		return
	}
	i, ok := p.find(k, rest)
	if !ok {
		return
	}
	p.count--
	h.count--
	for j := p.after(i); ; j = p.after(j) {
		b := p.slot(j)
		if !slotUsed(b) {
			break
		}
		// b may move to i if its home is not behind i.
		_, rest := h.hash(slotKey(b))
		if home := p.home(rest); (j-home+p.slots)%p.slots >= (j-i+p.slots)%p.slots {
			copy(p.slot(i), b)
			i = j
		}
	}
	clear(p.slot(i))
}

// each calls f with every row, which f must not change.
func (h *known) each(f func(k rowKey, r knownRow)) {
	h.eachSlot(func(b []byte) { f(slotKey(b), h.row(b)) })
}

func (h *known) eachSlot(f func(b []byte)) {
	for n := range h.parts {
		p := &h.parts[n]
		for mem := p.mem; len(mem) >= knownLen; mem = mem[knownLen:] {
			if b := mem[:knownLen:knownLen]; slotUsed(b) {
				f(b)
			}
		}
	}
}

// eachAt calls f with every row at a location, which f must not change.
func (h *known) eachAt(loc fib.Loc, f func(k rowKey, r knownRow)) {
	h.eachSlot(func(b []byte) {
		if fib.Loc(slotRest(b)>>24) == loc {
			f(slotKey(b), h.row(b))
		}
	})
}

// oldest returns the oldest of n rows that are chosen by chance. There must be one.
func (h *known) oldest(n int) (k rowKey, r knownRow) {
	for i := range n {
		x, y := h.any()
		if i == 0 || y.time < r.time {
			k, r = x, y
		}
	}
	return k, r
}

// any returns a row by chance. There must be one.
func (h *known) any() (rowKey, knownRow) {
	for {
		p := &h.parts[rand.IntN(knownParts)]
		if p.count == 0 {
			continue
		}
		for i := rand.Uint64N(p.slots); ; i = p.after(i) {
			if b := p.slot(i); slotUsed(b) {
				return slotKey(b), h.row(b)
			}
		}
	}
}

// rebase makes room for later times: what was heard before base was heard at base.
func (h *known) rebase(base uint32) {
	h.eachSlot(func(b []byte) {
		r := h.row(b)
		old := h.base
		h.base = base
		h.write(b, slotKey(b), r)
		h.base = old
	})
	h.base = base
}

// grow makes room for an eighth more rows of a part, in new memory.
func (h *known) grow(p *knownPart) error {
	next := knownPart{slots: max(170, p.slots*9/8), count: p.count}
	var err error
	if next.region, err = memory.Map(int(next.slots * knownLen)); err != nil {
		return err
	}
	next.mem = next.region.Bytes()
	next.slots = uint64(len(next.mem)) / knownLen // to the end of the last page
	next.mem = next.mem[:next.slots*knownLen]
	for i := range p.slots {
		if b := p.slot(i); slotUsed(b) {
			k := slotKey(b)
			_, rest := h.hash(k)
			j, _ := next.find(k, rest)
			copy(next.slot(j), b)
		}
	}
	h.size.Add(int64(len(next.region.Bytes()) - len(p.region.Bytes())))
	old := p.region
	*p = next
	return old.Unmap()
}

// bytes is the memory in use, in octets. Anyone may call it at any time.
func (h *known) bytes() int { return int(h.size.Load()) }
