// Package health checks the real servers of the services that this box directs, along the data path: a check is a
// client's connection to VIP and port, from the box's own address in the segment, through the one server that it
// checks.
//
//	check.go     what is checked, and how
//	schedule.go  when: jitter, the limit of checks a second
//	probe.go     one check: TCP, HTTP, UDP, echo, ARP
//	health.go    the servers, what their checks say, and what follows for compile
//	run.go       the loop
//	service.go   slow start; a service without servers, or in panic
//	alarms.go    alarms
//	save.go      the states, over a restart
//	station/     the box as a host of its tenants' segments
//
// The machine of a server's states is dataplane/liveness, as for gateways. A check that says nothing, because this box
// was too busy to send it or to take its answer, is repeated and not counted.
package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/event"
	"penstock/ctrl/health/station"
	"penstock/dataplane/liveness"
)

// Damping: three failures within a minute hold a server down for 10 s, then twice as long, up to 10 min.
const (
	flapCount  = 3
	flapWindow = time.Minute
	holdMin    = 10 * time.Second
	holdMax    = 10 * time.Minute
)

// Verdict is what the checks of a server mean for its service.
type Verdict struct {
	Up     bool
	Init   bool   // not up, and never was
	Weight uint16 // share of its weight, of 1000: less in a slow start
}

// Alarms is what this package needs of the list of alarms.
type Alarms interface {
	Raise(alarm.Report)
	Clear(kind alarm.Kind, object string)
	Update(kind alarm.Kind, object, text string)
}

// Events takes events.
type Events interface{ Publish(event.Data) }

// Config is what a Checker needs.
type Config struct {
	Stack *station.Stack
	// Verdicts is called with verdicts that have changed, by server, from one goroutine at a time.
	Verdicts func(map[string]Verdict)
	Alarms   Alarms
	Events   Events
	Log      *slog.Logger
	Path     string // of the saved states, "" = none
	Saved    States

	// Probe replaces the check of a server, for tests of what follows from checks.
	Probe func(ctx context.Context, t *Target) error
	// Now replaces the clock: nanoseconds since some time, never less than before.
	Now func() int64
}

// Checker checks servers. It is safe for concurrent use.
type Checker struct {
	cfg   Config
	start time.Time
	wake  chan struct{}
	tell  chan struct{}

	handing sync.Mutex // verdicts are handed on in order

	mu       sync.Mutex
	servers  map[string]*server
	probes   map[probeKey]*probe
	services map[string]*service
	watch    map[string]*server // whose alarms may be due
	standby  map[string]bool    // VIPs whose active director checks
	saved    States
	schedule *schedule
	running  int
	pending  map[string]Verdict
	storm    storm
	changed  bool // since the states were saved
	counters Counters
}

// Counters are what the checks have come to.
type Counters struct {
	Good, Bad uint64
	Void      uint64 // said nothing: this box was too busy
	Changes   uint64 // servers that came up or went down
}

// server is a real server of a service.
type server struct {
	Target
	probe *probe
	sent  Verdict
	told  bool // sent has been handed on
	upAt  int64
	ramp  bool // slow start
	since time.Time

	failedAt int64 // 0 = it does not fail
	alarm    shown
}

// probe is a check, of one server or of several that are checked alike.
type probe struct {
	key     probeKey
	slot    slot
	machine liveness.Target
	policy  liveness.Policy
	servers map[string]*server
	busy    bool // a check is under way
	void    int  // checks in a row that said nothing

	last   time.Time
	took   time.Duration
	failed string // why the last check failed, "" = it did not
	error  string // the last error, which stays when checks succeed again
}

// New returns a Checker without servers. Run runs it.
func New(cfg Config) *Checker {
	c := &Checker{cfg: cfg, start: time.Now(), wake: make(chan struct{}, 1), tell: make(chan struct{}, 1),
		servers: map[string]*server{}, probes: map[probeKey]*probe{}, services: map[string]*service{},
		watch: map[string]*server{}, standby: map[string]bool{}, saved: cfg.Saved, pending: map[string]Verdict{}}
	c.schedule = newSchedule(uint64(c.start.UnixNano()))
	if c.cfg.Now == nil {
		c.cfg.Now = func() int64 { return int64(time.Since(c.start)) }
	}
	if c.cfg.Probe == nil {
		c.cfg.Probe = c.probe
	}
	return c
}

func policy(c *Check) liveness.Policy {
	return liveness.Policy{Misses: uint32(max(c.Fall, 1)), Recover: uint32(max(c.Rise, 1)), FlapCount: flapCount,
		FlapWindow: int64(flapWindow), HoldMin: int64(holdMin), HoldMax: int64(holdMax)}
}

