package compile

import (
	"sync"

	"penstock/dataplane/fib"
)

// Balanced names what the dataplane knows by references. It is not changed after it was made.
type Balanced struct {
	VIPs, Services, Servers map[fib.Ref]string // keys
	Directing               map[string]bool    // by service: this box directs its VIP now

	of *fib.Snapshot
}

// ServiceOf returns the key of the service that packets to the VIP find, "" if there is none.
func (b *Balanced) ServiceOf(vip fib.Ref, proto uint8, port uint16) string {
	i := vip & fib.RefMask
	if int(i) >= len(b.of.VIPs) || b.of.VIPs[i].Ref != vip {
		return ""
	}
	if s, ok := b.of.VIPs[i].Service(proto, port); ok {
		return b.Services[b.of.Services[s].Ref]
	}
	return ""
}

// nameCache keeps the names of the last snapshot: every page of flows needs them.
type nameCache struct {
	mu   sync.Mutex
	last *Balanced
}

// Balanced returns the names of the live VIPs, services and servers.
func (c *Compiler) Balanced() *Balanced {
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	snap := c.snap.Load()
	if b := c.names.last; b != nil && b.of == snap {
		return b
	}
	b := &Balanced{
		VIPs: map[fib.Ref]string{}, Services: make(map[fib.Ref]string, len(c.balancer.services)),
		Servers: make(map[fib.Ref]string, len(c.balancer.servers)), Directing: map[string]bool{}, of: snap,
	}
	for _, v := range c.balancer.virtual {
		if !v.own {
			b.VIPs[v.ref] = v.key
		}
	}
	for key, s := range c.balancer.services {
		b.Services[s.ref] = key
		b.Directing[key] = c.balancer.virtual[s.vip].here
	}
	for key, s := range c.balancer.servers {
		b.Servers[s.ref] = key
	}
	c.names.last = b
	return b
}
