package keeper

import "penstock/dataplane/fib"

// Kind is a kind of targets. The smaller kind is served first.
type Kind uint8

// The kinds.
const (
	Gateways Kind = iota // members of gateway groups, package uplink
	Paths                // paths to edge switches, package pathprobe
)

// Kinds is the number of possible kinds.
const Kinds = 4

// Prober is what is particular about a kind of targets. All methods are called on the first worker's thread, between
// two turns, one call for each target that is due. now is the time of the turn. Targets and timers are known by dense
// ids that the prober chooses, below the numbers that it has passed to Queue.Grow.
type Prober interface {
	// Follow adopts new tables. It is called for every snapshot: unchanged parts should cost nothing. It alone may
	// allocate.
	Follow(now int64, s *fib.Snapshot)

	// Ports reports that ports may have changed (Keeper.Up, Open): it starts and stops targets.
	Ports(now int64)

	// News reports that Shared.Notify was called for the kind.
	News(now int64)

	// Late reports that a target's probe timer runs late, for a counter.
	Late(id uint32)

	// Judge gives the verdict on the probe that is out: all that had arrived when its time was up has been processed.
	// No probe is out afterwards. Unless Judge stops the target, Ask follows.
	Judge(now int64, id uint32)

	// Ask sends the next probe. It calls Queue.Admit, which also sets the time of the probe after it, or Queue.Stop.
	Ask(now int64, id uint32)

	// Timer runs a timer that has expired. It does not run again before Queue.SetTimer.
	Timer(now int64, id uint32)
}
