package gateway

import "sync/atomic"

// Kind is the kind of an Event.
type Kind uint8

// The kinds.
const (
	// MemberChanged: a member has changed its state. From, To, Why.
	MemberChanged Kind = iota
	// ActiveChanged: a group has changed its active member. Member is the new one (None: no member is fit), Old the
	// previous one. Why.
	ActiveChanged
	// MACLearned: a member's gateway is resolved. MAC; OldMAC is 0.
	MACLearned
	// MACChanged: a member's gateway answers with another MAC, which is in use from now on. MAC, OldMAC.
	MACChanged
	// MACConflict: a member's gateway answers from OldMAC, which stays in use, and another station with the same IP
	// answers from MAC.
	MACConflict
	// MACShared: two members on one port and VLAN have one MAC, so they are one gateway. Member, Other.
	MACShared
	// AnnounceFinish: the burst of announcements after a switch is sent. Count is the number of frames.
	AnnounceFinish
)

var kindNames = [...]string{"member", "active", "mac-learned", "mac-changed", "mac-conflict", "mac-shared", "announced"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Event is a report of the dataplane to control about a gateway group. Events are in the order of their occurrence.
type Event struct {
	Time   int64  // nanoseconds on the engine's clock (Engine.Clock)
	Group  uint32 // index of the group, as in fib.Snapshot.Groups
	Member uint32 // slot of the member, as in fib.Group.Members; None = none
	Other  uint32 // MACShared: the other member
	Old    uint32 // ActiveChanged: the member that was active
	Kind   Kind
	From   State
	To     State
	Why    Why
	MAC    uint64
	OldMAC uint64
	Count  uint64
}

// Events is a bounded ring of events with one writer (the first worker) and one reader (control). An event
// that does not fit is counted in Lost: control then reads the states themselves, which are always current.
type Events struct {
	ring [1024]Event
	_    [64]byte
	head atomic.Uint32
	_    [60]byte
	tail atomic.Uint32
	_    [60]byte
	lost atomic.Uint64
	wake chan struct{}
}

// NewEvents returns an empty ring.
func NewEvents() *Events { return &Events{wake: make(chan struct{}, 1)} }

// Put appends an event and wakes the reader. For the writer alone.
func (r *Events) Put(e Event) {
	h := r.head.Load()
	if h-r.tail.Load() == uint32(len(r.ring)) {
		r.lost.Add(1)
	} else {
		r.ring[h%uint32(len(r.ring))] = e
		r.head.Store(h + 1)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Wake is readable after a Put.
func (r *Events) Wake() <-chan struct{} { return r.wake }

// Take calls fn for every event so far, oldest first. For the reader alone.
func (r *Events) Take(fn func(Event)) {
	for t := r.tail.Load(); t != r.head.Load(); t++ {
		e := r.ring[t%uint32(len(r.ring))]
		r.tail.Store(t + 1)
		fn(e)
	}
}

// Lost returns how many events did not fit.
func (r *Events) Lost() uint64 { return r.lost.Load() }
