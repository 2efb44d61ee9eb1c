package ipvs

import (
	"net/netip"
	"strconv"
	"strings"
)

// scheduling is what a text says of how a service's server is found.
type scheduling struct {
	line       int
	scheduler  string
	flags      []string // of ipvsadm -b
	persistent bool
	netmask    string // of the persistence, "" = a client's address
	engine     string // of the persistence
	onePacket  bool
}

// schedulers maps the schedulers of IPVS. near says how the result differs, "" = in nothing that an operator relies on.
var schedulers = map[string]struct {
	scheduler, near string
	client          bool // the client's address decides, the port with a flag
	equal           bool // weights count for nothing, but 0
}{
	"rr":  {scheduler: "rr", equal: true},
	"wrr": {scheduler: "rr"},
	"lc":  {scheduler: "lc", equal: true},
	"wlc": {scheduler: "lc"},
	"sh":  {scheduler: "maglev", client: true},
	"mh":  {scheduler: "maglev", client: true},
	"sed": {scheduler: "lc", near: "least connections"},
	"nq":  {scheduler: "lc", near: "least connections"},
	"twos": {scheduler: "lc",
		near: "least connections of all servers, not of two"},
	"lblc": {scheduler: "lc",
		near: "least connections, since every service has one address"},
	"lblcr": {scheduler: "lc",
		near: "least connections, since every service has one address"},
	"ovf": {scheduler: "lc", near: "least connections: it spreads before a server is full"},
	"dh":  {scheduler: "maglev", client: true, near: "a hash of the client's address: more than one server is used"},
	"fo": {scheduler: "maglev",
		near: "the servers of the highest weight, all others being backups"},
}

const schedulerHint = "rr, wrr, lc, wlc, sh, mh, sed, nq, fo, dh, ovf, lblc, lblcr and twos are known"

// schedule fills in the service's scheduler; it reports faults and warnings, and whether the service can be used.
func (p *parser) schedule(s *Service, c scheduling) bool {
	m, known := schedulers[c.scheduler]
	if !known {
		p.fault(c.line, schedulerHint, "unknown scheduler %q", c.scheduler)
		return false
	}
	if m.near != "" {
		p.warn(c.line, "", "scheduler %s becomes %s: %s", c.scheduler, m.scheduler, m.near)
	}
	s.Scheduler, s.equal, s.failover = m.scheduler, m.equal, c.scheduler == "fo"
	if m.scheduler == "maglev" {
		s.Hash = "tuple"
	}
	if m.client && !p.withPort(&c) {
		s.Hash = "client"
	}
	ok := true
	if c.persistent {
		s.Scheduler, s.Hash = "maglev", "client"
		hint := ""
		if !m.client {
			hint = "the weights stay"
		}
		p.warn(c.line, hint,
			"persistence becomes scheduler maglev with hash client: a client's address decides, without a time limit")
	}
	if c.netmask != "" && !wholeAddress(c.netmask, s.At.Address) {
		p.warn(c.line, "", "netmask %s has no effect: clients are told apart by their whole address", c.netmask)
	}
	if c.engine != "" {
		p.warn(c.line, "", "persistence engine %s has no effect: the client's address decides", c.engine)
	}
	if s.OnePacket = c.onePacket; s.OnePacket && s.At.Protocol != "udp" {
		p.fault(c.line, "leave it out for TCP", "one-packet scheduling is for UDP")
		ok = false
	}
	if s.OnePacket && c.persistent {
		p.warn(c.line, "", "one-packet scheduling with persistence: each datagram alone, by the client's address")
	}
	if s.At.Port == 0 && !c.persistent {
		p.fault(c.line, "name a port, or make the service persistent as IPVS has it", "a port is missing")
		ok = false
	}
	return ok
}

// withPort reads the scheduler's flags: does the client's port count?
func (p *parser) withPort(c *scheduling) (port bool) {
	for _, f := range c.flags {
		switch f {
		case c.scheduler + "-port", "flag-2":
			port = true
		case c.scheduler + "-fallback", "flag-1": // another server is used anyway while one is down
		default:
			p.warn(c.line, "", "flag %s of scheduler %s has no effect", f, c.scheduler)
		}
	}
	return port
}

// wholeAddress reports whether a netmask, dotted or a prefix length, selects a client's whole address.
func wholeAddress(mask string, a netip.Addr) bool {
	return mask == "255.255.255.255" || mask == strconv.Itoa(a.BitLen())
}

// weight reads a server's weight.
func (p *parser) weight(line int, text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	switch {
	case err != nil:
		p.fault(line, "a number from 0", "weight %q is not a number", text)
	case n > maxWeight:
		p.fault(line, "divide all weights of the service by a common number", "weight %d is above %d", n, maxWeight)
	default:
		return int(n), true
	}
	return 0, false
}

// weights applies what schedulers of IPVS make of the weights.
func (p *parser) weights(s *Service) {
	heaviest := 0
	for i := range s.Servers {
		heaviest = max(heaviest, s.Servers[i].Weight)
	}
	for i := range s.Servers {
		r := &s.Servers[i]
		switch {
		case r.Weight == 0:
		case s.failover && r.Weight < heaviest:
			r.Weight, r.Backup = 1, true
		case s.failover:
			r.Weight = 1
		case s.equal:
			r.Weight = 1
		}
	}
}

// endpoint parses ADDRESS[:PORT] or [ADDRESS]:PORT; what names the value in faults.
func (p *parser) endpoint(line int, what, text string) (netip.AddrPort, bool) {
	host, port, hasPort := text, "", false
	switch {
	case strings.HasPrefix(text, "["):
		var rest string
		host, rest, _ = strings.Cut(text[1:], "]")
		port, hasPort = strings.CutPrefix(rest, ":")
		if !hasPort && (rest != "" || !strings.HasSuffix(text, "]")) {
			p.fault(line, "[fd00::1]:80", "%s %q is not an address and a port", what, text)
			return netip.AddrPort{}, false
		}
	case strings.Count(text, ":") == 1:
		host, port, hasPort = strings.Cut(text, ":")
	}
	a, ok := p.address(line, what, host)
	if !ok {
		return netip.AddrPort{}, false
	}
	n := uint16(0)
	if hasPort {
		if n, ok = p.port(line, what, port); !ok {
			return netip.AddrPort{}, false
		}
	}
	return netip.AddrPortFrom(a, n), true
}

func (p *parser) address(line int, what, text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		p.fault(line, "names are not looked up: save with ipvsadm -Sn", "%s %q is not an address", what, text)
	case a.Zone() != "":
		p.fault(line, "leave the zone out", "%s %q has a zone", what, text)
	case a.IsUnspecified() || a.IsMulticast() || a.Is4In6():
		p.fault(line, "", "%s %q is not the address of a host", what, text)
	default:
		return a, true
	}
	return a, false
}

func (p *parser) port(line int, what, text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		p.fault(line, "names of ports are not looked up: 0 to 65535", "%s: %q is not a port", what, text)
		return 0, false
	}
	return uint16(n), true
}
