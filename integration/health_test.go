package integration

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/health"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/integration/lab"
)

var (
	hVIP     = netip.MustParseAddr("10.10.1.100")
	ownOfD   = netip.MustParseAddr("10.10.1.101")
	hVIP6    = netip.MustParseAddr("fd00:10::100")
	own6OfD  = netip.MustParseAddr("fd00:10::101")
	quickly  = model.Duration(500 * time.Millisecond)
	halfThat = model.Duration(250 * time.Millisecond)
)

// healthFabric is director d and host h1 behind another edge switch, with servers that have the VIP on lo: in tenant
// red web1 and web2 on h1 and web3 on d itself, in tenant blue, with the same addresses, web1 on h1.
func healthFabric() options {
	o := options{}
	o.Tap = true
	o.Boxes = []lab.BoxSpec{{Name: "d", Switch: "swa", Port: 2}, {Name: "h1", Switch: "swb", Port: 3}}
	o.Tenants = []model.Tenant{{Name: "red", ID: 100}, {Name: "blue", ID: 200}}
	o.Trunks = []uint16{101}
	for _, tenant := range []string{"red", "blue"} {
		o.Segments = append(o.Segments, model.Segment{Tenant: tenant, Name: "web", ID: 1})
		o.Subnets = append(o.Subnets,
			model.Subnet{Tenant: tenant, Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.10.1.0/24")},
			model.Subnet{Tenant: tenant, Name: "web6", Segment: "web", Prefix: netip.MustParsePrefix("fd00:10::/64")})
		o.VIPs = append(o.VIPs,
			model.VIP{Tenant: tenant, Name: "www", Segment: "web", Address: hVIP,
				Directors: []model.Director{{Box: "d", Address: ownOfD}}},
			model.VIP{Tenant: tenant, Name: "www6", Segment: "web", Address: hVIP6,
				Directors: []model.Director{{Box: "d", Address: own6OfD}}})
		o.Services = append(o.Services, model.Service{Tenant: tenant, Name: "http", VIP: "www", ID: 7, Port: 80,
			Check: &model.Check{Interval: quickly, Timeout: halfThat}})
	}
	o.VMs = []lab.VMSpec{
		web("red", "web1", "h1", 20), web("red", "web2", "h1", 21), web("red", "web3", "d", 22),
		web("blue", "bweb1", "h1", 20),
	}
	o.Servers = []model.Server{serverOf("red", "http", "web1", 20), serverOf("red", "http", "web2", 21),
		serverOf("red", "http", "web3", 22), serverOf("blue", "http", "bweb1", 20)}
	return o
}

// web is a guest with the VIPs on lo.
func web(tenant, name, box string, host int) lab.VMSpec {
	return lab.VMSpec{
		Tenant: tenant, Segment: "web", Name: name, Box: box, MAC: model.MAC(0x020000000100 + host - 20 + 0x14),
		Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, 1, byte(host)}), 24),
			netip.MustParsePrefix(fmt.Sprintf("fd00:10::%d/64", host))},
		Virtual: []netip.Prefix{netip.PrefixFrom(hVIP, 32), netip.PrefixFrom(hVIP6, 128)},
	}
}

func serverOf(tenant, service, name string, host int) model.Server {
	return model.Server{Tenant: tenant, Service: service, Name: name, Port: 8080,
		Address: netip.AddrFrom4([4]byte{10, 10, 1, byte(host)})}
}

// guests makes the guests behave as real servers ought to: the VIP on lo is nobody's to announce.
func (f *fabric) guests(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		for _, dev := range []string{"all", "lo"} {
			must(t, f.lab.Sysctl(f.VM(name).Namespace, "net/ipv4/conf/"+dev+"/arp_ignore", "1"))
			must(t, f.lab.Sysctl(f.VM(name).Namespace, "net/ipv4/conf/"+dev+"/arp_announce", "2"))
		}
	}
}

// serverHealth returns what d says of a server.
func (f *fabric) serverHealth(key string) health.Status {
	f.t.Helper()
	var v struct {
		Status struct{ Health health.Status }
	}
	f.get("d", "/v1/servers/"+key, &v)
	return v.Status.Health
}

func (f *fabric) untilHealth(t *testing.T, key, state string) health.Status {
	t.Helper()
	var s health.Status
	end := time.Now().Add(20 * time.Second)
	for s = f.serverHealth(key); s.State != state && time.Now().Before(end); s = f.serverHealth(key) {
		time.Sleep(5 * time.Millisecond)
	}
	if s.State != state {
		t.Fatalf("server %s is %+v, want it %s", key, s, state)
	}
	return s
}

func (f *fabric) nginx(t *testing.T, vm, name string, at ...netip.AddrPort) *lab.Nginx {
	t.Helper()
	n, err := f.lab.Nginx(f.VM(vm).Namespace, name, at...)
	must(t, err)
	return n
}

