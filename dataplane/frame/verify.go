package frame

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Owner is who holds a frame.
type Owner uint32

// The owners. A frame has exactly one at any time.
const (
	OwnerPool    Owner = iota // the pool or a cache
	OwnerFill                 // a fill ring, or the kernel receiving into it, or an rx ring
	OwnerBatch                // a worker's batch
	OwnerTx                   // a tx ring, the kernel sending, or a completion ring
	OwnerHandoff              // on its way to another worker
	OwnerHeld                 // a fragment that waits for the first one
	OwnerWaiting              // a packet that waits for a binding
	owners
)

var ownerNames = [owners]string{"pool", "fill", "batch", "tx", "handoff", "held", "waiting"}

// String returns the owner's name.
func (o Owner) String() string {
	if o < owners {
		return ownerNames[o]
	}
	return "unknown"
}

// Verify follows the ownership of every frame and notes each transfer that the rules forbid. It costs an atomic
// exchange per transfer; tests run with it always, operators may.
type Verify struct {
	shift      uint32
	owner      []atomic.Uint32
	violations atomic.Uint64
	mu         sync.Mutex
	first      []string
}

// NewVerify returns a verifier for frames of frameSize octets, all of them in the pool.
func NewVerify(frames int, frameSize uint32) *Verify {
	v := &Verify{owner: make([]atomic.Uint32, frames)}
	for s := frameSize; s > 1; s >>= 1 {
		v.shift++
	}
	return v
}

// Move notes that the frame which holds octet off passes from one owner to another.
func (v *Verify) Move(off uint32, from, to Owner) {
	i := off >> v.shift
	if int(i) >= len(v.owner) {
		v.note(off, from, to, owners)
		return
	}
	if was := Owner(v.owner[i].Swap(uint32(to))); was != from {
		v.note(off, from, to, was)
	}
}

func (v *Verify) note(off uint32, from, to, was Owner) {
	v.violations.Add(1)
	v.mu.Lock()
	if len(v.first) < 16 {
		v.first = append(v.first, fmt.Sprintf("frame %#x: %v → %v, but it belonged to %v", off, from, to, was))
	}
	v.mu.Unlock()
}

// Violations returns how many forbidden transfers there were, and the first of them in words.
func (v *Verify) Violations() (uint64, []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.violations.Load(), append([]string(nil), v.first...)
}

// Count returns the number of frames by owner. The sum is always the number of frames.
func (v *Verify) Count() map[string]int {
	m := make(map[string]int, owners)
	for i := range v.owner {
		m[Owner(v.owner[i].Load()).String()]++
	}
	return m
}

// Reclaim notes that a frame comes back to the pool from a ring that was closed: a fill ring or a transmit ring.
func (v *Verify) Reclaim(off uint32) {
	from := OwnerFill
	if i := off >> v.shift; int(i) < len(v.owner) && Owner(v.owner[i].Load()) == OwnerTx {
		from = OwnerTx
	}
	v.Move(off, from, OwnerPool)
}
