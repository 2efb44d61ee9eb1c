package gateway

import (
	"errors"
	"fmt"

	"penstock/ctrl/status"
	"penstock/dataplane/gateway"
)

// Errors of commands, besides those of dataplane/gateway.
var (
	ErrNoGroup = errors.New("there is no such gateway group")
	ErrChanged = errors.New("another member is active than was expected")

	// ErrNotDurable is wrapped when a command is in effect and not on disk yet.
	ErrNotDurable = errors.New("it is not on disk")
)

// A command that is in effect and cannot be written returns the state of the group, and ErrNotDurable. It is written
// when the disk takes writes again. Rejected: undoing the command, which would switch traffic twice because of a disk.

// Switch makes a member the active one; "" is the first other member that is up. expect, unless it is "", is the member
// that the caller expects to be active: if another member is active, Switch returns ErrChanged and changes nothing. The
// result is the state of the group after the command.
func (s *Service) Switch(group, member, expect string) (status.GatewayGroup, error) {
	return s.command(group, member, expect,
		func(g *Group, slot uint32) error { return s.cfg.Engine.SwitchGateway(g.Index, slot) })
}

// Disable takes a member out of service, and returns when the change is durable. The last healthy member is disabled
// only if force is set.
func (s *Service) Disable(group, member, expect string, force bool) (status.GatewayGroup, error) {
	return s.command(group, member, expect,
		func(g *Group, slot uint32) error { return s.cfg.Engine.DisableGateway(g.Index, slot, force) })
}

// Enable puts a member back into service, and returns when the change is durable.
func (s *Service) Enable(group, member, expect string) (status.GatewayGroup, error) {
	return s.command(group, member, expect,
		func(g *Group, slot uint32) error { return s.cfg.Engine.EnableGateway(g.Index, slot) })
}

func (s *Service) command(group, member, expect string,
	do func(g *Group, slot uint32) error) (status.GatewayGroup, error) {
	st, err := s.carryOut(group, member, expect, do)
	if err != nil {
		return st, err
	}
	if err := s.save.flush(); err != nil {
		return st, fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return st, nil
}

func (s *Service) carryOut(group, member, expect string,
	do func(g *Group, slot uint32) error) (st status.GatewayGroup, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var g *Group
	for i := range s.groups {
		if s.groups[i].Name == group {
			g = &s.groups[i]
		}
	}
	if g == nil {
		return st, fmt.Errorf("%w: %s", ErrNoGroup, group)
	}
	slot := gateway.None
	if member != "" {
		m := g.member(member)
		if m == nil {
			return st, fmt.Errorf("%w: %s", gateway.ErrNoMember, member)
		}
		slot = m.Slot
	}
	// Between this check and the command the dataplane may switch by itself; the command is still executed, as an
	// operator who named a member expects.
	if active := g.name(g.Live.Active.Load()); expect != "" && active != expect {
		return st, fmt.Errorf("%w: %s", ErrChanged, orNone(active))
	}
	if err := do(g, slot); err != nil {
		return st, err
	}
	s.take()
	s.update()
	return s.status(g), nil
}

func orNone(name string) string {
	if name == "" {
		return "none"
	}
	return name
}
