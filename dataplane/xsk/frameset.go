package xsk

import "math/bits"

// frameSet is the set of frames that a socket was given and has not given back: one bit per chunk of the UMEM.
type frameSet struct {
	bits  []uint64
	shift uint8 // binary logarithm of the chunk size
}

func newFrameSet(frames int, frameSize uint32) frameSet {
	return frameSet{bits: make([]uint64, (frames+63)/64), shift: uint8(bits.TrailingZeros32(frameSize))}
}

// add notes the frame that addr lies in; an address outside of the UMEM is ignored here and refused by the kernel.
func (f *frameSet) add(addr uint64) {
	i := addr >> (f.shift & 63)
	if w := i >> 6; w < uint64(len(f.bits)) {
		f.bits[w] |= 1 << (i & 63)
	}
}

func (f *frameSet) remove(addr uint64) {
	i := addr >> (f.shift & 63)
	if w := i >> 6; w < uint64(len(f.bits)) {
		f.bits[w] &^= 1 << (i & 63)
	}
}

// chunkMask turns an address within a frame into the frame's own.
func (f *frameSet) chunkMask() uint64 { return ^uint64(0) << (f.shift & 63) }

// len counts the frames in the set.
func (f *frameSet) len() int {
	n := 0
	for _, w := range f.bits {
		n += bits.OnesCount64(w)
	}
	return n
}

// take calls fn with the address of every frame in the set, ascending, and empties the set.
func (f *frameSet) take(fn func(addr uint64)) {
	for i, w := range f.bits {
		f.bits[i] = 0
		for ; w != 0; w &= w - 1 {
			fn(uint64(i*64+bits.TrailingZeros64(w)) << (f.shift & 63))
		}
	}
}
