package box

import (
	"context"
	"sync"

	"penstock/conf"
	"penstock/ctrl/link"
)

// carriers tells the dataplane which uplinks can be used, before anything else is done about a link: the gateway groups
// behind one that goes down switch within a turn of the first worker. It listens to the kernel by itself, since those
// who bring tables and sockets into line (followLinks) may wait for a push of a million bindings.
type carriers struct {
	b *Box

	mu   sync.Mutex
	link []bool // by port: has carrier, as the kernel said last
	open []bool // by port: its sockets are bound, as followLinks said last
	told []bool // by port: what the dataplane knows
}

// newCarriers begins with the links that the tables were made with.
func newCarriers(b *Box, up []bool) *carriers {
	c := &carriers{b: b, link: append([]bool(nil), up...), open: make([]bool, len(up)),
		told: append([]bool(nil), up...)}
	for i := range c.open {
		c.open[i] = true
	}
	return c
}

// follow listens until ctx is done. A box without uplinks does not.
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

// opened says whether a port's sockets are bound.
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
	if c.told[port] == up {
		return
	}
	c.told[port] = up
	if err := c.b.engine.SetCarrier(port, up); err != nil {
		c.b.log.Warn("gateways are not told of a link", "port", c.b.cfg.Load().Ports[port].Name, "up", up, "err", err)
	}
}
