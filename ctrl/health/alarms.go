package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"penstock/ctrl/alarm"
)

// AlarmKinds are the kinds of alarms that are raised here.
func AlarmKinds() []alarm.Kind {
	return []alarm.Kind{alarm.ServerDown, alarm.ServersFlapping, alarm.ServiceDown, alarm.ServicePanic}
}

const (
	// patience is how long a service's fault lasts before its alarm, and maxPatience the most for a server: until the
	// checks of others have shown whether it is alone.
	patience    = time.Second
	maxPatience = 5 * time.Second
	// stormSize servers that change within stormWindow have one alarm together.
	stormSize   = 10
	stormWindow = 10 * time.Second
	stormObject = "servers"
	// stormUpdate is the time between two texts of that alarm, at least.
	stormUpdate = time.Second
)

func serverObject(key string) string   { return "server " + key }
func serviceObject(name string) string { return "service " + name }

// Exists reports whether the server or service of an alarm is one of those that are checked.
func (c *Checker) Exists(object string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, name, _ := strings.Cut(object, " ")
	switch kind {
	case "server":
		return c.servers[name] != nil
	case "service":
		return c.services[name] != nil
	}
	return false
}

// storm is many servers that change at about the same time: most often one fault of what they share.
type storm struct {
	recent  map[string]int64 // by server, when it changed, within the window
	last    int64
	look    int64 // when alarms are looked at again, while active
	said    int64 // when the alarm's text was told
	active  bool
	members map[string]bool // servers that changed since it began
	text    string
}

// note notes that a server came up or went down.
func (s *storm) note(key string, now int64) {
	if s.recent == nil {
		s.recent = map[string]int64{}
	}
	s.last = now
	if s.active {
		s.members[key] = true
		return
	}
	s.recent[key] = now
	for k, at := range s.recent {
		if now-at > int64(stormWindow) {
			delete(s.recent, k)
		}
	}
	if len(s.recent) >= stormSize {
		s.active, s.members = true, map[string]bool{}
		for k := range s.recent {
			s.members[k] = true
		}
		s.recent = nil
	}
}

// alarms raises and clears what is due.
func (c *Checker) alarms(now int64) {
	if c.cfg.Alarms == nil {
		return
	}
	c.stormAlarm(now)
	for key, s := range c.watch {
		c.serverAlarm(key, s, now)
	}
	for _, v := range c.services {
		c.serviceAlarm(v, now)
	}
}

func (c *Checker) stormAlarm(now int64) {
	st := &c.storm
	if !st.active {
		return
	}
	var down []string
	for key := range st.members {
		switch s := c.servers[key]; {
		case s == nil:
			delete(st.members, key)
		case c.failing(s):
			down = append(down, key)
		}
	}
	if len(down) == 0 && now-st.last > int64(stormWindow) {
		st.active, st.members, st.text = false, nil, ""
		c.cfg.Alarms.Clear(alarm.ServersFlapping, stormObject)
		return
	}
	slices.Sort(down)
	which := "none of them is down now"
	if n := len(down); n > 0 {
		shown := down[:min(n, 5)]
		which = fmt.Sprintf("%d of them are down now (%s)", n, strings.Join(shown, ", "))
		if n > len(shown) {
			which = strings.TrimSuffix(which, ")") + ", …)"
		}
	}
	text := fmt.Sprintf("%d servers came up or went down, ten or more of them within 10 s; %s. Look for what "+
		"they share before you look at each: a fabric link, an edge switch, a host, a database behind them.",
		len(st.members), which)
	if st.text == text || st.text != "" && now-st.said < int64(stormUpdate) {
		return
	}
	st.said = now
	if st.text == "" {
		c.cfg.Alarms.Raise(alarm.Report{Kind: alarm.ServersFlapping, Object: stormObject, Text: text})
	} else {
		c.cfg.Alarms.Update(alarm.ServersFlapping, stormObject, text)
	}
	st.text = text
}

