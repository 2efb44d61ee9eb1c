package gateway

import "penstock/dataplane/event"

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

// Events carries them from the first worker to control.
type Events = event.Ring[Event]

// NewEvents returns an empty ring.
func NewEvents() *Events { return event.NewRing[Event](1024) }
