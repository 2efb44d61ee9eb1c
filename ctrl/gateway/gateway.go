// Package gateway is the control plane of gateway groups: it reads the dataplane's decisions, and reports them.
//
// The dataplane probes, decides and switches by itself (dataplane/uplink), independently of this package. A Service
// copies the dataplane's events into the event stream and the log, stores the active and the disabled members on disk,
// so that a restart continues with them, raises and clears alarms, and executes operators' commands.
//
// Alarms follow the states, which are always current. They do not follow the events, since a full ring loses events.
package gateway

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
)

// Group is a live gateway group: its configuration, and its index and state in the dataplane.
type Group struct {
	Name      string
	MAC       model.MAC
	Addresses []netip.Addr
	Public    bool
	Index     uint32
	Live      *fib.GroupLive
	Members   []Member // the preferred one first
}

// Member is a live member of a group.
type Member struct {
	Name    string
	Port    string
	VLAN    int
	IP      netip.Addr
	Address netip.Prefix // of the box
	Sources []string     // senders of accepted frames: MACs, "gateway"; nil = any
	Slot    uint32
	Stat    uint32
	Live    *fib.MemberLive
}

func (g *Group) slot(slot uint32) *Member {
	for i := range g.Members {
		if g.Members[i].Slot == slot {
			return &g.Members[i]
		}
	}
	return nil
}

func (g *Group) member(name string) *Member {
	for i := range g.Members {
		if g.Members[i].Name == name {
			return &g.Members[i]
		}
	}
	return nil
}

// name is the name of the member in a slot, "" for none.
func (g *Group) name(slot uint32) string {
	if m := g.slot(slot); m != nil {
		return m.Name
	}
	return ""
}

// Engine is the dataplane.
type Engine interface {
	// Clock is the time of events and of live states, in nanoseconds.
	Clock() int64
	GatewayEvents() *gateway.Events
	SwitchGateway(group, slot uint32) error
	DisableGateway(group, slot uint32, force bool) error
	EnableGateway(group, slot uint32) error
}

// Config of a Service.
type Config struct {
	Engine  Engine
	Groups  func() []Group               // the live groups; called again whenever they may have changed
	Traffic func(stat uint32) stats.RxTx // of a member's gateway; nil = not counted
	Events  *event.Log
	Alarms  *alarm.Board
	Log     *slog.Logger
	Path    string // of the file in which the state is kept
	Saved   State  // its content (Load)
	Now     func() time.Time
}

// Event is the data of an event of type event.TypeGateway. The set fields depend on Kind.
type Event struct {
	Kind   string    `json:"kind"` // member, active, mac-learned, mac-changed, mac-conflict, mac-shared, announced
	Group  string    `json:"group"`
	Member string    `json:"member,omitempty"` // active: the new one, absent if there is none
	Old    string    `json:"old,omitempty"`    // active: the one before
	Other  string    `json:"other,omitempty"`  // mac-shared
	From   string    `json:"from,omitempty"`   // member: state before
	To     string    `json:"to,omitempty"`     // member: state now
	Why    string    `json:"why,omitempty"`
	MAC    string    `json:"mac,omitempty"`
	OldMAC string    `json:"old_mac,omitempty"`
	Count  uint64    `json:"count,omitempty"` // announced: frames
	At     time.Time `json:"at"`              // when it happened in the dataplane
}

// EventType implements event.Data.
func (Event) EventType() string { return event.TypeGateway }

// tick is the interval at which states are read without an event: the end of a hold time is no event.
const tick = time.Second

// Service is the control plane of the gateway groups.
type Service struct {
	cfg  Config
	save saver

	mu       sync.Mutex
	groups   []Group
	known    map[string]*record // by group
	lost     uint64
	switches map[Switches]uint64
	rtt      map[string]*histogram // by "GROUP/MEMBER"
}

// Switches is the key of the counters of switches.
type Switches struct{ Group, Why string }

// record is the service's state of a group, besides the live state of the dataplane.
type record struct {
	active string            // last known active member
	failed map[string]bool   // members that failed while they were active, and are still down
	raised map[string]string // kind + object of the alarms that were raised here → their cause
	rtts   map[string]uint64 // by member, fib.MemberLive.RTTs at the last sample
	held   map[string]int64  // by member, until when it is held down, and
	until  map[string]string // … as a time of day
}

