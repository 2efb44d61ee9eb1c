package main

import (
	"context"
	"time"

	"penstock/ctrl/link"
)

// followLinks keeps the dataplane's ports as the interfaces are: up, down, gone, back.
func (b *box) followLinks(ctx context.Context, events <-chan link.Event) {
	index := map[string]int{}
	for i, name := range b.interfaces() {
		index[name] = i
	}
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	ifindex := make([]int, len(b.present))
	for {
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-events:
			if !ok {
				return
			}
			port, known := index[ev.Name]
			if !known {
				continue
			}
			b.linkChanged(port, ev, &ifindex[port])
		case <-retry.C:
			b.reopen()
		}
	}
}

func (b *box) linkChanged(port int, ev link.Event, ifindex *int) {
	name := b.cfg.Load().Ports[port].Name
	if !ev.Present || *ifindex != 0 && *ifindex != ev.Ifindex {
		b.log.Warn("interface gone", "port", name, "interface", ev.Name)
		b.present[port].Store(false)
		b.compiler.SetLink(port, false, 0, 0)
		b.engine.ClosePort(port)
		b.slow.linkChanged(port, false)
		b.portEvent(port, "gone")
		*ifindex = 0
	}
	if !ev.Present {
		return
	}
	if *ifindex == 0 && !b.present[port].Load() {
		b.log.Info("interface back", "port", name, "interface", ev.Name)
		undo, err := prepare(b.cfg.Load().Ports[port])
		if err != nil {
			b.log.Warn("interface back", "port", name, "err", err)
			return // it is gone again: the next event says more
		}
		b.undo[port] = undo
		b.present[port].Store(true)
		b.reopen()
	}
	*ifindex = ev.Ifindex
	b.compiler.SetLink(port, ev.Up, uint16(min(ev.MTU, 65535)), uint64(ev.MAC))
	state := "down"
	if ev.Up {
		state = "up"
	}
	b.portEvent(port, state)
	b.slow.linkChanged(port, ev.Up)
}

func (b *box) portEvent(port int, state string) {
	cfg := b.cfg.Load()
	b.log.Info("port", "name", cfg.Ports[port].Name, "state", state)
	b.events.Publish("port", map[string]any{"port": cfg.Ports[port].Name, "state": state})
}

// reopen opens the ports whose interface is there and whose sockets are not; what fails is tried again every second.
func (b *box) reopen() {
	for i, r := range b.engine.Ports() {
		if !r.Open && b.present[i].Load() {
			if err := b.engine.OpenPort(i); err != nil {
				b.log.Warn("port cannot be opened, will try again", "port", b.cfg.Load().Ports[i].Name, "err", err)
			}
		}
	}
}
