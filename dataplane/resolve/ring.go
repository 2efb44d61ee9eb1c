package resolve

import (
	"context"
	"sync/atomic"

	"penstock/dataplane/bell"
)

// shares are the octets of a worker's ring of messages, by opcode: a flood of one takes nothing from another, however
// long control reads nothing. HERE: 100 ms of a million bindings a second in full frames, or of 400,000 alone. PAGE,
// with the HEREs behind it: 200 ms of 200,000 bindings a second. HELLO: one of each of 4,096 boxes.
var shares = [OpPage + 1]int{
	OpWhere: 256 << 10, OpHere: 4 << 20, OpNotHere: 256 << 10, OpHello: 512 << 10, OpPull: 256 << 10, OpPage: 2 << 20,
}

// eventShares are the events of a worker that may wait, by sort: misses at control's 1,000 WHERE a second for a second;
// stations of a box at once.
var eventShares = [sorts]int{sortMiss: 1024, sortNotHere: 1024, sortLearn: 4096}

// The sorts of events, which take nothing from each other.
const (
	sortMiss = iota
	sortNotHere
	sortLearn
	sorts
)

// fair is how many messages of one opcode control takes before it is the next one's turn.
const fair = 64

// Ring carries messages and events from one worker to control.
type Ring struct {
	messages [len(shares)]messages
	events   [sorts]events
	bell     *bell.Bell
}

// NewRing returns an empty ring. Nobody is woken for it until NewReader has it.
func NewRing() *Ring {
	r := &Ring{}
	for op, n := range shares {
		r.messages[op].mem = make([]byte, n)
	}
	for i, n := range eventShares {
		r.events[i].slots = make([]Event, n)
	}
	return r
}

// Put copies a message whose first opcode is op into the ring. It returns false if the share of that opcode is full, or
// op has none. For the worker alone; control sees the message after Wake.
func (r *Ring) Put(op uint8, a *Arrival) bool {
	return op != 0 && int(op) < len(shares) && r.messages[op].put(a)
}

// Tell copies an event into the ring. It returns false if the share of its sort is full. For the worker alone; control
// sees the event after Wake.
func (r *Ring) Tell(e *Event) bool {
	sort := sortLearn
	switch e.Kind {
	case MissMAC, MissIP4, MissIP6:
		sort = sortMiss
	case NotHere:
		sort = sortNotHere
	}
	return r.events[sort].put(e)
}

// Wake shows control what is new, and wakes it if it waits. For the worker alone, once per turn.
func (r *Ring) Wake() {
	fresh := false
	for i := range r.messages {
		fresh = r.messages[i].publish() || fresh
	}
	for i := range r.events {
		fresh = r.events[i].publish() || fresh
	}
	if fresh && r.bell != nil {
		r.bell.Ring()
	}
}

// events is a ring of events with one writer and one reader.
type events struct {
	slots []Event
	head  uint64 // the writer's
	pub   atomic.Uint64
	_     [56]byte
	tail  atomic.Uint64
	_     [56]byte
}

func (r *events) put(e *Event) bool {
	if r.head-r.tail.Load() >= uint64(len(r.slots)) {
		return false
	}
	r.slots[r.head&uint64(len(r.slots)-1)] = *e
	r.head++
	return true
}

func (r *events) publish() bool {
	if r.pub.Load() == r.head {
		return false
	}
	r.pub.Store(r.head)
	return true
}

func (r *events) empty() bool { return r.pub.Load() == r.tail.Load() }

func (r *events) take(fn func(Event)) (n int) {
	head, tail := r.pub.Load(), r.tail.Load()
	for ; tail != head; n++ {
		e := r.slots[tail&uint64(len(r.slots)-1)]
		tail++
		r.tail.Store(tail)
		fn(e)
	}
	return n
}

// Reader is control's end of the workers' rings. It is for one goroutine at a time.
type Reader struct {
	rings []*Ring
	bell  *bell.Bell
}

// NewReader returns the reader of the given rings. It is to be called before their workers run.
func NewReader(rings ...*Ring) *Reader {
	r := &Reader{rings: rings, bell: bell.New()}
	for _, ring := range rings {
		ring.bell = r.bell
	}
	return r
}

// TakeMessages calls fn for messages that have come, of each worker and opcode oldest first and of all opcodes in turn,
// and returns their number: 0 when there is none. It takes at most 64 messages of each worker and opcode, so that the
// caller can do other things in between.
func (r *Reader) TakeMessages(fn func(Arrival)) (n int) {
	for _, ring := range r.rings {
		for op := range ring.messages {
			if m := &ring.messages[op]; len(m.mem) > 0 {
				n += m.take(fair, fn)
			}
		}
	}
	return n
}

// TakeEvents calls fn for the events that were told, of each worker and sort oldest first, and returns their number.
func (r *Reader) TakeEvents(fn func(Event)) (n int) {
	for _, ring := range r.rings {
		for i := range ring.events {
			n += ring.events[i].take(fn)
		}
	}
	return n
}

// Wait returns true when there is a message or an event to take, and false when ctx is done.
func (r *Reader) Wait(ctx context.Context) bool { return r.bell.Wait(ctx, r.waiting) }

func (r *Reader) waiting() bool {
	for _, ring := range r.rings {
		for i := range ring.messages {
			if !ring.messages[i].empty() {
				return true
			}
		}
		for i := range ring.events {
			if !ring.events[i].empty() {
				return true
			}
		}
	}
	return false
}
