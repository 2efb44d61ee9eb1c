package box

import (
	"errors"
	"sync"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/metrics"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// stuck is the longest time without a turn of a worker before /healthz reports it.
const stuck = 5 * time.Second

// metricsSource implements metrics.Source.
type metricsSource struct {
	b  *Box
	mu sync.Mutex

	progress uint64
	moved    time.Time
}

// Stats implements metrics.Source.
func (m *metricsSource) Stats() metrics.Stats {
	b := m.b
	return metrics.Stats{
		Box: b.Box().(status.Box), Ports: b.portStats(), Workers: b.workerStats(), Paths: b.pathStats(),
		Gateways: metrics.Gateways{Groups: b.gateways.Status(), Counters: b.gateways.Counters()},
		Balance:  b.balanceMetrics(),
		Bindings: b.bindingMetrics(), VTEPs: b.vtepMetrics(), LLDP: b.lldpMetrics(),
		Alarms: metrics.Alarms{Active: b.alarms.Active(), Totals: b.alarms.Totals(),
			Webhooks: b.alarms.Receivers()},
		Control:    b.api.Counters(),
		Objects:    counts(b.core.State()),
		Generation: b.compiler.Snapshot().Generation, Events: b.events.Last(),
	}
}

// balanceMetrics are the numbers of virtual services and of directors.
func (b *Box) balanceMetrics() metrics.Balance {
	c := b.directors.Counters()
	return metrics.Balance{
		Services: b.serviceStats(), Servers: b.serverStats(), Tables: b.flowTables(),
		Directors: map[string]uint64{"hello": c.Hellos, "flows": c.Flows, "claim": c.Heres, "sent": c.Sent,
			"malformed": c.Malformed, "forged": c.Forged, "replayed": c.Replayed, "stranger": c.Stranger,
			"unknown": c.Unknown},
		Told: c.FlowsAdded, Takeovers: c.Takeovers,
	}
}

// bindingMetrics are the numbers of what boxes tell each other.
func (b *Box) bindingMetrics() (m metrics.Bindings) {
	if b.resolve == nil {
		return m
	}
	c := b.resolve.Counters()
	m.Messages = map[string]uint64{"where": c.Wheres, "here": c.Heres, "nothere": c.NotHeres, "hello": c.Hellos,
		"pull": c.Pulls, "page": c.Pages, "sent": c.Sent, "unsent": c.NotSent, "malformed": c.Malformed,
		"forged": c.Forged, "replayed": c.Replayed, "stranger": c.Stranger, "unknown": c.Other}
	m.Heard = map[string]uint64{"held": c.Held}
	for i, n := range c.Verdicts {
		m.Heard[compile.Verdict(i).String()] = n
	}
	m.Stations = map[string]uint64{}
	for i, n := range c.Stations {
		m.Stations[compile.HeardVerdict(i).String()] = n
	}
	m.Pulls, m.Swept = map[string]uint64{"done": c.PullsDone, "failed": c.PullsFailed}, c.Swept
	m.Boxes = map[string]int{}
	for _, x := range b.resolve.Boxes() {
		m.Boxes[x.State]++
	}
	return m
}

// counts are the numbers of objects that a state holds, by kind.
func counts(s *model.State) map[string]int {
	n := map[string]int{}
	for _, kind := range model.Kinds {
		if kind.Held() {
			n[string(kind)] = s.Count(kind)
		}
	}
	return n
}

// Healthy implements metrics.Source.
func (m *metricsSource) Healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.b.engine.Progress(); p != m.progress || m.moved.IsZero() {
		m.progress, m.moved = p, time.Now()
	}
	if d := time.Since(m.moved); d > stuck {
		return errors.New("a worker has not turned for " + d.Round(time.Second).String())
	}
	return m.b.compiler.Err()
}

// Ready implements metrics.Source.
func (m *metricsSource) Ready() error { return m.b.Ready() }
