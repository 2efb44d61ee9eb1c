package box

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
	"penstock/dataplane/stats"
)

// Box implements api.Info.
func (b *Box) Box() any {
	cfg := b.cfg.Load()
	d := &cfg.Dataplane
	t := dataplane.Sum(b.engine.Ports())
	s := status.Box{
		Name: cfg.Box.Name, Version: b.build.Version, Commit: b.build.Commit, Started: b.started, Ready: b.ready.Load(),
		Scheme: string(cfg.Box.Scheme), Workers: d.Workers, Poll: d.Poll, Revision: b.core.Revision(),
		Bindings: status.Bindings{Count: b.bindings.Len(), Capacity: d.Bindings,
			Bytes: b.bindings.Bytes() + b.compiler.LearnedBytes()},
		Totals: status.Totals{Rx: t.Rx, Tx: t.Tx, Drops: t.Drops, Punted: t.Punted, Injected: t.Injected,
			Copies: t.Copies, Balanced: t.Balanced()},
	}
	s.Frames.All, s.Frames.Pooled, s.Frames.ByOwner = b.engine.Frames()
	s.Frames.Size = d.FrameSize
	s.Frames.Violations, s.Frames.Breaches = b.engine.Violations()
	return s
}

// LearnedBindings implements api.Info.
func (b *Box) LearnedBindings(f core.BindingFilter, after model.BindingKey, n int) []model.Binding {
	return b.compiler.LearnedBindings(f, after, n)
}

// LearnedBinding implements api.Info.
func (b *Box) LearnedBinding(key model.BindingKey) (model.Binding, bool) {
	return b.compiler.LearnedBinding(key)
}

// Ready implements api.Info.
func (b *Box) Ready() error {
	if !b.ready.Load() {
		return errors.New("starting")
	}
	return b.store.Verify()
}

// Ports implements api.Info.
func (b *Box) Ports() []api.PortStatus {
	var ports []api.PortStatus
	for _, p := range b.portStats() {
		ports = append(ports, api.PortStatus{Name: p.Name, Role: p.Role, Status: p})
	}
	return ports
}

// Stats implements api.Info.
func (b *Box) Stats(kind string) (any, error) {
	switch kind {
	case "box":
		t := dataplane.Sum(b.engine.Ports())
		return status.Totals{Rx: t.Rx, Tx: t.Tx, Drops: t.Drops, Punted: t.Punted, Injected: t.Injected,
			Copies: t.Copies, Balanced: t.Balanced()}, nil
	case "ports":
		return status.Items[status.Port]{Items: b.portStats()}, nil
	case "workers":
		return status.Items[status.Worker]{Items: b.workerStats()}, nil
	case "drops":
		return b.dropStats(), nil
	case "paths":
		return status.Items[status.Path]{Items: b.pathStats()}, nil
	case "webhooks":
		return status.Items[alarm.ReceiverStatus]{Items: b.alarms.Receivers()}, nil
	case "vifs":
		return status.Items[status.VIF]{Items: b.vifStats()}, nil
	case "services":
		return status.Items[status.Service]{Items: b.serviceStats()}, nil
	case "servers":
		return status.Items[status.Server]{Items: b.serverStats()}, nil
	case "flows":
		return status.Items[status.FlowTable]{Items: b.flowTables()}, nil
	}
	return nil, fmt.Errorf("no statistics %q: want one of %s", kind, strings.Join(api.StatsKinds[:], ", "))
}

