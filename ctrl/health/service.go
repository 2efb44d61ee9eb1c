package health

import (
	"time"
)

// service is what is known of a service's servers together.
type service struct {
	name    string
	servers map[string]*server
	dirty   bool
	upAt    int64 // since when one or more are up; 0 = none is

	fault   string // "down" or "panic", or ""
	faultAt int64
	shown   string // the fault whose alarm is raised
	known   bool   // nobody but this run has raised an alarm
}

func (c *Checker) service(name string) *service {
	v := c.services[name]
	if v == nil {
		v = &service{name: name, servers: map[string]*server{}}
		c.services[name] = v
	}
	return v
}

func (v *service) touch(s *server) {
	v.servers[s.Key] = s
	v.dirty = true
}

// touch notes that a server's state or its treatment may have changed.
func (c *Checker) touch(s *server) {
	c.service(s.Service).touch(s)
	c.watch[s.Key] = s
}

// forget removes a server that is checked no more.
func (c *Checker) forget(s *server) {
	delete(c.pending, s.Key)
	delete(c.watch, s.Key)
	v := c.service(s.Service)
	delete(v.servers, s.Key)
	v.dirty = true
	c.clearServer(s)
	if len(v.servers) == 0 {
		c.clearService(v)
		delete(c.services, v.name)
	}
	c.changed = true
}

// steps of a slow start, each with a tenth more of the weight.
const steps = 10

// settle brings verdicts and alarms up to date.
func (c *Checker) settle(now int64) {
	for _, v := range c.services {
		if v.dirty {
			c.judge(v, now)
		}
	}
	// While thousands change, looking at all alarms after each of them would leave no time for checks.
	if !c.storm.active || now >= c.storm.look {
		c.storm.look = now + int64(tick)
		c.alarms(now)
	}
	if len(c.pending) > 0 {
		select {
		case c.tell <- struct{}{}:
		default:
		}
	}
}

// usable reports whether the server may carry its service: its checks say so.
func (s *server) usable() bool { return s.Found && s.Enabled && s.probe.state() == Up }

// judge finds the verdicts of a service's servers.
func (c *Checker) judge(v *service, now int64) {
	v.dirty = false
	others := 0 // servers with their whole weight
	for _, s := range v.servers {
		if s.usable() && !s.ramp && s.sent.Up {
			others++
		}
	}
	before := v.upAt
	v.upAt = 0
	for _, s := range v.servers {
		if !s.usable() {
			s.ramp, s.upAt = false, 0
			state := s.probe.state()
			c.verdict(s, Verdict{Up: state == Up, Init: state == Init, Weight: 1000})
			continue
		}
		if v.upAt = before; before == 0 {
			v.upAt = max(now, 1)
		}
		if s.upAt == 0 {
			s.upAt = max(now, 1)
			// The first servers of a service come up together: nobody has been up for long.
			s.ramp = s.SlowStart > 0 && others > 0 && before != 0 && now-before > 2*int64(s.Check.Interval)
		}
		if s.ramp && others == 0 {
			s.ramp = false // nobody else is up
		}
		weight := uint16(1000)
		if s.ramp {
			if weight = share(time.Duration(now-s.upAt), s.SlowStart); weight == 1000 {
				s.ramp = false
			}
		}
		v.dirty = v.dirty || s.ramp
		c.verdict(s, Verdict{Up: true, Weight: weight})
	}
}

// share is the part of its weight, of 1000, that a server has some time after it came up.
func share(after, of time.Duration) uint16 {
	if after >= of {
		return 1000
	}
	step := int64(after) * steps / int64(of) // 0 … 9
	return uint16(min(step+1, steps) * 1000 / steps)
}

func (c *Checker) verdict(s *server, v Verdict) {
	if s.told && s.sent == v {
		return
	}
	s.sent, s.told = v, true
	c.pending[s.Key] = v
}
