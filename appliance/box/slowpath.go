package box

import (
	"context"
	"net/netip"
	"time"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor"
	"penstock/dataplane/edge"
	"penstock/dataplane/fib"
)

// puntInterval is how often the workers' punt rings are emptied.
const puntInterval = 5 * time.Millisecond

// slowPath carries frames between the workers' rings and those in control who want them.
type slowPath struct {
	b        *Box
	resolver *neighbor.Resolver // of the boxes behind an edge switch's downlinks
}

func newSlowPath(b *Box) (*slowPath, error) {
	cfg := b.cfg.Load()
	s := &slowPath{b: b}
	s.resolver = neighbor.New(b.engine, func(number uint8, mac model.MAC) {
		b.compiler.SetBoxMAC(number, mac)
		b.log.Info("box behind downlink", "switch_port", number, "mac", mac, "resolved", mac != 0)
		ev := event.Neighbor{SwitchPort: number, Resolved: mac != 0}
		if ev.Resolved {
			ev.MAC = mac.String()
		}
		b.events.Publish(ev)
	})
	if cfg.Edge == nil {
		return s, nil
	}
	var downlinks []neighbor.Downlink
	for i, p := range cfg.Ports {
		if roles[p.Role] == fib.RoleDownlink {
			downlinks = append(downlinks, neighbor.Downlink{Port: i, Number: uint8(p.SwitchPort), Box: boxAddress(cfg.Box.Scheme, uint8(p.SwitchPort))})
		}
	}
	return s, s.resolver.Set(cfg.Edge.MAC, downlinks)
}

// boxAddress is the address of the box behind a switch port (PROTOCOL.md#addressing).
func boxAddress(scheme model.Scheme, number uint8) netip.Addr {
	if scheme == model.Scheme24 {
		return netip.AddrFrom4([4]byte{number, 0, 0, 1})
	}
	return netip.AddrFrom4([4]byte{10, number, 0, 1})
}

func (s *slowPath) run(ctx context.Context) {
	if s.b.cfg.Load().Edge == nil { // nothing but downlinks punts
		return
	}
	s.b.task(func() { s.resolver.Run(ctx) })
	tick := time.NewTicker(puntInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.b.engine.Punted(func(port int, kind uint8, data []byte) {
				if kind == edge.PuntARP {
					s.resolver.Punt(port, data)
				}
			})
		}
	}
}

func (s *slowPath) linkChanged(port int, up bool) { s.resolver.Link(port, up) }