// New makes a Service. Run runs it.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: c, known: map[string]*record{}, switches: map[Switches]uint64{}, rtt: map[string]*histogram{}}
	s.save.init(c.Path, c.Saved, c.Log)
	s.groups = c.Groups()
	return s
}

// Run follows the dataplane until ctx is done, and then saves pending changes of the state.
func (s *Service) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() { s.save.run(ctx); close(done) }()
	t := time.NewTicker(tick)
	defer t.Stop()
	s.Refresh()
	for {
		select {
		case <-ctx.Done():
			s.step()
			<-done
			_ = s.save.flush() // logged; the saver may have been done before the last step
			return
		case <-s.cfg.Engine.GatewayEvents().Wake():
		case <-t.C:
		}
		s.step()
	}
}

// Refresh reads the groups again after a reload.
func (s *Service) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take() // events of groups under their old names
	s.groups = s.cfg.Groups()
	s.forget()
	s.update()
	s.cfg.Alarms.Retain(s.exists, groupKinds...)
}

// forget drops the records of removed groups and members: if their names are used again, they are new ones.
func (s *Service) forget() {
	there := map[string]*Group{}
	for i := range s.groups {
		there[s.groups[i].Name] = &s.groups[i]
	}
	for name, k := range s.known {
		g := there[name]
		if g == nil {
			delete(s.known, name)
			continue
		}
		maps.DeleteFunc(k.failed, func(member string, _ bool) bool { return g.member(member) == nil })
		maps.DeleteFunc(k.rtts, func(member string, _ uint64) bool { return g.member(member) == nil })
		maps.DeleteFunc(k.held, func(member string, _ int64) bool { return g.member(member) == nil })
	}
}

func (s *Service) step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take()
	s.update()
}

// take reads the dataplane's events.
func (s *Service) take() {
	ring := s.cfg.Engine.GatewayEvents()
	ring.Take(func(e gateway.Event) {
		if g, ok := s.find(&e); ok {
			s.handle(g, &e)
		}
	})
	if n := ring.Lost(); n > s.lost {
		s.cfg.Log.Warn("gateway events were lost; states and alarms are not affected", "lost", n-s.lost)
		s.lost = n
		for i := range s.groups {
			s.of(s.groups[i].Name).active = s.groups[i].name(s.groups[i].Live.Active.Load())
		}
	}
}

// find returns the group of an event. An unknown group may be new with a reload that is under way.
func (s *Service) find(e *gateway.Event) (*Group, bool) {
	for range 2 {
		for i := range s.groups {
			g := &s.groups[i]
			if g.Index == e.Group &&
				(e.Member == gateway.None || g.slot(e.Member) != nil || e.Why == gateway.WhyRemoved) {
				return g, true
			}
		}
		s.groups = s.cfg.Groups()
	}
	return nil, false
}

func (s *Service) of(group string) *record {
	k := s.known[group]
	if k == nil {
		k = &record{failed: map[string]bool{}, raised: map[string]string{}, rtts: map[string]uint64{},
			held: map[string]int64{}, until: map[string]string{}}
		s.known[group] = k
	}
	return k
}

// handle publishes and logs one event.
func (s *Service) handle(g *Group, e *gateway.Event) {
	k := s.of(g.Name)
	ev := Event{Kind: e.Kind.String(), Group: g.Name, Member: g.name(e.Member), Why: e.Why.String(), At: s.wall(e.Time)}
	level := slog.LevelInfo
	switch e.Kind {
	case gateway.MemberChanged:
		ev.From, ev.To = e.From.String(), e.To.String()
		switch e.To {
		case gateway.Down:
			k.failed[ev.Member] = k.failed[ev.Member] || ev.Member == k.active
			level = slog.LevelWarn
		case gateway.Up, gateway.Disabled:
			delete(k.failed, ev.Member)
		case gateway.Suspect:
			level = slog.LevelDebug
		}
	case gateway.ActiveChanged:
		ev.Old = g.name(e.Old)
		k.active = ev.Member
		s.switches[Switches{g.Name, ev.Why}]++
		level = slog.LevelWarn
	case gateway.MACLearned, gateway.MACChanged, gateway.MACConflict:
		ev.Why, ev.MAC = "", model.MAC(e.MAC).String()
		if e.OldMAC != 0 {
			ev.OldMAC = model.MAC(e.OldMAC).String()
			s.macAlarm(g, &ev, e.Kind)
		}
	case gateway.MACShared:
		ev.Why, ev.MAC, ev.Other = "", model.MAC(e.MAC).String(), g.name(e.Other)
		s.macAlarm(g, &ev, e.Kind)
	case gateway.AnnounceFinish:
		ev.Why, ev.Count = "", e.Count
	}
	s.cfg.Log.Log(context.Background(), level, "gateway", attrs(&ev)...)
	if s.cfg.Events != nil {
		s.cfg.Events.Publish(ev)
	}
}

