package box

import (
	"net/netip"

	"penstock/conf"
	"penstock/ctrl/compile"
	"penstock/ctrl/gateway"
	dpgateway "penstock/dataplane/gateway"
	"penstock/dataplane/liveness"
)

// compileGroups returns the gateway groups of a configuration; saved is their state when the box stopped.
func compileGroups(cfg *conf.Config, saved gateway.State) []compile.Group {
	var groups []compile.Group
	for i := range cfg.Groups {
		c := &cfg.Groups[i]
		known := saved.Groups[c.Name]
		g := compile.Group{
			Name: c.Name, MAC: c.MAC, IPs: valid(c.IP, c.IP6), Public: c.Public, Policy: policy(c),
			Start: known.Active, StartChosen: known.Chosen, Disabled: known.Disabled,
		}
		for _, m := range c.Members {
			g.Members = append(g.Members, compile.GroupMember{
				Name: m.Name, Port: m.Port, VLAN: uint16(m.VLAN), Gateway: m.IP, MAC: m.MAC,
				Sources: valid(m.Address.Addr(), m.Address6),
				Senders: m.Sources.MACs, Locked: m.Sources.Locked,
			})
		}
		groups = append(groups, g)
	}
	return groups
}

func valid(list ...netip.Addr) (out []netip.Addr) {
	for _, a := range list {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func policy(c *conf.Group) dpgateway.Policy {
	return dpgateway.Policy{
		Policy: liveness.Policy{
			Misses: uint32(c.Misses), Recover: uint32(c.Answers), FlapCount: uint32(c.FlapCount),
			FlapWindow: int64(c.FlapWindow), HoldMin: int64(c.HoldMin), HoldMax: int64(c.HoldMax),
		},
		Interval:     int64(c.ProbeInterval),
		DataLiveness: c.DataLiveness, DataMax: uint32(c.DataMax),
		Preempt: c.Preempt, PreemptDelay: int64(c.PreemptDelay),
		AnnounceRate: uint32(c.AnnounceRate), AnnounceInterval: int64(c.AnnounceInterval),
	}
}

// gatewayGroups returns the live groups, with their configuration.
func (b *Box) gatewayGroups() []gateway.Group {
	cfg := b.cfg.Load()
	var groups []gateway.Group
	for _, l := range b.compiler.LiveGroups() {
		c := cfg.Group(l.Name)
		if c == nil {
			continue // it comes or goes with a reload that is being carried out
		}
		g := gateway.Group{Name: l.Name, MAC: c.MAC, Addresses: valid(c.IP, c.IP6), Public: c.Public, Index: l.Index,
			Live: l.Live}
		for _, m := range l.Members {
			if s := c.Member(m.Name); s != nil {
				g.Members = append(g.Members, gateway.Member{Name: m.Name, Port: s.Port, VLAN: s.VLAN, IP: s.IP,
					Address: s.Address, Sources: s.Sources.Words(), Slot: m.Slot, Stat: m.Stat, Live: m.Live})
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// newGateways makes the control plane of the gateway groups.
func (b *Box) newGateways() {
	b.gateways = gateway.New(gateway.Config{
		Engine: b.engine, Groups: b.gatewayGroups, Events: b.events, Alarms: b.alarms, Log: b.log,
		Path: b.gatewayState(), Saved: b.saved,
		Traffic: b.engine.Member,
	})
}
