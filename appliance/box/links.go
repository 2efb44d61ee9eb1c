package box

import (
	"context"
	"fmt"
	"time"

	"penstock/conf"
	"penstock/ctrl/event"
	"penstock/ctrl/link"
)

// followLinks keeps the dataplane's ports in the state of their interfaces: up, down, gone, back.
func (b *Box) followLinks(ctx context.Context, events <-chan link.Event) {
	index := map[string]int{}
	for i, name := range b.interfaces() {
		index[name] = i
	}
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	last := make([]link.Event, len(index)) // by port; zero while its interface is not there
	for i, r := range b.engine.Ports() {
		last[i].Ifindex = r.Ifindex // the first event may be about a successor already
	}
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
			b.linkChanged(port, ev, &last[port])
		case <-retry.C:
			b.reopen(last)
		}
	}
}

func (b *Box) linkChanged(port int, ev link.Event, last *link.Event) {
	name := b.cfg.Load().Ports[port].Name
	if last.Ifindex != 0 && last.Ifindex != ev.Ifindex {
		b.carriers.opened(port, false)
		b.log.Warn("interface gone", "port", name, "interface", ev.Name)
		b.compiler.SetLink(port, false, 0, 0)
		b.engine.ClosePort(port)
		b.resolver.Link(port, false)
		b.places.Link(port, false, 0)
		b.portEvent(port, event.PortGone)
		b.portAlarm(port, faultGone)
		if err := b.undo[port](); err != nil {
			b.log.Warn("interface gone", "port", name, "err", err)
		}
		*last = link.Event{}
	}
	if !ev.Present {
		return
	}
	if last.Ifindex == 0 {
		b.log.Info("interface back", "port", name, "interface", ev.Name)
		undo, err := b.prepare(b.cfg.Load().Ports[port])
		if err != nil {
			b.log.Warn("interface back", "port", name, "err", err)
			return // the interface is gone again: the next event follows
		}
		b.undo[port] = undo
	}
	if text := tooLong(&b.cfg.Load().Dataplane, ev.MTU); text != "" && ev.MTU != last.MTU {
		b.log.Warn(text, "port", name, "interface", ev.Name, "mtu", ev.MTU)
	}
	*last = ev
	err := b.engine.OpenPort(port)
	if err != nil {
		b.log.Warn("port cannot be opened, will try again", "port", name, "err", err)
	}
	b.setLink(port, ev, err)
}

// tooLong returns a warning if packets of an interface's MTU do not fit the buffers, else "". The check at the start
// refuses such an MTU, but it can be set at run time.
func tooLong(d *conf.Dataplane, mtu int) string {
	most := d.MaxMTU()
	if mtu <= most {
		return ""
	}
	return fmt.Sprintf("the MTU is larger than a packet buffer carries (%d): longer packets are lost, as kernel "+
		"drops of the port. Set dataplane.frame_size = 4096, or a smaller MTU", most)
}

// setLink distributes the state of a port. A port without sockets counts as down: other ports must carry its traffic.
func (b *Box) setLink(port int, ev link.Event, open error) {
	up := ev.Up && open == nil
	b.carriers.opened(port, open == nil)
	b.compiler.SetLink(port, up, uint16(min(ev.MTU, 65535)), uint64(ev.MAC))
	state := event.PortDown
	if up {
		state = event.PortUp
	}
	b.portEvent(port, state)
	switch {
	case !ev.Up:
		b.portAlarm(port, faultLink)
	case open != nil:
		b.portAlarm(port, faultSockets(open))
	default:
		b.portAlarm(port, "")
	}
	b.resolver.Link(port, up)
	b.places.Link(port, up, ev.MAC)
}

func (b *Box) portEvent(port int, state string) {
	cfg := b.cfg.Load()
	b.log.Info("port", "name", cfg.Ports[port].Name, "state", state)
	b.events.Publish(event.Port{Port: cfg.Ports[port].Name, State: state})
}

// reopen opens the ports whose interface exists and whose sockets do not. It is called every second.
func (b *Box) reopen(last []link.Event) {
	for i, r := range b.engine.Ports() {
		if r.Open || last[i].Ifindex == 0 {
			continue
		}
		if err := b.engine.OpenPort(i); err != nil {
			b.log.Warn("port cannot be opened, will try again", "port", b.cfg.Load().Ports[i].Name, "err", err)
			continue
		}
		b.setLink(i, last[i], nil)
	}
}
