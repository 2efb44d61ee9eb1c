// Package gateway is the state machine of a gateway group: which member is active, and why (spec/gateways.md).
//
// It is pure: it knows no clock, no packet and no lock. Whoever drives it (package uplink, on the first worker's thread;
// the tests, with a clock of their own) tells it what happened and when, and it says what follows.
//
// Files: gateway.go (the words: states, reasons, policy), event.go (what control hears of it), machine.go (the machine).
package gateway

import "fmt"

// Limits of a group.
const (
	MaxMembers = 16 // members
	MaxFlaps   = 16 // Policy.FlapCount
)

// None is the slot of no member.
const None = ^uint32(0)

// State is how a member of a group is.
type State uint32

// The states.
const (
	Init     State = iota // nothing is known yet: the box has started, or the member is new
	Up                    // its gateway answers
	Suspect               // its gateway has left probes unanswered, but fewer than it takes to fail
	Down                  // failed: silent, or its port is down; or back but not for long enough
	Disabled              // taken out of service by an operator; it is probed all the same
)

var stateNames = [...]string{"init", "up", "suspect", "down", "disabled"}

// String returns the state's name, as in API, metrics and events.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint32(s))
}

// States are the names of all states, by value.
func States() []string { return append([]string(nil), stateNames[:]...) }

// Why is the reason of a transition, of a member or of a group.
type Why uint32

// The reasons.
const (
	WhyNone     Why = iota
	WhyStart        // the box has started: the group goes on with the member that was active before, and verifies it
	WhyAdded        // the configuration has it since now
	WhyRemoved      // the configuration has it no more
	WhyAnswers      // its gateway answers
	WhyData         // its gateway does not answer but sends
	WhyMiss         // a probe was not answered
	WhySilent       // as many probes in a row were not answered as it takes to fail
	WhyCarrier      // its port lost carrier, was set down or is gone
	WhyTransmit     // the kernel refuses to send by its port
	WhyLink         // its port is back; its gateway has to prove itself
	WhyHold         // it failed too often lately: it stays down for a while although its gateway answers
	WhyOnly         // no other member is fit, so it is used although it has not proved itself
	WhyPreempt      // a member that stands before the active one in the list has been back for long enough
	WhyOperator     // an operator asked for it
	WhyDisabled     // an operator has taken it out of service
	WhyEnabled      // an operator has put it back into service
	whys
)

var whyNames = [whys]string{"none", "start", "added", "removed", "answers", "data", "miss", "silent", "carrier", "transmit", "link", "hold",
	"only", "preempt", "operator", "disabled", "enabled"}

// String returns the reason's name, as in API, metrics and events.
func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return fmt.Sprintf("Why(%d)", uint32(w))
}

// Policy is how a group detects failures and switches. All times are nanoseconds. Zero values are not defaults: see
// DefaultPolicy.
type Policy struct {
	Interval int64  // from one probe of a member to the next; 10 ms to 10 s
	Misses   uint32 // unanswered probes in a row after which a member has failed (N), ≥ 1
	Recover  uint32 // answered probes in a row that bring a failed member back (M), ≥ 1

	DataLiveness bool   // a frame from the gateway's MAC within the interval makes a missing answer not count
	DataMax      uint32 // for that many probes in a row at most; 0 = for ever

	Preempt      bool  // go back to the member that stands first in the list when it is back
	PreemptDelay int64 // … after it has been up for so long without a break

	FlapCount  uint32 // a member that fails so often (K), at most MaxFlaps, …
	FlapWindow int64  // … within this time is held down when it comes back; 0 = never
	HoldMin    int64  // for so long the first time, twice as long each further time,
	HoldMax    int64  // and never longer than this

	AnnounceRate     uint32 // announcements per second after a switch, and in each later round
	AnnounceInterval int64  // from one round of announcements to the next, after the burst; 0 = no further rounds
}

// Limits of a policy's interval.
const (
	MinInterval = 10_000_000
	MaxInterval = 10_000_000_000
)

// DefaultPolicy returns the defaults of spec/gateways.md; what it leaves open is in ARCHITECTURE.md.
func DefaultPolicy() Policy {
	const second = 1_000_000_000
	return Policy{
		Interval: second / 10, Misses: 3, Recover: 5, DataLiveness: true, PreemptDelay: 60 * second,
		FlapCount: 3, FlapWindow: 60 * second, HoldMin: 10 * second, HoldMax: 600 * second,
		AnnounceRate: 10_000, AnnounceInterval: 60 * second,
	}
}
