package conf

import (
	"fmt"
	"time"

	"penstock/ctrl/model"
)

// validate checks the rules between keys. It skips keys with an invalid value: one fault gives one error.
func (r *reader) validate(c *Config) {
	r.validateDataplane(c)
	r.validatePorts(c)
	r.validateVXLAN(c)
	r.validateEdge(c)
	r.validateGroups(c)
	r.validateAlarm(c)
	if i := c.Probe.Interval; r.ok("probe.interval") && i > 0 && i < minProbe {
		r.failf("probe.interval", "found %s: want 50ms to 60s, or 0s for no probes", i)
	}
}

// minProbe is the least interval of the probes of a path.
const minProbe = 50 * time.Millisecond

func (r *reader) validateDataplane(c *Config) {
	d := &c.Dataplane
	if r.ok("dataplane.cpus", "dataplane.workers") && len(d.CPUs) > 0 && len(d.CPUs) != d.Workers {
		r.failf("dataplane.cpus", "%d CPUs for %d workers: want one for each", len(d.CPUs), d.Workers)
	}
	if r.ok("dataplane.ring_size") && d.RingSize&(d.RingSize-1) != 0 {
		up := 64
		for up < d.RingSize {
			up *= 2
		}
		r.failf("dataplane.ring_size", "found %d, want a power of two: %d or %d", d.RingSize, up/2, up)
	}
	if !r.ok("dataplane.frames", "dataplane.frame_size", "dataplane.ring_size", "dataplane.workers") {
		return
	}
	queues := 0
	for i := range c.Ports {
		if !r.ok(fmt.Sprintf("port[%d].queues", i)) {
			return
		}
		queues += c.Ports[i].Queues
	}
	most := int(maxUMEM / int64(d.FrameSize))
	need := c.FramesNeeded()
	switch {
	case need > most:
		r.failf("dataplane.frames", "the rings of %d queues need %d frames of %d octets, more than there can be in 4 "+
			"GiB: want a smaller ring_size or fewer queues", queues, need, d.FrameSize)
	case d.Frames > most:
		r.failf("dataplane.frames", "found %d frames of %d octets: want less than 4 GiB, at most %d", d.Frames,
			d.FrameSize, most)
	case d.Frames < need && !r.partial:
		r.failf("dataplane.frames", "found %d, but the rings of all ports need %d (4 rings × ring_size %d × %d "+
			"queues): want at least that, a smaller ring_size, or no frames key at all",
			d.Frames, need, d.RingSize, queues)
	}
}

func (r *reader) validatePorts(c *Config) {
	type switchPort struct {
		mac  model.MAC
		port int
	}
	names, interfaces, downlinks, places := map[string]int{}, map[string]int{}, map[int]int{}, map[switchPort]int{}
	for i := range c.Ports {
		p := &c.Ports[i]
		at := func(name string) string { return fmt.Sprintf("port[%d].%s", i, name) }
		good := func(name string) bool { return r.ok(at(name)) && r.idx.lines[at(name)] > 0 }
		line := func(first int, name string) int { return r.idx.line(fmt.Sprintf("port[%d].%s", first, name)) }

		if good("name") {
			if first, dup := names[p.Name]; dup {
				r.failf(at("name"), "%q is the name of the port on line %d already: every port has its own", p.Name,
					line(first, "name"))
			} else {
				names[p.Name] = i
			}
		}
		if good("interface") {
			if first, dup := interfaces[p.Interface]; dup {
				r.failf(at("interface"), "%q is used by the port on line %d already: an interface is one port",
					p.Interface, line(first, "interface"))
			} else {
				interfaces[p.Interface] = i
			}
		}
		if good("queues") && r.ok("dataplane.workers") && p.Queues > c.Dataplane.Workers {
			r.failf(at("queues"), "found %d, want at most %d, one for each worker (dataplane.workers)", p.Queues,
				c.Dataplane.Workers)
		}
		if most := c.Dataplane.MaxMTU(); good("mtu") && r.ok("dataplane.frame_size") && p.MTU > most {
			r.failf(at("mtu"), "found %d, but a frame of %d octets carries at most %d: want dataplane.frame_size = "+
				"4096 (at most %d) or a smaller mtu", p.MTU, c.Dataplane.FrameSize, most, maxMTU)
		}
		if !good("switch_port") {
			continue
		}
		if c.Box.Scheme == model.Scheme24 && (p.SwitchPort == 127 || p.SwitchPort > 223) {
			r.failf(at("switch_port"), "found %d: under scheme p.t its addresses are %d.0.0.0/8, which are not "+
				"unicast addresses: want 1 to 126 or 128 to 223", p.SwitchPort, p.SwitchPort)
		}
		switch {
		case p.Role == RoleDownlink:
			if first, dup := downlinks[p.SwitchPort]; dup {
				r.failf(at("switch_port"),
					"%d is the number of the downlink on line %d already: every downlink has its own", p.SwitchPort,
					line(first, "switch_port"))
			} else {
				downlinks[p.SwitchPort] = i
			}
		case p.Role == RoleFabric && good("switch_mac"):
			w := switchPort{p.SwitchMAC, p.SwitchPort}
			if first, dup := places[w]; dup {
				r.failf(at("switch_port"),
					"port %d of switch %s is connected to the port on line %d already: a switch port has one cable",
					w.port, w.mac, line(first, "switch_port"))
			} else {
				places[w] = i
			}
		}
	}
}

func (r *reader) validateEdge(c *Config) {
	needs, all := -1, true
	for i := range c.Ports {
		if role := c.Ports[i].Role; (role == RoleDownlink || role == RoleTrunk) && needs < 0 {
			needs = i
		} else if role == "" {
			all = false
		}
	}
	switch {
	case needs >= 0 && c.Edge == nil && r.ok("edge") && !r.partial:
		r.failf(fmt.Sprintf("port[%d].role", needs),
			"a %s port makes the box an edge switch, but there is no [edge]: add it, with mac", c.Ports[needs].Role)
	case needs < 0 && c.Edge != nil && all && !r.partial && r.ok("port"):
		r.failf("edge", "no port is a downlink or trunk: remove [edge], or give a port that role")
	}
}
