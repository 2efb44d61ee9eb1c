package box

import (
	"errors"
	"sync"
	"time"

	"penstock/ctrl/metrics"
	"penstock/ctrl/status"
)

// stuck is how long a worker may go without a turn before /healthz says so.
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
	s := b.core.State()
	return metrics.Stats{
		Box: b.Box().(status.Box), Ports: b.portStats(), Workers: b.workerStats(), Paths: b.pathStats(),
		Gateways: metrics.Gateways{Groups: b.gateways.Status(), Counters: b.gateways.Counters()},
		Alarms:   metrics.Alarms{Active: b.alarms.Active(), Totals: b.alarms.Totals(), Webhooks: b.alarms.Receivers()},
		Control:  b.api.Counters(),
		Objects: map[string]int{
			"tenants": len(s.Tenants), "segments": len(s.Segments), "subnets": len(s.Subnets), "vifs": len(s.VIFs), "paths": len(s.Paths),
		},
		Generation: b.compiler.Snapshot().Generation, Events: b.events.Last(),
	}
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
