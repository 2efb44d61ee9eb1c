package liveness

// Target is the state of one thing that is probed. What happens to it, and what follows; N is Policy.Misses, M is
// Policy.Recover. The tests go through every line.
//
//	state    event      if                        state    why
//	-------- ---------- ------------------------- -------- --------
//	init     answer                               up       answers
//	init     data                                 init
//	init     miss       fewer than N in a row     init
//	init     miss       N in a row                down     silent
//	init     port-down                            down     carrier
//	init     port-up                              init
//	up       answer                               up
//	up       data                                 up
//	up       miss       fewer than N in a row     suspect  miss
//	up       miss       N in a row                down     silent
//	up       port-down                            down     carrier
//	up       port-up                              up
//	suspect  answer                               up       answers
//	suspect  data                                 up       data
//	suspect  miss       fewer than N in a row     suspect
//	suspect  miss       N in a row                down     silent
//	suspect  port-down                            down     carrier
//	suspect  port-up                              suspect
//	down     answer     its port is down          down
//	down     answer     fewer than M in a row     down
//	down     answer     M in a row                up       answers
//	down     answer     M in a row, held          down     hold
//	down     data                                 down
//	down     miss       fewer than N in a row     down
//	down     miss       N in a row                down     silent
//	down     port-down                            down     carrier
//	down     port-up                              down     link
//	down     time       M in a row, hold is over  up       answers
//
// A disabled target goes through the same states, unseen, so that its state is right when it is enabled; its failures
// do not count for damping.
//
// Every method returns what there is to tell: nothing if Why is None.
type Target struct {
	disabled bool
	portUp   bool
	health   State // never Disabled
	why      Why
	since    int64
	bad      uint32 // unanswered probes in a row
	good     uint32 // answered probes in a row
	upAt     int64  // when it last came up from init or down
	held     int64  // until when damping keeps it down; 0 = it does not
	level    uint   // hold times in a row: the next is HoldMin << level
	fails    [MaxFlaps]int64
	failed   uint64 // failures so far; the last ones are in fails
}

// Change is what there is to tell of a target.
type Change struct {
	From, To State
	Why      Why
}

// New returns a target of which nothing is known but whether its port is up and whether an operator has disabled it.
func New(now int64, portUp, disabled bool) (t Target, c Change) {
	t = Target{disabled: disabled, portUp: portUp, why: Added, since: now}
	if !portUp {
		t.health, t.why = Down, Carrier
	}
	return t, Change{Init, t.State(), t.why}
}

// State is the target's state as an operator sees it.
func (t *Target) State() State {
	if t.disabled {
		return Disabled
	}
	return t.health
}

// Health is the target's state as if it were not disabled.
func (t *Target) Health() State { return t.health }

// Disabled reports whether an operator has taken the target out of service.
func (t *Target) Disabled() bool { return t.disabled }

// PortUp reports whether the target's port can be used.
func (t *Target) PortUp() bool { return t.portUp }

// Answered reports whether the target has answered the last probe.
func (t *Target) Answered() bool { return t.good > 0 }

// UpAt is when the target last came up from Init or Down.
func (t *Target) UpAt() int64 { return t.upAt }

// Detail returns since when the target is in its state, why, until when it is held down (0 = it is not), and how often
// it has failed.
func (t *Target) Detail() (since int64, why Why, held int64, fails uint64) {
	return t.since, t.why, t.held, t.failed
}

// Answer says that the target has answered the last probe.
func (t *Target) Answer(now int64, p *Policy) Change {
	if !t.portUp {
		return Change{}
	}
	t.good++
	t.bad = 0
	switch t.health {
	case Init, Suspect:
		return t.Raise(now, Answers)
	case Down:
		switch {
		case t.good < p.Recover:
		case now >= t.held:
			return t.Raise(now, Answers)
		case t.why != Hold && !t.disabled:
			t.why = Hold
			return Change{Down, Down, Hold}
		}
	}
	return Change{}
}

