// Package bell wakes a goroutine of control when workers have put something into rings for it. It is silent unless the
// goroutine waits, so that a busy one costs the workers one load.
package bell

import (
	"context"
	"sync/atomic"
)

// Bell has any number of goroutines that ring it and one that waits.
type Bell struct {
	waits atomic.Bool
	c     chan struct{}
}

// New returns a bell.
func New() *Bell { return &Bell{c: make(chan struct{}, 1)} }

// Ring wakes the goroutine that waits. What it is woken for must be visible to it before.
func (b *Bell) Ring() {
	if b.waits.Load() && b.waits.CompareAndSwap(true, false) {
		b.c <- struct{}{} // there is room: the waiting goroutine takes it before it waits again
	}
}

// Wait returns true when there is something, which ready looks for and Ring says, and false when ctx is done.
func (b *Bell) Wait(ctx context.Context, ready func() bool) bool {
	b.waits.Store(true)
	if ready() { // what was put before the line above rang no bell
		b.silence()
		return true
	}
	select {
	case <-ctx.Done():
		b.silence()
		return false
	case <-b.c:
		return true
	}
}

// Waits reports whether a goroutine waits.
func (b *Bell) Waits() bool { return b.waits.Load() }

// silence ends the wait for a ring; one that is under way is taken.
func (b *Bell) silence() {
	if !b.waits.CompareAndSwap(true, false) {
		<-b.c
	}
}
