package model

import (
	"penstock/ctrl/model/strict"
)

// Service is a virtual service: a VIP, a protocol and one port, a range of ports, or all.
type Service struct {
	Tenant   string `json:"tenant"`
	Name     string `json:"name"`
	VIP      string `json:"vip"`                // name of a VIP of the tenant
	ID       uint32 `json:"id"`                 // 1 … 16,777,215, unique in the tenant: in the mark
	Protocol string `json:"protocol,omitempty"` // "tcp" (default), "udp"
	Port     uint16 `json:"port"`               // 0 = all
	PortEnd  uint16 `json:"port_end,omitempty"` // last port of a range; 0 = Port alone

	Scheduler string `json:"scheduler,omitempty"`  // "maglev" (default), "rr", "lc"
	Hash      string `json:"hash,omitempty"`       // "tuple" (default), "client", "quic"
	TableSize uint32 `json:"table_size,omitempty"` // entries, a prime; 0 = DefaultTableSize
	Check     *Check `json:"check,omitempty"`

	SlowStart    Duration  `json:"slow_start,omitzero"`     // 0 = a server that came up has its whole weight at once
	DrainTimeout *Duration `json:"drain_timeout,omitempty"` // default DefaultDrainTimeout
	Panic        *uint8    `json:"panic,omitempty"`         // percent of the weight; default DefaultPanic, 0 = never
	NoServer     string    `json:"no_server,omitempty"`     // "reject" (default), "drop"
	SharedPorts  bool      `json:"shared_ports,omitempty"`  // another service may use the same ports of the servers
	OnePacket    bool      `json:"one_packet,omitempty"`    // UDP: each datagram alone
}

// The defaults of services.
const (
	DefaultTableSize    = 65_537
	DefaultDrainTimeout = 5 * minute
	DefaultPanic        = 25
)

// The most of what a service has.
const (
	MaxServices        = 10_000    // of one box
	MaxServers         = 262_144   // of all services of one box
	MaxServiceServers  = 65_535    // of one service
	MaxTableSize       = 8_388_593 // the largest prime below 2²³
	MaxServiceID       = 1<<24 - 1
	TableSizePerServer = 100 // the least
)

// The values of the members, the default first.
var (
	protocolWords  = []string{"tcp", "udp"}
	schedulerWords = []string{"maglev", "rr", "lc"}
	hashWords      = []string{"tuple", "client", "quic"}
	noServerWords  = []string{"reject", "drop"}
)

// UDP reports whether the service's protocol is UDP.
func (s *Service) UDP() bool { return s.Protocol == "udp" }

// LastPort returns the last port: Port for a single one, 65,535 for all.
func (s *Service) LastPort() uint16 {
	switch {
	case s.Port == 0:
		return 65_535
	case s.PortEnd == 0:
		return s.Port
	}
	return s.PortEnd
}

// EffectiveTableSize returns the size of the service's table.
func (s *Service) EffectiveTableSize() uint32 {
	if s.TableSize == 0 {
		return DefaultTableSize
	}
	return s.TableSize
}

// EffectiveDrainTimeout returns how long flows of a draining server may last.
func (s *Service) EffectiveDrainTimeout() Duration {
	if s.DrainTimeout == nil {
		return DefaultDrainTimeout
	}
	return *s.DrainTimeout
}

// EffectivePanic returns the percentage of healthy weight below which the service is in panic; 0 = never.
func (s *Service) EffectivePanic() uint8 {
	if s.Panic == nil {
		return DefaultPanic
	}
	return *s.Panic
}

// VIPKey returns the key of the service's VIP.
func (s *Service) VIPKey() string { return s.Tenant + "/" + s.VIP }

// Kind implements Object.
func (Service) Kind() Kind { return KindService }

// Key implements Object.
func (s Service) Key() string { return s.Tenant + "/" + s.Name }

