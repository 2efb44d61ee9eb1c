package gateway

import (
	"errors"

	"penstock/dataplane/liveness"
)

// Reasons to refuse a command.
var (
	ErrNoMember = errors.New("the group has no such member")
	ErrNotUp    = errors.New("the member is not up")
	ErrNoOther  = errors.New("no other member is up")
	ErrLast     = errors.New("no other member is fit, the group would be without gateway")
)

// Switch makes slot the active member by an operator's command; None stands for the first other member that is up.
// There is no preemption while that member is active.
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

// Disable takes a member out of service. Without force the last member that is fit is refused.
func (m *Machine) Disable(now int64, slot uint32, force bool) error {
	if !m.Has(slot) {
		return ErrNoMember
	}
	p := &m.members[slot]
	if p.Disabled() {
		return nil
	}
	if slot == m.active && !force && m.heir(slot) == None {
		return ErrLast
	}
	m.report(now, slot, p.SetDisabled(now, true))
	m.settle(now, WhyDisabled)
	return nil
}

// Enable puts a member back into service, in the state that it has meanwhile.
func (m *Machine) Enable(now int64, slot uint32) error {
	if !m.Has(slot) {
		return ErrNoMember
	}
	p := &m.members[slot]
	if !p.Disabled() {
		return nil
	}
	m.report(now, slot, p.SetDisabled(now, false))
	m.settle(now, WhyEnabled)
	return nil
}

// settle chooses the active member again after an event; why is the reason of the event.
func (m *Machine) settle(now int64, why Why) {
	if m.fit(m.active) {
		if c := m.preempting(); c != None && now-m.members[c].UpAt() >= m.policy.PreemptDelay {
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
	if m.members[next].Health() == Down {
		m.report(now, next, m.members[next].Raise(now, liveness.Only))
		if m.active == None {
			why = WhyOnly
		}
	}
	m.activate(now, next, why)
}

// fit reports whether a member may be, or stay, active.
func (m *Machine) fit(slot uint32) bool {
	if !m.Has(slot) || m.members[slot].Disabled() {
		return false
	}
	switch m.members[slot].Health() {
	case Up, Suspect:
		return true
	case Init:
		return m.starts && slot == m.active
	}
	return false
}

// heir returns the member that takes over when the member in slot except is not fit, or None.
func (m *Machine) heir(except uint32) uint32 {
	if up := m.firstUp(except); up != None {
		return up
	}
	last := None
	for _, s := range m.order {
		p := &m.members[s]
		switch {
		case uint32(s) == except || p.Disabled():
		case p.Health() == Suspect:
			return uint32(s)
		case p.Health() == Down && p.PortUp() && p.Answered() && last == None:
			last = uint32(s)
		}
	}
	return last
}

// firstUp returns the first member in the list that is up and not disabled, except the given one.
func (m *Machine) firstUp(except uint32) uint32 {
	for _, s := range m.order {
		if p := &m.members[s]; uint32(s) != except && !p.Disabled() && p.Health() == Up {
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
		if p := &m.members[s]; !p.Disabled() && p.Health() == Up {
			return uint32(s)
		}
	}
	return None
}

// activate makes slot the active member; with None the group has no active member.
func (m *Machine) activate(now int64, slot uint32, why Why) {
	old := m.active
	m.active, m.since, m.why = slot, now, why
	m.chosen = why == WhyOperator || why == WhyStart && m.chosen
	m.starts = m.starts && why == WhyStart
	m.emit(Event{Time: now, Kind: ActiveChanged, Member: slot, Old: old, Other: None, Why: why})
}
