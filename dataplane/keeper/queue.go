package keeper

// Retry is the time after which a frame is retried that a transmit ring had no room for, in nanoseconds.
const Retry = 1_000_000

// Queue is the probes and timers of one kind. Its methods are for the kind's Prober, on the first worker's thread.
type Queue struct {
	keeper *Keeper
	prober Prober // nil = no such kind
	news   uint32 // Shared.kinds, when last read

	clock   Clock
	probes  []probe // by id
	due     Timers  // the next probe or the deadline of the outstanding one, on clock
	waiting Timers  // probes behind their deadline, by the workers' clock: the verdict waits for Clean
	timers  Timers  // on the workers' clock
}

// probe is the state of a target's probe.
type probe struct {
	due    int64  // on the clock
	jammed int64  // time without room and without progress of the ring, on the clock
	taken  uint32 // frames that the kernel had taken from the port's ring at the beginning of that time
	out    bool   // a probe has been sent, and no verdict given
	fresh  bool   // no probe was sent since Start, so none can be late
	grace  bool   // the deadline was put off, since the timer was late
}

// Grow makes room for ids of targets and of timers below two numbers. Prober.Follow calls it.
func (q *Queue) Grow(targets, timers int) {
	if n := targets - len(q.probes); n > 0 {
		q.probes = append(q.probes, make([]probe, n)...)
	}
	q.due.Grow(targets)
	q.waiting.Grow(targets)
	q.timers.Grow(timers)
}

// Now returns the time on the probes' clock.
func (q *Queue) Now() int64 { return q.clock.now }

// Start begins to probe a target, with the first probe at a time on the probes' clock. A prober should spread the
// starts of very many targets over an interval: targets due at the same time stay so.
func (q *Queue) Start(id uint32, due int64) {
	if uint64(id) >= uint64(len(q.probes)) {
		return
	}
	q.probes[id] = probe{due: due, fresh: true}
	q.waiting.Stop(id)
	q.due.Set(id, due)
}

// Stop ends the probing of a target: it is neither probed nor judged.
func (q *Queue) Stop(id uint32) {
	q.due.Stop(id)
	q.waiting.Stop(id)
}

// Runs reports whether the target is probed.
func (q *Queue) Runs(id uint32) bool { return q.due.Runs(id) || q.waiting.Runs(id) }

// Hasten makes the next probe of a target due by a time on the probes' clock at the latest, if the target is probed.
func (q *Queue) Hasten(id uint32, due int64) {
	if q.Runs(id) && due < q.probes[id].due {
		q.schedule(id, due)
	}
}

// Sent records that a probe was sent. The verdict on it precedes the next probe.
func (q *Queue) Sent(id uint32) {
	if q.Runs(id) {
		p := &q.probes[id]
		p.out, p.fresh, p.grace = true, false, false
	}
}

// Settle records that the verdict on the outstanding probe is already given.
func (q *Queue) Settle(id uint32) {
	if !q.Runs(id) {
		return
	}
	p := &q.probes[id]
	p.out = false
	if q.waiting.Runs(id) {
		q.waiting.Stop(id)
		q.due.Set(id, p.due)
	}
}

// SetTimer sets a timer of the prober to a time on the workers' clock; Never stops the timer.
func (q *Queue) SetTimer(id uint32, time int64) { q.timers.Set(id, time) }

func (q *Queue) schedule(id uint32, due int64) {
	q.probes[id].due = due
	if q.due.Runs(id) {
		q.due.Set(id, due)
	}
}

// Admission is the result of Admit.
type Admission uint8

// The admissions.
const (
	Admitted Admission = iota // the probe can be sent
	Delayed                   // the ring has no room; Ask is called again after Retry
	Stuck                     // likewise, without progress for an interval: a probe without an answer
)

// Admit reports whether a probe of so many frames can be sent by a port now. If so, the next probe is due an interval
// after this one was; a probe that was missed is not made up for. A full ring is the box's fault, and a probe that was
// not sent is no miss; unless the kernel takes nothing from the ring for a whole interval.
func (q *Queue) Admit(id uint32, port uint16, frames int, interval int64) Admission {
	if !q.Runs(id) {
		return Delayed
	}
	p := &q.probes[id]
	if q.keeper.Room(port) >= frames {
		p.jammed = 0
		due := p.due + interval
		if due <= q.clock.now {
			due = q.clock.now + interval
		}
		q.schedule(id, due)
		return Admitted
	}
	q.schedule(id, q.clock.now+Retry)
	var stuck bool
	if stuck, p.taken = q.keeper.Stuck(port, p.taken); !stuck {
		p.jammed = 0
		return Delayed
	}
	if p.jammed += Retry; p.jammed < interval {
		return Delayed
	}
	p.jammed = 0
	return Stuck
}

// advance moves the clock, and reports whether a probe, a verdict or a timer may be due.
func (q *Queue) advance(now int64) bool {
	_, due := q.due.Next()
	q.clock.advance(now, due)
	_, timer := q.timers.Next()
	return q.clock.now >= due || now >= timer || q.waiting.Len() > 0
}

// next returns the time of the next probe, verdict or timer, on the workers' clock.
func (q *Queue) next() int64 {
	if q.waiting.Len() > 0 {
		return q.clock.last
	}
	_, due := q.due.Next()
	_, timer := q.timers.Next()
	return min(timer, q.clock.when(due))
}

// probe judges and probes the targets whose time has come, those that wait for the longest first. It takes at most so
// many steps, and returns how many it took.
func (q *Queue) probe(now int64, most int) (steps int) {
	clean := Never
	for ; steps < most && q.waiting.Len() > 0; steps++ {
		id, since := q.waiting.Next()
		if since == now || since != clean && !q.keeper.Clean(since) { // at now: this turn has received no frame yet
			break
		}
		clean = since
		q.waiting.Stop(id)
		q.due.Set(id, q.probes[id].due)
		q.prober.Judge(now, id)
		q.probes[id].out = false
		if q.Runs(id) {
			q.prober.Ask(now, id)
		}
	}
	for ; steps < most; steps++ {
		id, due := q.due.Next()
		if due > q.clock.now || due == Never {
			break
		}
		p := &q.probes[id]
		late := q.clock.late && !p.fresh
		if late {
			q.prober.Late(id)
		}
		switch {
		case p.out && late && !p.grace: // the answer may have arrived and not be received yet
			p.grace = true
			q.schedule(id, q.clock.now+Slack)
		case p.out: // what has arrived by now must have been processed before it is a miss
			q.due.Stop(id)
			q.waiting.Set(id, now)
		default:
			q.prober.Ask(now, id)
		}
	}
	return steps
}

// expire runs at most most expired timers, and returns the number of timers run.
func (q *Queue) expire(now int64, most int) (steps int) {
	for ; steps < most; steps++ {
		id, time := q.timers.Next()
		if time > now || time == Never {
			break
		}
		q.timers.Stop(id)
		q.prober.Timer(now, id)
	}
	return steps
}
