package ipvs

import (
	"net/netip"
	"strconv"
	"strings"
)

// option is an option of ipvsadm (ipvsadm(8), 1.31).
type option struct {
	short, long string
	argument    argument
}

type argument uint8

const (
	none argument = iota
	required
	optional // a value follows, unless what follows begins with '-'
)

var options = []option{
	{"A", "add-service", none}, {"a", "add-server", none},
	{"E", "edit-service", none}, {"D", "delete-service", none}, {"C", "clear", none}, {"R", "restore", none},
	{"S", "save", none}, {"e", "edit-server", none}, {"d", "delete-server", none}, {"L", "list", none},
	{"l", "list", none}, {"Z", "zero", none}, {"", "set", none}, {"", "start-daemon", required},
	{"", "stop-daemon", required}, {"h", "help", none}, {"v", "version", none},
	{"t", "tcp-service", required}, {"u", "udp-service", required}, {"", "sctp-service", required},
	{"f", "fwmark-service", required}, {"6", "ipv6", none},
	{"s", "scheduler", required}, {"p", "persistent", optional}, {"M", "netmask", required}, {"", "pe", required},
	{"b", "sched-flags", required}, {"o", "ops", none}, {"O", "ops", none},
	{"r", "real-server", required}, {"g", "gatewaying", none}, {"i", "ipip", none}, {"m", "masquerading", none},
	{"w", "weight", required}, {"x", "u-threshold", required}, {"y", "l-threshold", required},
	{"", "tun-type", required}, {"", "tun-port", required}, {"", "tun-nocsum", none}, {"", "tun-csum", none},
	{"", "tun-remcsum", none},
	{"n", "numeric", none},
}

// commands are the options that say what a line does.
const commands = " A a E D C R S e d L l Z set start-daemon stop-daemon h v "

// belongs lists the options that go with each of the two commands of a saved table.
var belongs = map[string]string{
	"A": " t u sctp-service f 6 s p M pe b o O n ",
	"a": " t u sctp-service f 6 r g i m w x y tun-type tun-port tun-nocsum tun-csum tun-remcsum n ",
}

// name is what the option is called in this file: its letter, else its long form.
func (o *option) name() string {
	if o.short != "" {
		return o.short
	}
	return o.long
}

// flag is the option as one writes it.
func (o *option) flag() string {
	if o.short != "" {
		return "-" + o.short
	}
	return "--" + o.long
}

// save reads the output of ipvsadm -Sn.
func (p *parser) save(text string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) > 0 && words[0] == "ipvsadm" {
			words = words[1:]
		}
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		given, ok := p.arguments(n, words)
		if !ok {
			continue
		}
		if _, is := given["A"]; is {
			p.saveService(n, given)
		} else {
			p.saveServer(n, given)
		}
	}
}

// arguments splits a line into its options; the result has "A" or "a".
func (p *parser) arguments(line int, words []string) (given map[string]string, ok bool) {
	given = map[string]string{}
	command := ""
	for i := 0; i < len(words); i++ {
		o, value, attached := find(words[i])
		if o == nil {
			p.fault(line, "the output of ipvsadm -Sn is expected", "unknown option %q", words[i])
			return nil, false
		}
		switch {
		case attached && o.argument == none:
			p.fault(line, "", "option %s takes no value", o.flag())
			return nil, false
		case attached:
		case o.argument == required && i+1 == len(words):
			p.fault(line, "", "option %s needs a value", o.flag())
			return nil, false
		case o.argument == required,
			o.argument == optional && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-"):
			i++
			value = words[i]
		}
		name := o.name()
		if _, twice := given[name]; twice {
			p.fault(line, "", "option %s occurs twice", o.flag())
			return nil, false
		}
		given[name] = value
		if strings.Contains(commands, " "+name+" ") {
			if command != "" {
				p.fault(line, "one command a line", "two commands, %s and %s", command, o.flag())
				return nil, false
			}
			command = o.flag()
		}
	}
	allowed, known := belongs[strings.TrimPrefix(command, "-")]
	switch {
	case command == "":
		p.fault(line, "-A adds a service, -a a server", "a command is missing")
	case !known:
		p.fault(line, "only -A and -a are imported: save the table with ipvsadm -Sn",
			"command %s is no part of a saved table", command)
	default:
		for _, o := range options {
			if _, is := given[o.name()]; is && !strings.Contains(allowed+command[1:]+" ", " "+o.name()+" ") {
				p.fault(line, "", "option %s does not go with %s", o.flag(), command)
				return nil, false
			}
		}
		return given, true
	}
	return nil, false
}

