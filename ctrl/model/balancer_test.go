package model

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model/strict"
)

// service80 is the state of one service on port 80 with two servers, and a tenant blue beside it.
func service80() *Draft {
	d := NewDraft(&State{})
	gw := netip.MustParseAddr("10.10.1.253")
	d.Put(Tenant{Name: "red", ID: 100, Gateway: "out", GatewayAddresses: []netip.Addr{gw}})
	d.Put(Tenant{Name: "blue", ID: 200})
	for _, t := range []string{"red", "blue"} {
		d.Put(Segment{Tenant: t, Name: "web", ID: 1})
		d.Put(Subnet{Tenant: t, Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.10.1.0/24"),
			Router: netip.MustParseAddr("10.10.1.254")})
		d.Put(VIF{Tenant: t, Name: "web1", Segment: "web", MAC: 0x020000000114, Port: "acc0", VLAN: uint16(len(t)),
			Addresses: []netip.Addr{netip.MustParseAddr("10.10.1.20")}})
	}
	d.Put(Subnet{Tenant: "red", Name: "web6", Segment: "web", Prefix: netip.MustParsePrefix("fd00:10::/64")})
	d.Put(vip("www", "10.10.1.100", "10.10.1.101"))
	d.Put(Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80})
	d.Put(Server{Tenant: "red", Service: "http", Name: "web1", VIF: "web1", Port: 8080})
	d.Put(Server{Tenant: "red", Service: "http", Name: "web2", Address: netip.MustParseAddr("10.10.1.21"), Port: 8080})
	return d
}

func vip(name, address string, directors ...string) VIP {
	v := VIP{Tenant: "red", Name: name, Segment: "web", Address: netip.MustParseAddr(address)}
	for i, a := range directors {
		v.Directors = append(v.Directors, Director{Box: string(rune('D' + i)), Address: netip.MustParseAddr(a)})
	}
	return v
}

func svc(name string, id uint32, port, end uint16, change ...func(*Service)) Service {
	s := Service{Tenant: "red", Name: name, VIP: "www", ID: id, Port: port, PortEnd: end}
	for _, f := range change {
		f(&s)
	}
	return s
}

func srv(service, name, vif string, port uint16, change ...func(*Server)) Server {
	s := Server{Tenant: "red", Service: service, Name: name, VIF: vif, Port: port}
	for _, f := range change {
		f(&s)
	}
	return s
}

func udp(s *Service) { s.Protocol = "udp" }

func check(c Check) func(*Service) { return func(s *Service) { s.Check = &c } }