// Set makes the list the servers that are checked. A server that was known keeps its state, also where its check or
// its place has changed; one that is new begins with its saved state, if there is one.
func (c *Checker) Set(list []Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	seen := make(map[string]bool, len(list))
	for i := range list {
		t := &list[i]
		seen[t.Key] = true
		c.set(t, now)
	}
	for key, s := range c.servers {
		if !seen[key] {
			c.leave(s)
			delete(c.servers, key)
			c.forget(s)
		}
	}
	c.settle(now)
	c.nudge()
}

func (c *Checker) set(t *Target, now int64) {
	s := c.servers[t.Key]
	if s == nil {
		s = &server{since: time.Now()}
		c.servers[t.Key] = s
	}
	key := t.probe()
	moved := s.probe == nil || s.probe.key != key
	s.Target = *t
	if moved {
		old := s.probe
		c.join(s, key, now)
		if old != nil {
			c.part(old, s)
		}
	}
	c.plan(s.probe, now)
	c.touch(s)
}

// join makes s one of those that the probe with the given key checks.
func (c *Checker) join(s *server, key probeKey, now int64) {
	old := s.probe
	p := c.probes[key]
	if p == nil {
		p = &probe{key: key, policy: policy(&key.check), servers: map[string]*server{}}
		p.machine, _ = liveness.New(now, true, false)
		switch {
		case old != nil && old.machine.State() != liveness.Init:
			p.policy = policy(&key.check)
			p.machine, p.last, p.took, p.failed, p.error = old.machine, old.last, old.took, old.failed, old.error
		case old == nil:
			c.recall(s, p, now)
		}
		p.slot.index = -1
		c.probes[key] = p
	}
	p.servers[s.Key] = s
	s.probe = p
}

// part takes s from a probe, which ends with its last server.
func (c *Checker) part(p *probe, s *server) {
	delete(p.servers, s.Key)
	if len(p.servers) == 0 {
		c.schedule.remove(p)
		if c.probes[p.key] == p {
			delete(c.probes, p.key)
		}
	}
}

func (c *Checker) leave(s *server) {
	if s.probe != nil {
		c.part(s.probe, s)
	}
}

// wanted reports whether the probe is to run: it checks something, of a server whose place is known and whose VIP this
// box does not only stand by for.
func (c *Checker) wanted(p *probe) bool {
	if p.key.check.Type == None {
		return false
	}
	for _, s := range p.servers {
		if s.Found && s.Enabled && !c.standby[s.VIP] {
			return true
		}
	}
	return false
}

// plan puts a probe into the schedule, or takes it out.
func (c *Checker) plan(p *probe, now int64) {
	switch want := c.wanted(p); {
	case want && !p.slot.in && !p.busy:
		c.schedule.add(p, p.key.check.Interval, now)
	case want && !p.slot.in: // its check is under way: done puts it back
		p.slot.in = true
		c.schedule.mean += perSecond(p.slot.interval)
	case !want && p.slot.in:
		c.schedule.remove(p)
	}
}

// Standby says whether this box only stands by for a VIP: then it does not check its servers, and Adopt tells it how
// they are.
func (c *Checker) Standby(vip string, standby bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.standby[vip] == standby {
		return
	}
	if standby {
		c.standby[vip] = true
	} else {
		delete(c.standby, vip)
	}
	now := c.cfg.Now()
	for _, s := range c.servers {
		if s.VIP == vip {
			c.touch(s)
			c.plan(s.probe, now)
		}
	}
	c.settle(now)
	c.nudge()
}

// Adopt takes over another director's states of servers, as States has them, for VIPs that this box stands by for.
func (c *Checker) Adopt(states map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for key, state := range states {
		s := c.servers[key]
		if s == nil || !c.standby[s.VIP] || s.probe.state() == state {
			continue
		}
		s.probe.become(state, now)
		for _, t := range s.probe.servers {
			t.since = time.Now()
			c.touch(t)
		}
		c.changed = true
	}
	c.settle(now)
}

// become puts a probe into a state that others, or an earlier run, have found.
func (p *probe) become(state string, now int64) {
	p.machine, _ = liveness.New(now, true, false)
	switch state {
	case Up:
		p.machine.Raise(now, liveness.Answers)
	case Down:
		for range p.policy.Misses {
			p.machine.Miss(now, &p.policy)
		}
	}
}

// The states of a server.
const (
	Init = "init" // not checked yet
	Up   = "up"
	Down = "down"
)

// state is the state of what the probe checks. A server that has missed fewer checks than it takes is still up.
func (p *probe) state() string {
	if p.key.check.Type == None {
		return Up
	}
	switch p.machine.State() {
	case liveness.Init:
		return Init
	case liveness.Down:
		return Down
	}
	return Up
}
