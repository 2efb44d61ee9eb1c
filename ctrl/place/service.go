package place

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor/lldp"
)

// Alarms is where alarms are raised.
type Alarms interface {
	Raise(r alarm.Report)
	Clear(kind alarm.Kind, object string)
}

// Port is a port that speaks LLDP: a fabric port, or one of an edge switch.
type Port struct {
	Index     int
	Name      string
	Interface string
	Fabric    bool
	Static    compile.Place // fabric: the configured halves of its place
	Number    uint8         // downlink
}

// Setting is what a reload can change.
type Setting struct {
	Ports []Port // always the same ones, in the same order
	Rules lldp.Rules
	Edge  model.MAC // of the box as edge switch: its chassis ID; 0 = it is none
}

// Config of a Service. All fields are necessary.
type Config struct {
	Setting
	System  string // name of the box
	Version string
	File    string // where places are kept over a restart

	// Inject sends a frame out of a port; false if it cannot. It must not block.
	Inject func(port int, frame []byte) bool
	// SetPlace makes a place live; see compile.Compiler.
	SetPlace func(port int, at compile.Place) error
	// Moved is called when the place of a port has changed, is confirmed, or is only provisional from now on.
	Moved  func(port string, s State)
	Alarms Alarms
	Log    *slog.Logger
	Now    func() time.Time
}

// Service follows all ports. Its methods may be called from any goroutine.
type Service struct {
	cfg  Config
	wake chan struct{}

	stored map[string]compile.Place // in the file

	mu    sync.Mutex
	set   Setting
	ports []*port
}

// port is a port with what was last told of it.
type port struct {
	Port
	machine
	sender
	toldAt     compile.Place
	toldOrigin string
	toldFaults map[alarm.Kind]string
}

// New returns a service whose ports have the places of the last run. Apply makes them live.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, set: cfg.Setting, wake: make(chan struct{}, 1)}
	stored, err := load(cfg.File)
	if err != nil {
		cfg.Log.Warn("the places of the last run are not known; LLDP will say them", "err", err)
	}
	s.stored = stored
	for _, p := range cfg.Ports {
		x := &port{Port: p, toldFaults: map[alarm.Kind]string{}}
		if p.Fabric {
			x.begin(p.Static, stored[p.Name], cfg.Now())
			x.again = x.provisional
		}
		s.ports = append(s.ports, x)
	}
	return s
}

// Apply makes the places live that are known before the first frame.
func (s *Service) Apply() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tell()
}

// Configure adopts what a reload has changed.
func (s *Service) Configure(set Setting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.set = set
	for i, p := range s.ports {
		p.Port = set.Ports[i]
		if p.Fabric {
			p.configure(p.Static, now)
			if len(p.list) == 1 {
				n := &p.list[0]
				n.at.Switch, n.at.Port, n.why = set.Rules.Place(&n.Advert)
				p.judge(n, now)
			}
		}
		p.hasten(now)
	}
	s.poke()
}

// Punt takes an LLDP frame from a port.
func (s *Service) Punt(index int, frame []byte) {
	a, err := lldp.Parse(frame)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byIndex(index)
	if p == nil {
		return
	}
	now := s.cfg.Now()
	if p.frames.Received++; err != nil {
		if p.refuse(err.(lldp.Fault), now) {
			s.cfg.Log.Warn("LLDP frame refused; further ones of this kind are counted only", "port", p.Name, "err", err)
			s.poke()
		}
		return
	}
	if p.hear(&a, &s.set.Rules, now) {
		p.hasten(now)
	}
	s.poke()
}

// Link notes the carrier of a port, and its interface's MAC.
func (s *Service) Link(index int, up bool, mac model.MAC) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byIndex(index)
	if p == nil {
		return
	}
	now := s.cfg.Now()
	p.mac = mac
	if up && !p.up {
		p.hasten(now)
	}
	p.link(up, now)
	s.poke()
}

