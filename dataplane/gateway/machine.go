package gateway

import "math"

// Machine is the state of one group. Members are known by their slots, 0 to MaxMembers-1.
//
// # Members
//
// What happens to a member, and what follows. N is Policy.Misses, M is Policy.Recover. The tests go through every line.
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
//	down     answer     no other member is fit    up       only
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
// A disabled member goes through the same states, unseen, so that its state is right when it is enabled; its failures
// do not count for damping.
//
// # The group
//
// A member is fit if it is not disabled and up or suspect; and the one the box starts with is fit until the first
// verdict on it. The active member stays active as long as it is fit, unless an operator switches, or a member before
// it in the list has been up for PreemptDelay and Preempt is set (and the present one was not an operator's choice).
// When it is not fit any more, the first member in the list that is up takes over, else the first that is suspect, else
// the first that is down but has answered the last probe: with nothing else left, neither M nor a hold time is waited
// for. If there is none at all, the group has no active member until one answers.
type Machine struct {
	policy  Policy
	members [MaxMembers]member
	order   []uint8 // slots, preferred first
	active  uint32
	why     Why   // of the active member
	since   int64 // of the active member
	chosen  bool  // by an operator: preemption rests
	starts  bool  // the active member is the one the box started with, without a verdict yet
	emit    func(Event)
}

// member is what is known of a member.
type member struct {
	used     bool
	disabled bool
	portUp   bool
	state    State // never Disabled
	why      Why
	since    int64
	bad      uint32 // unanswered probes in a row
	good     uint32 // answered probes in a row
	upAt     int64  // when it last came up from init or down
	held     int64  // until when damping keeps it down
	level    uint   // hold times in a row: the next is HoldMin << level
	fails    [MaxFlaps]int64
	failed   uint64 // failures so far; the last ones are in fails
}

// New returns a group without members. emit receives what changes (Group is not set).
func New(p Policy, emit func(Event)) *Machine {
	return &Machine{policy: p, active: None, emit: emit}
}

// SetPolicy takes over another policy; what has been counted so far is judged by it from the next event on.
func (m *Machine) SetPolicy(p Policy) { m.policy = p }

// SetOrder gives the slots of all members, the preferred one first.
func (m *Machine) SetOrder(slots []uint8) { m.order = append(m.order[:0], slots...) }

// Add puts a member into a slot. SetOrder must name it.
func (m *Machine) Add(now int64, slot uint32, portUp, disabled bool) {
	if slot >= MaxMembers {
		return
	}
	p := &m.members[slot]
	*p = member{used: true, disabled: disabled, portUp: portUp, why: WhyAdded, since: now}
	if !portUp {
		p.state, p.why = Down, WhyCarrier
	}
	m.tell(now, slot, Init, m.State(slot), p.why)
}

// Remove takes a member out of its slot.
func (m *Machine) Remove(now int64, slot uint32) {
	if !m.Has(slot) {
		return
	}
	m.members[slot] = member{}
	for i, s := range m.order {
		if uint32(s) == slot {
			m.order = append(m.order[:i], m.order[i+1:]...)
			break
		}
	}
	m.settle(now, WhyRemoved)
}

// Start makes slot the active member of a group that has just been made, if it may be: that is verified afterwards.
// chosen says that an operator had chosen it, so that preemption rests as before.
func (m *Machine) Start(now int64, slot uint32, chosen bool) {
	if !m.Has(slot) || m.active != None || m.members[slot].disabled || m.members[slot].state != Init {
		return
	}
	m.starts, m.chosen = true, chosen
	m.activate(now, slot, WhyStart)
}

// Has reports whether there is a member in the slot.
func (m *Machine) Has(slot uint32) bool { return slot < MaxMembers && m.members[slot].used }

// Active returns the active member, or None; since when, and why.
func (m *Machine) Active() (slot uint32, since int64, why Why) { return m.active, m.since, m.why }

// Chosen reports whether the active member is an operator's choice, on which preemption rests.
func (m *Machine) Chosen() bool { return m.chosen }

// State returns the state of a member.
func (m *Machine) State(slot uint32) State {
	if m.Has(slot) && m.members[slot].disabled {
		return Disabled
	}
	return m.Health(slot)
}

// Health is the state of a member as if it were not disabled.
func (m *Machine) Health(slot uint32) State {
	if !m.Has(slot) {
		return Down
	}
	return m.members[slot].state
}

// Detail returns since when a member is in its state, why, until when it is held down (0 = it is not), and how often it
// has failed.
func (m *Machine) Detail(slot uint32) (since int64, why Why, held int64, fails uint64) {
	if !m.Has(slot) {
		return 0, WhyRemoved, 0, 0
	}
	p := &m.members[slot]
	return p.since, p.why, p.held, p.failed
}

// Answer says that the gateway has answered the last probe.
func (m *Machine) Answer(now int64, slot uint32) {
	if !m.Has(slot) || !m.members[slot].portUp {
		return
	}
	p := &m.members[slot]
	p.good++
	p.bad = 0
	switch p.state {
	case Init, Suspect:
		m.raise(now, slot, WhyAnswers)
	case Down:
		m.recover(now, slot)
	}
	m.settle(now, WhyAnswers)
}

// Data says that the gateway has not answered the last probe but sent something else (Policy.DataLiveness).
func (m *Machine) Data(now int64, slot uint32) {
	if !m.Has(slot) || !m.members[slot].portUp {
		return
	}
	m.members[slot].bad = 0
	if m.members[slot].state == Suspect {
		m.raise(now, slot, WhyData)
	}
}

// Miss says that the gateway has not answered the last probe.
func (m *Machine) Miss(now int64, slot uint32) {
	if !m.Has(slot) {
		return
	}
	p := &m.members[slot]
	p.good = 0
	p.bad++
	switch {
	case p.state == Down:
		if p.bad >= m.policy.Misses && p.portUp && p.why != WhySilent && !p.disabled { // its link is back, but that was not all
			p.why = WhySilent
			m.tell(now, slot, Down, Down, WhySilent)
		}
	case p.bad >= m.policy.Misses:
		m.fail(now, slot, WhySilent)
	case p.state == Up:
		m.become(now, slot, Suspect, WhyMiss)
	}
	m.settle(now, WhySilent)
}

// Port says that a member's port can be used or not; why is WhyCarrier or WhyTransmit.
func (m *Machine) Port(now int64, slot uint32, up bool, why Why) {
	if !m.Has(slot) {
		return
	}
	p := &m.members[slot]
	was := p.portUp
	p.portUp = up
	switch {
	case up && !was && p.state == Down:
		p.why = WhyLink
	case !up:
		p.good, p.bad = 0, 0
		if p.state == Down {
			p.why = why
			return
		}
		m.fail(now, slot, why)
		m.settle(now, why)
	}
}

// Tick does what is due by now: the end of a hold time, preemption.
func (m *Machine) Tick(now int64) {
	for _, s := range m.order {
		p := &m.members[s]
		if p.state == Down && p.held != 0 && now >= p.held {
			p.held = 0
			if p.portUp && p.good >= m.policy.Recover {
				m.raise(now, uint32(s), WhyAnswers)
			}
		}
	}
	m.settle(now, WhyAnswers)
}

// Next returns when Tick has something to do; math.MaxInt64 = never.
func (m *Machine) Next() int64 {
	next := int64(math.MaxInt64)
	for _, s := range m.order {
		p := &m.members[s]
		if p.state == Down && p.held != 0 {
			next = min(next, p.held)
		}
	}
	if c := m.preempting(); c != None {
		next = min(next, m.members[c].upAt+m.policy.PreemptDelay)
	}
	return next
}
