// Package keeper runs the timed work of the packet path: it sends probes, waits for answers, and runs timers. A Prober
// defines the targets and the meaning of an answer: gateways (package uplink), paths (package pathprobe); the kinds are
// numbered by Kind.
//
// A Keeper belongs to the first worker's thread, which calls Turn once per turn of its loop and otherwise sleeps until
// Next at most. A turn with nothing due costs the same for any number of targets; a timer that is due costs
// O(log n). One turn does a bounded number of steps, shared among the kinds (Keeper.serve).
//
// # A probe's life
//
//	due on the kind's clock ──▶ Ask ──▶ Admit, send, Sent
//	due again, a probe out  ──▶ late? Late, and once more time (Slack)
//	                        ──▶ waits until every worker has processed all frames that had arrived by now (Clean)
//	                        ──▶ Judge, Ask
//
// Files: keeper.go (a turn), prober.go (what a kind brings), queue.go (one kind's probes and timers), clock.go (the
// clock that stands still), timers.go (the heap), ports.go (which ports can be used), shared.go (what workers report),
// drain.go (what a worker has processed).
package keeper

import "penstock/dataplane/fib"

// Bounds of one turn. A probe that is sent, put off, or judged is a step, and so is a timer. Probes and timers are
// counted apart.
const (
	most  = 32           // steps of all kinds together
	share = most / Kinds // steps reserved for each kind
)

// Keeper is the probes and timers of all kinds.
type Keeper struct {
	Send func(port uint16, frame []byte) // sends a frame that the box made
	Room func(port uint16) int           // frames that the port can take now, with buffers for them

	// Stuck reports whether frames wait in the port's transmit ring of which the kernel has taken none since it had
	// taken n in all, modulo 2^32; and how many it has taken by now.
	Stuck func(port uint16, n uint32) (stuck bool, taken uint32)

	// Clean reports whether all workers have processed all that had arrived by a time. What is clean stays clean, and
	// so is every earlier time.
	Clean func(since int64) bool

	shared  *Shared
	snap    *fib.Snapshot
	ports   []port
	news    uint32  // Shared.news, when last read
	changes uint32  // Shared.changes, likewise
	queues  []Queue // by kind
}

// New returns a Keeper without probers, for a number of ports. Its functions have to be set before the first turn.
func New(ports int, shared *Shared) *Keeper {
	return &Keeper{shared: shared, ports: make([]port, ports), queues: make([]Queue, 0, Kinds)}
}

// Serve makes p the prober of a kind, and returns the kind's queue. All kinds are served before the first turn.
func (k *Keeper) Serve(kind Kind, p Prober) *Queue {
	k.queues = k.queues[:max(len(k.queues), int(kind%Kinds)+1)]
	q := &k.queues[kind%Kinds]
	q.prober, q.keeper = p, k
	return q
}

// Turn processes the probes and timers that are due. now is the time of the worker's turn, s the snapshot that the turn
// uses.
func (k *Keeper) Turn(now int64, s *fib.Snapshot) {
	due := false
	for i := range k.queues {
		due = k.queues[i].advance(now) || due
	}
	if s != k.snap {
		k.follow(now, s)
		due = true
	}
	if n := k.shared.news.Load(); n != k.news {
		k.news = n
		k.dispatch(now)
		due = true
	}
	if due {
		k.serve(now)
	}
}

// serve takes the steps of one turn. Every kind has its share; the first kind has the first use of unused shares. So a
// kind with 10,000 probes due at once neither blocks the worker nor delays another kind.
func (k *Keeper) serve(now int64) {
	for _, step := range [...]func(*Queue, int64, int) int{(*Queue).probe, (*Queue).expire} {
		left := most
		for _, n := range [...]int{share, most} {
			for i := range k.queues {
				if q := &k.queues[i]; q.prober != nil {
					left -= step(q, now, min(n, left))
				}
			}
			if left == most {
				break
			}
		}
	}
}

// follow adopts new tables. A prober may allocate in Follow only.
func (k *Keeper) follow(now int64, s *fib.Snapshot) {
	k.snap = s
	changed := k.followPorts(s)
	for i := range k.queues {
		if p := k.queues[i].prober; p != nil {
			p.Follow(now, s)
		}
	}
	if changed {
		k.notifyPorts(now)
	}
}

// dispatch processes the reports of workers.
func (k *Keeper) dispatch(now int64) {
	if n := k.shared.changes.Load(); n != k.changes {
		k.changes = n
		k.notifyPorts(now)
	}
	for i := range k.queues {
		q := &k.queues[i]
		if n := k.shared.kinds[i].Load(); n != q.news && q.prober != nil {
			q.news = n
			q.prober.News(now)
		}
	}
}

// News reports whether there is a report of a worker that Turn has not processed yet.
func (k *Keeper) News() bool { return k.shared.news.Load() != k.news }

// Next returns the time of the next probe or timer on the workers' clock; the time may be in the past.
func (k *Keeper) Next() int64 {
	next := Never
	for i := range k.queues {
		next = min(next, k.queues[i].next())
	}
	return next
}
