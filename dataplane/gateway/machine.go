package gateway

import "penstock/dataplane/liveness"

// Machine is the state of one group. Members are known by their slots, 0 to MaxMembers-1.
//
// # Members
//
// Each member is judged by package liveness, whose Target has the table of states. One line is the group's:
//
//	state    event      if                        state    why
//	-------- ---------- ------------------------- -------- --------
//	down     answer     no other member is fit    up       only
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
	chosen  bool  // by an operator: no preemption
	starts  bool  // the active member is the one the box started with, without a verdict yet
	emit    func(Event)
}

// member is a slot of a group.
type member struct {
	used bool
	liveness.Target
}

// New returns a group without members. emit receives the changes as events without Group.
func New(p Policy, emit func(Event)) *Machine {
	return &Machine{policy: p, active: None, emit: emit}
}

// SetPolicy sets another policy. It applies to the counts so far from the next event on.
func (m *Machine) SetPolicy(p Policy) { m.policy = p }

// SetOrder gives the slots of all members, the preferred one first.
func (m *Machine) SetOrder(slots []uint8) { m.order = append(m.order[:0], slots...) }

// Add puts a member into a slot. SetOrder must name it.
func (m *Machine) Add(now int64, slot uint32, portUp, disabled bool) {
	if slot >= MaxMembers {
		return
	}
	t, c := liveness.New(now, portUp, disabled)
	m.members[slot] = member{true, t}
	m.report(now, slot, c)
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

// Start makes slot the active member of a new group if the member can be active; probes verify the member afterwards.
// chosen is set if an operator had chosen the member, so that there is no preemption, as before the start.
func (m *Machine) Start(now int64, slot uint32, chosen bool) {
	if !m.Has(slot) || m.active != None || m.members[slot].Disabled() || m.members[slot].Health() != Init {
		return
	}
	m.starts, m.chosen = true, chosen
	m.activate(now, slot, WhyStart)
}

// Has reports whether there is a member in the slot.
func (m *Machine) Has(slot uint32) bool { return slot < MaxMembers && m.members[slot].used }

// Active returns the active member, or None; since when, and why.
func (m *Machine) Active() (slot uint32, since int64, why Why) { return m.active, m.since, m.why }

// Chosen reports whether the active member is an operator's choice, which prevents preemption.
func (m *Machine) Chosen() bool { return m.chosen }

// State returns the state of a member.
func (m *Machine) State(slot uint32) State {
	if !m.Has(slot) {
		return Down
	}
	return m.members[slot].State()
}

// Health is the state of a member as if it were not disabled.
func (m *Machine) Health(slot uint32) State {
	if !m.Has(slot) {
		return Down
	}
	return m.members[slot].Health()
}

// Detail returns since when a member is in its state, why, until when it is held down (0 = it is not), and how often it
// has failed.
func (m *Machine) Detail(slot uint32) (since int64, why Why, held int64, fails uint64) {
	if !m.Has(slot) {
		return 0, WhyRemoved, 0, 0
	}
	since, w, held, fails := m.members[slot].Detail()
	return since, Why(w), held, fails
}

// Answer reports that the gateway has answered the last probe.
func (m *Machine) Answer(now int64, slot uint32) {
	if !m.Has(slot) || !m.members[slot].PortUp() {
		return
	}
	m.report(now, slot, m.members[slot].Answer(now, &m.policy.Policy))
	m.settle(now, WhyAnswers)
}

// Data reports that the gateway has not answered the last probe but has sent other frames (Policy.DataLiveness).
func (m *Machine) Data(now int64, slot uint32) {
	if m.Has(slot) {
		m.report(now, slot, m.members[slot].Data(now))
	}
}

// Miss reports that the gateway has not answered the last probe.
func (m *Machine) Miss(now int64, slot uint32) {
	if m.Has(slot) {
		m.report(now, slot, m.members[slot].Miss(now, &m.policy.Policy))
		m.settle(now, WhySilent)
	}
}

// Port reports that a member's port is usable or not; why is WhyCarrier or WhyTransmit.
func (m *Machine) Port(now int64, slot uint32, up bool, why Why) {
	if !m.Has(slot) {
		return
	}
	c, lost := m.members[slot].Port(now, up, liveness.Why(why), &m.policy.Policy)
	m.report(now, slot, c)
	if lost {
		m.settle(now, why)
	}
}

// Tick processes the timers that are due by now: the end of a hold time, preemption.
func (m *Machine) Tick(now int64) {
	for _, s := range m.order {
		m.report(now, uint32(s), m.members[s].Tick(now, &m.policy.Policy))
	}
	m.settle(now, WhyAnswers)
}

// Next returns the time of the next timer; liveness.Never = none.
func (m *Machine) Next() int64 {
	next := liveness.Never
	for _, s := range m.order {
		next = min(next, m.members[s].Next())
	}
	if c := m.preempting(); c != None {
		next = min(next, m.members[c].UpAt()+m.policy.PreemptDelay)
	}
	return next
}

// report emits the event of a member's transition.
func (m *Machine) report(now int64, slot uint32, c liveness.Change) {
	if c.Why != liveness.None {
		m.emit(Event{
			Time: now, Kind: MemberChanged, Member: slot, Old: None, Other: None,
			From: c.From, To: c.To, Why: Why(c.Why),
		})
	}
}
