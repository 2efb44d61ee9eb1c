package uplink

import (
	"math"

	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
)

// slack is how late a timer may be without being counted as late, in nanoseconds.
const slack = 1_000_000

// never is a time that does not come.
const never = int64(math.MaxInt64)

// Keeper runs the groups' state machines: it follows the tables, probes the gateways, judges their answers, switches,
// and announces. It belongs to the first worker's thread, which calls Turn once per turn of its loop and otherwise
// sleeps no longer than Next says.
//
// # Time
//
// Probes run on a clock of their own, which stands still while the worker does not run: it never passes the next timer
// by more than slack. So a worker that the machine starves of its CPU asks later and judges later, and what it could not
// hear in time is not held against a gateway. Such a timer is counted (fib.MemberLive.Late), and gives the answer that it
// is about another slack, once: a machine that stood still goes on before what arrived meanwhile has been received.
//
// A probe without an answer becomes a miss only when every worker has looked at all frames that had arrived when its
// time was up (Clean).
type Keeper struct {
	Events *gateway.Events
	Send   func(port uint16, frame []byte) // sends a frame that the box made
	Room   func(port uint16) int           // how many the port can take now, as far as there are buffers for them

	// Stuck reports whether frames wait in the port's transmit ring of which the kernel has taken none since it had taken n
	// in all, modulo 2^32; and how many it has taken by now.
	Stuck func(port uint16, n uint32) (stuck bool, taken uint32)

	Clean  func(since int64) bool // all workers have looked at all that had arrived by then
	Shared *Shared

	snap    *fib.Snapshot
	groups  []*group // by index
	ports   []portState
	news    uint32 // of Shared, when last looked at
	clock   int64  // of the probes
	last    int64  // time of the last turn
	due     int64  // on the probes' clock: the next probe of any member
	timer   int64  // the next of everything else
	pending int    // verdicts that wait for Clean
	late    bool   // the timers that are due now are late
	msg     message
}

// portState is whether a port can be used, as far as the Keeper knows.
type portState struct {
	told     bool // SetCarrier has been called: the snapshot's word, which comes later, does not count
	carrier  bool
	snapshot bool
}

// group is a gateway group as the Keeper sees it.
type group struct {
	index   uint32
	table   *fib.Group // in the snapshot seen last
	live    *fib.GroupLive
	machine *gateway.Machine
	members [gateway.MaxMembers]prober
	round   announcer
}

// NewKeeper returns a Keeper without groups, for a number of ports.
func NewKeeper(ports int, shared *Shared) *Keeper {
	return &Keeper{Events: gateway.NewEvents(), Shared: shared, ports: make([]portState, ports), due: never, timer: never}
}

// Turn does what is due. now is the time of the worker's turn, s the snapshot that it uses.
func (k *Keeper) Turn(now int64, s *fib.Snapshot) {
	if s != k.snap {
		k.follow(now, s)
	}
	if len(k.groups) == 0 {
		k.last = now
		return
	}
	k.advance(now)
	if n := k.Shared.news.Load(); n != k.news {
		k.news = n
		k.look(now)
	}
	if k.pending > 0 || k.clock >= k.due {
		k.probe(now)
	}
	if now >= k.timer {
		k.tick(now)
	}
}

// advance moves the probes' clock.
func (k *Keeper) advance(now int64) {
	k.clock += now - k.last
	k.last = now
	if k.late = k.due != never && k.clock-k.due > slack; k.late {
		k.clock = k.due + slack
	}
}

// News reports whether a worker has told of something that Turn has not looked at yet.
func (k *Keeper) News() bool { return len(k.groups) > 0 && k.Shared.news.Load() != k.news }

// Next returns when Turn has something to do, on the workers' clock; it may be in the past.
func (k *Keeper) Next() int64 {
	if k.pending > 0 {
		return k.last
	}
	next := k.timer
	if k.due != never {
		next = min(next, k.last+k.due-k.clock)
	}
	return next
}

// follow takes over new tables. It is the only thing here that allocates, and only when groups change.
func (k *Keeper) follow(now int64, s *fib.Snapshot) {
	old := k.snap
	k.snap = s
	for i := range s.Ports {
		if i < len(k.ports) {
			k.ports[i].snapshot = s.Ports[i].Up
		}
	}
	if old == nil || len(old.Groups) != len(s.Groups) || len(s.Groups) > 0 && &old.Groups[0] != &s.Groups[0] {
		k.last = now
		for len(k.groups) < len(s.Groups) {
			k.groups = append(k.groups, nil)
		}
		for i := range k.groups {
			var g *fib.Group
			if i < len(s.Groups) && s.Groups[i].Live != nil {
				g = &s.Groups[i]
			}
			k.replace(now, uint32(i), g)
		}
		k.groups = k.groups[:len(s.Groups)]
	}
	for _, g := range k.groups {
		if g != nil {
			k.links(now, g)
			k.show(g)
		}
	}
	k.schedule()
}

