package compile

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"penstock/dataplane/memory"
)

// known is what the compiler keeps of the rows that the fabric's protocol has taught, beside the bindings table, which
// has their locations and addresses: 24 octets each, outside the heap, since there are a million of them.
//
// It is a hash table with linear probing; at most four fifths of it are used.
//
//	octets 0–7 MAC << 16 | low half of the segment | 8–15 sequence | 16–17 high half of the segment | 18 flags |
//	20–23 the time of learning: Compiler.learnTime
type known struct {
	region memory.Region
	mem    []byte
	slots  uint64
	count  int
	seed   [2]uint64
}

const (
	knownLen   = 24
	knownUsed  = 1 << 0
	knownFixed = 1 << 1 // the VIF is configured at its owner
	knownVTEP  = 1 << 2
)

// knownRow is one of them.
type knownRow struct {
	sequence uint64
	flags    uint8
	time     uint32
}

func (h *known) home(k rowKey) uint64 {
	a, b := bits.Mul64(k.mac<<16^uint64(k.seg)^h.seed[0], h.seed[1])
	x, _ := bits.Mul64(a^b, h.slots)
	return x
}

func (h *known) slot(i uint64) []byte { return h.mem[i*knownLen : (i+1)*knownLen] }

func slotKey(b []byte) rowKey {
	w := binary.LittleEndian.Uint64(b)
	return rowKey{uint32(binary.LittleEndian.Uint16(b[16:]))<<16 | uint32(w&0xffff), w >> 16}
}

// find returns the slot of k, or the free one where it belongs.
func (h *known) find(k rowKey) (i uint64, ok bool) {
	for i = h.home(k); ; i++ {
		if i == h.slots {
			i = 0
		}
		b := h.slot(i)
		if b[18]&knownUsed == 0 {
			return i, false
		}
		if slotKey(b) == k {
			return i, true
		}
	}
}

func (h *known) get(k rowKey) (r knownRow, ok bool) {
	if h.count == 0 {
		return r, false
	}
	i, ok := h.find(k)
	if !ok {
		return r, false
	}
	b := h.slot(i)
	return knownRow{binary.LittleEndian.Uint64(b[8:]), b[18], binary.LittleEndian.Uint32(b[20:])}, true
}

// put adds or replaces a row. The error is a lack of memory.
func (h *known) put(k rowKey, r knownRow) error {
	if uint64(h.count+1)*5 > h.slots*4 {
		if err := h.grow(); err != nil {
			return err
		}
	}
	i, ok := h.find(k)
	b := h.slot(i)
	if !ok {
		h.count++
		binary.LittleEndian.PutUint64(b, k.mac<<16|uint64(k.seg&0xffff))
		binary.LittleEndian.PutUint16(b[16:], uint16(k.seg>>16))
	}
	binary.LittleEndian.PutUint64(b[8:], r.sequence)
	b[18] = r.flags | knownUsed
	binary.LittleEndian.PutUint32(b[20:], r.time)
	return nil
}

// remove forgets a row. Those behind it move up, so that no search ends too early.
func (h *known) remove(k rowKey) {
	if h.count == 0 {
		return
	}
	i, ok := h.find(k)
	if !ok {
		return
	}
	h.count--
	for j := i; ; {
		if j++; j == h.slots {
			j = 0
		}
		b := h.slot(j)
		if b[18]&knownUsed == 0 {
			break
		}
		// b may move to i if its home is not behind i.
		if home := h.home(slotKey(b)); (j-home+h.slots)%h.slots >= (j-i+h.slots)%h.slots {
			copy(h.slot(i), b)
			i = j
		}
	}
	clear(h.slot(i))
}

// each calls f with every row, which f must not change.
func (h *known) each(f func(k rowKey, r knownRow)) {
	for i := range h.slots {
		if b := h.slot(i); b[18]&knownUsed != 0 {
			f(slotKey(b), knownRow{binary.LittleEndian.Uint64(b[8:]), b[18], binary.LittleEndian.Uint32(b[20:])})
		}
	}
}

// grow makes room for a quarter more rows, in new memory.
func (h *known) grow() error {
	next := known{slots: max(4096, h.slots*5/4), seed: h.seed}
	if next.seed == [2]uint64{} {
		next.seed = [2]uint64{rand.Uint64(), rand.Uint64() | 1}
	}
	var err error
	if next.region, err = memory.Map(int(next.slots * knownLen)); err != nil {
		return err
	}
	next.mem = next.region.Bytes()
	for i := range h.slots {
		if b := h.slot(i); b[18]&knownUsed != 0 {
			j, _ := next.find(slotKey(b))
			copy(next.slot(j), b)
		}
	}
	next.count = h.count
	old := h.region
	*h = next
	return old.Unmap()
}
