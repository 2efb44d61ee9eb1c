package keeper

import "penstock/dataplane/fib"

// Kind is a kind of targets that are probed. The smaller one is served first.
type Kind uint8

// The kinds.
const (
	Gateways Kind = iota // members of gateway groups, package uplink
)

// Kinds is how many kinds there can be.
const Kinds = 4

// Prober is what is particular about a kind of targets. All methods are called on the first worker's thread, between
// two turns, one call for each target that is due. now is the time of the turn. Targets and timers are known by dense
// ids that the prober chooses, below the numbers that it has passed to Queue.Grow.
type Prober interface {
	// Follow takes over new tables. It is called for every snapshot: what has not changed should cost nothing. It alone
	// may allocate.
	Follow(now int64, s *fib.Snapshot)

	// Ports says that ports may have come or gone (Keeper.Up, Open): targets are started and stopped here.
	Ports(now int64)

	// News says that Shared.Notify was called for the kind.
	News(now int64)

	// Late says that a target's probe timer runs late; it is for counting.
	Late(id uint32)

	// Judge gives the verdict on the probe that is out: all that had arrived when its time was up has been processed.
	// No probe is out afterwards. Unless Judge stops the target, Ask follows.
	Judge(now int64, id uint32)

	// Ask sends the next probe. It calls Queue.Admit, which also sets when the one after it is due; or Queue.Stop.
	Ask(now int64, id uint32)

	// Timer runs a timer that has expired. It does not run again before Queue.SetTimer.
	Timer(now int64, id uint32)
}
