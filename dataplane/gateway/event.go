package gateway

import "sync/atomic"

// Kind is what an Event tells.
type Kind uint8

// The kinds.
const (
	MemberChanged  Kind = iota // a member's state: From, To, Why
	ActiveChanged              // a group's active member: Member is the new one (None: there is none left), Old the one before, Why
	MACLearned                 // a member's gateway has been resolved: MAC; OldMAC is 0
	MACChanged                 // … answers with another MAC, which was taken over: MAC, OldMAC
	MACConflict                // … answers, and so does another station with the same IP: OldMAC is in use, MAC is the other's and is not
	MACShared                  // two members on one port and VLAN have one MAC: they are one gateway. Member, Other
	AnnounceFinish             // the burst of announcements after a switch has been sent: Count frames
)

var kindNames = [...]string{"member", "active", "mac-learned", "mac-changed", "mac-conflict", "mac-shared", "announced"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Event is what the dataplane tells control of a gateway group, in the order in which it happened.
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

// Events is a bounded ring of events with one writer (the first worker) and one reader (control). What does not fit is
// counted in Lost: control then reads the states themselves, which are always current.
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
