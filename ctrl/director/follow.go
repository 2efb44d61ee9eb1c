package director

import (
	"context"
	"sync"
	"time"

	"penstock/ctrl/compile"
	"penstock/dataplane/flow"
)

// follower does what waits for others. Of what is asked twice, the newer holds.
type follower struct {
	mu        *sync.Mutex
	wake      chan struct{}
	directing map[string]*compile.Directing
	stands    map[string]bool // what the health checks were told last
	changes   map[string]bool // what they are to be told
	states    map[string]string
	flows     []flow.Flow
}

// maxFlowsWaiting is the most flows of others that wait to be added; what comes beyond is lost until it is sent again.
const maxFlowsWaiting = 1 << 16

func newFollower() follower {
	return follower{
		mu: &sync.Mutex{}, wake: make(chan struct{}, 1), directing: map[string]*compile.Directing{},
		stands: map[string]bool{}, changes: map[string]bool{}, states: map[string]string{},
	}
}

func (f *follower) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) direct(changes map[string]*compile.Directing) {
	f.mu.Lock()
	for k, d := range changes {
		f.directing[k] = d
	}
	f.mu.Unlock()
	f.nudge()
}

func (f *follower) standby(vip string, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stands[vip] != on {
		f.stands[vip], f.changes[vip] = on, on
		f.nudge()
	}
}

func (f *follower) adopt(states map[string]string) {
	f.mu.Lock()
	for k, v := range states {
		f.states[k] = v
	}
	f.mu.Unlock()
	f.nudge()
}

func (f *follower) add(list []flow.Flow) {
	f.mu.Lock()
	f.flows = append(f.flows, list[:min(len(list), maxFlowsWaiting-len(f.flows))]...)
	f.mu.Unlock()
	f.nudge()
}

func (f *follower) run(ctx context.Context, s *Service) {
	t := time.NewTicker(statesEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			f.step(s)
		case <-t.C:
			s.refresh()
		}
	}
}

// statesEvery is how often the states of servers are taken over into hellos.
const statesEvery = 50 * time.Millisecond

// refresh takes over how the servers are.
func (s *Service) refresh() {
	s.mu.Lock()
	alone := len(s.peers) == 0
	s.mu.Unlock()
	if alone {
		return
	}
	states := s.cfg.ServerStates()
	s.mu.Lock()
	s.states = states
	s.mu.Unlock()
}

// step carries out what was asked. Who directs comes first: packets wait for it.
func (f *follower) step(s *Service) {
	f.mu.Lock()
	directing, changes, states, flows := f.directing, f.changes, f.states, f.flows
	f.directing, f.changes = map[string]*compile.Directing{}, map[string]bool{}
	f.states, f.flows = map[string]string{}, nil
	f.mu.Unlock()
	if len(directing) > 0 {
		s.cfg.SetDirectors(directing)
	}
	if len(flows) > 0 {
		n := s.cfg.Engine.AddFlows(flows)
		s.mu.Lock()
		s.counters.FlowsAdded += uint64(n)
		s.mu.Unlock()
	}
	for key, on := range changes {
		s.cfg.Health.Standby(key, on)
	}
	if len(states) > 0 {
		s.cfg.Health.Adopt(states)
	}
}