// replace brings group i into line with the tables; to is nil if there is none any more.
func (k *Keeper) replace(now int64, i uint32, to *fib.Group) {
	g := k.groups[i]
	if g != nil && (to == nil || g.live != to.Live) {
		k.groups[i], g = nil, nil
	}
	if to == nil {
		return
	}
	isNew := g == nil
	if isNew {
		g = &group{index: i, live: to.Live, round: announcer{next: never}}
		g.machine = gateway.New(to.Policy, func(e gateway.Event) { k.heard(g, e) })
		k.groups[i] = g
	}
	g.table = to
	g.machine.SetPolicy(to.Policy)
	for slot := range g.members {
		if p := &g.members[slot]; p.live != nil && (slot >= len(to.Members) || to.Members[slot].Live != p.live) {
			g.machine.Remove(now, uint32(slot))
			*p = prober{}
		}
	}
	g.machine.SetOrder(to.Order)
	for slot := range to.Members[:min(len(to.Members), gateway.MaxMembers)] {
		m, p := &to.Members[slot], &g.members[slot]
		if p.live != nil { // a shorter interval begins now
			p.due = min(p.due, k.clock+to.Policy.Interval)
		}
		if m.Live == nil || p.live != nil {
			continue
		}
		*p = prober{live: m.Live, judged: now, due: k.clock + int64(slot)*slack}
		disabled := isNew && to.Live.Disabled>>slot&1 != 0
		g.machine.Add(now, uint32(slot), k.up(m.Port), disabled)
		if m.Static != 0 {
			m.Live.SetGateway(m.Static, false, false)
		}
	}
	if isNew {
		g.machine.Start(now, to.Live.Start, to.Live.StartChosen)
	}
	g.machine.Tick(now) // another order or policy may ask for another active member
}

// heard takes an event of a group's machine: the switch itself, before anything else.
func (k *Keeper) heard(g *group, e gateway.Event) {
	if e.Kind == gateway.ActiveChanged {
		g.live.Active.Store(e.Member)
		g.live.Since.Store(e.Time)
		g.live.Why.Store(uint32(e.Why))
		g.live.Chosen.Store(g.machine.Chosen())
		g.live.Switches.Add(1)
		g.round.start(e.Time, e.Member)
	}
	e.Group = g.index
	k.Events.Put(e)
}

// up reports whether a port can be used.
func (k *Keeper) up(port uint16) bool {
	if int(port) >= len(k.ports) {
		return false
	}
	p := &k.ports[port]
	if p.told {
		return p.carrier && k.Shared.faults[port].Load() == 0
	}
	return p.snapshot && k.Shared.faults[port].Load() == 0
}

// SetCarrier says that a port's interface has gained or lost carrier, was set up or down, or is gone.
func (k *Keeper) SetCarrier(now int64, port int, up bool) {
	if port < 0 || port >= len(k.ports) {
		return
	}
	k.ports[port].told, k.ports[port].carrier = true, up
	k.look(now)
}

// look deals at once with what cannot wait for the next timer: ports that went or came, gateways that answered when
// nothing else carries their group's traffic.
func (k *Keeper) look(now int64) {
	for _, g := range k.groups {
		if g == nil {
			continue
		}
		k.links(now, g)
		for slot := range g.members {
			if p := &g.members[slot]; p.live != nil {
				k.eager(now, g, uint32(slot))
			}
		}
		k.show(g)
	}
	k.schedule()
}

// links tells the group's machine of its members' ports.
func (k *Keeper) links(now int64, g *group) {
	for slot := range g.members {
		p := &g.members[slot]
		if p.live == nil {
			continue
		}
		port := g.table.Members[slot].Port
		up, asked := k.up(port), p.asks()
		p.open = int(port) < len(k.ports) && k.Shared.open[port].Load()
		if up && p.open && !asked { // ask at once, and judge only what is asked from now on
			p.asked, p.pending, p.judged, p.due, p.broadcastAt = false, 0, now, k.clock, 0
			p.silent, p.trial, p.lone = 0, false, false
		}
		if up == p.up && p.known {
			continue
		}
		p.up, p.known = up, true
		why := gateway.WhyCarrier
		if k.Shared.faults[port].Load() != 0 {
			why = gateway.WhyTransmit
		}
		g.machine.Port(now, uint32(slot), up, why)
	}
}

// show writes the group's state where everybody can read it.
func (k *Keeper) show(g *group) {
	active, _, _ := g.machine.Active()
	g.live.Chosen.Store(g.machine.Chosen()) // an operator may choose the one that is active
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
}

// tick runs the machines' timers and the announcements.
func (k *Keeper) tick(now int64) {
	for _, g := range k.groups {
		if g == nil {
			continue
		}
		if now >= g.machine.Next() {
			g.machine.Tick(now)
			k.show(g)
		}
		if now >= g.round.next {
			k.announce(now, g)
		}
	}
	k.schedule()
}

// schedule works out when the next timer runs.
func (k *Keeper) schedule() {
	k.timer, k.due, k.pending = never, never, 0
	for _, g := range k.groups {
		if g == nil {
			continue
		}
		k.timer = min(k.timer, g.machine.Next(), g.round.next)
		for slot := range g.members {
			switch p := &g.members[slot]; {
			case !p.asks():
			case p.pending != 0:
				k.pending++
			default:
				k.due = min(k.due, p.due)
			}
		}
	}
}

// Switch, Disable and Enable carry out what an operator asks for; see package gateway for the errors.

// Switch makes a member the active one; slot gateway.None stands for the next that is up.
func (k *Keeper) Switch(now int64, index, slot uint32) error {
	return k.command(index, func(m *gateway.Machine) error { return m.Switch(now, slot) })
}

// Disable takes a member out of service; force lets the last one go.
func (k *Keeper) Disable(now int64, index, slot uint32, force bool) error {
	return k.command(index, func(m *gateway.Machine) error { return m.Disable(now, slot, force) })
}

// Enable puts a member back into service.
func (k *Keeper) Enable(now int64, index, slot uint32) error {
	return k.command(index, func(m *gateway.Machine) error { return m.Enable(now, slot) })
}

func (k *Keeper) command(index uint32, fn func(*gateway.Machine) error) error {
	if uint64(index) >= uint64(len(k.groups)) || k.groups[index] == nil {
		return gateway.ErrNoMember
	}
	g := k.groups[index]
	err := fn(g.machine)
	k.show(g)
	k.schedule()
	return err
}
