// Package liveness judges whether something that is probed is alive: a gateway, a path, a real server. It is pure: it
// knows no clock, no packet and no lock. Whoever drives it says what happened and when, and it says what follows.
//
// Files: liveness.go (states, reasons, policy), target.go (the machine).
package liveness

import (
	"fmt"
	"math"
)

// State is how a target is.
type State uint32

// The states.
const (
	Init     State = iota // nothing is known yet
	Up                    // it answers
	Suspect               // it has left probes unanswered, but fewer than it takes to fail
	Down                  // failed: silent, or it cannot be reached; or back but not for long enough
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

// Why is the reason of a transition.
type Why uint32

// The reasons.
const (
	None     Why = iota
	Added        // the target is new
	Answers      // it answers
	Data         // it does not answer but sends
	Miss         // a probe was not answered
	Silent       // as many probes in a row were not answered as it takes to fail
	Carrier      // its port lost carrier, was set down or is gone
	Transmit     // the kernel refuses to send by its port
	Link         // its port is back; it has to prove itself
	Hold         // it failed too often lately: it stays down for a while although it answers
	Only         // there is nothing else, so it is used although it has not proved itself
	Disable      // an operator has taken it out of service
	Enable       // an operator has put it back into service
	Whys         // how many there are, not a reason
)

var whyNames = [Whys]string{"none", "added", "answers", "data", "miss", "silent", "carrier", "transmit", "link", "hold",
	"only", "disabled", "enabled"}

// String returns the reason's name, as in API, metrics and events.
func (w Why) String() string {
	if w < Whys {
		return whyNames[w]
	}
	return fmt.Sprintf("Why(%d)", uint32(w))
}

// MaxFlaps is the largest Policy.FlapCount.
const MaxFlaps = 16

// Policy is how failures are detected. All times are nanoseconds.
type Policy struct {
	Misses  uint32 // unanswered probes in a row after which a target has failed (N), ≥ 1
	Recover uint32 // answered probes in a row that bring a failed target back (M), ≥ 1

	FlapCount  uint32 // a target that fails so often (K), at most MaxFlaps, …
	FlapWindow int64  // … within this time is held down when it comes back; 0 = never
	HoldMin    int64  // for so long the first time, twice as long each further time,
	HoldMax    int64  // and never longer than this
}

// Never is a time that does not come.
const Never = int64(math.MaxInt64)