// TestBalancerRules pushes one mistake at a time onto a valid state: exactly one problem is reported, at the object
// that
// was pushed.
func TestBalancerRules(t *testing.T) {
	mac := func(m MAC) *MAC { return &m }
	number := func(n uint16) *uint16 { return &n }
	percent := uint8(101)
	long := Duration(8 * 24 * time.Hour)
	for _, tc := range []struct {
		name    string
		put     []Object
		at      string // kind/key: field
		code    string
		message string // of message and hint
	}{
		{"VIP in no subnet", []Object{vip("x", "10.10.2.1")}, "vips/red/x: address", CodeNotFound, "10.10.1.0/24"},
		{"VIP is a VIF's", []Object{vip("x", "10.10.1.20")}, "vips/red/x: address", CodeDuplicate, "VIF red/web1"},
		{"VIP is the router's", []Object{vip("x", "10.10.1.254")}, "vips/red/x: address", CodeReserved,
			"virtual router"},
		{"VIP is a gateway's", []Object{vip("x", "10.10.1.253")}, "vips/red/x: address", CodeReserved, "gateway"},
		{"VIP is a group's", []Object{vip("x", "10.10.1.252")}, "vips/red/x: address", CodeReserved,
			"gateway group out"},
		{"VIP is another's", []Object{vip("x", "10.10.1.100")}, "vips/red/x: address", CodeDuplicate, "VIP red/www"},
		{"VIP is a director's", []Object{vip("x", "10.10.1.101")}, "vips/red/x: address", CodeDuplicate,
			"director of VIP red/www"},
		{"VIP is the network", []Object{vip("x", "10.10.1.0")}, "vips/red/x: address", CodeInvalid, "network address"},
		{"VIP is link-local", []Object{vip("x", "fe80::1")}, "vips/red/x: address", CodeInvalid, "link-local"},
		{"VIF gets the VIP", []Object{VIF{Tenant: "red", Name: "web1", Segment: "web", MAC: 0x020000000114,
			Port: "acc0",
			VLAN: 3, Addresses: []netip.Addr{netip.MustParseAddr("10.10.1.100")}}}, "vips/red/www: address",
			CodeDuplicate,
			"VIF red/web1"},
		{"MAC like a mark", []Object{VIF{Tenant: "red", Name: "x", Segment: "web", MAC: 0x024d4b000001, Port: "acc0",
			VLAN: 9}},
			"vifs/red/x: mac", CodeReserved, "02:4d:4b"},
		{"router like a mark", []Object{Tenant{Name: "x", ID: 9, RouterMAC: mac(0x024d4b000001)}},
			"tenants/x: router_mac",
			CodeReserved, "02:4d:4b"},
		{"VIP like a mark", []Object{VIP{Tenant: "red", Name: "x", Segment: "web",
			Address: netip.MustParseAddr("10.10.1.9"),
			MAC:     mac(0x024d4b000001)}}, "vips/red/x: mac", CodeReserved, "02:4d:4b"},
		{"VIP with a VIF's MAC", []Object{VIP{Tenant: "red", Name: "x", Segment: "web",
			Address: netip.MustParseAddr("10.10.1.9"), MAC: mac(0x020000000114)}}, "vips/red/x: mac", CodeDuplicate,
			"VIF red/web1"},
		{"VIP with a VIP's MAC", []Object{VIP{Tenant: "red", Name: "x", Segment: "web",
			Address: netip.MustParseAddr("10.10.1.9"), MAC: mac(0x02560a0a0164)}}, "vips/red/x: mac", CodeDuplicate,
			"VIP red/www"},
		{"VIP with a group MAC", []Object{VIP{Tenant: "red", Name: "x", Segment: "web",
			Address: netip.MustParseAddr("10.10.1.9"), MAC: mac(0x010000000001)}}, "vips/red/x: mac", CodeInvalid,
			"multicast"},
		{"director in no subnet", []Object{vip("x", "10.10.1.9", "10.10.2.1")}, "vips/red/x: directors[0].address",
			CodeNotFound, "subnet"},
		{"director of another family", []Object{vip("x", "fd00:10::9", "10.10.1.9")},
			"vips/red/x: directors[0].address",
			CodeInvalid, "family"},
		{"director with a VIF's address", []Object{vip("x", "10.10.1.9", "10.10.1.20")},
			"vips/red/x: directors[0].address",
			CodeDuplicate, "VIF red/web1"},
		{"director with another's address", []Object{vip("x", "10.10.1.9", "10.10.1.8", "10.10.1.101")},
			"vips/red/x: directors[1].address", CodeDuplicate, "box D"},
		{"director twice", []Object{VIP{Tenant: "red", Name: "x", Segment: "web",
			Address: netip.MustParseAddr("10.10.1.9"),
			Directors: []Director{{Box: "D", Address: netip.MustParseAddr("10.10.1.8")},
				{Box: "D", Address: netip.MustParseAddr("10.10.1.7")}}}}, "vips/red/x: directors[1].box",
			CodeDuplicate, "box D"},
		{"no segment", []Object{VIP{Tenant: "red", Name: "x", Segment: "y", Address: netip.MustParseAddr("10.10.1.9")}},
			"vips/red/x: segment", CodeNotFound, "segment"},
		{"mode", []Object{VIP{Tenant: "red", Name: "x", Segment: "web", Address: netip.MustParseAddr("10.10.1.9"),
			Mode: "both"}},
			"vips/red/x: mode", CodeInvalid, "standby, anycast"},

		{"no VIP", []Object{svc("x", 8, 81, 0, func(s *Service) { s.VIP = "none" })}, "services/red/x: vip",
			CodeNotFound, "none"},
		{"ID 0", []Object{svc("x", 0, 81, 0)}, "services/red/x: id", CodeRequired, "1 to 16777215"},
		{"ID of 25 bits", []Object{svc("x", 1<<24, 81, 0)}, "services/red/x: id", CodeInvalid, "24 bits"},
		{"ID twice", []Object{svc("a", 7, 81, 0)}, "services/red/a: id", CodeDuplicate, "service red/http"},
		{"port twice", []Object{svc("a", 8, 80, 0)}, "services/red/a: port", CodeOverlap, "service red/http"},
		{"all ports twice", []Object{svc("a", 8, 0, 0), svc("b", 9, 0, 0)}, "services/red/b: port", CodeOverlap,
			"service red/a"},
		{"ranges overlap", []Object{svc("a", 8, 8000, 8099), svc("b", 9, 8050, 8060)}, "services/red/b: port_end",
			CodeOverlap,
			"ports 8000 to 8099"},
		{"range backwards", []Object{svc("a", 8, 8099, 8000)}, "services/red/a: port_end", CodeInvalid, "from 8099 on"},
		{"range of all", []Object{svc("a", 8, 0, 8000)}, "services/red/a: port_end", CodeConflict, "all ports"},
		{"table not prime", []Object{svc("a", 8, 81, 0, func(s *Service) { s.TableSize = 65536 })},
			"services/red/a: table_size",
			CodeInvalid, "65537"},
		{"table too large", []Object{svc("a", 8, 81, 0, func(s *Service) { s.TableSize = 1 << 23 })},
			"services/red/a: table_size", CodeInvalid, "8388593"},
		{"table too small for the servers", []Object{svc("http", 7, 80, 0, func(s *Service) { s.TableSize = 199 })},
			"services/red/http: table_size", CodeInvalid, "211"},
		{"QUIC over TCP", []Object{svc("a", 8, 81, 0, func(s *Service) { s.Hash = "quic" })}, "services/red/a: hash",
			CodeConflict, "udp"},
		{"one packet of TCP", []Object{svc("a", 8, 81, 0, func(s *Service) { s.OnePacket = true })},
			"services/red/a: one_packet",
			CodeConflict, "udp"},
		{"panic above 100", []Object{svc("a", 8, 81, 0, func(s *Service) { s.Panic = &percent })},
			"services/red/a: panic",
			CodeInvalid, "0 (never) to 100"},
		{"drains for weeks", []Object{svc("a", 8, 81, 0, func(s *Service) { s.DrainTimeout = &long })},
			"services/red/a: drain_timeout", CodeInvalid, "168h"},
		{"slow start of weeks", []Object{svc("a", 8, 81, 0, func(s *Service) { s.SlowStart = long })},
			"services/red/a: slow_start", CodeInvalid, "168h"},

		{"check of UDP by TCP", []Object{svc("a", 8, 81, 0, udp, check(Check{Type: "tcp"}))},
			"services/red/a: check.type",
			CodeConflict, "udp, icmp"},
		{"check of TCP by UDP", []Object{svc("a", 8, 81, 0, check(Check{Type: "udp"}))}, "services/red/a: check.type",
			CodeConflict, "tcp, http"},
		{"check of all ports", []Object{svc("a", 8, 0, 0, check(Check{Type: "http"}))}, "services/red/a: check.type",
			CodeConflict, "icmp, arp or none"},
		{"check too often", []Object{svc("a", 8, 81, 0, check(Check{Interval: Duration(time.Millisecond)}))},
			"services/red/a: check.interval", CodeInvalid, "100ms"},
		{"timeout above the interval", []Object{svc("a", 8, 81, 0, check(Check{Timeout: Duration(3 * time.Second)}))},
			"services/red/a: check.timeout", CodeInvalid, "at most the interval, 2s"},
		{"path of TCP", []Object{svc("a", 8, 81, 0, check(Check{Path: "/"}))}, "services/red/a: check.path",
			CodeConflict, "http or https"},
		{"path without slash", []Object{svc("a", 8, 81, 0, check(Check{Type: "http", Path: "x"}))},
			"services/red/a: check.path", CodeInvalid, "begins with /"},
		{"header in the host", []Object{svc("a", 8, 81, 0, check(Check{Type: "http", Host: "a\r\nb: c"}))},
			"services/red/a: check.host", CodeInvalid, "name such as"},
		{"status 600", []Object{svc("a", 8, 81, 0, check(Check{Type: "http", Status: "200,600"}))},
			"services/red/a: check.status", CodeInvalid, "100 to 599"},
		{"odd hexadecimal", []Object{svc("a", 8, 81, 0, udp, check(Check{Send: "hex:012"}))},
			"services/red/a: check.send",
			CodeInvalid, "two hexadecimal digits"},
		{"no fall", []Object{svc("a", 8, 81, 0, check(Check{Fall: number(0)}))}, "services/red/a: check.fall",
			CodeInvalid, "1 to 100"},
		{"certificate of HTTP", []Object{svc("a", 8, 81, 0, check(Check{Type: "http", Verify: true}))},
			"services/red/a: check.verify", CodeConflict, "https"},

		{"no service", []Object{srv("none", "x", "web1", 0)}, "servers/red/none/x: service", CodeNotFound, "none"},
		{"server nowhere", []Object{srv("http", "x", "", 0)}, "servers/red/http/x: vif", CodeRequired, "address"},
		{"server twice " +
			"told", []Object{srv("http", "x", "y", 0,
			func(s *Server) { s.Address = netip.MustParseAddr("10.10.1.3") })},
			"servers/red/http/x: address", CodeConflict, "vif or address"},
		{"server of blue", []Object{srv("http", "x", "blue/web1", 0)}, "servers/red/http/x: vif", CodeConflict,
			"tenant blue"},
		{"server with its tenant", []Object{srv("http", "x", "red/web9", 0)}, "servers/red/http/x: vif", CodeInvalid,
			`"web9"`},
		{"server is the " +
			"VIP", []Object{srv("http", "x", "", 0,
			func(s *Server) { s.Address = netip.MustParseAddr("10.10.1.100") })},
			"servers/red/http/x: address", CodeInvalid, "VIP red/www"},
		{"server's state", []Object{srv("http", "x", "y", 0, func(s *Server) { s.State = "off" })},
			"servers/red/http/x: state",
			CodeInvalid, "enabled, draining, disabled"},
		{"server twice", []Object{srv("http", "x", "web1", 8080)}, "servers/red/http/x: port", CodeDuplicate,
			"red/http/web1"},
		{"server twice by address", []Object{srv("http", "x", "", 8080,
			func(s *Server) { s.Address = netip.MustParseAddr("10.10.1.20") })}, "servers/red/http/x: port",
			CodeDuplicate,
			"red/http/web1"},
		{"translated all ports", []Object{svc("a", 8, 0, 0), srv("a", "x", "y", 80)}, "servers/red/a/x: port",
			CodeConflict,
			"all ports"},
		{"range beyond the last port", []Object{svc("a", 8, 8000, 8099), srv("a", "x", "y", 65500)},
			"servers/red/a/x: port",
			CodeInvalid, "up to 65436"},
		{"station with another port", []Object{srv("http", "x", "", 8080, func(s *Server) {
			s.Address, s.Via = netip.MustParseAddr("10.10.1.3"), "fab0"
		})}, "servers/red/http/x: port", CodeConflict, "80"},
		{"station that is a VIF", []Object{srv("http", "x", "y", 80, func(s *Server) { s.Via = "fab0" })},
			"servers/red/http/x: via", CodeConflict, "address"},
		{"QUIC ID of odd digits", []Object{srv("http", "x", "y", 0, func(s *Server) { s.QUICID = "01a" })},
			"servers/red/http/x: quic_id", CodeInvalid, "1 to 16 octets"},
		{"QUIC IDs of unlike lengths", []Object{srv("http", "x", "y", 0, func(s *Server) { s.QUICID = "01aa" }),
			srv("http", "z", "w", 0, func(s *Server) { s.QUICID = "02" })}, "servers/red/http/z: quic_id",
			CodeConflict, "one length"},
		{"QUIC ID twice", []Object{srv("http", "x", "y", 0, func(s *Server) { s.QUICID = "01aa" }),
			srv("http", "z", "w", 0, func(s *Server) { s.QUICID = "01AA" })}, "servers/red/http/z: quic_id",
			CodeDuplicate,
			"red/http/x"},

		{"ambiguous", []Object{svc("alt", 8, 8888, 0), srv("alt", "web1", "web1", 8080)}, "servers/red/alt/web1: port",
			CodeAmbiguous, "services red/http and red/alt"},
		{"ambiguous by address", []Object{svc("alt", 8, 8888, 0), srv("alt", "web1", "", 8080,
			func(s *Server) { s.Address = netip.MustParseAddr("10.10.1.20") })}, "servers/red/alt/web1: port",
			CodeAmbiguous,
			"services red/http and red/alt"},
		{"shared by one alone", []Object{svc("alt", 8, 8888, 0, func(s *Service) { s.SharedPorts = true }),
			srv("alt", "web1", "web1", 8080)}, "servers/red/alt/web1: port", CodeAmbiguous, "shared_ports on both"},
		{"ambiguous in a range", []Object{svc("alt", 8, 8000, 8099), srv("alt", "web1", "web1", 8001)},
			"servers/red/alt/web1: port", CodeAmbiguous, "port 8080"},

		{"guest without agent", []Object{VIF{Tenant: "red", Name: "web1", Segment: "web", MAC: 0x020000000114,
			Port: "acc0",
			VLAN: 3, GuestAddresses: []netip.Addr{netip.MustParseAddr("10.10.1.100")}}}, "vifs/red/web1: guest_agent",
			CodeRequired, "QEMU guest agent"},
		{"agent's path", []Object{VIF{Tenant: "red", Name: "web1", Segment: "web", MAC: 0x020000000114, Port: "acc0",
			VLAN: 3, GuestAgent: "run/x"}}, "vifs/red/web1: guest_agent", CodeInvalid, "absolute path"},
		{"guest's address twice", []Object{VIF{Tenant: "red", Name: "web1", Segment: "web", MAC: 0x020000000114,
			Port: "acc0",
			VLAN: 3, GuestAgent: "/x", GuestAddresses: []netip.Addr{netip.MustParseAddr("10.10.1.7"),
				netip.MustParseAddr("10.10.1.7")}}}, "vifs/red/web1: guest_addresses[1]", CodeDuplicate,
			"guest_addresses[0]"},
	} {
		d := service80()
		scope := &Scope{}
		for _, o := range tc.put {
			d.Put(o)
			scope.Add(Ref{o.Kind(), o.Key()})
		}
		ps := d.ValidateScope(balancerOptions, scope)
		var all []string
		for _, p := range ps {
			all = append(all, p.Error())
		}
		if len(ps) != 1 {
			t.Errorf("%s: %d problems, want one: %q", tc.name, len(ps), all)
			continue
		}
		p := ps[0]
		if at := fmt.Sprintf("%s/%s: %s", p.Kind, p.Key, p.Field); at != tc.at || p.Code != tc.code ||
			!strings.Contains(p.Message+" | "+p.Hint, tc.message) || p.Hint == "" {
			t.Errorf("%s:\ngot  %s, %s: %s | %s\nwant %s, %s: …%s…, and a hint", tc.name, at, p.Code, p.Message,
				p.Hint, tc.at,
				tc.code, tc.message)
		}
	}
}

