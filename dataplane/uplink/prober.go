package uplink

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/keeper"
)

// Prober probes the gateways of all groups and runs the groups' state machines: it follows the tables, judges the
// gateways' answers, switches, and announces. It is the keeper's Prober of the kind keeper.Gateways, and belongs to the
// first worker's thread.
type Prober struct {
	Events *gateway.Events

	keeper *keeper.Keeper
	queue  *keeper.Queue // a target's id is group × gateway.MaxMembers + slot, a timer's the group
	snap   *fib.Snapshot
	groups []*group // by index
	msg    message
}

// group is the Prober's state of a gateway group.
type group struct {
	index   uint32
	table   *fib.Group // in the last snapshot
	live    *fib.GroupLive
	machine *gateway.Machine
	members [gateway.MaxMembers]member
	round   announcer
}

// id is a member's target in the queue.
func (g *group) id(slot uint32) uint32 { return g.index*gateway.MaxMembers + slot }

// NewProber returns a Prober without groups, served by k.
func NewProber(k *keeper.Keeper) *Prober {
	r := &Prober{Events: gateway.NewEvents(), keeper: k}
	r.queue = k.Serve(keeper.Gateways, r)
	return r
}

// Follow adopts new tables. It allocates only when groups change.
func (r *Prober) Follow(now int64, s *fib.Snapshot) {
	old := r.snap
	r.snap = s
	if old != nil && len(old.Groups) == len(s.Groups) && (len(s.Groups) == 0 || &old.Groups[0] == &s.Groups[0]) {
		return
	}
	r.queue.Grow(len(s.Groups)*gateway.MaxMembers, len(s.Groups))
	for len(r.groups) < len(s.Groups) {
		r.groups = append(r.groups, nil)
	}
	for i := range r.groups {
		var g *fib.Group
		if i < len(s.Groups) && s.Groups[i].Live != nil {
			g = &s.Groups[i]
		}
		r.replace(now, uint32(i), g)
	}
	r.groups = r.groups[:len(s.Groups)]
	for _, g := range r.groups {
		if g != nil {
			r.links(now, g)
			r.show(g)
		}
	}
}

// replace adapts group i to the tables; to is nil if the tables do not have the group.
func (r *Prober) replace(now int64, i uint32, to *fib.Group) {
	g := r.groups[i]
	if g != nil && (to == nil || g.live != to.Live) {
		for slot := range g.members {
			r.queue.Stop(g.id(uint32(slot)))
		}
		r.queue.SetTimer(i, never)
		r.groups[i], g = nil, nil
	}
	if to == nil {
		return
	}
	isNew := g == nil
	if isNew {
		g = &group{index: i, live: to.Live, round: announcer{next: never}}
		g.machine = gateway.New(to.Policy, func(e gateway.Event) { r.onEvent(g, e) })
		r.groups[i] = g
	}
	g.table = to
	g.machine.SetPolicy(to.Policy)
	for slot := range g.members {
		if p := &g.members[slot]; p.live != nil && (slot >= len(to.Members) || to.Members[slot].Live != p.live) {
			g.machine.Remove(now, uint32(slot))
			r.queue.Stop(g.id(uint32(slot)))
			*p = member{}
		}
	}
	g.machine.SetOrder(to.Order)
	for slot := range to.Members[:min(len(to.Members), gateway.MaxMembers)] {
		m, p := &to.Members[slot], &g.members[slot]
		if p.live != nil { // a shorter interval begins now
			r.queue.Hasten(g.id(uint32(slot)), r.queue.Now()+to.Policy.Interval)
		}
		if m.Live == nil || p.live != nil {
			continue
		}
		*p = member{live: m.Live, judged: now}
		disabled := isNew && to.Live.Disabled>>slot&1 != 0
		g.machine.Add(now, uint32(slot), r.keeper.Up(m.Port), disabled)
		if m.Static != 0 {
			m.Live.SetGateway(m.Static, false, false)
		}
	}
	if isNew {
		g.machine.Start(now, to.Live.Start, to.Live.StartChosen)
	}
	g.machine.Tick(now) // another order or policy may ask for another active member
}

