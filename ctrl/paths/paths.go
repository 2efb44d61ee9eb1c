// Package paths is the control plane of path liveness: it makes tables without the paths that probes have found dead,
// says which boxes are probed, and reports.
//
// The dataplane probes and judges by itself (dataplane/pathprobe). A Service copies its events into the event stream,
// the log and the history of each path, and raises and clears alarms.
//
// Files: paths.go (the service), alarms.go, status.go (history, round trips, loss).
package paths

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/liveness"
	"penstock/dataplane/pathprobe"
)

// Engine is the dataplane.
type Engine interface {
	Clock() int64 // of events and of fib.PathLive, in nanoseconds
	PathEvents() *pathprobe.Events
	SetProbeBoxes(pathprobe.Boxes)
}

// Tables is the compiler.
type Tables interface {
	RefreshPaths() // takes fib.PathLive.Down into the tables, and returns when they are live
	PathStats() []compile.PathInfo
	Snapshot() *fib.Snapshot
}

// Config of a Service.
type Config struct {
	Engine  Engine
	Tables  Tables
	Publish func(event.Path)
	Alarms  *alarm.Board
	Log     *slog.Logger
}

// tick is the interval at which tables are looked at for other boxes, and states without an event.
const tick = time.Second

// keepEvery is how often, in ticks, the history of paths that are gone is dropped.
const keepEvery = 10

// Service is the control plane of path liveness.
type Service struct {
	cfg Config

	mu      sync.Mutex
	history map[*fib.PathLive][]Change
	infos   map[*fib.PathLive]compile.PathInfo
	boxes   pathprobe.Boxes
	seen    *fib.Snapshot // in which the boxes were looked up
	dead    map[deadBox]int64
	silent  map[uint64]bool
	allDown map[uint64]bool // switches with alarms
	lost    uint64
	ticks   int
}

// New makes a Service. Run runs it.
func New(c Config) *Service {
	s := &Service{
		cfg: c, history: map[*fib.PathLive][]Change{}, infos: map[*fib.PathLive]compile.PathInfo{},
		silent: map[uint64]bool{}, allDown: map[uint64]bool{}, boxes: pathprobe.Boxes{},
		dead: map[deadBox]int64{},
	}
	// What was raised before a restart begins anew.
	c.Alarms.Retain(func(string) bool { return false }, alarm.SwitchSilent, alarm.PathsAllDown, alarm.ProbeOverload)
	return s
}

// Run follows the dataplane until ctx is done.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	s.place()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.cfg.Engine.PathEvents().Wake():
			s.take()
		case <-t.C:
			s.take()
			s.place()
			s.forget()
		}
	}
}

// take reads the dataplane's events. What has changed for the packet path is live before anything is told.
func (s *Service) take() {
	var list []pathprobe.Event
	ring := s.cfg.Engine.PathEvents()
	ring.Take(func(e pathprobe.Event) { list = append(list, e) })
	changed := false
	for i := range list {
		e := &list[i]
		changed = changed || e.Kind == pathprobe.PathChanged && (e.From == liveness.Down) != (e.To == liveness.Down)
	}
	lost := ring.Lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost != s.lost {
		s.cfg.Log.Warn("events of paths were lost; states and alarms are not affected", "lost", lost-s.lost)
		s.lost, changed = lost, true
	}
	if changed {
		s.cfg.Tables.RefreshPaths()
	}
	if len(list) == 0 && !changed {
		return
	}
	s.load()
	for i := range list {
		s.handle(&list[i])
	}
	s.judge()
}

// load reads which paths there are.
func (s *Service) load() {
	clear(s.infos)
	for _, p := range s.cfg.Tables.PathStats() {
		s.infos[p.Probe] = p
	}
}

// handle publishes and logs one event.
func (s *Service) handle(e *pathprobe.Event) {
	ev := event.Path{Switch: model.MAC(e.Switch).String(), SwitchPort: e.Number}
	level := slog.LevelInfo
	switch e.Kind {
	case pathprobe.PathChanged:
		p, ok := s.infos[e.Path]
		if !ok {
			return // it is gone
		}
		ev.Kind, ev.Port, ev.VID = event.PathState, p.Port, p.VID
		ev.From, ev.To, ev.Reason = stateName(e.From), stateName(e.To), e.Why.String()
		s.note(e.Path, Change{At: s.wall(e.Time), From: ev.From, To: ev.To, Reason: ev.Reason})
		if e.To == liveness.Down {
			level = slog.LevelWarn
		}
	case pathprobe.BoxDead:
		s.dead[deadBox{e.Switch, e.Number}] = e.Time
		s.seen = nil // another one may take its place
		ev.Kind, level = event.PathBoxDead, slog.LevelWarn
	case pathprobe.BoxAlive:
		delete(s.dead, deadBox{e.Switch, e.Number})
		ev.Kind = event.PathBoxAlive
	case pathprobe.SwitchSilent:
		ev.Kind, level = event.PathSilent, slog.LevelWarn
		s.switchSilent(e)
	case pathprobe.SwitchHeard:
		ev.Kind = event.PathHeard
		delete(s.silent, e.Switch)
		s.cfg.Alarms.Clear(alarm.SwitchSilent, object(e.Switch))
	default:
		s.overload(e)
		return
	}
	s.cfg.Log.Log(context.Background(), level, "path", "kind", ev.Kind, "switch", ev.Switch, "switch_port",
		ev.SwitchPort, "port", ev.Port, "vid", ev.VID, "from", ev.From, "to", ev.To, "reason", ev.Reason)
	s.cfg.Publish(ev)
}

// deadBox is a box that was silent on all paths while another one behind the switch answered. Once another one is
// probed in its place nothing tells that it lives again: it counts as dead for deadFor.
type deadBox struct {
	mac    uint64 // of the switch
	number uint8
}

const deadFor = 10 * time.Minute

// place tells the dataplane which boxes are to be probed, if other tables may name others.
func (s *Service) place() {
	t := s.cfg.Tables.Snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.seen; old != nil && fib.Same(old.Segments, t.Segments) && fib.Same(old.Switches, t.Switches) {
		return
	}
	s.seen = t
	now := s.cfg.Engine.Clock()
	maps.DeleteFunc(s.dead, func(_ deadBox, at int64) bool { return now-at > int64(deadFor) })
	boxes := pathprobe.Boxes(compile.BoxesBehind(t, func(mac uint64) [fib.Targets]uint8 { return s.boxes[mac] },
		func(mac uint64, number uint8) bool { _, dead := s.dead[deadBox{mac, number}]; return dead }))
	if !maps.Equal(boxes, s.boxes) {
		s.boxes = boxes
		s.cfg.Engine.SetProbeBoxes(boxes)
	}
}

// forget drops the history of paths that are gone.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ticks++; s.ticks%keepEvery != 0 || len(s.history) == 0 {
		return
	}
	s.load()
	for l := range s.history {
		if _, there := s.infos[l]; !there {
			delete(s.history, l)
		}
	}
	s.judge()
}

// wall converts a time on the engine's clock into the time of day.
func (s *Service) wall(t int64) time.Time {
	return time.Now().Add(-time.Duration(s.cfg.Engine.Clock() - t)).UTC()
}