var balancerOptions = Options{Ports: []PortRef{{"acc0", "access"}, {"fab0", "fabric"}},
	Gateways: []GatewayRef{{Name: "in"}, {Name: "out", Public: true,
		Addresses: []netip.Addr{netip.MustParseAddr("10.10.1.252")}}}}

// TestBalancerAccepts: what looks alike and is right.
func TestBalancerAccepts(t *testing.T) {
	share := func(s *Service) { s.SharedPorts = true }
	for name, put := range map[string][]Object{
		"range around a port":  {svc("a", 8, 70, 90), svc("b", 9, 0, 0)},
		"same port, other VIP": {vip("x", "10.10.1.9"), svc("a", 8, 80, 0, func(s *Service) { s.VIP = "x" })},
		"same port, UDP":       {svc("a", 8, 80, 0, udp), srv("a", "web1", "web1", 8080)},
		"shared ports": {svc("http", 7, 80, 0, share), svc("alt", 8, 8888, 0, share),
			srv("alt", "web1", "web1", 8080)},
		"same translation": {svc("a", 8, 70, 90), srv("a", "web1", "web1", 8070)},
		"two VIFs":         {svc("alt", 8, 8888, 0), srv("alt", "web1", "other", 8080)},
		"directors share":  {vip("x", "10.10.1.9", "10.10.1.101")},
		"IPv6 by an IPv4 address": {vip("x", "fd00:10::9", "fd00:10::8"), svc("a", 8, 80, 0,
			func(s *Service) { s.VIP = "x" }), srv("a", "web1", "", 8080,
			func(s *Server) { s.Address = netip.MustParseAddr("10.10.1.20") })},
		"server not there " +
			"yet": {srv("http", "x", "", 1, func(s *Server) { s.Address = netip.MustParseAddr("10.99.0.1") })},
		"manual guest": {VIF{Tenant: "red", Name: "web1", Segment: "web", MAC: 0x020000000114, Port: "acc0",
			VLAN: 3, Guest: GuestManual, GuestAddresses: []netip.Addr{netip.MustParseAddr("10.10.1.100")}}},
	} {
		d := service80()
		for _, o := range put {
			d.Put(o)
		}
		for _, p := range d.Validate(balancerOptions) {
			t.Errorf("%s: got the problem %s, want none", name, p.Error())
		}
	}
}

