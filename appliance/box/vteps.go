package box

import (
	"context"
	"slices"
	"time"

	"penstock/conf"
	"penstock/ctrl/compile"
	"penstock/ctrl/metrics"
	"penstock/ctrl/model"
	"penstock/ctrl/nexthop"
	"penstock/ctrl/vtep"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
)

// tunnels reports whether a port has VXLAN.
func tunnels(cfg *conf.Config) bool {
	return slices.ContainsFunc(cfg.Ports, func(p conf.Port) bool { return p.Encap == conf.EncapVXLAN })
}

// formOf returns the form of encapsulation of a port.
func formOf(p *conf.Port) fib.Form {
	switch {
	case p.Encap == conf.EncapUDP:
		return fib.FormUDP
	case p.Encap == conf.EncapVXLAN && p.VTEPAddress.Addr().Is6():
		return fib.FormVXLAN6
	case p.Encap == conf.EncapVXLAN:
		return fib.FormVXLAN
	}
	return fib.FormIP
}

// newNextHops makes what resolves the stations that ports with VXLAN send to.
func (b *Box) newNextHops() error {
	b.hops = nexthop.New(nexthop.Config{Inject: b.slow.Inject, Changed: func(k nexthop.Key, mac model.MAC) {
		b.log.Info("next hop of VTEPs", "port", b.cfg.Load().Ports[k.Port].Name, "address", k.Addr, "mac", mac,
			"resolved", mac != 0)
		b.compiler.SetNextHop(compile.NextHop{Port: k.Port, Addr: k.Addr}, mac)
	}})
	return b.slow.Handle(punt.NextHop, b.hops.Punt)
}

// followTunnels gives the resolver the next hops of new tables, until ctx is done.
func (b *Box) followTunnels(ctx context.Context) {
	for {
		s := b.compiler.Snapshot()
		var list []nexthop.Hop
		for _, x := range b.compiler.NextHops() {
			if x.Port >= len(s.Ports) {
				continue
			}
			port := &s.Ports[x.Port]
			list = append(list, nexthop.Hop{Key: nexthop.Key{Port: x.Port, Addr: x.Addr},
				Source: b.cfg.Load().Ports[x.Port].VTEPAddress.Addr(), MAC: model.MAC(port.MAC), Up: port.Up})
		}
		b.hops.Set(list)
		select {
		case <-ctx.Done():
			return
		case <-b.tunneled:
		}
	}
}

// newLearner makes what learns the stations behind VTEPs.
func (b *Box) newLearner() {
	c := vtep.Config{Table: b.compiler, Alarms: b.alarms, Changed: b.tellOwned,
		Now: func() int64 { return b.started.UnixNano() + int64(time.Since(b.started)) }}
	if b.resolve != nil {
		c.Owners = b.resolve
	}
	b.learner = vtep.New(c)
}

// startTunnels runs what VXLAN needs in control, until ctx is done.
func (b *Box) startTunnels(ctx context.Context) {
	if tunnels(b.cfg.Load()) {
		b.task(func() { b.hops.Run(ctx) })
		b.task(func() { b.followTunnels(ctx) })
		b.task(func() {
			for tick := time.NewTicker(time.Second); ; {
				select {
				case <-ctx.Done():
					tick.Stop()
					return
				case <-tick.C:
					b.learner.Tick()
				}
			}
		})
	}
}

// vtepTraffic returns what was sent to and received from the VTEPs.
func (b *Box) vtepTraffic() (list []metrics.VTEP) {
	for _, x := range b.compiler.VTEPStats() {
		rx := b.engine.Path(x.Rx)
		v := metrics.VTEP{Name: x.Name, RxPackets: rx.Packets, RxBytes: rx.Bytes}
		for _, stat := range x.Tx {
			t := b.engine.Path(stat)
			v.TxPackets, v.TxBytes = v.TxPackets+t.Packets, v.TxBytes+t.Bytes
		}
		list = append(list, v)
	}
	return list
}

// vtepStatus fills in what was sent and received.
func (b *Box) vtepStatus(name string, s *compile.Status) {
	for _, x := range b.vtepTraffic() {
		if x.Name == name {
			s.RxPackets, s.RxBytes, s.TxPackets, s.TxBytes = &x.RxPackets, &x.RxBytes, &x.TxPackets, &x.TxBytes
		}
	}
}

// vtepMetrics are the numbers of VXLAN.
func (b *Box) vtepMetrics() (m metrics.VTEPs) {
	if !tunnels(b.cfg.Load()) {
		return m
	}
	c := b.learner.Counters()
	m.List = b.vtepTraffic()
	m.Learning = map[string]uint64{"learned": c.Learned, "moved": c.Moved, "aged": c.Aged, "static": c.Static,
		"full": c.Full, "asked": c.Asked, "taken": c.Taken, "loops": c.Loops}
	return m
}
