package box

import (
	"context"
	"log/slog"
	"time"

	"penstock/conf"
	"penstock/ctrl/compile"
	"penstock/ctrl/gateway"
	"penstock/ctrl/model"
	"penstock/dataplane"
	"penstock/dataplane/fib"
	"penstock/dataplane/xsk"
)

func (b *Box) engineConfig() dataplane.Config {
	cfg := b.cfg.Load()
	d := &cfg.Dataplane
	polls := map[string]dataplane.PollMode{"adaptive": dataplane.PollAdaptive, "busy": dataplane.PollBusy,
		"interrupt": dataplane.PollInterrupt}
	modes := map[string]xsk.Mode{"auto": xsk.ModeAuto, "zero-copy": xsk.ModeZeroCopy, "copy": xsk.ModeCopy,
		"generic": xsk.ModeGeneric}
	c := dataplane.Config{
		Workers: d.Workers, CPUs: d.CPUs, Poll: polls[d.Poll], Frames: d.Frames, FrameSize: d.FrameSize,
		RingSize:  d.RingSize,
		Flows:     dataplane.Flows{Limit: cfg.Balancer.Flows, NewRate: uint32(cfg.Balancer.NewFlowRate)},
		HugePages: d.HugePages, Handoff: d.Handoff, Verify: d.Verify, Nice: d.Nice,
		Log: func(l dataplane.Level, msg string, args ...any) {
			b.log.Log(context.Background(), [...]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}[l], msg,
				args...)
		},
	}
	for _, p := range cfg.Ports {
		c.Ports = append(c.Ports, dataplane.PortConfig{Interface: p.Interface, Queues: p.Queues, Mode: modes[p.Mode]})
	}
	return c
}

func (b *Box) compileConfig() compile.Config {
	cfg := b.cfg.Load()
	c := compile.Config{Scheme: cfg.Box.Scheme, Bindings: b.bindings, Capacity: cfg.Dataplane.Bindings,
		Prepare: b.engine.Prepare, Publish: b.publish, Moved: b.announce.Moved,
		LearnPause: 20 * time.Millisecond}
	ApplyLive(&c, cfg, b.saved)
	return c
}

// ApplyLive copies the values that a reload can change while the box runs.
func ApplyLive(c *compile.Config, cfg *conf.Config, saved gateway.State) {
	c.Groups = compileGroups(cfg, saved)
	d := &cfg.Dataplane
	c.FloodRate, c.FloodBurst = uint32(d.FloodRate), uint32(d.FloodBurst)
	c.ICMPRate, c.ICMPBurst = uint32(d.ICMPRate), uint32(d.ICMPBurst)
	c.MessageVLAN = cfg.Fabric.ControlVLAN
	c.Box, c.BalanceKey = cfg.Box.Name, cfg.Balancer.Key.Octets()
	if cfg.Edge != nil {
		c.EdgeMAC, c.ControlVLAN = cfg.Edge.MAC, cfg.Edge.ControlVLAN
	}
	c.UDPPort = uint16(cfg.Fabric.UDPPort)
	c.Ports = nil
	for _, p := range cfg.Ports {
		c.Ports = append(c.Ports, compile.Port{
			Name: p.Name, Role: roles[p.Role], SwitchMAC: p.SwitchMAC, SwitchPort: uint8(p.SwitchPort), VLANs: p.VLANs,
			CompleteChecksums: p.CompleteChecksums, ClampMSS: p.ClampMSS, Encap: formOf(&p),
			VTEPAddress: p.VTEPAddress, Gateway: p.Gateway, ZeroChecksum6: p.ZeroChecksum6,
		})
	}
}

var roles = map[string]fib.Role{"access": fib.RoleAccess, "fabric": fib.RoleFabric, "uplink": fib.RoleUplink,
	"downlink": fib.RoleDownlink, "trunk": fib.RoleTrunk}

// ModelOptions returns the part of a configuration that validation of pushed objects needs.
func ModelOptions(cfg *conf.Config) model.Options {
	o := model.Options{Scheme: cfg.Box.Scheme}
	for _, p := range cfg.Ports {
		o.Ports = append(o.Ports, model.PortRef{Name: p.Name, Role: p.Role})
	}
	for i := range cfg.Groups {
		g := &cfg.Groups[i]
		o.Gateways = append(o.Gateways, model.GatewayRef{Name: g.Name, Public: g.Public, Addresses: valid(g.IP, g.IP6)})
	}
	return o
}
