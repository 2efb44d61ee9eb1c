package box

import (
	"context"
	"net/netip"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
)

// newResolver makes the resolver of the boxes behind an edge switch's downlinks, which gets their ARP answers by the
// slow path. A box that is no edge switch has one without downlinks.
func (b *Box) newResolver() error {
	cfg := b.cfg.Load()
	b.resolver = neighbor.New(b.slow, func(number uint8, mac model.MAC) {
		b.compiler.SetBoxMAC(number, mac)
		b.log.Info("box behind downlink", "switch_port", number, "mac", mac, "resolved", mac != 0)
		ev := event.Neighbor{SwitchPort: number, Resolved: mac != 0}
		if ev.Resolved {
			ev.MAC = mac.String()
		}
		b.events.Publish(ev)
	})
	if cfg.Edge == nil {
		return nil
	}
	var downlinks []neighbor.Downlink
	for i, p := range cfg.Ports {
		if roles[p.Role] == fib.RoleDownlink {
			downlinks = append(downlinks, neighbor.Downlink{
				Port: i, Number: uint8(p.SwitchPort), Box: boxAddress(cfg.Box.Scheme, uint8(p.SwitchPort)),
			})
		}
	}
	if err := b.resolver.Set(cfg.Edge.MAC, downlinks); err != nil {
		return err
	}
	return b.slow.Handle(punt.ARP, b.resolver.Punt)
}

// boxAddress is the address of the box behind a switch port (PROTOCOL.md#addressing).
func boxAddress(scheme model.Scheme, number uint8) netip.Addr {
	if scheme == model.Scheme24 {
		return netip.AddrFrom4([4]byte{number, 0, 0, 1})
	}
	return netip.AddrFrom4([4]byte{10, number, 0, 1})
}

// startSlowPath carries frames between the workers and those in control who want them, until ctx is done.
func (b *Box) startSlowPath(ctx context.Context) {
	b.task(func() { b.slow.Run(ctx) })
	if b.cfg.Load().Edge != nil {
		b.task(func() { b.resolver.Run(ctx) })
	}
}
