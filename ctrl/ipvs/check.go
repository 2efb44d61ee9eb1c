package ipvs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/model"
)

// Check is a health check. A value that the text does not give is zero: the service's default.
type Check struct {
	Type     string // of the model: tcp, http, https, udp, icmp, none
	Interval time.Duration
	Timeout  time.Duration
	Fall     int
	Path     string
	Host     string
	Status   []string // 200, 200-299
	Body     string
	Send     string // hexadecimal
	Expect   string
}

// settings are values that hold for a virtual server, a real server or a checker, the inner before the outer.
type settings struct {
	interval, timeout time.Duration
	retry             int // retries + 1; 0 = not given
	host              string
}

// read reads a statement if it is one of the settings.
func (t *settings) read(p *parser, s *block) bool {
	value := s.arg(1)
	switch s.words[0] {
	case "delay_loop":
		t.interval = p.seconds(s)
	case "connect_timeout":
		t.timeout = p.seconds(s)
	case "retry":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n >= model.MaxCheckCount {
			p.fault(s.line, "0 to 99", "retry %q is not a number of retries", value)
		}
		t.retry = int(n) + 1
	case "virtualhost":
		t.host = value
	case "inhibit_on_failure":
		p.warn(s.line, "set a server to draining to let its connections end",
			"inhibit_on_failure has no effect: connections of a server that failed are scheduled anew")
	default:
		return false
	}
	return true
}

// seconds reads a time: seconds, with a fraction.
func (p *parser) seconds(s *block) time.Duration {
	f, err := strconv.ParseFloat(s.arg(1), 64)
	if err != nil || !(f >= 0.1 && f <= 3600) {
		p.fault(s.line, "seconds, 0.1 to 3600", "%s %q is not a time", s.words[0], s.arg(1))
		return 0
	}
	return time.Duration(f*1000) * time.Millisecond
}

// defaultInterval is the interval of checks that name none.
const defaultInterval = 2 * time.Second

// checker makes the check of a real server from its checkers.
func (p *parser) checker(list []*block, set settings, port uint16, v *virtual) *Check {
	if len(list) == 0 {
		return nil
	}
	if len(list) > 1 {
		p.warn(list[1].line, "", "the server has several checks: %s of line %d is used", list[0].words[0], list[0].line)
	}
	b := list[0]
	c := &Check{Type: "tcp"}
	if v.protocol == "udp" {
		c.Type = "udp"
	}
	switch name := b.words[0]; name {
	case "TCP_CHECK":
		c.Type = "tcp"
	case "HTTP_GET":
		c.Type = "http"
	case "SSL_GET":
		c.Type = "https"
	case "UDP_CHECK":
		c.Type = "udp"
	case "PING_CHECK":
		c.Type = "icmp"
	default:
		p.warn(b.line, "change it after the import", "%s becomes a check of type %s", name, c.Type)
	}
	if v.protocol == "udp" && c.Type != "udp" && c.Type != "icmp" {
		p.warn(b.line, "", "%s of a UDP service becomes a check of type udp", b.words[0])
		c.Type = "udp"
	}
	urls := 0
	for _, s := range b.inside {
		value := s.arg(1)
		switch name := s.words[0]; name {
		case "connect_port":
			if n, ok := p.port(s.line, name, value); ok && n != port && port != 0 {
				p.warn(s.line, "", "connect_port %d: checks go to the server's port", n)
			}
		case "connect_ip", "bindto", "bind_to", "bind_if", "bind_port", "fwmark":
			p.warn(s.line, "", "%s has no effect: checks go the way of a client's packets", name)
		case "url":
			if urls++; urls > 1 {
				p.warn(s.line, "", "only the first url is checked")
				continue
			}
			p.url(c, s)
		case "payload":
			c.Send = p.octets(s)
		case "require_reply":
			if c.Expect = p.octets(s); c.Expect == "" {
				p.warn(s.line, "set the check's expect after the import",
					"require_reply without octets: an answer is not required")
			}
		case "enable_sni", "alpha", "delay_before_retry", "warmup", "log_all_failures", "http_protocol",
			"fast_recovery",
			"min_reply_length", "max_reply_length", "helo_name", "type", "name", "misc_path", "misc_timeout",
			"misc_dynamic", "user", "track_file", "dynamic", "weight", "host":
		default:
			if !set.read(p, s) {
				p.warn(s.line, "", "%s is unknown and has no effect", name)
			}
		}
	}
	if c.Type == "http" || c.Type == "https" {
		if c.Host == "" {
			c.Host = set.host
		}
		if len(c.Status) == 0 {
			c.Status = []string{"200-299"} // keepalived's default
		}
	}
	c.Interval, c.Timeout, c.Fall = set.interval, set.timeout, set.retry
	switch {
	case c.Interval == 0 && c.Timeout > defaultInterval:
		c.Interval = c.Timeout
	case c.Interval != 0 && c.Timeout > c.Interval:
		p.warn(b.line, "", "the check's timeout becomes its interval, %s, which is shorter", model.Duration(c.Interval))
		c.Timeout = c.Interval
	}
	return c
}