// TestManyServers: the table is large enough for all servers, and there are no more than its entries can name.
func TestManyServers(t *testing.T) {
	d := service80()
	put := func(n int) {
		for i := range n {
			d.Put(srv("http", fmt.Sprintf("s%05d", i), fmt.Sprintf("v%d", i), 0))
		}
	}
	put(653)
	if ps := d.Validate(balancerOptions); len(ps) > 0 {
		t.Fatalf("655 servers of 65537 entries: %v, want no problem", ps[0])
	}
	put(654)
	scope := &Scope{}
	scope.Add(Ref{KindServer, "red/http/s00653"})
	ps := d.ValidateScope(balancerOptions, scope)
	if len(ps) != 1 || ps[0].Key != "red/http/s00653" || !strings.Contains(ps[0].Hint, "65609") {
		t.Errorf("656 servers: %v, want one problem, of the server pushed, with the prime 65609", ps)
	}
	d.Put(svc("http", 7, 80, 0, func(s *Service) { s.TableSize = 6_553_577 }))
	put(65_533)
	if ps := d.Validate(balancerOptions); len(ps) > 0 {
		t.Fatalf("65,535 servers: %v, want no problem", ps[0])
	}
	put(65_534)
	if ps := d.Validate(balancerOptions); len(ps) != 1 || ps[0].Code != CodeLimit {
		t.Errorf("65,536 servers: %v, want one problem, the limit", ps)
	}
}

