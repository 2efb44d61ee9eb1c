package table

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// Static is an immutable map, safe for any number of readers. A nil *Static is empty.
// Open addressing, at most half full; keys hash with a random secret of each map.
type Static struct {
	slots   []staticSlot
	k0, k1  uint64
	entries int
}

type staticSlot struct {
	key   uint64
	value uint32
	used  bool
}

// NewStatic builds an immutable map from 64-bit keys to 32-bit values. Of equal keys the last one counts.
// The slices must be of equal length.
func NewStatic(keys []uint64, values []uint32) *Static {
	values = values[:len(keys)]
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := &Static{
		// A power of two: Get reduces with a mask, and the slice's bounds check is all it needs.
		slots: make([]staticSlot, 1<<bits.Len(uint(max(1, 2*len(keys)-1)))),
		k0:    binary.LittleEndian.Uint64(b[:]),
		k1:    binary.LittleEndian.Uint64(b[8:]) | 1<<63 | 1,
	}
	for i, k := range keys {
		at := s.start(k)
		for s.slots[at].used && s.slots[at].key != k {
			at = (at + 1) & (len(s.slots) - 1)
		}
		if !s.slots[at].used {
			s.entries++
		}
		s.slots[at] = staticSlot{k, values[i], true}
	}
	return s
}

// Len returns the number of keys.
func (s *Static) Len() int {
	if s == nil {
		return 0
	}
	return s.entries
}

func (s *Static) start(key uint64) int {
	hi, lo := bits.Mul64(key^s.k0, s.k1)
	return int(hi^lo) & (len(s.slots) - 1)
}

// Get returns the value of key.
func (s *Static) Get(key uint64) (uint32, bool) {
	if s == nil {
		return 0, false
	}
	for at := s.start(key); ; at++ {
		e := &s.slots[at&(len(s.slots)-1)]
		if e.key == key && e.used {
			return e.value, true
		}
		if !e.used {
			return 0, false
		}
	}
}
