package ipvs

import (
	"net/netip"
	"strconv"
	"strings"
)

// keepalived reads the virtual servers of a keepalived.conf (keepalived.conf(5), 2.2).
func (p *parser) keepalived(text string) {
	top := p.blocks(text)
	groups := map[string]*block{}
	found := len(p.Faults) > 0
	for _, b := range top {
		switch name := b.words[0]; {
		case name == "virtual_server_group":
			if groups[b.arg(1)] != nil {
				p.fault(b.line, "name every group once", "virtual_server_group %s occurs twice", b.arg(1))
			}
			groups[b.arg(1)] = b
		case name == "virtual_server":
			found = true
		case name == "include":
			found = true
			p.fault(b.line, "import the files that it names", "include: other files are not read")
		case name[0] == '@' || name[0] == '$' || name[0] == '~':
			found = true
			p.fault(b.line, "write out the lines that apply",
				"%s: conditional lines and parameters are not evaluated", name)
		case name == "vrrp_instance":
			p.warn(b.line, "", "vrrp_instance %s is not imported: the directors of a VIP take over from each other",
				b.arg(1))
		}
	}
	if !found {
		p.fault(1, "", "there is no virtual_server in the text, and it is no output of ipvsadm -Sn")
	}
	for _, b := range top {
		if b.words[0] == "virtual_server" {
			p.virtualServer(b, groups)
		}
	}
}

// virtualServer reads a virtual server: one service, or one for each address of its group.
func (p *parser) virtualServer(b *block, groups map[string]*block) {
	var at []netip.AddrPort
	switch b.arg(1) {
	case "fwmark":
		p.fault(b.line, fwmarkHint, "service of firewall mark %s: packets have no firewall mark here", b.arg(2))
		return
	case "group":
		g := groups[b.arg(2)]
		if g == nil {
			p.fault(b.line, "", "there is no virtual_server_group %s", b.arg(2))
			return
		}
		at = p.group(g)
	case "":
		p.fault(b.line, "virtual_server ADDRESS PORT {", "the address is missing")
		return
	default:
		if a, ok := p.place(b, 1, "service"); ok {
			at = append(at, a)
		}
	}
	v := p.virtualBlock(b)
	p.unequal(v)
	for _, a := range at {
		s := Service{Line: b.line, At: Endpoint{a.Addr(), v.protocol, a.Port()}, Check: v.check()}
		if a.Port() == 0 {
			s.Check = p.allPorts(b.line, s.Check)
		}
		if v.protocol == "" || !p.schedule(&s, v.scheduling) {
			continue
		}
		if added := p.addService(s); added != nil {
			for _, r := range v.reals {
				if !p.addServer(added, r.Server) {
					return
				}
			}
		}
	}
}

// place reads ADDRESS [PORT] from word i on.
func (p *parser) place(b *block, i int, what string) (netip.AddrPort, bool) {
	a, ok := p.address(b.line, what, b.arg(i))
	if !ok {
		return netip.AddrPort{}, false
	}
	port := uint16(0)
	if text := b.arg(i + 1); text != "" {
		if port, ok = p.port(b.line, what, text); !ok {
			return netip.AddrPort{}, false
		}
	}
	return netip.AddrPortFrom(a, port), true
}

// maxRange is the most addresses of one range of a group.
const maxRange = 4096

// group lists the addresses of a group.
func (p *parser) group(g *block) (list []netip.AddrPort) {
	for _, b := range g.inside {
		if b.words[0] == "fwmark" {
			p.fault(b.line, fwmarkHint, "service of firewall mark %s: packets have no firewall mark here", b.arg(1))
			continue
		}
		first, last, ok := p.addressRange(b)
		if !ok {
			continue
		}
		port := uint16(0)
		if text := b.arg(1); text != "" {
			if port, ok = p.port(b.line, "service", text); !ok {
				continue
			}
		}
		for n := 0; len(list) <= maxServices; n++ {
			if n == maxRange {
				p.fault(b.line, "split it", "the range %s has more than %d addresses", b.words[0], maxRange)
				break
			}
			list = append(list, netip.AddrPortFrom(first, port))
			if first == last {
				break
			}
			first = first.Next()
		}
	}
	return list
}

// addressRange reads 192.0.2.1, 192.0.2.1-10, 192.0.2.250-192.0.3.10 or 192.0.2.8/29, or their like in IPv6.
func (p *parser) addressRange(b *block) (first, last netip.Addr, ok bool) {
	text := b.words[0]
	if prefix, err := netip.ParsePrefix(text); err == nil {
		first = prefix.Masked().Addr()
		last = first
		for n := 0; n <= maxRange && prefix.Contains(last.Next()); n++ {
			last = last.Next()
		}
		return first, last, true
	}
	from, to, isRange := strings.Cut(text, "-")
	if first, ok = p.address(b.line, "service", from); !ok || !isRange {
		return first, first, ok
	}
	last, err := netip.ParseAddr(to)
	if err != nil { // the last part only
		cut, base := strings.LastIndexByte(from, '.'), 10
		if first.Is6() {
			cut, base = strings.LastIndexByte(from, ':'), 16
		}
		if _, err = strconv.ParseUint(to, base, 16); err == nil {
			last, err = netip.ParseAddr(from[:cut+1] + to)
		}
	}
	if err != nil || last.BitLen() != first.BitLen() || last.Less(first) {
		p.fault(b.line, "192.0.2.1-10", "%q is not a range of addresses", text)
		return first, last, false
	}
	return first, last, true
}

