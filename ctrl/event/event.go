// Package event is the log of everything that changes or happens: a ring of the last events, numbered so that a reader
// can resume at its last number, also after a restart of the box.
//
// Publishing never blocks and readers never slow it down: a reader that falls behind the ring loses events and gets an
// event of type "gap" instead. Sequence numbers only grow. Blocks of numbers are reserved durably in advance, so that
// no number is used twice; after a restart numbering continues behind the reserved block.
package event

import (
	"context"
	"sync"
	"time"
)

// Event is one thing that changed or happened.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Type string    `json:"type"`
	Data Data      `json:"data"`
}

// block is how many numbers are reserved at a time: a durable write per 16 million events.
const block = 1 << 24

// Config of a Log.
type Config struct {
	Size    int                     // events kept; default 65,536
	Start   uint64                  // the mark that Reserve stored last (store.EventMark)
	Reserve func(mark uint64) error // makes a new mark durable (store.SetEventMark); nil = no mark is stored
	Now     func() time.Time        // nil = time.Now
}

// Log is the ring.
type Log struct {
	cfg Config

	first     uint64 // number of the first event since the start
	mu        sync.Mutex
	ring      []Event
	oldest    uint64 // number of the oldest event kept
	next      uint64 // number of the next event
	reserved  uint64 // numbers below it are durable
	reserving bool
	wake      chan struct{} // closed by the next Publish; nil while nobody waits
}

// New makes a Log and reserves its first numbers. A failed reservation is repeated when events are published.
func New(c Config) *Log {
	if c.Size <= 0 {
		c.Size = 65536
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	start := max(c.Start, 1)
	l := &Log{cfg: c, ring: make([]Event, c.Size), first: start, oldest: start, next: start, reserved: start}
	if c.Reserve != nil {
		l.reserve(start + block)
	}
	return l
}

// Publish appends an event, whose type follows from data. data must not be changed afterwards.
func (l *Log) Publish(data Data) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next%uint64(len(l.ring))] = Event{l.next, l.cfg.Now(), data.EventType(), data}
	l.next++
	if l.next-l.oldest > uint64(len(l.ring)) {
		l.oldest++
	}
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
	if l.cfg.Reserve != nil && !l.reserving && l.next+block/2 > l.reserved {
		l.reserving = true
		go l.reserve(max(l.reserved, l.next) + block)
	}
}

// reserve runs beside Publish: half a block is left while it writes.
func (l *Log) reserve(mark uint64) {
	err := l.cfg.Reserve(mark)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserving = false
	if err == nil {
		l.reserved = mark
	}
}

// Last returns the number of the newest event (of the last one before the start if there is none yet).
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// Reader reads events in order. It serves one goroutine and holds nothing that must be released.
type Reader struct {
	l    *Log
	next uint64 // number of the event to be read next
}

// After returns a reader of the events that follow number since.
func (l *Log) After(since uint64) *Reader { return &Reader{l, since + 1} }

// Next waits until there are events and returns them, at most limit. The first event is a "gap" when earlier events are
// no longer kept, or when the reader asks for numbers that were never given out (of another box, or of a store that was
// replaced). The gap has the number of the last missing event. The error is that of ctx.
func (r *Reader) Next(ctx context.Context, limit int) ([]Event, error) {
	for {
		events, wake := r.take(limit)
		if events != nil {
			return events, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *Reader) take(limit int) ([]Event, <-chan struct{}) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next < l.oldest || r.next > l.next {
		gap := Gap{From: r.next, To: l.oldest - 1, Reason: GapOverrun}
		switch {
		case r.next > l.next: // never given out: start with the oldest event kept
			gap.From, gap.Reason = 0, GapUnknown
		case r.next < l.first:
			gap.Reason = GapRestart
		}
		r.next = l.oldest
		return []Event{{l.oldest - 1, l.cfg.Now(), TypeGap, gap}}, nil
	}
	if r.next == l.next {
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		return nil, l.wake
	}
	out := make([]Event, 0, min(uint64(limit), l.next-r.next))
	for len(out) < cap(out) {
		out = append(out, l.ring[r.next%uint64(len(l.ring))])
		r.next++
	}
	return out, nil
}

// Ready reports whether Next would return at once.
func (r *Reader) Ready() bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.next != r.l.next
}
