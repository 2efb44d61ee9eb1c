package compile

import (
	"maps"
	"slices"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// ServerHealth is the verdict of a server's health check. Without a verdict a server gets no flows, unless its service
// has no check.
type ServerHealth struct {
	Up     bool
	Init   bool   // not up, and never was
	Weight uint16 // share of its weight in thousandths: 1000, or less in a slow start
}

// maxForeign is how many verdicts on servers that are not there are kept at least. Verdicts and pushes cross: who
// deletes
// a server and makes it anew at once may not get another verdict, since nobody saw that it was gone.
const maxForeign = 4096

// SetHealth takes over verdicts, by keys of servers (TENANT/SERVICE/NAME), and returns when all of them are live. The
// packets to a server that is down go to others from the first publication on; where the tables of many services
// change,
// these follow in steps of some 25 ms.
func (c *Compiler) SetHealth(verdicts map[string]ServerHealth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newPlan()
	for key, h := range verdicts {
		if old, known := p.health.get(key); known && old == h {
			continue
		}
		p.health.set(key, h)
		if s, ok := c.state.Servers[key]; ok {
			p.dirtyService(s.ServiceKey())
		}
	}
	if len(c.balancer.health) > 2*len(c.state.Servers)+maxForeign {
		for key := range c.balancer.health {
			if _, ok := c.state.Servers[key]; !ok {
				p.health.remove(key)
			}
		}
	}
	c.publishQuick(p)
}

// SetStations takes over the MACs of servers that are stations behind ports, by keys of servers; 0 = it does not
// answer.
func (c *Compiler) SetStations(macs map[string]model.MAC) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(c.balancer.stations)
	maps.Copy(next, macs)
	maps.DeleteFunc(next, func(_ string, mac model.MAC) bool { return mac == 0 })
	if maps.Equal(next, c.balancer.stations) {
		return
	}
	p := c.newPlan()
	p.macs, p.recheck = next, true
	c.publishQuick(p)
}

// SetFlows tells the compiler where the number of a server's flows is to be had, for its status.
func (c *Compiler) SetFlows(f func(server fib.Ref) (n int, known bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.balancer.flows = f
}

// publishQuick applies a plan, with the tables of many services in several publications.
func (c *Compiler) publishQuick(p *plan) {
	p.quick = true
	if c.force(p) == nil { // else Err has it
		c.publishPending()
	}
}

// publishPending builds the tables that had to wait, so many in a publication as the budget allows.
func (c *Compiler) publishPending() {
	for len(c.balancer.pending) > 0 {
		p := c.newPlan()
		p.quick = true
		if c.force(p) != nil {
			return
		}
	}
}

// ServerRefs calls fn for each live server with its key and its index, in the order of the keys.
func (c *Compiler) ServerRefs(fn func(key string, ref fib.Ref)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(c.balancer.servers)) {
		fn(key, c.balancer.servers[key].ref)
	}
}

// ServiceRefs is ServerRefs for services.
func (c *Compiler) ServiceRefs(fn func(key string, ref fib.Ref)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(c.balancer.services)) {
		fn(key, c.balancer.services[key].ref)
	}
}

// VIPRef returns the index of a VIP by its key.
func (c *Compiler) VIPRef(key string) (ref fib.Ref, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.state.VIPs[key]
	seg, known := c.segments[segName{v.Tenant, v.Segment}]
	if !ok || !known {
		return 0, false
	}
	x, ok := c.balancer.virtual[keyOf(seg, v.Address)]
	return x.ref, ok
}

func (c *Compiler) now() time.Time {
	if c.cfg.Now != nil {
		return c.cfg.Now()
	}
	return time.Now()
}

// setTimer arranges for a look at draining servers and rules that outlive their server; the zero time is none.
func (c *Compiler) setTimer(at time.Time) {
	b := &c.balancer
	if b.stopped || at.Equal(b.wakeAt) && b.wake != nil {
		return
	}
	if b.wake != nil {
		b.wake()
		b.wake = nil
	}
	if b.wakeAt = at; at.IsZero() {
		return
	}
	after := c.cfg.After
	if after == nil {
		after = func(d time.Duration, f func()) func() {
			t := time.AfterFunc(d, f)
			return func() { t.Stop() }
		}
	}
	b.wake = after(max(0, at.Sub(c.now())), c.tick)
}

// tick is the timer.
func (c *Compiler) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.balancer.stopped {
		return
	}
	c.balancer.wake = nil
	p := c.newPlan()
	c.publishQuick(p)
}

// Stop ends the compiler's timer: nothing is published by itself any more.
func (c *Compiler) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setTimer(time.Time{})
	c.balancer.stopped = true
}