// virtual is what a block virtual_server says.
type virtual struct {
	scheduling
	protocol string
	method   method
	settings settings
	reals    []real
}

// real is a block real_server.
type real struct {
	Server
	check *Check // nil = none
}

func (p *parser) virtualBlock(b *block) *virtual {
	v := &virtual{scheduling: scheduling{line: b.line, scheduler: "wlc"}}
	protocol := false
	var inner []*block
	for _, s := range b.inside {
		value := s.arg(1)
		switch name := s.words[0]; name {
		case "lvs_sched", "lb_algo":
			v.scheduler = value
		case "lvs_method", "lb_kind":
			v.method = p.methodWord(s)
		case "sh-port", "sh-fallback", "mh-port", "mh-fallback", "flag-1", "flag-2", "flag-3":
			v.flags = append(v.flags, name)
		case "ops":
			v.onePacket = true
		case "persistence_timeout":
			v.persistent = value != "0"
		case "persistence_granularity":
			v.netmask = value
		case "persistence_engine":
			v.engine = value
		case "protocol":
			v.protocol, protocol = p.protocol(s), true
		case "quorum", "hysteresis":
			p.warn(s.line, "the service's panic and its backups do the same", "%s has no effect", name)
		case "quorum_up", "quorum_down":
			p.warn(s.line, "alarms and webhooks tell of changes", "%s: no program is called", name)
		case "real_server", "sorry_server":
			inner = append(inner, s)
		case "sorry_server_lvs_method":
			p.method(s.line, p.methodWord(s), "sorry_server")
		case "alpha", "omega", "ha_suspend", "smtp_alert", "snmp_name", "warmup", "delay_before_retry", "ip_family",
			"sorry_server_inhibit":
		default:
			if !v.settings.read(p, s) {
				p.warn(s.line, "", "%s is unknown and has no effect", name)
			}
		}
	}
	if !protocol {
		v.protocol = "udp" // keepalived's default
		p.warn(b.line, "write protocol TCP", "the protocol is missing: it is UDP then")
	}
	for _, s := range inner { // the virtual server's settings count for them, wherever they stand
		if s.words[0] == "sorry_server" {
			p.sorry(v, s)
		} else {
			p.realServer(v, s)
		}
	}
	return v
}

func (p *parser) protocol(s *block) string {
	switch name := strings.ToLower(s.arg(1)); name {
	case "tcp", "udp":
		return name
	default:
		p.fault(s.line, "TCP and UDP are", "protocol %q is not balanced", s.arg(1))
		return ""
	}
}

func (p *parser) methodWord(s *block) method {
	switch s.arg(1) {
	case "DR":
		return methodDirect
	case "TUN":
		return methodTunnel
	case "NAT":
	default:
		p.fault(s.line, "DR, TUN or NAT", "unknown forwarding method %q", s.arg(1))
	}
	return methodNAT
}

// sorry adds the server for times without others.
func (p *parser) sorry(v *virtual, b *block) {
	a, ok := p.place(b, 1, "sorry_server")
	if !ok || !p.method(b.line, v.method, a.String()) {
		return
	}
	p.warn(b.line, "", "sorry_server %s becomes a backup: it is used once the healthy weight is below the service's "+
		"panic", a)
	v.reals = append(v.reals, real{Server: Server{Line: b.line, Address: a.Addr(), Port: a.Port(), Weight: 1,
		Backup: true}})
}

func (p *parser) realServer(v *virtual, b *block) {
	a, ok := p.place(b, 1, "server")
	if !ok {
		return
	}
	r := real{Server: Server{Line: b.line, Address: a.Addr(), Port: a.Port(), Weight: 1}}
	m, at := v.method, b.line
	set := v.settings
	var checkers []*block
	for _, s := range b.inside {
		switch name := s.words[0]; {
		case name == "weight":
			r.Weight, _ = p.weight(s.line, s.arg(1))
		case name == "lvs_method" || name == "lb_kind":
			m, at = p.methodWord(s), s.line
		case name == "uthreshold" || name == "lthreshold":
			if s.arg(1) != "0" {
				p.warn(s.line, "", "%s has no effect: a server's connections are not limited", name)
			}
		case name == "notify_up" || name == "notify_down":
			p.warn(s.line, "alarms and webhooks tell of changes", "%s: no program is called", name)
		case name == "alpha" || name == "smtp_alert" || name == "snmp_name" || name == "warmup" ||
			name == "delay_before_retry":
		case s.braces || strings.HasSuffix(name, "_CHECK"):
			checkers = append(checkers, s)
		case !set.read(p, s):
			p.warn(s.line, "", "%s is unknown and has no effect", name)
		}
	}
	r.check = p.checker(checkers, set, r.Port, v)
	if p.method(at, m, a.String()) {
		v.reals = append(v.reals, r)
	}
}
