// Package pathprobe probes the paths to the other edge switches and answers the probes of other boxes
// (PROTOCOL.md#path-liveness).
//
// A Prober is the keeper's Prober of the kind keeper.Paths. It sends a PROBE over every configured path to one of two
// boxes behind the egress switch in turn, gives the verdict with package liveness, and publishes it in fib.PathLive.
// Control then makes tables without the paths that are down. An Echo is one worker's receiving side: it turns a PROBE
// into the ECHO in place, and notes the ECHO of an own PROBE.
//
//	pathprobe.go  settings, what control is told
//	prober.go     targets: tables, ports, intervals
//	verdict.go    answers and misses; dead boxes, silent switches
//	message.go    the frame of a PROBE
//	echo.go       a worker's receiving side
//	seal.go       tags
package pathprobe

import (
	"penstock/dataplane/event"
	"penstock/dataplane/fib"
	"penstock/dataplane/liveness"
)

const (
	second = 1_000_000_000 // nanoseconds

	usedFor   = 60 * second // a switch is in use for so long after data went there
	idleEvery = 3 * second  // interval of the probes to a switch that is not in use
	maxRate   = 20_000      // probes a second; above it intervals stretch

	holdMin    = 1 * second // of a path that was down once; doubled each time that it falls again
	holdMax    = 60 * second
	flapWindow = 600 * second // a path that fell so long ago begins anew
)

// Limits of a Setting.
const (
	MinInterval = 50_000_000
	MaxInterval = 60 * second
	MaxMisses   = 100
	MaxGoods    = 1000
)

// Setting is how paths are probed.
type Setting struct {
	Interval int64  // nanoseconds between two probes of a path in use; 0 = paths are not probed
	Misses   uint32 // unanswered probes in a row after which a path is down
	Goods    uint32 // answered probes in a row that bring it back
}

// policy is what package liveness has to know. Every failure is followed by a hold time.
func (s *Setting) policy() liveness.Policy {
	return liveness.Policy{
		Misses: max(s.Misses, 1), Recover: max(s.Goods, 1),
		FlapCount: 1, FlapWindow: flapWindow, HoldMin: holdMin, HoldMax: holdMax,
	}
}

// Boxes are the numbers of the boxes behind each edge switch that its paths are probed with; 0 = none.
type Boxes map[uint64][fib.Targets]uint8

// Kind is the kind of an Event.
type Kind uint8

// The kinds.
const (
	PathChanged  Kind = iota // Path, From, To, Why
	BoxDead                  // Switch, Number: silent on all paths, while the other box of the switch answers
	BoxAlive                 // Switch, Number: it answers again
	SwitchSilent             // Switch: the only box that is probed there is silent on all paths, or Both are
	SwitchHeard              // Switch: one of them answers again
	Overload                 // Rate: more than maxRate probes a second would be needed, so that intervals stretch
	OverloadEnd
)

// Event is what control is told.
type Event struct {
	Kind   Kind
	Time   int64         // on the engine's clock
	Path   *fib.PathLive // of PathChanged
	From   liveness.State
	To     liveness.State
	Why    liveness.Why
	Switch uint64 // MAC of the edge switch
	Number uint8  // of the box
	Both   bool   // SwitchSilent: two boxes are silent, so it is the paths
	Rate   uint64 // Overload: probes a second
}

// Events carries them from the first worker to control.
type Events = event.Ring[Event]

// NewEvents returns an empty ring.
func NewEvents() *Events { return event.NewRing[Event](4096) }