// TestHealthOnTheDataPath: checks go to the VIP through each server, wherever it is, and the answers pass its agent. A
// server that listens on its own address alone is down; overlapping tenants do not meet; every type of check works.
func TestHealthOnTheDataPath(t *testing.T) {
	f := startFabric(t, healthFabric())
	f.guests(t, "web1", "web2", "web3", "bweb1")
	server := f.raw(t, "web2")
	wire := f.open(t, lab.TapNamespace, strings.TrimSuffix(f.Trunks[0].Tap, "a")+"b") // what h1 sends
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 8080) }
	f.nginx(t, "web1", "web1", at(netip.MustParseAddr("10.10.1.20")))
	var all []netip.AddrPort
	for port := uint16(8080); port < 8090; port++ {
		all = append(all, netip.AddrPortFrom(hVIP, port), netip.AddrPortFrom(hVIP6, port))
	}
	f.nginx(t, "web2", "web2", all...)
	f.nginx(t, "web3", "web3", all...)
	f.nginx(t, "bweb1", "bweb1", at(hVIP))

	for _, key := range []string{"red/http/web2", "red/http/web3", "blue/http/bweb1"} {
		f.untilHealth(t, key, health.Up)
	}
	s := f.untilHealth(t, "red/http/web1", health.Down)
	if s.Reason != "connection refused" || s.LastError != s.Reason || s.LastCheck == nil || s.NextCheck == nil ||
		!s.Checked {
		t.Errorf("web1 is %+v, want it checked and \"connection refused\"", s)
	}
	f.eventually(t, "the alarm", func() bool {
		l := f.alarms("d", alarm.ServerDown)
		return len(l) == 1 && l[0].Object == "server red/http/web1" && strings.Contains(l[0].Text, "connection refused")
	})

	// What the server gets is what a client's packet becomes, but for its source; the answer's port is put back at h1.
	request, err := server.Find(5*time.Second, func(b []byte) bool {
		return len(b) >= 54 && binary.BigEndian.Uint16(b[12:]) == 0x0800 && b[23] == 6 && b[47] == 2
	})
	must(t, err)
	if src, dst := netip.AddrFrom4([4]byte(request[26:30])), netip.AddrFrom4([4]byte(request[30:34])); src != ownOfD ||
		dst != hVIP || binary.BigEndian.Uint16(request[36:]) != 8080 || request[22] != 63 ||
		binary.BigEndian.Uint64(request[6:])>>16 != fib.Mark|7 {
		t.Errorf("the server gets % x, want a SYN from %v to %v:8080, from a mark, TTL 63", request, ownOfD, hVIP)
	}
	const inner = 14 + 4 + 20 // tagged, in IPv4
	answer, err := wire.Find(5*time.Second, func(b []byte) bool {
		return len(b) >= inner+54 && binary.BigEndian.Uint16(b[inner+12:]) == 0x0800 &&
			netip.AddrFrom4([4]byte(b[inner+30:inner+34])) == ownOfD && b[inner+47] == 0x12
	})
	must(t, err)
	if port := binary.BigEndian.Uint16(answer[inner+34:]); port != 80 {
		t.Errorf("the answer leaves h1 from port %d, want 80", port)
	}

	// Every type of check, over both families, through a server of another box and through one of this one.
	service := func(name, address string, id uint32, port uint16, c model.Check) (model.Service, []model.Server) {
		c.Interval, c.Timeout = quickly, halfThat
		s := model.Service{Tenant: "red", Name: name, VIP: address, ID: id, Port: port, Check: &c}
		if c.Type == model.CheckUDP {
			s.Protocol = "udp"
		}
		a, b := serverOf("red", name, "a", 21), serverOf("red", name, "b", 22)
		a.Port, b.Port = 8000+port, 8000+port
		return s, []model.Server{a, b}
	}
	ops := func(s model.Service, servers []model.Server) (list []lab.Operation) {
		list = append(list, lab.Operation{Op: "put", Kind: s.Kind(), Key: s.Key(), Value: s})
		for _, x := range servers {
			list = append(list, lab.Operation{Op: "put", Kind: x.Kind(), Key: x.Key(), Value: x})
		}
		return list
	}
	for i, tc := range []struct {
		name, vip string
		port      uint16
		check     model.Check
		state     string
		reason    string
	}{
		{"tcp6", "www6", 80, model.Check{Type: model.CheckTCP}, health.Up, ""},
		{"web6", "www6", 81, model.Check{Type: model.CheckHTTP, Body: "web"}, health.Up, ""},
		{"teapot", "www", 82, model.Check{Type: model.CheckHTTP, Status: "418"}, health.Down, "status 200, want 418"},
		{"large", "www", 83, model.Check{Type: model.CheckHTTP, Path: "/large", Body: "x"}, health.Down,
			"the first 64 KiB of the body do not contain \"x\""},
		{"tls", "www", 84, model.Check{Type: model.CheckHTTPS}, health.Down, "TLS: "},
		{"ping", "www", 85, model.Check{Type: model.CheckICMP}, health.Up, ""},
		{"ping6", "www6", 86, model.Check{Type: model.CheckICMP}, health.Up, ""},
		{"arp", "www", 87, model.Check{Type: model.CheckARP}, health.Up, ""},
		{"dns", "www", 53, model.Check{Type: model.CheckUDP}, health.Down, "port unreachable"},
	} {
		s, servers := service(tc.name, tc.vip, uint32(100+i), tc.port, tc.check)
		for _, node := range f.Boxes {
			f.push(node.Name, ops(s, servers))
		}
		for _, x := range servers {
			if h := f.untilHealth(t, x.Key(), tc.state); !strings.Contains(h.Reason, tc.reason) {
				t.Errorf("%s is %+v, want the reason %q", x.Key(), h, tc.reason)
			}
		}
	}
}

