// Package director agrees with other boxes upon who directs a virtual address, and tells them of flows that they could
// not know (PROTOCOL.md#directors).
//
// A claim is a HERE for the VIP's MAC; the newest claim holds. Directors tell each other every 100 ms that they live,
// how their servers are, and what their tables are like. When the one that holds the claim is silent for 300 ms, the
// first living one in the VIP's list makes a newer claim. Nobody takes a VIP from a director that lives.
//
// The protocol runs in a goroutine of its own that wakes every 10 ms, and not in the keeper of the packet path: it
// builds and signs messages of up to 10,000 servers, which would delay packets. What waits for others (publishing
// tables, adding flows, the health checks) is done by a second goroutine, so that hellos go out while control is busy.
//
// Files: wire.go, here.go, outer.go (messages), machine.go (who claims; pure), peer.go (other directors), view.go (what
// the tables say), digest.go, service.go (the loop), receive.go, send.go, flows.go, follow.go (what comes of it).
package director

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/resolve"
)

// Health is the health checks, as a director needs them.
type Health interface {
	Standby(vip string, standby bool)
	Adopt(states map[string]string)
}

// Engine is the packet path, as a director needs it.
type Engine interface {
	Inject(port int, frame []byte) bool
	InjectInner(tenant, segment uint32, frame []byte) bool
	FlowNews() []*flow.News
	ReadFlows(worker int, from uint32, out []flow.Flow) (next uint32, n int)
	AddFlows(list []flow.Flow) int
}

// Alarms is where alarms are raised.
type Alarms interface {
	Raise(r alarm.Report)
	Clear(kind alarm.Kind, object string)
}

// Config of a Service. All fields are necessary.
type Config struct {
	Box          string
	Keys         func() []resolve.Key // the first signs
	State        func() *model.State
	Read         func(func(*fib.Snapshot))
	SetDirectors func(map[string]*compile.Directing)
	ServerStates func() map[string]string // "init", "up", "down", by key; may wait
	Health       Health
	Engine       Engine
	Alarms       Alarms
	Log          *slog.Logger
	Now          func() int64 // nanoseconds since 1970
}

// Counters are what the service has received and sent.
type Counters struct {
	Hellos, Flows, Heres uint64 // messages accepted
	FlowsAdded           uint64
	Sent                 uint64 // messages
	Malformed            uint64 // messages that are none of the protocol
	Forged               uint64 // messages without a valid tag
	Replayed             uint64 // messages that are older than the last one
	Stranger             uint64 // messages of boxes that are no directors
	Unknown              uint64 // claims to MACs that are no VIP's, and binding messages of other kinds
	Takeovers            uint64 // claims that this box made
}

// Service is the protocol of one box.
type Service struct {
	cfg      Config
	mu       sync.Mutex
	started  int64
	sequence uint64
	self     Place
	selfOK   bool
	vips     map[string]*vip
	byMAC    map[macKey]*vip
	peers    map[string]*peer
	view     view
	digests  digests
	counters Counters
	soon     bool // claims are to be told now
	flows    flowScan
	states   map[string]string // of servers

	directing map[string]compile.Directing // what was handed to the compiler
	follow    follower
}

// New returns a service that has heard nothing. It makes no claim before it has run for a while.
func New(cfg Config) *Service {
	return &Service{
		cfg: cfg, vips: map[string]*vip{}, byMAC: map[macKey]*vip{}, peers: map[string]*peer{},
		directing: map[string]compile.Directing{}, follow: newFollower(),
	}
}

// Counters returns the counters.
func (s *Service) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

// tick is how often the service looks at the time.
const tick = 10 * time.Millisecond

// Run runs the protocol until ctx is done.
func (s *Service) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.follow.run(ctx, s) })
	defer tasks.Wait()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		s.Step()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Begin makes live, before the first frame arrives, that this box waits for the other directors' claims.
func (s *Service) Begin() {
	s.mu.Lock()
	s.look()
	s.publish(s.cfg.Now())
	s.mu.Unlock()
	s.follow.step(s)
}

// Step does what is due now.
func (s *Service) Step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if s.started == 0 {
		s.started = now
	}
	s.look()
	for _, key := range sorted(s.vips) {
		v := s.vips[key]
		if v.decide(now, s.started, s.self, s) {
			s.counters.Takeovers++
			s.soon = true
			s.cfg.Log.Info("this box directs the virtual address", "vip", key)
		}
	}
	s.publish(now)
	s.hellos(now)
	s.claims(now)
	s.announce(now)
	s.sendFlows(now)
	s.watch(now)
}

// alive implements world.
func (s *Service) alive(box string) bool {
	p := s.peers[box]
	return p != nil && p.alive(s.cfg.Now())
}

// placeOf implements world.
func (s *Service) placeOf(v *vip, box string) (Place, bool) {
	at, ok := s.view.places[dirKey{v.key, box}]
	return at, ok
}

type macKey struct {
	tenant, segment uint32
	mac             uint64
}

type dirKey struct{ vip, box string }

// publish hands to the compiler what has changed of who directs.
func (s *Service) publish(now int64) {
	changes := map[string]*compile.Directing{}
	for key, v := range s.vips {
		d := compile.Directing{Here: v.serves(now)}
		if v.claim != 0 && !v.mine {
			d.SwitchMAC, d.SwitchPort = model.MAC(v.at.Switch), v.at.Port
		}
		if v.claim == 0 && (v.own < 0 || len(v.directors) == 1) { // nothing to agree upon
			if _, was := s.directing[key]; was {
				delete(s.directing, key)
				changes[key] = nil
			}
			continue
		}
		if was, ok := s.directing[key]; !ok || was != d {
			s.directing[key] = d
			changes[key] = &d
		}
	}
	for key := range s.directing {
		if s.vips[key] == nil {
			delete(s.directing, key)
			changes[key] = nil
		}
	}
	if len(changes) > 0 {
		s.follow.direct(changes)
	}
	for key, v := range s.vips {
		s.follow.standby(key, v.own >= 0 && !v.mine && s.adopts(v, now) != nil)
	}
}

// adopts returns the director whose health states this box uses for a VIP, nil if it checks by itself.
func (s *Service) adopts(v *vip, now int64) *peer {
	if v.own < 0 || v.mine || v.claim == 0 {
		return nil
	}
	for i, box := range v.directors {
		if i == v.own {
			continue
		}
		at, ok := s.placeOf(v, box)
		if p := s.peers[box]; ok && at == v.at && p != nil && p.alive(now) {
			return p
		}
	}
	return nil
}