func (b *Box) portStats() []status.Port {
	cfg := b.cfg.Load()
	snap := b.compiler.Snapshot()
	ports := make([]status.Port, len(cfg.Ports))
	for i, r := range b.engine.Ports() {
		c, f := &cfg.Ports[i], &snap.Ports[i]
		p := status.Port{
			Name: c.Name, Interface: c.Interface, Role: c.Role, Open: r.Open, Up: f.Up, MTU: int(f.MTU),
			MAC: model.MAC(f.MAC).String(),
			XDP: r.XDPMode, Mode: r.SocketMode, Queues: r.Queues,
			RxPackets: r.RxPackets, RxBytes: r.RxBytes, TxPackets: r.TxPackets, TxBytes: r.TxBytes,
			TxErrors: r.TxErrors,
			Punted:   r.Punted, Injected: r.Injected, Copies: r.Copies, Reasons: map[string]uint64{},
			Punts: map[string]uint64{},
			Kernel: status.Kernel{
				RxDropped: r.Kernel.RxDropped, RxRingFull: r.Kernel.RxRingFull, FillRingEmpty: r.Kernel.RxFillEmpty,
				RxInvalidDescs: r.Kernel.RxInvalidDescs, TxInvalidDescs: r.Kernel.TxInvalidDescs,
				TxRingEmptyDesc: r.Kernel.TxRingEmpty,
			},
		}
		for d, n := range r.Drops {
			if n > 0 {
				p.Reasons[drop.Reason(d).String()] = n
				p.Drops += n
			}
		}
		for k, n := range r.Punts {
			if n > 0 {
				p.Punts[punt.Kind(k).String()] = n
			}
		}
		ports[i] = p
	}
	return ports
}

func (b *Box) workerStats() []status.Worker {
	var workers []status.Worker
	for i, r := range b.engine.Workers() {
		w := status.Worker{ID: i, Turns: r.Turns, BusyTurns: r.Busy, Frames: r.Frames, Sleeps: r.Sleeps,
			BusyNs: r.BusyNs, MaxGapNs: r.MaxGapNs, Gaps: r.Gaps[:], BusyGaps: r.BusyGaps[:],
			PreemptedGaps: r.PreemptedGaps[:], StoppedGaps: r.StoppedGaps[:]}
		if r.Frames > 0 {
			w.NsPerFrame = float64(r.BusyNs) / float64(r.Frames)
			w.PerTurn = float64(r.Frames) / float64(r.Busy)
		}
		workers = append(workers, w)
	}
	return workers
}

func (b *Box) dropStats() status.Drops {
	s := status.Drops{Total: map[string]uint64{}, Ports: map[string]map[string]uint64{}}
	for _, p := range b.portStats() {
		s.Ports[p.Name] = p.Reasons
		for r, n := range p.Reasons {
			s.Total[r] += n
		}
	}
	return s
}

func (b *Box) pathStats() []status.Path {
	paths := []status.Path{}
	read := map[*fib.PathLive]stats.Traffic{}
	for _, p := range b.compiler.PathStats() {
		read[p.Probe] = b.engine.Path(p.Stat)
	}
	for _, p := range b.compiler.PathStats() { // an index that has changed hands since was another path's
		s := status.Path{Switch: p.Switch.String(), Port: p.Port, VID: p.VID, Live: p.Used}
		if n, same := read[p.Probe]; same {
			s.Packets, s.Bytes = n.Packets, n.Bytes
			b.paths.Fill(&s, &p)
			paths = append(paths, s)
		}
	}
	slices.SortFunc(paths, func(x, y status.Path) int {
		return strings.Compare(fmt.Sprintf("%s %s %04d", x.Switch, x.Port, x.VID),
			fmt.Sprintf("%s %s %04d", y.Switch, y.Port, y.VID))
	})
	return paths
}

func (b *Box) vifStats() []status.VIF {
	vifs := []status.VIF{}
	for key := range b.core.State().VIFs {
		i, ok := b.compiler.VIFIndex(key)
		if !ok {
			continue
		}
		r := b.engine.VIF(i)
		if j, ok := b.compiler.VIFIndex(key); !ok || j != i {
			continue // the index has changed hands meanwhile
		}
		vifs = append(vifs, status.VIF{
			Key: key, RxPackets: r.Rx.Packets, RxBytes: r.Rx.Bytes, TxPackets: r.Tx.Packets, TxBytes: r.Tx.Bytes,
		})
	}
	slices.SortFunc(vifs, func(x, y status.VIF) int { return strings.Compare(x.Key, y.Key) })
	return vifs
}
