package keeper

import "sync/atomic"

// Drain notes how far a worker has come with what arrived. The worker alone calls Note; anybody may call Time. The zero
// value has processed nothing.
type Drain struct {
	time  atomic.Int64
	mark  int64 // the beginning of a turn since which
	turns int   // so many turns with full batches have passed
}

// Note ends a turn that began at now. empty says that every receive ring gave less than a batch. rounds is how many
// batches a ring holds: after one more turn than that, all that was in the ring when those turns began has been
// received.
func (d *Drain) Note(now int64, empty bool, rounds int) {
	if empty {
		d.time.Store(now)
		d.mark, d.turns = now, 0
		return
	}
	if d.turns++; d.turns > rounds {
		d.time.Store(d.mark)
		d.mark, d.turns = now, 0
	}
}

// Time returns a time by which all frames that had arrived have been processed.
func (d *Drain) Time() int64 { return d.time.Load() }