func (s *Service) byIndex(index int) *port {
	i := slices.IndexFunc(s.ports, func(p *port) bool { return p.Index == index })
	if i < 0 {
		return nil
	}
	return s.ports[i]
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run follows frames and time until ctx is done.
func (s *Service) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	saved := s.stored
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		timer.Reset(s.turn())
		if places := s.known(); !maps.Equal(places, saved) {
			if err := save(s.cfg.File, places); err != nil {
				s.cfg.Log.Warn("the places are not kept over a restart", "err", err)
			}
			saved = places
		}
	}
}

// turn does what is due, and returns the time until the next is.
func (s *Service) turn() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	next := now.Add(time.Minute)
	for _, p := range s.ports {
		p.expire(now)
		s.send(p, now)
		for _, t := range []time.Time{p.machine.next(), p.sender.next()} {
			if !t.IsZero() && t.Before(next) {
				next = t
			}
		}
	}
	if err := s.tell(); err != nil {
		s.cfg.Log.Error("a place is not live", "err", err)
	}
	return max(next.Sub(now), time.Millisecond)
}

// tell makes live and raises what has changed.
func (s *Service) tell() error {
	for _, p := range s.ports {
		if !p.Fabric {
			continue
		}
		if at, origin := p.at, p.origin(); at != p.toldAt || origin != p.toldOrigin {
			if at != p.toldAt || origin != OriginConfigured {
				if err := s.cfg.SetPlace(p.Index, at); err != nil {
					return fmt.Errorf("port %s: %w", p.Name, err)
				}
			}
			p.toldAt, p.toldOrigin = at, origin
			s.cfg.Log.Info("place", "port", p.Name, "switch_mac", at.Switch, "switch_port", at.Port, "origin", origin)
			s.cfg.Moved(p.Name, p.state())
		}
		s.alarms(p)
	}
	return nil
}

func (s *Service) alarms(p *port) {
	lost := ""
	if p.lost {
		lost = "nobody"
	}
	for _, x := range []struct {
		kind alarm.Kind
		what string
		text string
	}{
		{alarm.LLDPNoPlace, p.noPlace, "The place of port %s is not known from LLDP: %s. Tell it by lldp.ports, " +
			"lldp.rules or lldp.switch_macs, or set switch_mac and switch_port; penstock show neighbors has what " +
			"was heard."},
		{alarm.LLDPMismatch, p.mismatch, "Port %s: %s. The configuration holds; check it and the cable."},
		{alarm.LLDPAmbiguous, p.ambiguous(), "Port %s hears several neighbours: %s. The place stays; look for a " +
			"hub, or a switch that forwards LLDP."},
		{alarm.LLDPLost, lost, "On port %s %s speaks LLDP any more. The place stays while there is carrier; check " +
			"the switch's LLDP."},
	} {
		told, was := p.toldFaults[x.kind]
		switch {
		case x.what == "" && was:
			delete(p.toldFaults, x.kind)
			s.cfg.Alarms.Clear(x.kind, "port "+p.Name)
		case x.what != "" && told != x.what:
			p.toldFaults[x.kind] = x.what
			s.cfg.Alarms.Raise(alarm.Report{Kind: x.kind, Object: "port " + p.Name,
				Text: fmt.Sprintf(x.text, p.Name, x.what)})
		}
	}
}

func (p *port) state() State {
	return State{Port: p.Name, At: p.at, Origin: p.origin(), Since: p.placed, NoPlace: p.noPlace,
		Neighbors: p.neighbors(), More: p.more, Frames: p.frames}
}

// States returns all ports.
func (s *Service) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]State, len(s.ports))
	for i, p := range s.ports {
		list[i] = p.state()
	}
	return list
}

// known returns the places that LLDP has said and that are confirmed, and the stored ones that are not refuted.
func (s *Service) known() map[string]compile.Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	places := map[string]compile.Place{}
	for _, p := range s.ports {
		if p.Fabric && p.at.Known() && !p.fixed() {
			places[p.Name] = p.at
		}
	}
	return places
}
