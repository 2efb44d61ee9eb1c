// Package event carries what the first worker has to tell from the packet path to control.
package event

import "sync/atomic"

// Ring is a bounded ring of events with one writer (the first worker) and one reader (control). An event that does not
// fit is counted in Lost: control then reads the states themselves, which are always current.
type Ring[T any] struct {
	slots []T
	_     [40]byte
	head  atomic.Uint32
	_     [60]byte
	tail  atomic.Uint32
	_     [60]byte
	lost  atomic.Uint64
	wake  chan struct{}
}

// NewRing returns an empty ring for size events, a power of two.
func NewRing[T any](size int) *Ring[T] {
	return &Ring[T]{slots: make([]T, size), wake: make(chan struct{}, 1)}
}

// Put appends an event and wakes the reader. For the writer alone.
func (r *Ring[T]) Put(e T) {
	h := r.head.Load()
	if h-r.tail.Load() == uint32(len(r.slots)) {
		r.lost.Add(1)
	} else {
		r.slots[h%uint32(len(r.slots))] = e
		r.head.Store(h + 1)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Wake is readable after a Put.
func (r *Ring[T]) Wake() <-chan struct{} { return r.wake }

// Take calls fn for every event so far, oldest first. For the reader alone.
func (r *Ring[T]) Take(fn func(T)) {
	for t := r.tail.Load(); t != r.head.Load(); t++ {
		e := r.slots[t%uint32(len(r.slots))]
		r.tail.Store(t + 1)
		fn(e)
	}
}

// Lost returns how many events did not fit.
func (r *Ring[T]) Lost() uint64 { return r.lost.Load() }
