// Package track finds out from sequence numbers what became of a stream of frames: lost, duplicated, reordered, late.
//
// # Definitions
//
// Numbers count from 0 within a run. Each is sent once.
//
//   - Received: different numbers that arrived.
//   - Duplicate: a number that has arrived already (RFC 5560). It counts for nothing else.
//   - Lost: sent and not received; what is sent the caller knows.
//   - Reordered: a frame that is not a duplicate and whose number is smaller than one that arrived before it on the
//     same queue (RFC 4737 section 3, Type-P-Reordered: smaller than NextExp).
//   - Extent of a reordered frame: how many arrivals ago the first frame with a larger number came (RFC 4737 section
//     4.2: i − j), duplicates not counted.
//   - Behind: how far its number is below the largest that had arrived before it.
//
// Order is judged queue by queue of the receiving port: a flow stays on its queue, and between queues there is none.
//
// # Limits
//
// Which numbers have arrived is a bit each, over a window that ends at the largest: exact as long as nothing arrives
// more than the window behind it. A frame that does is counted as too late: whether it is a duplicate or a frame
// believed lost cannot be said any more. The window is as large as the caller makes it, up to 64 Mi numbers (8 MiB);
// a run that sends no more than that is exact whatever happens.
package track

import (
	"fmt"
	"math/bits"
)

// MaxWindow is the largest window, in numbers.
const MaxWindow = 64 << 20

// Verdict says what an arrival was.
type Verdict uint8

// The verdicts.
const (
	New       Verdict = iota // the first of its number
	Duplicate                // the number had arrived
	TooLate                  // the number has left the window
)

// Counts are the results. All are numbers of frames.
type Counts struct {
	Received   uint64 `json:"received"`   // different numbers
	Duplicates uint64 `json:"duplicates"` // arrivals of numbers that had arrived
	TooLate    uint64 `json:"too_late"`   // arrivals too far behind to be judged
	Reordered  uint64 `json:"reordered"`
	Extent     uint64 `json:"reordering_extent"` // the largest
	Behind     uint64 `json:"reordering_behind"` // the largest
	// AtLeast says that Extent may be larger: more gaps were open than are remembered.
	AtLeast bool `json:"reordering_extent_at_least,omitempty"`
}

// Tracker follows one stream. It is for one goroutine at a time.
type Tracker struct {
	words  []uint64 // bit n%64 of word (n/64)%len: number n has arrived
	mask   uint64
	top    uint64 // the word, not reduced, that the window ends with
	counts Counts
	queues []order
}

// New makes a tracker for total numbers that arrive on so many queues. The window is total rounded up to a power of
// two, at most MaxWindow.
func NewTracker(total uint64, queues int) (*Tracker, error) {
	if queues < 1 {
		return nil, fmt.Errorf("track: %d queues: want 1 or more", queues)
	}
	words := min(max(total, 64), MaxWindow) / 64
	if words&(words-1) != 0 {
		words = 1 << bits.Len64(words)
	} else if words*64 < min(total, MaxWindow) {
		words *= 2
	}
	t := &Tracker{words: make([]uint64, words), mask: words - 1, top: words - 1, queues: make([]order, queues)}
	return t, nil
}

// Window returns the window's size in numbers.
func (t *Tracker) Window() uint64 { return uint64(len(t.words)) * 64 }

// See judges the arrival of number n on a queue, 0 to queues−1.
func (t *Tracker) See(queue int, n uint64) Verdict {
	w := n / 64
	switch {
	case w > t.top:
		t.advance(w)
	case t.top-w > t.mask:
		t.counts.TooLate++
		return TooLate
	}
	bit := uint64(1) << (n % 64)
	if p := &t.words[w&t.mask]; *p&bit == 0 {
		*p |= bit
	} else {
		t.counts.Duplicates++
		return Duplicate
	}
	t.counts.Received++
	if o := &t.queues[queue]; n == o.next { // in order
		o.next++
		o.arrivals++
	} else {
		t.disorder(o, n)
	}
	return New
}

// advance moves the window's end to word w.
func (t *Tracker) advance(w uint64) {
	if w-t.top > t.mask {
		clear(t.words)
	} else {
		for i := t.top + 1; i <= w; i++ {
			t.words[i&t.mask] = 0
		}
	}
	t.top = w
}

// Counts returns the results so far.
func (t *Tracker) Counts() Counts { return t.counts }