// failing reports whether the server is down and ought not to be.
func (c *Checker) failing(s *server) bool {
	return s.Enabled && s.Found && !c.standby[s.VIP] && s.probe.state() == Down
}

// serverAlarm raises or clears the alarm of a server. One that belongs to a storm has none of its own.
func (c *Checker) serverAlarm(key string, s *server, now int64) {
	alone := !c.storm.active || !c.storm.members[key]
	switch failing := c.failing(s); {
	case failing && alone && s.alarm != raised:
		if s.failedAt == 0 {
			s.failedAt = max(now, 1)
		}
		if now-s.failedAt < int64(min(s.Check.Interval*11/10+patience, maxPatience)) {
			return
		}
		s.alarm = raised
		c.cfg.Alarms.Raise(alarm.Report{Kind: alarm.ServerDown, Object: serverObject(key), Text: fmt.Sprintf(
			"Server %s is down: %s. It gets no new connections. Checks go to %s through this server alone: look "+
				"at its service, whether that listens on the VIP, and at `penstock show servers %s`.",
			key, s.probe.reason(now), s.To, s.Service)})
	case failing && alone:
	default:
		s.failedAt = 0
		c.clearServer(s)
		if !failing {
			delete(c.watch, key)
		}
	}
}

func (c *Checker) clearServer(s *server) {
	if s.alarm != cleared && c.cfg.Alarms != nil {
		c.cfg.Alarms.Clear(alarm.ServerDown, serverObject(s.Key))
	}
	s.alarm = cleared
}

// The state of a server's or a service's alarm in the list.
type shown uint8

const (
	unknown shown = iota // an earlier run may have raised it
	cleared
	raised
)

func (c *Checker) clearService(v *service) {
	if c.cfg.Alarms != nil {
		c.cfg.Alarms.Clear(alarm.ServiceDown, serviceObject(v.name))
		c.cfg.Alarms.Clear(alarm.ServicePanic, serviceObject(v.name))
	}
}

// serviceAlarm raises or clears the alarms of a service.
func (c *Checker) serviceAlarm(v *service, now int64) {
	n, usable, waiting := 0, 0, false
	var enabled, healthy uint64 // weights
	var panicAt uint8
	for _, s := range v.servers {
		if c.standby[s.VIP] {
			n = 0
			break
		}
		if !s.Enabled {
			continue
		}
		n++
		panicAt = s.Panic
		waiting = waiting || s.Found && s.probe.state() == Init
		if !s.Backup && s.probe.state() != Init { // a server that was never checked is no reason for panic
			enabled += uint64(s.Weight)
		}
		if s.usable() {
			usable++
			if !s.Backup {
				healthy += uint64(s.Weight)
			}
		}
	}
	if waiting && usable == 0 {
		return
	}
	state := ""
	switch {
	case n > 0 && usable == 0:
		state = "down"
	case n > 0 && panicAt > 0 && healthy*100 < uint64(panicAt)*enabled:
		state = "panic"
	}
	if state != v.fault {
		v.fault, v.faultAt = state, now
	}
	if v.shown == state && v.known || state != "" && now-v.faultAt < int64(patience) {
		return
	}
	if v.shown != state || !v.known {
		c.clearService(v)
	}
	v.shown, v.known = state, true
	switch state {
	case "down":
		c.cfg.Alarms.Raise(alarm.Report{Kind: alarm.ServiceDown, Object: serviceObject(v.name), Text: fmt.Sprintf(
			"Service %s has no server that is up, of %s. See `penstock show servers %s` for each one's last "+
				"error.", v.name, plural(uint64(n), "enabled one"), v.name)})
	case "panic":
		c.cfg.Alarms.Raise(alarm.Report{Kind: alarm.ServicePanic, Object: serviceObject(v.name), Text: fmt.Sprintf(
			"Servers with %d of %d of the weight of service %s are up, less than %d %%. Its backups are used, without "+
				"backups all its enabled servers, those that are down too. See `penstock show servers %s`.",
			healthy, enabled, v.name, panicAt, v.name)})
	}
}