// TestBalancerJSON: what is absent stays absent, and is read back as it was written.
func TestBalancerJSON(t *testing.T) {
	for _, tc := range []struct {
		kind      Kind
		key, text string
	}{
		{KindVIP, "red/www", `{"tenant":"red","name":"www","segment":"web","address":"10.10.1.100",` +
			`"directors":[{"box":"D","address":"10.10.1.101"}]}`},
		{KindService, "red/http", `{"tenant":"red","name":"http","vip":"www","id":7,"port":80}`},
		{KindService, "red/all", `{"tenant":"red","name":"all","vip":"www","id":7,"port":0,"check":{"type":"http",` +
			`"interval":"1h30m","fall":1},"slow_start":"500ms","drain_timeout":"0s","panic":0}`},
		{KindServer, "red/http/web1", `{"tenant":"red","service":"http","name":"web1","vif":"web1","port":8080}`},
		{KindServer, "red/http/web2", `{"tenant":"red","service":"http","name":"web2","address":"10.10.1.21",` +
			`"weight":0}`},
	} {
		n, err := strict.Parse([]byte(tc.text))
		if err != nil {
			t.Fatal(err)
		}
		o, ps := Decode(tc.kind, tc.key, n, "")
		if len(ps) > 0 {
			t.Errorf("%s: problems %v, want none", tc.text, ps)
			continue
		}
		if got, err := json.Marshal(o); err != nil || string(got) != tc.text {
			t.Errorf("read and written again (%v):\ngot  %s\nwant %s", err, got, tc.text)
		}
	}
	for text, field := range map[string]string{
		`{"vip":"www","id":7}`:                           "v.port",
		`{"vip":"www","id":7,"port":80,"slow_start":5}`:  "v.slow_start",
		`{"vip":"www","id":7,"port":1,"slow_start":"5"}`: "v.slow_start",
		`{"vip":"www","id":7,"port":1,"panic":300}`:      "v.panic",
		`{"vip":"www","id":7,"port":1,"check":{"x":1}}`:  "v.check.x",
		`{"vip":"w","id":7,"port":1,"slow_start":"-1s"}`: "v.slow_start",

		`{"vip":"w","id":7,"port":1,"table_size":0}`:             "v.table_size",
		`{"vip":"w","id":7,"port":1,"check":{"interval":"0s"}}`:  "v.check.interval",
		`{"vip":"w","id":7,"port":1,"check":{"timeout":"0ms"}}`:  "v.check.timeout",
		`{"vip":"w","id":7,"port":1,"check":{"interval":"x"}}`:   "v.check.interval",
		`{"vip":"w","id":7,"port":1,"check":{"timeout":"0.1x"}}`: "v.check.timeout",

		`{"vip":"w","id":7,"port":1,"check":{"type":"none","interval":"2s"}}`: "v.check.interval",
		`{"vip":"w","id":7,"port":1,"check":{"type":"none","rise":2}}`:        "v.check.rise",
	} {
		n, err := strict.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, ps := Decode(KindService, "red/x", n, "v"); len(ps) != 1 || ps[0].Field != field {
			t.Errorf("%s: problems %v, want one, at %s", text, ps, field)
		}
	}
}
