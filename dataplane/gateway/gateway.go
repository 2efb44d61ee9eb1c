// Package gateway is the state machine of a gateway group: it decides which member is active
// (PROTOCOL.md#gateway-groups).
//
// The package is pure: it has no clock, no packets and no locks. Its caller (package uplink, on the first worker's
// thread, or a test with a clock of its own) reports events with their times, and the machine returns the resulting
// changes.
//
// Files: gateway.go (states, reasons, policy), event.go (events for control), machine.go (the health of members, judged
// by package liveness), choose.go (the choice of the active member).
package gateway

import "penstock/dataplane/liveness"

// Limits of a group.
const (
	MaxMembers = 16                // members
	MaxFlaps   = liveness.MaxFlaps // Policy.FlapCount
)

// None is the slot of no member.
const None = ^uint32(0)

// State is the state of a member of a group (see package liveness).
type State = liveness.State

// The states.
const (
	Init     = liveness.Init
	Up       = liveness.Up
	Suspect  = liveness.Suspect
	Down     = liveness.Down
	Disabled = liveness.Disabled
)

// States are the names of all states, by value.
func States() []string { return liveness.States() }

// Why is the reason of a transition of a member or of a group: a reason of package liveness, or one of the group's own.
type Why uint32

// The reasons of members' transitions, from package liveness.
const (
	WhyNone     = Why(liveness.None)
	WhyAdded    = Why(liveness.Added) // the configuration has the member from now on
	WhyAnswers  = Why(liveness.Answers)
	WhyData     = Why(liveness.Data)
	WhyMiss     = Why(liveness.Miss)
	WhySilent   = Why(liveness.Silent)
	WhyCarrier  = Why(liveness.Carrier)
	WhyTransmit = Why(liveness.Transmit)
	WhyLink     = Why(liveness.Link)
	WhyHold     = Why(liveness.Hold)
	WhyOnly     = Why(liveness.Only)
	WhyDisabled = Why(liveness.Disable)
	WhyEnabled  = Why(liveness.Enable)
)

// The reasons of the group's own.
const (
	// WhyStart: the box has started. The group begins with the member that was active before, and verifies it.
	WhyStart = Why(liveness.Whys) + iota
	// WhyRemoved: the configuration does not have the member any more.
	WhyRemoved
	// WhyPreempt: a member before the active one in the list has been up for PreemptDelay.
	WhyPreempt
	// WhyOperator: an operator's command.
	WhyOperator
	whys
)

var ownNames = [whys - WhyStart]string{"start", "removed", "preempt", "operator"}

// String returns the reason's name, as in API, metrics and events.
func (w Why) String() string {
	if w >= WhyStart && w < whys {
		return ownNames[w-WhyStart]
	}
	return liveness.Why(w).String()
}

// Policy is the rules by which a group detects failures and switches. All times are nanoseconds. Zero values are not
// defaults: see DefaultPolicy.
type Policy struct {
	liveness.Policy
	Interval int64 // from one probe of a member to the next; 10 ms to 10 s

	DataLiveness bool   // a frame from the gateway's MAC within the interval excuses a missing answer
	DataMax      uint32 // consecutive probes excused at most; 0 = no limit

	Preempt      bool  // return to the first member of the list that is up again
	PreemptDelay int64 // … after it has been up for this time without interruption

	AnnounceRate     uint32 // announcements per second after a switch, and in each later round
	AnnounceInterval int64  // from one round of announcements to the next, after the burst; 0 = no further rounds
}

// Limits of a policy's interval.
const (
	MinInterval = 10_000_000
	MaxInterval = 10_000_000_000
)

// DefaultPolicy returns the defaults of conf/README.md. ARCHITECTURE.md has the reasons.
func DefaultPolicy() Policy {
	const second = 1_000_000_000
	return Policy{
		Policy: liveness.Policy{
			Misses: 3, Recover: 5, FlapCount: 3, FlapWindow: 60 * second, HoldMin: 10 * second, HoldMax: 600 * second,
		},
		Interval: second / 10, DataLiveness: true, PreemptDelay: 60 * second,
		AnnounceRate: 10_000, AnnounceInterval: 60 * second,
	}
}
