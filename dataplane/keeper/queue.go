package keeper

// Retry is when a frame is tried again for which a transmit ring had no room, in nanoseconds.
const Retry = 1_000_000

// Queue is the probes and timers of one kind. Its methods are for the kind's Prober, on the first worker's thread.
type Queue struct {
	keeper *Keeper
	prober Prober // nil = the kind is not there
	news   uint32 // Shared.kinds, when last read

	clock   Clock
	probes  []probe // by id
	due     Timers  // the next probe or the end of the present one's time, on clock
	waiting Timers  // probes whose time was up at a time of the workers' clock: the verdict waits for Clean
	timers  Timers  // on the workers' clock
}

// probe is the state of a target's probe.
type probe struct {
	due    int64  // on the clock
	jammed int64  // for how long there has been no room and nothing has moved, on the clock
	taken  uint32 // frames that the kernel had taken from the port's ring when that began
	out    bool   // a probe has been sent, and no verdict given
	fresh  bool   // none has been sent since Start: nothing can be late
	grace  bool   // its answer has been given more time, since the timer was late
}

// Grow makes room for the targets and the timers with ids below two numbers. For Prober.Follow.
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

// Start begins to probe a target, with the first probe at a time on the probes' clock. Whoever starts very many at once
// should spread them over an interval: what is due at the same time stays so.
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

// Hasten lets the next probe of a target be due by a time on the probes' clock, if it is probed.
func (q *Queue) Hasten(id uint32, due int64) {
	if q.Runs(id) && due < q.probes[id].due {
		q.schedule(id, due)
	}
}

// Sent notes that a probe has been sent. When the next one is due, the target is judged first.
func (q *Queue) Sent(id uint32) {
	if q.Runs(id) {
		p := &q.probes[id]
		p.out, p.fresh, p.grace = true, false, false
	}
}

// Settle notes that the verdict on the probe that is out has been given already.
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

// SetTimer lets a timer of the prober expire at a time on the workers' clock; Never stops it.
func (q *Queue) SetTimer(id uint32, time int64) { q.timers.Set(id, time) }

func (q *Queue) schedule(id uint32, due int64) {
	q.probes[id].due = due
	if q.due.Runs(id) {
		q.due.Set(id, due)
	}
}

// Admission is whether a probe can be sent.
type Admission uint8

// The admissions.
const (
	Admitted Admission = iota // it can
	Delayed                   // there is no room; Ask is called again soon
	Stuck                     // likewise; and nothing has moved for an interval, which is a probe without an answer
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

// advance moves the clock, and reports whether there may be something to do.
func (q *Queue) advance(now int64) bool {
	_, due := q.due.Next()
	q.clock.advance(now, due)
	_, timer := q.timers.Next()
	return q.clock.now >= due || now >= timer || q.waiting.Len() > 0
}

// next returns when there is something to do, on the workers' clock.
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
		if since == now || since != clean && !q.keeper.Clean(since) { // at now: this turn has received nothing yet
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
		case p.out && late && !p.grace: // the answer may have arrived, but not been received yet
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

// expire runs at most so many of the timers that have expired, and returns how many it ran.
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