// TestHealthOfAServerThatHangs: with a check every 2 s that waits for 1 s, a server that was stopped is out after
// three failures, and back after two successes.
func TestHealthOfAServerThatHangs(t *testing.T) {
	o := healthFabric()
	o.Services[0].Check = &model.Check{Type: model.CheckHTTP, Body: "web"}
	f := startFabric(t, o)
	f.guests(t, "web1", "web2", "web3")
	at := netip.AddrPortFrom(hVIP, 8080)
	hung := f.nginx(t, "web1", "web1", at)
	f.nginx(t, "web2", "web2", at)
	f.nginx(t, "web3", "web3", at)
	for _, name := range []string{"web1", "web2", "web3"} {
		f.untilHealth(t, "red/http/"+name, health.Up)
	}
	must(t, hung.Signal(syscall.SIGSTOP))
	began := time.Now()
	s := f.untilHealth(t, "red/http/web1", health.Down)
	took := time.Since(began)
	if !strings.Contains(s.Reason, "within 1s") {
		t.Errorf("the reason is %q, want what did not come within 1s", s.Reason)
	}
	if most := 3*2*time.Second + time.Second; took > most {
		t.Errorf("it is out after %v, want at most %v", took, most)
	}
	t.Logf("out %v after it was stopped", took.Round(time.Millisecond))
	must(t, hung.Signal(syscall.SIGCONT))
	began = time.Now()
	f.untilHealth(t, "red/http/web1", health.Up)
	t.Logf("back %v after it goes on", time.Since(began).Round(time.Millisecond))

	// A restart goes on with the states, a reload and a push change none.
	must(t, f.procs["d"].Signal(syscall.SIGTERM))
	must(t, f.procs["d"].Wait(20*time.Second))
	f.start("d")
	f.waitReady("d")
	if s := f.serverHealth("red/http/web2"); s.State != health.Up {
		t.Errorf("after the restart web2 is %+v, want it up", s)
	}
	must(t, f.call("d", http.MethodPost, "/v1/reload", nil, nil))
	x := serverOf("red", "http", "web2", 21)
	x.Weight = new(uint16)
	*x.Weight = 3
	f.push("d", []lab.Operation{{Op: "put", Kind: x.Kind(), Key: x.Key(), Value: x}})
	if s := f.serverHealth("red/http/web2"); s.State != health.Up {
		t.Errorf("after reload and push web2 is %+v, want it up", s)
	}
}

// TestHealthWhileControlIsBusy: no server leaves the state up while a million bindings are pushed.
func TestHealthWhileControlIsBusy(t *testing.T) {
	const count = 1_000_000
	o := healthFabric()
	o.Dataplane.Bindings = count + 1000
	f := startFabric(t, o)
	f.guests(t, "web1", "web2", "web3", "bweb1")
	at := netip.AddrPortFrom(hVIP, 8080)
	keys := []string{"red/http/web1", "red/http/web2", "red/http/web3", "blue/http/bweb1"}
	for _, key := range keys {
		name := key[strings.LastIndexByte(key, '/')+1:]
		f.nginx(t, name, name, at)
	}
	for _, key := range keys {
		f.untilHealth(t, key, health.Up)
	}
	var lines strings.Builder
	for i := range count {
		fmt.Fprintf(&lines,
			`{"tenant":"red","segment":"web","mac":"02:10:00:%02x:%02x:%02x","switch_mac":"%s","switch_port":3}`+"\n",
			i>>16&255, i>>8&255, i&255, f.Node("swb").MAC)
	}
	began := time.Now()
	body := io.NopCloser(strings.NewReader(lines.String()))
	must(t, f.call("d", http.MethodPost, "/v1/bulk/bindings?mode=merge", body, nil))
	t.Logf("%d bindings pushed in %v", count, time.Since(began).Round(time.Millisecond))
	for _, key := range keys {
		if s := f.serverHealth(key); s.State != health.Up || s.Failures != 0 {
			t.Errorf("%s is %+v, want it up throughout", key, s)
		}
	}
}
