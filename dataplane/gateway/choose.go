package gateway

import "errors"

// Why a command was refused.
var (
	ErrNoMember = errors.New("the group has no such member")
	ErrNotUp    = errors.New("the member is not up")
	ErrNoOther  = errors.New("no other member is up")
	ErrLast     = errors.New("no other member is fit, the group would be without gateway")
)

// Switch makes slot the active member at an operator's wish; None stands for the first other member that is up. While
// the group is on it, preemption rests.
func (m *Machine) Switch(now int64, slot uint32) error {
	if slot == None {
		if slot = m.firstUp(m.active); slot == None {
			return ErrNoOther
		}
	}
	if !m.Has(slot) {
		return ErrNoMember
	}
	if m.State(slot) != Up {
		return ErrNotUp
	}
	if slot != m.active {
		m.activate(now, slot, WhyOperator)
	}
	m.chosen = true
	return nil
}

// Disable takes a member out of service. The last one that is fit only goes if force is set.
func (m *Machine) Disable(now int64, slot uint32, force bool) error {
	if !m.Has(slot) {
		return ErrNoMember
	}
	p := &m.members[slot]
	if p.disabled {
		return nil
	}
	if slot == m.active && !force && m.heir(slot) == None {
		return ErrLast
	}
	from := m.State(slot)
	p.disabled, p.since, p.why = true, now, WhyDisabled
	m.tell(now, slot, from, Disabled, WhyDisabled)
	m.settle(now, WhyDisabled)
	return nil
}

// Enable puts a member back into service, in the state that it has meanwhile.
func (m *Machine) Enable(now int64, slot uint32) error {
	if !m.Has(slot) {
		return ErrNoMember
	}
	p := &m.members[slot]
	if !p.disabled {
		return nil
	}
	p.disabled, p.since, p.why = false, now, WhyEnabled
	m.tell(now, slot, Disabled, p.state, WhyEnabled)
	m.settle(now, WhyEnabled)
	return nil
}

// settle makes sure that the active member is the right one; why is what has just happened.
func (m *Machine) settle(now int64, why Why) {
	if m.fit(m.active) {
		if c := m.preempting(); c != None && now-m.members[c].upAt >= m.policy.PreemptDelay {
			m.activate(now, c, WhyPreempt)
		}
		return
	}
	next := m.heir(m.active)
	if next == None {
		if m.active != None {
			m.activate(now, None, why)
		}
		return
	}
	if m.members[next].state == Down {
		m.raise(now, next, WhyOnly)
		if m.active == None {
			why = WhyOnly
		}
	}
	m.activate(now, next, why)
}

// fit reports whether a member may be, or stay, active.
func (m *Machine) fit(slot uint32) bool {
	if !m.Has(slot) || m.members[slot].disabled {
		return false
	}
	switch m.members[slot].state {
	case Up, Suspect:
		return true
	case Init:
		return m.starts && slot == m.active
	}
	return false
}

// heir returns who takes over when the member in slot except is not fit, or None.
func (m *Machine) heir(except uint32) uint32 {
	if up := m.firstUp(except); up != None {
		return up
	}
	last := None
	for _, s := range m.order {
		p := &m.members[s]
		switch {
		case uint32(s) == except || p.disabled:
		case p.state == Suspect:
			return uint32(s)
		case p.state == Down && p.portUp && p.good > 0 && last == None:
			last = uint32(s)
		}
	}
	return last
}

// firstUp returns the first member in the list that is up and not disabled, except the given one.
func (m *Machine) firstUp(except uint32) uint32 {
	for _, s := range m.order {
		if p := &m.members[s]; uint32(s) != except && !p.disabled && p.state == Up {
			return uint32(s)
		}
	}
	return None
}

// preempting returns the member that is to take over once it has been up for long enough, or None.
func (m *Machine) preempting() uint32 {
	if !m.policy.Preempt || m.chosen {
		return None
	}
	for _, s := range m.order {
		if uint32(s) == m.active {
			return None
		}
		if p := &m.members[s]; !p.disabled && p.state == Up {
			return uint32(s)
		}
	}
	return None
}

// activate makes slot the active member, None for nobody.
func (m *Machine) activate(now int64, slot uint32, why Why) {
	old := m.active
	m.active, m.since, m.why = slot, now, why
	m.chosen = why == WhyOperator || why == WhyStart && m.chosen
	m.starts = m.starts && why == WhyStart
	m.emit(Event{Time: now, Kind: ActiveChanged, Member: slot, Old: old, Other: None, Why: why})
}

// raise brings a member up.
func (m *Machine) raise(now int64, slot uint32, why Why) {
	p := &m.members[slot]
	if p.state != Suspect {
		p.upAt = now
	}
	p.bad, p.held = 0, 0
	m.become(now, slot, Up, why)
}

// recover is an answer from a member that is down.
func (m *Machine) recover(now int64, slot uint32) {
	p := &m.members[slot]
	switch {
	case p.good < m.policy.Recover:
	case now < p.held:
		if p.why != WhyHold && !p.disabled {
			p.why = WhyHold
			m.tell(now, slot, Down, Down, WhyHold)
		}
	default:
		m.raise(now, slot, WhyAnswers)
	}
}

// fail takes a member down, and holds it there if it fails too often.
func (m *Machine) fail(now int64, slot uint32, why Why) {
	p := &m.members[slot]
	counts := p.state != Init && !p.disabled
	p.good, p.bad = 0, 0
	m.become(now, slot, Down, why)
	if !counts {
		return
	}
	p.fails[p.failed%MaxFlaps] = now
	p.failed++
	k := uint64(min(m.policy.FlapCount, MaxFlaps))
	if k == 0 {
		return
	}
	// One that fails soon after a hold time has learned nothing.
	again := p.level > 0 && now-p.upAt < m.policy.FlapWindow
	if !again {
		p.level = 0
		if p.failed < k || now-p.fails[(p.failed-k)%MaxFlaps] > m.policy.FlapWindow {
			return
		}
	}
	hold := m.policy.HoldMax
	if p.level < 63 && m.policy.HoldMin <= hold>>p.level { // HoldMin << level may be too much for an int64
		hold = m.policy.HoldMin << p.level
	}
	p.level++
	p.held = now + hold
}

// become changes a member's state.
func (m *Machine) become(now int64, slot uint32, to State, why Why) {
	p := &m.members[slot]
	from := p.state
	p.state = to
	if p.disabled {
		return
	}
	p.since, p.why = now, why
	m.tell(now, slot, from, to, why)
}

func (m *Machine) tell(now int64, slot uint32, from, to State, why Why) {
	m.emit(Event{Time: now, Kind: MemberChanged, Member: slot, Old: None, Other: None, From: from, To: to, Why: why})
}
