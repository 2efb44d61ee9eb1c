// Package ipvs reads the tables of Linux IPVS, as the programs around it write them, and makes vips, services and
// servers of them: the output of `ipvsadm -Sn` (ipvsadm-save -n) and the virtual servers of keepalived's configuration.
//
// A parser reads a text to its end and reports every fault with its line. What the balancer does in another way is a
// warning; what it cannot do is a fault, and then nothing of the text is used.
package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Format is the form of a text.
type Format string

// The formats.
const (
	FormatSave       Format = "ipvsadm"    // ipvsadm -Sn
	FormatKeepalived Format = "keepalived" // keepalived.conf
)

// Formats are all formats, for help and completion.
var Formats = []string{string(FormatSave), string(FormatKeepalived)}

// Limits of a text. A text beyond them is a fault.
const (
	maxServices = 65536 // of a text, ranges of keepalived's groups expanded
	maxServers  = 65536 // of a text
	maxWeight   = 65535
	maxFindings = 1000 // faults, and warnings; the rest is counted
)

// Finding is a fault or a warning.
type Finding struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String returns LINE: MESSAGE (HINT).
func (f Finding) String() string {
	s := fmt.Sprintf("%d: %s", f.Line, f.Message)
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// Options of Parse.
type Options struct {
	Format Format // "" = found from the text
	// Direct takes servers behind masquerading (ipvsadm -m, lvs_method NAT) as well: they are served by direct routing,
	// so each needs the virtual address.
	Direct bool
}

// Table is what a text says.
type Table struct {
	Format   Format
	Services []Service // in the order of the text
	Faults   []Finding // by line
	Warnings []Finding // by line
	Omitted  int       // findings beyond the limit, which are not listed
}

// Service is a virtual service. A value that the text does not give is zero.
type Service struct {
	Line      int
	At        Endpoint
	Scheduler string // of the model: maglev, rr, lc
	Hash      string // of the model, with maglev: tuple, client
	OnePacket bool
	Check     *Check // nil = the text does not say
	Servers   []Server

	equal    bool // the scheduler does not look at weights
	failover bool // only the heaviest servers are used
}

// Endpoint is a virtual service's address, protocol and port; port 0 is all ports.
type Endpoint struct {
	Address  netip.Addr
	Protocol string // tcp, udp
	Port     uint16
}

// String returns PROTOCOL ADDRESS:PORT.
func (e Endpoint) String() string {
	return e.Protocol + " " + netip.AddrPortFrom(e.Address, e.Port).String()
}

// Server is a real server.
type Server struct {
	Line    int
	Address netip.Addr
	Port    uint16 // 0 = all ports, untranslated
	Weight  int
	Backup  bool
}

// Parse reads a text. The faults and warnings are in the result.
func Parse(text string, o Options) *Table {
	if o.Format == "" {
		o.Format = formatOf(text)
	}
	t := &Table{Format: o.Format}
	p := parser{Table: t, direct: o.Direct, byEndpoint: map[Endpoint]int{}, seen: map[Finding]bool{},
		servers: map[serverKey]int{}}
	if o.Format == FormatKeepalived {
		p.keepalived(text)
	} else {
		p.save(text)
	}
	p.finish()
	return t
}

// formatOf tells the formats apart by the first word that is no comment.
func formatOf(text string) Format {
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line[0] == '-', strings.HasPrefix(line, "ipvsadm "):
			return FormatSave
		default:
			return FormatKeepalived
		}
	}
	return FormatSave
}

// parser is what the two parsers share.
type parser struct {
	*Table
	direct     bool
	byEndpoint map[Endpoint]int  // index into Services
	servers    map[serverKey]int // line
	seen       map[Finding]bool
}

func (p *parser) fault(line int, hint, format string, args ...any) {
	p.add(&p.Faults, Finding{line, fmt.Sprintf(format, args...), hint})
}

func (p *parser) warn(line int, hint, format string, args ...any) {
	p.add(&p.Warnings, Finding{line, fmt.Sprintf(format, args...), hint})
}

func (p *parser) add(to *[]Finding, f Finding) {
	if p.seen[f] { // once, however many services a block makes
		return
	}
	p.seen[f] = true
	if len(*to) >= maxFindings {
		p.Omitted++
		return
	}
	*to = append(*to, f)
}

// finish sorts the findings and applies what depends on all servers of a service.
func (p *parser) finish() {
	for i := range p.Services {
		p.weights(&p.Services[i])
	}
	byLine := func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) }
	slices.SortStableFunc(p.Faults, byLine)
	slices.SortStableFunc(p.Warnings, byLine)
}

// addService adds a service, unless the text has its endpoint already.
func (p *parser) addService(s Service) *Service {
	if at, dup := p.byEndpoint[s.At]; dup {
		p.fault(s.Line, "name every service once", "%s occurs a second time, after line %d", s.At, p.Services[at].Line)
		return nil
	}
	if len(p.Services) == maxServices {
		p.fault(s.Line, "split the text", "more than %d services", maxServices)
		return nil
	}
	p.byEndpoint[s.At] = len(p.Services)
	p.Services = append(p.Services, s)
	return &p.Services[len(p.Services)-1]
}

// addServer adds a server to a service; false means that no more can be added.
func (p *parser) addServer(s *Service, r Server) bool {
	if s.At.Port != 0 && r.Port == 0 {
		r.Port = s.At.Port
	}
	key := serverKey{s.At, netip.AddrPortFrom(r.Address, r.Port)}
	switch at, twice := p.servers[key]; {
	case twice:
		p.fault(r.Line, "name every server of a service once", "server %s of %s occurs a second time, after line %d",
			key.server, s.At, at)
		return true
	case len(p.servers) == maxServers:
		p.fault(r.Line, "split the text", "more than %d servers", maxServers)
		return false
	case s.At.Port == 0 && r.Port != 0:
		p.fault(r.Line, "leave the server's port out, or name the service's port",
			"a service of all ports cannot translate to port %d", r.Port)
		return true
	}
	p.servers[key] = r.Line
	s.Servers = append(s.Servers, r)
	return true
}

// serverKey is a server of a service.
type serverKey struct {
	service Endpoint
	server  netip.AddrPort
}