// find finds the option of a word, and the value that is part of the word.
func find(word string) (o *option, value string, attached bool) {
	if long, is := strings.CutPrefix(word, "--"); is {
		long, value, attached = strings.Cut(long, "=")
		for i := range options {
			if options[i].long == long {
				return &options[i], value, attached
			}
		}
		return nil, "", false
	}
	if len(word) < 2 || word[0] != '-' {
		return nil, "", false
	}
	for i := range options {
		if options[i].short == word[1:2] {
			return &options[i], word[2:], len(word) > 2
		}
	}
	return nil, "", false
}

const fwmarkHint = "name address, protocol and port of the service instead"

// saveEndpoint reads the service of a line.
func (p *parser) saveEndpoint(line int, given map[string]string) (e Endpoint, ok bool) {
	n, text := 0, ""
	for _, f := range [...]struct{ name, protocol string }{
		{"t", "tcp"}, {"u", "udp"}, {"sctp-service", "sctp"}, {"f", "fwmark"},
	} {
		if v, is := given[f.name]; is {
			n++
			e.Protocol, text = f.protocol, v
		}
	}
	switch {
	case n != 1:
		p.fault(line, "one of -t, -u", "%d services are named, not one", n)
		return e, false
	case e.Protocol == "fwmark":
		p.fault(line, fwmarkHint, "service of firewall mark %s: packets have no firewall mark here", text)
		return e, false
	case e.Protocol == "sctp":
		p.fault(line, "TCP and UDP are", "SCTP is not balanced")
		return e, false
	}
	at, ok := p.endpoint(line, "service", text)
	e.Address, e.Port = at.Addr(), at.Port()
	return e, ok
}

func (p *parser) saveService(line int, given map[string]string) {
	at, ok := p.saveEndpoint(line, given)
	if !ok {
		return
	}
	c := scheduling{line: line, scheduler: "wlc", netmask: given["M"], engine: given["pe"]}
	if s, is := given["s"]; is {
		c.scheduler = s
	}
	if f := given["b"]; f != "" {
		c.flags = strings.Split(f, ",")
	}
	var timeout string
	if timeout, c.persistent = given["p"]; timeout != "" {
		if n, err := strconv.ParseUint(timeout, 10, 31); err != nil || n == 0 {
			p.fault(line, "seconds, from 1", "persistence of %q is not a time", timeout)
			ok = false
		}
	}
	_, c.onePacket = given["o"]
	if _, is := given["O"]; is {
		c.onePacket = true
	}
	s := Service{Line: line, At: at}
	p.schedule(&s, c)
	p.addService(s)
}

func (p *parser) saveServer(line int, given map[string]string) {
	at, ok := p.saveEndpoint(line, given)
	if !ok {
		return
	}
	r := Server{Line: line, Weight: 1}
	text, is := given["r"]
	if !is {
		p.fault(line, "-r ADDRESS:PORT", "the server is missing")
		return
	}
	real, ok := p.endpoint(line, "server", text)
	if !ok {
		return
	}
	r.Address, r.Port = real.Addr(), real.Port()
	if w, is := given["w"]; is {
		if r.Weight, ok = p.weight(line, w); !ok {
			return
		}
	}
	i, known := p.byEndpoint[at]
	if !known {
		p.fault(line, "its line -A is missing, or comes later", "there is no service %s", at)
		return
	}
	if !p.saveMethod(line, given, netip.AddrPortFrom(r.Address, r.Port)) {
		return
	}
	for _, f := range [...]string{"x", "y"} {
		if v, is := given[f]; is && v != "0" {
			p.warn(line, "", "threshold -%s %s has no effect: a server's connections are not limited", f, v)
		}
	}
	p.addServer(&p.Services[i], r)
}

// saveMethod reads the forwarding method of a server's line.
func (p *parser) saveMethod(line int, given map[string]string, real netip.AddrPort) bool {
	n, m := 0, methodDirect
	for name, method := range map[string]method{"g": methodDirect, "i": methodTunnel, "m": methodNAT} {
		if _, is := given[name]; is {
			n++
			m = method
		}
	}
	if n > 1 {
		p.fault(line, "one of -g, -i, -m", "%d forwarding methods", n)
		return false
	}
	return p.method(line, m, real.String())
}

// method is how IPVS sends requests to a server.
type method uint8

const (
	methodNAT method = iota // keepalived's default
	methodDirect
	methodTunnel
)

// method says whether a server can be taken.
func (p *parser) method(line int, m method, server string) bool {
	switch {
	case m == methodTunnel:
		p.warn(line, "", "tunnelling to %s becomes direct routing: the overlay carries the requests", server)
	case m == methodNAT && !p.direct:
		p.fault(line, "give the server the virtual address and import with --dr",
			"server %s is behind masquerading (NAT): replies do not come back through the director here", server)
		return false
	case m == methodNAT:
		p.warn(line, "", "masquerading of %s becomes direct routing: the server needs the virtual address", server)
	}
	return true
}