// Data says that the target has not answered the last probe but has sent something else that shows it alive.
func (t *Target) Data(now int64) Change {
	if !t.portUp {
		return Change{}
	}
	t.bad = 0
	if t.health == Suspect {
		return t.Raise(now, Data)
	}
	return Change{}
}

// Miss says that the target has not answered the last probe.
func (t *Target) Miss(now int64, p *Policy) Change {
	t.good = 0
	t.bad++
	switch {
	case t.health == Down:
		if t.bad >= p.Misses && t.portUp && t.why != Silent && !t.disabled { // its link is back, but that was not all
			t.why = Silent
			return Change{Down, Down, Silent}
		}
	case t.bad >= p.Misses:
		return t.fail(now, Silent, p)
	case t.health == Up:
		return t.become(now, Suspect, Miss)
	}
	return Change{}
}

// Port says that the target's port can be used or not; why is Carrier or Transmit. It reports whether the port was lost
// while the target had not failed.
func (t *Target) Port(now int64, up bool, why Why, p *Policy) (c Change, lost bool) {
	was := t.portUp
	t.portUp = up
	switch {
	case up && !was && t.health == Down:
		t.why = Link
	case !up:
		t.good, t.bad = 0, 0
		if t.health == Down {
			t.why = why
			return Change{}, false
		}
		return t.fail(now, why, p), true
	}
	return Change{}, false
}

// Tick does what is due by now: the end of a hold time.
func (t *Target) Tick(now int64, p *Policy) Change {
	if t.health == Down && t.held != 0 && now >= t.held {
		t.held = 0
		if t.portUp && t.good >= p.Recover {
			return t.Raise(now, Answers)
		}
	}
	return Change{}
}

// Next returns when Tick has something to do, or Never.
func (t *Target) Next() int64 {
	if t.health == Down && t.held != 0 {
		return t.held
	}
	return Never
}

// Raise brings the target up: Only, when there is nothing else and it has answered at all.
func (t *Target) Raise(now int64, why Why) Change {
	if t.health != Suspect {
		t.upAt = now
	}
	t.bad, t.held = 0, 0
	return t.become(now, Up, why)
}

// SetDisabled takes the target out of service, or puts it back in the state that it has meanwhile.
func (t *Target) SetDisabled(now int64, disabled bool) Change {
	if t.disabled == disabled {
		return Change{}
	}
	from := t.State()
	t.disabled, t.since, t.why = disabled, now, Enable
	if disabled {
		t.why = Disable
	}
	return Change{from, t.State(), t.why}
}

// fail takes the target down, and holds it there if it fails too often.
func (t *Target) fail(now int64, why Why, p *Policy) Change {
	counts := t.health != Init && !t.disabled
	t.good, t.bad = 0, 0
	c := t.become(now, Down, why)
	if counts {
		t.damp(now, p)
	}
	return c
}

// damp notes a failure, and sets the hold time if there are too many.
func (t *Target) damp(now int64, p *Policy) {
	t.fails[t.failed%MaxFlaps] = now
	t.failed++
	k := uint64(min(p.FlapCount, MaxFlaps))
	if k == 0 {
		return
	}
	// A target that fails soon after a hold time has learned nothing.
	again := t.level > 0 && now-t.upAt < p.FlapWindow
	if !again {
		t.level = 0
		if t.failed < k || now-t.fails[(t.failed-k)%MaxFlaps] > p.FlapWindow {
			return
		}
	}
	hold := p.HoldMax
	if t.level < 63 && p.HoldMin <= hold>>t.level { // HoldMin << level may be too much for an int64
		hold = p.HoldMin << t.level
	}
	t.level++
	t.held = now + hold
}

func (t *Target) become(now int64, to State, why Why) Change {
	from := t.health
	t.health = to
	if t.disabled {
		return Change{}
	}
	t.since, t.why = now, why
	return Change{from, to, why}
}
