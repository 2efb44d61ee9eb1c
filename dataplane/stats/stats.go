// Package stats holds the counters of the packet path. Each worker counts in memory of its own without atomics and
// publishes the counters about once a millisecond: counting costs one addition, and readers do not slow down workers.
package stats

import (
	"sync/atomic"

	"penstock/dataplane/drop"
	"penstock/dataplane/punt"
)

// Block is a set of counters with one writer. Any goroutine may call Load, Len and Grown, which return what was last
// published. Only the writer may call the other methods.
type Block struct {
	live  []uint64
	dirty []bool // for each 64 counters: changed since the last Publish
	pub   atomic.Pointer[[]atomic.Uint64]
}

// NewBlock returns n counters at zero.
func NewBlock(n int) *Block {
	b := &Block{live: make([]uint64, n), dirty: make([]bool, n/64+1)}
	pub := make([]atomic.Uint64, n)
	b.pub.Store(&pub)
	return b
}

// Grown returns memory for a block of n counters or more, or nil if the block has n counters already. The writer takes
// the memory over with Grow: the writer itself does not allocate.
func (b *Block) Grown(n int) *Block {
	if n <= b.Len() {
		return nil
	}
	return NewBlock(max(n, 2*b.Len()))
}

// Grow takes over the memory that Grown returned. All counters keep their values. If to is nil or not larger than the
// block, Grow changes nothing.
func (b *Block) Grow(to *Block) {
	if to == nil || to.Len() <= b.Len() {
		return
	}
	copy(to.live, b.live)
	copy(to.dirty, b.dirty)
	old, pub := *b.pub.Load(), *to.pub.Load()
	for i := range old {
		pub[i].Store(old[i].Load())
	}
	b.live, b.dirty = to.live, to.dirty
	b.pub.Store(&pub)
}

// Clear sets n counters from i on to zero, for readers too.
func (b *Block) Clear(i, n int) {
	pub := *b.pub.Load()
	for i, end := max(i, 0), min(i+n, len(b.live)); i < end; i++ {
		b.live[i] = 0
		pub[i].Store(0)
	}
}

// Add adds d to counter i. Without a counter i, Add does nothing.
func (b *Block) Add(i int, d uint64) {
	if uint(i) < uint(len(b.live)) {
		b.live[i] += d
		b.dirty[uint(i)>>6] = true
	}
}

// AddPacket counts a packet of n octets in the traffic counter at i.
func (b *Block) AddPacket(i int, n uint16) {
	if at := uint(i); at+1 < uint(len(b.live)) && at < uint(len(b.live)) {
		b.live[at]++
		b.live[at+1] += uint64(n)
		b.dirty[at>>6] = true
	}
}

// Max raises counter i to v if it is lower.
func (b *Block) Max(i int, v uint64) {
	if uint(i) < uint(len(b.live)) && v > b.live[i] {
		b.live[i] = v
		b.dirty[uint(i)>>6] = true
	}
}

// Publish makes the current values visible to readers.
func (b *Block) Publish() {
	pub := *b.pub.Load()
	for w, set := range b.dirty {
		if !set {
			continue
		}
		b.dirty[w] = false
		for i := w << 6; i < min(w<<6+64, len(b.live)); i++ {
			if v := b.live[i]; pub[i].Load() != v {
				pub[i].Store(v)
			}
		}
	}
}

// Load returns the last published value of counter i.
func (b *Block) Load(i int) uint64 {
	if pub := *b.pub.Load(); uint(i) < uint(len(pub)) {
		return pub[i].Load()
	}
	return 0
}

// Len returns the number of counters.
func (b *Block) Len() int { return len(*b.pub.Load()) }

// The counters of one port, by offset: from Drops on by drop reason, from Punts on by kind of punted frame. Frames
// made in the box (copies of a broadcast, frames injected by control) count for the port of the frame that they were
// made of, or for the port that they are injected into. Summed over all ports and workers, when no frame is under
// way, RxPackets + Injected + Copies = TxPackets + Punted + Σ drops, exactly.
const (
	RxPackets = iota
	RxBytes
	TxPackets
	TxBytes
	Punted
	Injected
	Copies
	TxErrors // transmit calls that failed in the kernel (ENETDOWN, ENXIO …); the frames stay queued
	Drops
	Punts      = Drops + int(drop.Count) // of Punted, by kind, what went into the ring to control
	PortStride = (Punts + int(punt.Count) + 7) &^ 7
)

// Ports are the counters of one worker for all ports.
type Ports struct{ *Block }

// NewPorts returns counters for n ports.
func NewPorts(n int) Ports { return Ports{NewBlock(n * PortStride)} }

// Count adds d to counter c of port p.
func (s Ports) Count(p uint16, c int, d uint64) { s.Add(int(p)*PortStride+c, d) }

// Drop counts a discarded frame of port p.
func (s Ports) Drop(p uint16, r drop.Reason) { s.Add(int(p)*PortStride+Drops+int(r), 1) }

// Of returns the published counter c of port p.
func (s Ports) Of(p, c int) uint64 { return s.Load(p*PortStride + c) }