// onEvent handles an event of a group's machine: it stores a switch for the packet path, and then emits the event.
func (r *Prober) onEvent(g *group, e gateway.Event) {
	if e.Kind == gateway.ActiveChanged {
		g.live.Active.Store(e.Member)
		g.live.Since.Store(e.Time)
		g.live.Why.Store(uint32(e.Why))
		g.live.Chosen.Store(g.machine.Chosen())
		g.live.Switches.Add(1)
		g.round.start(e.Time, e.Member)
	}
	e.Group = g.index
	r.Events.Put(e)
}

// Ports adopts changes of ports.
func (r *Prober) Ports(now int64) {
	for _, g := range r.groups {
		if g != nil {
			r.links(now, g)
			r.hasten(now, g)
			r.show(g)
		}
	}
}

// News processes answers of gateways whose group has no other member for its traffic.
func (r *Prober) News(now int64) {
	for _, g := range r.groups {
		if g != nil && r.hasten(now, g) {
			r.show(g)
		}
	}
}

// links reports the members' ports to the group's machine.
func (r *Prober) links(now int64, g *group) {
	for slot := range g.members {
		p := &g.members[slot]
		if p.live == nil {
			continue
		}
		port := g.table.Members[slot].Port
		up, id := r.keeper.Up(port), g.id(uint32(slot))
		usable, probed := up && r.keeper.Open(port), r.queue.Runs(id)
		switch {
		case usable && !probed: // probe at once, and judge only the probes from now on
			r.queue.Start(id, r.queue.Now())
			p.judged, p.broadcastAt = now, 0
			p.silent, p.trial, p.lone = 0, false, false
		case probed && !usable:
			r.queue.Stop(id)
		}
		if up == p.up && p.known {
			continue
		}
		p.up, p.known = up, true
		why := gateway.WhyCarrier
		if r.keeper.Faulty(port) {
			why = gateway.WhyTransmit
		}
		g.machine.Port(now, uint32(slot), up, why)
	}
}

// show publishes the group's state for all readers, and sets the group's timer.
func (r *Prober) show(g *group) {
	active, _, _ := g.machine.Active()
	g.live.Chosen.Store(g.machine.Chosen()) // an operator may choose the active member
	for slot := range g.members {
		p := &g.members[slot]
		if p.live == nil {
			continue
		}
		s := uint32(slot)
		since, why, held, fails := g.machine.Detail(s)
		p.live.State.Store(uint32(g.machine.State(s)))
		p.live.Since.Store(since)
		p.live.Why.Store(uint32(why))
		p.live.Held.Store(held)
		p.live.Fails.Store(fails)
		health := g.machine.Health(s)
		mac, _ := p.live.Gateway()
		p.live.SetGateway(mac, health != gateway.Down, health == gateway.Init || active == gateway.None)
	}
	r.schedule(g)
}

// schedule sets the group's timer.
func (r *Prober) schedule(g *group) { r.queue.SetTimer(g.index, min(g.machine.Next(), g.round.next)) }

// Timer runs a group's machine and its announcements.
func (r *Prober) Timer(now int64, index uint32) {
	g := r.groups[index]
	if now >= g.machine.Next() {
		g.machine.Tick(now)
		r.show(g)
	}
	if now >= g.round.next {
		r.announce(now, g)
	}
	r.schedule(g)
}

// Switch, Disable and Enable execute an operator's commands; see package gateway for the errors.

// Switch makes a member the active one; slot gateway.None stands for the first other member that is up.
func (r *Prober) Switch(now int64, index, slot uint32) error {
	return r.command(index, func(m *gateway.Machine) error { return m.Switch(now, slot) })
}

// Disable takes a member out of service; with force also the last member that is fit.
func (r *Prober) Disable(now int64, index, slot uint32, force bool) error {
	return r.command(index, func(m *gateway.Machine) error { return m.Disable(now, slot, force) })
}

// Enable puts a member back into service.
func (r *Prober) Enable(now int64, index, slot uint32) error {
	return r.command(index, func(m *gateway.Machine) error { return m.Enable(now, slot) })
}

func (r *Prober) command(index uint32, fn func(*gateway.Machine) error) error {
	if uint64(index) >= uint64(len(r.groups)) || r.groups[index] == nil {
		return gateway.ErrNoMember
	}
	g := r.groups[index]
	err := fn(g.machine)
	r.show(g)
	return err
}