// attrs are the members of an event that are set, for the log.
func attrs(e *Event) (out []any) {
	for _, a := range []struct{ name, value string }{{"kind", e.Kind}, {"group", e.Group}, {"member", e.Member},
		{"old", e.Old}, {"other", e.Other},
		{"from", e.From}, {"to", e.To}, {"why", e.Why}, {"mac", e.MAC}, {"old_mac", e.OldMAC}} {
		if a.value != "" {
			out = append(out, a.name, a.value)
		}
	}
	if e.Count > 0 {
		out = append(out, "count", e.Count)
	}
	return append(out, "at", e.At)
}

// wall converts a time on the engine's clock into wall-clock time.
func (s *Service) wall(t int64) time.Time {
	return s.cfg.Now().Add(-time.Duration(s.cfg.Engine.Clock() - t)).UTC()
}

// update brings alarms, the saved state and the round-trip times into line with the live states of the groups.
func (s *Service) update() {
	state := State{Groups: map[string]GroupState{}}
	for i := range s.groups {
		g := &s.groups[i]
		k := s.of(g.Name)
		s.groupAlarms(g, k)
		s.sample(g, k)
		state.Groups[g.Name] = s.stateOf(g)
	}
	s.save.set(state)
}

// Status returns the groups in the order of the configuration.
func (s *Service) Status() []status.GatewayGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]status.GatewayGroup, 0, len(s.groups))
	for i := range s.groups {
		out = append(out, s.status(&s.groups[i]))
	}
	return out
}

func (s *Service) status(g *Group) status.GatewayGroup {
	active := g.Live.Active.Load()
	st := status.GatewayGroup{
		Name: g.Name, MAC: g.MAC.String(), Addresses: []string{}, Public: g.Public, Active: g.name(active),
		Since: s.moment(g.Live.Since.Load()), Why: gateway.Why(g.Live.Why.Load()).String(),
		Switches: g.Live.Switches.Load(), Announced: g.Live.Announced.Load(),
		Members: []status.Gateway{},
	}
	for _, a := range g.Addresses {
		st.Addresses = append(st.Addresses, a.String())
	}
	for i := range g.Members {
		m := &g.Members[i]
		l := m.Live
		x := status.Gateway{
			Name: m.Name, State: gateway.State(l.State.Load()).String(), Active: m.Slot == active,
			Since: s.moment(l.Since.Load()), Why: gateway.Why(l.Why.Load()).String(),
			Port: m.Port, VLAN: m.VLAN, IP: m.IP.String(), Address: m.Address.String(),
			Sources: m.Sources, Failures: l.Fails.Load(),
			Probes: status.Probes{Sent: l.Probes.Load(), Answered: l.Answers.Load(), Missed: l.Missed.Load(),
				Excused: l.Excused.Load(), Late: l.Late.Load(), RTT: l.RTT.Load()},
		}
		if held := l.Held.Load(); held > s.cfg.Engine.Clock() {
			x.Held = s.moment(held)
		}
		if mac, _ := l.Gateway(); mac != 0 {
			x.MAC = model.MAC(mac).String()
		}
		if s.cfg.Traffic != nil {
			t := s.cfg.Traffic(m.Stat)
			x.RxPackets, x.RxBytes, x.TxPackets, x.TxBytes = t.Rx.Packets, t.Rx.Bytes, t.Tx.Packets, t.Tx.Bytes
		}
		st.Members = append(st.Members, x)
	}
	return st
}

// moment converts a time on the engine's clock for JSON; nil for none.
func (s *Service) moment(t int64) *time.Time {
	if t == 0 {
		return nil
	}
	w := s.wall(t)
	return &w
}
