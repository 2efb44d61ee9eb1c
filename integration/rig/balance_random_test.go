package rig

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
)

// flowModel is what a naive director knows: the servers as they were pushed, and where each flow is.
type flowModel struct {
	servers map[int]model.Server
	down    map[int]bool // by their health checks
	born    map[int]int  // pushes before a server was (last) added: another server of the same name is another one
	flows   map[int]place
}

type place struct{ server, born int }

// keeps reports whether a flow's server still takes its packets.
func (m *flowModel) keeps(p place) bool {
	s, ok := m.servers[p.server]
	return ok && m.born[p.server] == p.born && !m.down[p.server] && s.EffectiveState() != model.StateDisabled
}

// members are the servers of new flows.
func (m *flowModel) members() map[int]bool {
	set := map[int]bool{}
	for k, s := range m.servers {
		if s.EffectiveState() == model.StateEnabled && !m.down[k] {
			set[k] = true
		}
	}
	return set
}

// change makes one random change of the n-th push: a server comes, goes, drains, is disabled or enabled, changes its
// weight, or its health check finds it down or up.
func (m *flowModel) change(t *testing.T, r *Rig, rng *rand.Rand, state *model.State, n, k int) *model.State {
	t.Helper()
	s, there := m.servers[k]
	health := func(down bool) {
		m.down[k] = down
		r.Compiler.SetHealth(map[string]compile.ServerHealth{"red/http/" + serverName(k): {Up: !down, Weight: 1000}})
	}
	what := rng.IntN(12)
	if there && what < 2 {
		health(!m.down[k])
		return state
	}
	state = push(t, r, state, func(servers map[string]model.Server) {
		switch {
		case !there:
			s = server(k)
			m.born[k] = n
		case what < 5:
			delete(m.servers, k)
			delete(servers, "red/http/"+serverName(k))
			return
		case what < 7:
			s.State = model.StateDraining
		case what < 8:
			s.State = model.StateDisabled
		case what < 10:
			s.State = model.StateEnabled
		default:
			w := uint16(rng.IntN(5)) // 0 drains
			s.Weight = &w
		}
		m.servers[k] = s
		servers["red/http/"+serverName(k)] = s
	})
	if !there {
		health(false)
	}
	return state
}

// TestBalanceRandomPushes makes random changes of the servers under live flows: servers come, go, drain, are disabled
// and enabled, change their weight, and are down and up. No flow may move whose server still takes its packets, and no
// new one may go to a server that takes none.
func TestBalanceRandomPushes(t *testing.T) {
	pushes, flows := 10_000, 2_000
	if testing.Short() {
		pushes = 1500
	}
	rng := rand.New(rand.NewPCG(1, 2))
	o := balanceWorld(3203)
	service, never := o.State.Services["red/http"], uint8(0)
	service.Check, service.Panic = &model.Check{Type: "tcp"}, &never
	o.State.Services["red/http"] = service
	r := start(t, o)
	m := &flowModel{servers: map[int]model.Server{}, down: map[int]bool{}, born: map[int]int{}, flows: map[int]place{}}
	state := o.State
	moved, kept, resets, fresh := 0, 0, 0, 0
	for n := range pushes {
		most := []int{32, 2, 8}[n/250%3] // now and then hardly any server, or none
		if n%250 == 0 {
			state = push(t, r, state, func(servers map[string]model.Server) {
				for k := range m.servers {
					if k >= most {
						delete(m.servers, k)
						delete(servers, "red/http/"+serverName(k))
					}
				}
			})
		}
		state = m.change(t, r, rng, state, n, rng.IntN(most))
		members := m.members()
		ask := map[int]bool{}
		for range 24 {
			ask[rng.IntN(flows)] = true
		}
		// Flows that are there go on; some end, and begin anew; others begin.
		var ongoing, begin []int
		for f := range ask {
			if _, ok := m.flows[f]; ok && rng.IntN(20) != 0 {
				ongoing = append(ongoing, f)
			} else if ok {
				send(t, r, rst|ack, f)
				begin = append(begin, f)
			} else {
				begin = append(begin, f)
			}
		}
		slices.Sort(ongoing)
		slices.Sort(begin)
		for f, to := range send(t, r, ack, ongoing...) {
			p := m.flows[f]
			switch {
			case m.keeps(p) && to != p.server:
				moved++
				t.Errorf("push %d, flow %d: got server %d, want %d, which still takes its packets (%+v)", n, f, to,
					p.server, m.servers[p.server])
			case m.keeps(p):
				kept++
			case to < 0 && len(members) > 0 || to >= 0 && !members[to]:
				t.Errorf("push %d, flow %d of server %d, which is gone: got server %d, want one of %v", n, f, p.server,
					to, slices.Sorted(maps.Keys(members)))
			case to < 0:
				resets++
				delete(m.flows, f)
			default:
				fresh++
				m.flows[f] = place{to, m.born[to]}
			}
		}
		for f, to := range send(t, r, syn, begin...) {
			switch {
			case to < 0 && len(members) > 0 || to >= 0 && !members[to]:
				t.Errorf("push %d, new flow %d: got server %d, want one of %v", n, f, to,
					slices.Sorted(maps.Keys(members)))
			case to < 0:
				resets++
				delete(m.flows, f)
			default:
				fresh++
				m.flows[f] = place{to, m.born[to]}
				if again := send(t, r, ack, f)[f]; again != to {
					t.Errorf("push %d, flow %d: got server %d for the ACK, want %d, which had the SYN", n, f, again, to)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("servers: %+v", m.servers)
		}
	}
	if kept == 0 || fresh == 0 || resets == 0 {
		t.Error("the changes left out flows that stay, flows that are scheduled, or the want of servers")
	}
	t.Logf("%d pushes: %d packets of established flows at their server, %d moved; %d flows scheduled, %d resets",
		pushes, kept, moved, fresh, resets)
}