// url reads a url of HTTP_GET and SSL_GET.
func (p *parser) url(c *Check, b *block) {
	for _, s := range b.inside {
		switch value := s.arg(1); s.words[0] {
		case "path":
			c.Path = value
		case "virtualhost":
			c.Host = value
		case "status_code":
			for _, w := range s.words[1:] {
				first, last, isRange := strings.Cut(w, "-")
				if !isRange {
					last = first
				}
				if !statusCode(first) || !statusCode(last) || last < first {
					p.fault(s.line, "200 or 200-299", "status_code %q is not a status", w)
					continue
				}
				c.Status = append(c.Status, w)
			}
		case "digest":
			p.warn(s.line, "set the check's body after the import", "digest has no effect")
		default:
			p.warn(s.line, "set the check's body after the import", "%s has no effect", s.words[0])
		}
	}
}

func statusCode(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && len(s) == 3 && 100 <= n && n <= 599
}

// octets reads octets in keepalived's free form, words of hexadecimal digits, and returns them in pairs of digits.
func (p *parser) octets(s *block) string {
	var out strings.Builder
	for _, w := range strings.Fields(strings.Join(s.words[1:], " ")) {
		if len(w)%2 == 1 { // "12f" is 12 0f
			w = w[:len(w)-1] + "0" + w[len(w)-1:]
		}
		for _, c := range w {
			if !strings.ContainsRune("0123456789abcdefABCDEF", c) {
				p.fault(s.line, "pairs of hexadecimal digits", "%s: %q is not an octet", s.words[0], w)
				return ""
			}
		}
		out.WriteString(strings.ToLower(w))
	}
	return out.String()
}

// check is the check of the whole service: that of the first server that has one.
func (v *virtual) check() *Check {
	for i := range v.reals {
		if c := v.reals[i].check; c != nil {
			return c
		}
	}
	return &Check{Type: "none"} // keepalived does not check, and takes all servers for alive
}

// allPorts returns the check for a service of all ports, which has no port that could be checked.
func (p *parser) allPorts(line int, c *Check) *Check {
	if c.Type == "none" || c.Type == "icmp" {
		return c
	}
	p.warn(line, "", "a service of all ports has no port to check: the check becomes icmp")
	return &Check{Type: "icmp", Interval: c.Interval, Timeout: c.Timeout, Fall: c.Fall}
}

// unequal reports servers whose check is not that of the service.
func (p *parser) unequal(v *virtual) {
	want := v.check()
	if want.Type == "none" {
		return
	}
	first := 0
	for i := range v.reals {
		switch r := &v.reals[i]; {
		case r.Backup:
		case r.check == nil:
			p.warn(r.Line, "", "the server has no check: it gets that of the service")
		case first == 0:
			first = r.Line
		case fmt.Sprint(*r.check) != fmt.Sprint(*want):
			p.warn(r.Line, "", "a service has one check: that of the server of line %d is used", first)
		}
	}
}