var serviceKind = Info{
	Kind: KindService, One: "service", Doc: "A virtual service: a VIP, a protocol and ports.",
	Key:     []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Example: Service{Tenant: "RED", Name: "http", VIP: "www", ID: 7, Port: 80},
	Members: []Member{
		{Name: "vip", Named: true, Doc: "A VIP of the tenant."},
		{Name: "id", Min: 1, Max: MaxServiceID, Doc: "Unique within the tenant. It marks the service's packets " +
			"between boxes."},
		{Name: "protocol", Words: protocolWords, Doc: "Default tcp."},
		{Name: "port", Max: 65_535, Doc: "0 is all ports. A service of one port precedes one with a range, and that " +
			"one with all."},
		{Name: "port_end", Doc: "The last port of a range; absent: port alone."},
		{Name: "scheduler", Words: schedulerWords,
			Doc: "How a new flow gets its server: maglev, the default, by the hash; rr in turn; lc the one with the " +
				"fewest flows for its weight. rr and lc count in each worker."},
		{Name: "hash", Words: hashWords,
			Doc: "What the hash is made of: tuple, the default, addresses and ports; client the client's address; " +
				"quic (UDP only) the server's quic_id in the connection ID, else as tuple."},
		{Name: "table_size", Doc: "Entries of the table of servers: a prime, at least 100 for each server; default " +
			"65537."},
		{Name: "check", Doc: "The health check of the servers."},
		{Name: "slow_start", Doc: "Time in which a server that came up gets its whole weight, in ten steps; default " +
			"0s."},
		{Name: "drain_timeout", Doc: "How long TCP flows of a draining server may last, and how long replies of a " +
			"server that was removed are still translated; default 5m."},
		{Name: "panic", Max: 100, Doc: "If less than this percentage of the enabled servers' weight is healthy, the " +
			"backups are used, without backups all enabled servers; 0 = never; default 25."},
		{Name: "no_server", Words: noServerWords,
			Doc: "Answer to a packet when there is no server: reject, the default, by TCP RST or ICMP port " +
				"unreachable; drop: none."},
		{Name: "shared_ports", Doc: "Another service of the VIP, which says so, too, may lead to the same port of a " +
			"server. The servers' boxes then keep a note of each flow."},
		{Name: "one_packet", Doc: "Each datagram is scheduled alone, without a flow (UDP only)."},
		{Name: "check.type", Words: checkWords, Doc: "tcp, the default, http, https, udp (the default of UDP " +
			"services), icmp (the default of services with all ports), arp or none."},
		{Name: "check.interval", Doc: "Default 2s."},
		{Name: "check.timeout", Doc: "At most the interval; default 1s."},
		{Name: "check.fall", Min: 1, Max: MaxCheckCount, Doc: "A server is down after this number of failures in a " +
			"row; default 3."},
		{Name: "check.rise", Min: 1, Max: MaxCheckCount, Doc: "A server is up again after this number of successes " +
			"in a row; default 2."},
		{Name: "check.path", Doc: "http, https: the path of the request; default /."},
		{Name: "check.host", Doc: "http, https: the name in the request, and of the certificate; default: the VIP."},
		{Name: "check.status", Doc: "http, https: the accepted codes, as 200-399 (the default) or 200,204,300-399."},
		{Name: "check.body", Doc: "http, https: a text that the body must contain."},
		{Name: "check.send", Doc: "tcp, udp: what is sent: a text, or octets as hex:0d0a."},
		{Name: "check.expect", Doc: "tcp, udp: what the answer must begin with: a text, or octets as hex:0d0a."},
		{Name: "check.verify", Doc: "https: the certificate must be valid; default false."},
	},
	Filters: []Filter{
		byTenant(func(s Service) string { return s.Tenant }),
		byMember("vip", "Only of this VIP.", func(s Service) string { return s.VIP }),
	},
	Short:    "Virtual services and how many of their servers are usable",
	ShowArgs: []string{"red", "--rate 1s"},
	Columns: []Column{
		{Head: "SERVICE", Member: "key"}, {Head: "VIP", Member: "vip"},
		{Head: "PROTOCOL", Member: "protocol", Default: "tcp"},
		{Head: "PORT", Member: "port", Number: true}, {Head: "SCHEDULER", Member: "scheduler", Default: "maglev"},
		{Head: "SERVERS", Member: "status.servers", Number: true},
		{Head: "USABLE", Member: "status.usable", Number: true},
	},
	Max:      always(MaxServices),
	Refs:     func(o Object) []Ref { s := o.(Service); return []Ref{{KindVIP, s.VIPKey()}} },
	decode:   decodeService,
	validate: (*validator).services,
	objects:  mapOf[Service](func(s *State) *map[string]Service { return &s.Services }),
}

// decodeService insists on a port: the service of all ports is one that somebody wants, not one that forgot its port.
func decodeService(i *Info, n *strict.Node, path, key string) (Object, []strict.Problem) {
	o, ps := i.decodeObject(n, path, key)
	if n.Type == strict.Object && n.Get("port") == nil {
		field := "port"
		if path != "" {
			field = path + ".port"
		}
		ps = append(ps, strict.Problem{Field: field, Code: CodeRequired, Message: "the port is missing",
			Hint: "give a port from 1 to 65535, or 0 for all ports"})
	}
	if len(ps) == 0 {
		ps = written(o.(Service), n, path)
	}
	return o, ps
}

// written reports what is written and means nothing: a table size, an interval or a timeout of 0, where absent ones
// have defaults, and times and counts of a check of the type none. Such services of a store that has them stay valid.
func written(s Service, n *strict.Node, path string) (ps []strict.Problem) {
	if path != "" {
		path += "."
	}
	has := func(n *strict.Node, name string) bool {
		if n == nil || n.Type != strict.Object {
			return false
		}
		v := n.Get(name)
		return v != nil && v.Type != strict.Null
	}
	problem := func(field, code, what, hint string) {
		ps = append(ps, strict.Problem{Field: path + field, Code: code, Message: what, Hint: hint})
	}
	zero := func(field, what, hint string) { problem(field, CodeInvalid, what, hint) }
	if has(n, "table_size") && s.TableSize == 0 {
		zero("table_size", "a table of 0 entries has no room for a server",
			"leave it out for 65537, or choose a prime")
	}
	if s.Check == nil || n.Type != strict.Object {
		return ps
	}
	check := n.Get("check")
	if s.Check.Type == CheckNone {
		for _, name := range []string{"interval", "timeout", "fall", "rise"} {
			if has(check, name) {
				problem("check."+name, CodeConflict, "a check of the type none checks nothing and has no "+name,
					"leave it out, or choose another type")
			}
		}
		return ps
	}
	if has(check, "interval") && s.Check.Interval == 0 {
		zero("check.interval", "0s is too short", "leave it out for 2s, or choose a time from 100ms to 1h")
	}
	if has(check, "timeout") && s.Check.Timeout == 0 {
		zero("check.timeout", "0s is too short", "leave it out for 1s, or choose a time from 10ms to the interval")
	}
	return ps
}
