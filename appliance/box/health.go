package box

import (
	"context"
	"net/netip"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/health"
	"penstock/ctrl/health/station"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
)

// newHealth makes the health checks of the servers that this box directs.
func (b *Box) newHealth() {
	saved, err := health.Load(b.healthFile())
	if err != nil {
		b.log.Warn("health", "err", err)
	}
	b.stations = station.New(station.Config{Inject: b.engine.InjectInner, Send: b.slow.Inject})
	b.health = health.New(health.Config{
		Stack: b.stations, Verdicts: b.setHealth, Alarms: b.alarms, Events: b.events, Log: b.log,
		Path: b.healthFile(), Saved: saved,
	})
}

// beginHealth makes the states live with which the box goes on. No frame has arrived yet.
func (b *Box) beginHealth() error {
	b.loadRemains()
	b.setTargets(b.compiler.Targets())
	b.health.Flush()
	b.alarms.Retain(b.health.Exists, health.AlarmKinds()...)
	return b.slow.HandleSegment(punt.Check, func(key uint64, frame []byte) {
		b.stations.Input(station.Segment{Tenant: uint32(key >> 24), ID: uint32(key & 0xffffff)}, frame)
	})
}

// setHealth makes verdicts live.
func (b *Box) setHealth(verdicts map[string]health.Verdict) {
	list := make(map[string]compile.ServerHealth, len(verdicts))
	for key, v := range verdicts {
		list[key] = compile.ServerHealth{Up: v.Up, Init: v.Init, Weight: v.Weight}
	}
	b.compiler.SetHealth(list)
}

func (b *Box) tellOwned() {
	select {
	case b.owned <- struct{}{}:
	default:
	}
}

// publish publishes tables, and lets the health checks and the protocol of bindings follow them.
func (b *Box) publish(s *fib.Snapshot) {
	b.engine.Publish(s)
	select {
	case b.published <- struct{}{}:
	default:
	}
	b.tellOwned()
	select {
	case b.tunneled <- struct{}{}:
	default:
	}
	select {
	case b.remained <- struct{}{}:
	default:
	}
}

// followTargets gives the health checks the servers of new tables, and finds servers that are no VIFs, until ctx is
// done.
func (b *Box) followTargets(ctx context.Context) {
	var seen *fib.Snapshot
	find := time.NewTicker(findEvery)
	defer find.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.published:
			if s := b.compiler.Snapshot(); !sameServers(seen, s) {
				seen = s
				list := b.compiler.Targets()
				b.setTargets(list)
				b.find(ctx, list, false)
			}
		case <-find.C:
			b.find(ctx, b.compiler.Targets(), true)
		}
	}
}

// sameServers reports whether the tables of virtual addresses, services and servers are the same.
func sameServers(a, b *fib.Snapshot) bool {
	return a != nil && fib.Same(a.VIPs, b.VIPs) && fib.Same(a.Services, b.Services) && fib.Same(a.Servers, b.Servers)
}

func (b *Box) setTargets(list []compile.Target) {
	targets := make([]health.Target, 0, len(list))
	for i := range list {
		targets = append(targets, healthTarget(&list[i]))
	}
	b.health.Set(targets)
}

var checkTypes = map[string]health.Type{model.CheckTCP: health.TCP, model.CheckHTTP: health.HTTP,
	model.CheckHTTPS: health.HTTPS, model.CheckUDP: health.UDP, model.CheckICMP: health.ICMP,
	model.CheckARP: health.ARP, model.CheckNone: health.None}

func healthTarget(t *compile.Target) health.Target {
	c := t.Service.EffectiveCheck()
	x := &t.Entry
	h := health.Target{
		Key: t.Key, Service: t.Service.Key(), VIP: t.VIP.Key(),
		Found: t.Found, Enabled: t.Server.EffectiveState() != model.StateDisabled, Backup: t.Server.Backup,
		Weight: t.Server.EffectiveWeight(),
		Station: station.Key{Segment: station.Segment{Tenant: t.Tenant, ID: t.Segment},
			Address: t.Own.Address},
		MAC: uint64(t.Own.EffectiveMAC()), To: netip.AddrPortFrom(t.VIP.Address, t.Service.Port),
		Path: station.Path{Segment: station.Segment{Tenant: t.Tenant, ID: t.ServerSegment}, MAC: x.MAC,
			Source: x.Source, Port: x.Port, Direct: x.Direct, Out: int(x.Out)},
		Address:   t.Address,
		SlowStart: time.Duration(t.Service.SlowStart), Panic: t.Service.EffectivePanic(),
		Check: health.Check{
			Type: checkTypes[c.Type], Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout),
			Fall: *c.Fall, Rise: *c.Rise, Path: c.Path, Host: c.Host, Status: c.Status, Body: c.Body, Verify: c.Verify,
		},
	}
	if h.Check.Host == "" {
		h.Check.Host = hostOf(t.VIP.Address, t.Service.Port, h.Check.Type)
	}
	send, _ := model.Octets(c.Send) // valid: the model has checked them
	expect, _ := model.Octets(c.Expect)
	h.Check.Send, h.Check.Expect = string(send), string(expect)
	return h
}

// hostOf is how a client that knows no name calls a service: without the port if it is the scheme's own.
func hostOf(a netip.Addr, port uint16, kind health.Type) string {
	if kind == health.HTTP && port == 80 || kind == health.HTTPS && port == 443 {
		if a.Is6() {
			return "[" + a.String() + "]"
		}
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}

const (
	// findEvery is how often servers that are no VIFs are asked for their MAC.
	findEvery = 30 * time.Second
	// findWait is how long an answer is waited for.
	findWait = time.Second
)

// find asks the servers behind ports (Server.Via) for their MACs: all, or those without one. A server that does not
// answer keeps the MAC it had: whether it is alive, its health check says.
func (b *Box) find(ctx context.Context, list []compile.Target, all bool) {
	cfg := b.cfg.Load()
	for i := range list {
		t := &list[i]
		if t.Server.Via == "" || !all && t.Found || !t.Server.Address.IsValid() {
			continue
		}
		port := -1
		for n, p := range cfg.Ports {
			if p.Name == t.Server.Via {
				port = n
			}
		}
		h := healthTarget(t)
		if port < 0 || t.Server.Address.Is4() != h.Station.Address.Is4() {
			continue
		}
		b.task(func() {
			st, err := b.stations.Station(h.Station, h.MAC)
			if err != nil {
				return
			}
			wait, cancel := context.WithTimeout(ctx, findWait)
			defer cancel()
			if mac, err := st.Discover(wait, t.Server.Address, port); err == nil {
				b.compiler.SetStations(map[string]model.MAC{t.Key: model.MAC(mac)})
			}
		})
	}
}
