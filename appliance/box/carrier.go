package box

import (
	"context"
	"sync"

	"penstock/conf"
	"penstock/ctrl/link"
)

// carriers reports to the dataplane which uplinks are usable, before any other reaction to a change of a link: the
// gateway groups behind an uplink that goes down switch within a turn of the first worker. carriers has a netlink
// subscription of its own, because followLinks, which updates tables and sockets, may wait for a push of a million
// bindings.
type carriers struct {
	b *Box

	mu   sync.Mutex
	link []bool // by port: carrier, by the kernel's last report
	open []bool // by port: its sockets are bound, by followLinks' last report
	sent []bool // by port: the state last sent to the dataplane
}

// newCarriers starts from the links' state in the tables.
func newCarriers(b *Box, up []bool) *carriers {
	c := &carriers{b: b, link: append([]bool(nil), up...), open: make([]bool, len(up)),
		sent: append([]bool(nil), up...)}
	for i := range c.open {
		c.open[i] = true
	}
	return c
}

// follow follows the links until ctx is done. Without uplinks it returns at once.
func (c *carriers) follow(ctx context.Context) error {
	index := map[string]int{}
	var names []string
	for i, p := range c.b.cfg.Load().Ports {
		if p.Role == conf.RoleUplink {
			index[p.Interface] = i
			names = append(names, p.Interface)
		}
	}
	if names == nil {
		return nil
	}
	return link.Follow(ctx, names, func(ev link.Event) {
		if ctx.Err() == nil { // the dataplane may have stopped
			c.set(index[ev.Name], &c.link, ev.Present && ev.Up)
		}
	})
}

// opened reports whether a port's sockets are bound.
func (c *carriers) opened(port int, open bool) {
	if c.b.cfg.Load().Ports[port].Role == conf.RoleUplink {
		c.set(port, &c.open, open)
	}
}

func (c *carriers) set(port int, what *[]bool, value bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	(*what)[port] = value
	up := c.link[port] && c.open[port]
	if c.sent[port] == up {
		return
	}
	c.sent[port] = up
	if err := c.b.engine.SetCarrier(port, up); err != nil {
		c.b.log.Warn("the state of a link did not reach the gateways", "port", c.b.cfg.Load().Ports[port].Name, "up",
			up, "err", err)
	}
}
