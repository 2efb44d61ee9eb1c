package integration

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// The balancer's lab: director d and the clients' box k behind switch swa, hosts h1 to h3 behind swb; the client on k,
// which has a second address, and another one, near, on d. The servers web1
// to web3, one on each host, and web4 on h1 have the virtual addresses on lo, as any guest can have them. The tenant's
// default route is a gateway group of k, whose gateway isp is a Linux router; behind it is the client outside, and
// a link with an MTU of 1300.
const (
	vip4, vip6         = "10.10.1.100", "fd00:10::100"
	own4, own6         = "10.10.1.101", "fd00:10::101" // the director's own addresses
	groupAt            = "10.10.1.253"                 // where the gateway group is a station of the segment
	outsideNS          = "outside"
	outsideIP          = "192.168.77.2"
	directorMAC4       = model.MAC(0x02560a0a0165)
	directorMAC6       = model.MAC(0x025600000101)
	vipMAC4            = model.MAC(0x02560a0a0164)
	httpPort, backPort = 80, 8080
)

var webServers = []string{"web1", "web2", "web3", "web4"}

// balanceTown is the options of the balancer's lab.
func balanceTown() options {
	o := options{}
	o.Trunks = []uint16{101}
	o.Boxes = []lab.BoxSpec{{Name: "d", Switch: "swa", Port: 2}, {Name: "k", Switch: "swa", Port: 7},
		{Name: "h1", Switch: "swb", Port: 3}, {Name: "h2", Switch: "swb", Port: 4},
		{Name: "h3", Switch: "swb", Port: 5}}
	o.Tenants = []model.Tenant{{Name: "red", ID: 100, Gateway: lab.GatewayGroup,
		GatewayAddresses: []netip.Addr{netip.MustParseAddr(groupAt)}}}
	o.Segments = []model.Segment{{Tenant: "red", Name: "web", ID: 1}}
	o.Subnets = []model.Subnet{
		{Tenant: "red", Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.10.1.0/24"),
			Router: netip.MustParseAddr("10.10.1.254")},
		{Tenant: "red", Name: "web6", Segment: "web", Prefix: netip.MustParsePrefix("fd00:10::/64"),
			Router: netip.MustParseAddr("fd00:10::fe")}}
	vm := func(name, box string, last int) lab.VMSpec {
		return lab.VMSpec{Tenant: "red", Segment: "web", Name: name, Box: box, MAC: 0x020000000100 + model.MAC(last),
			Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.10.1.%d/24", last)),
				netip.MustParsePrefix(fmt.Sprintf("fd00:10::%d/64", last))}}
	}
	o.VMs = []lab.VMSpec{vm("client", "k", 10), vm("near", "d", 11), vm("web1", "h1", 20), vm("web2", "h2", 21),
		vm("web3", "h3", 22), vm("web4", "h1", 23)}
	o.VMs[0].Addresses = append(o.VMs[0].Addresses, netip.MustParsePrefix("10.10.1.12/24"))
	for i := range o.VMs[2:] {
		o.VMs[i+2].Virtual = []netip.Prefix{netip.MustParsePrefix(vip4 + "/32"), netip.MustParsePrefix(vip6 + "/128")}
	}
	o.Gateways = []lab.GatewaySpec{{Box: "k", Name: "isp"}}
	o.Group = "probe_interval = \"100ms\""
	o.Balancer = `key = "000102030405060708090a0b0c0d0e0f"
flows = 65536`
	return o
}

// balancer is the balancer's lab, running.
type balancer struct {
	*fabric
	web map[string]*lab.Nginx // by guest
}

// startBalancer starts the lab with its virtual addresses, and no service yet.
func startBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{startFabric(t, balanceTown()), map[string]*lab.Nginx{}}
	var ops []lab.Operation
	for _, x := range []struct {
		mac  model.MAC
		addr string
		at   string
	}{{directorMAC4, own4, "d"}, {directorMAC6, own6, "d"}, {lab.GroupMAC(1), groupAt, "k"}} {
		n := b.Node(x.at)
		v := model.Binding{Tenant: "red", Segment: "web", MAC: x.mac,
			Addresses: []netip.Addr{netip.MustParseAddr(x.addr)}, SwitchMAC: n.SwitchMAC,
			SwitchPort: uint16(n.SwitchPort)}
		ops = append(ops, lab.Operation{Op: "put", Kind: v.Kind(), Key: v.Key(), Value: v})
	}
	for _, n := range b.Boxes {
		b.push(n.Name, slices.DeleteFunc(slices.Clone(ops), func(op lab.Operation) bool {
			return n.Name == "d" && op.Key != ops[2].Key || n.Name == "k" && op.Key == ops[2].Key
		}))
	}
	b.apply(t, vipDocument("v4", vip4, own4)+vipDocument("v6", vip6, own6))
	b.outside(t)
	return b
}

// vipDocument is a virtual address of the tenant with director d.
func vipDocument(name, address, own string) string {
	return fmt.Sprintf(`[[vips]]
tenant = "red"
name = %q
address = %q
segment = "web"
directors = [{ box = "d", address = %q }]
`, name, address, own)
}

// outside builds the client behind the gateway: a router and, between it and the gateway, a link with an MTU of 1300.
func (b *balancer) outside(t *testing.T) {
	t.Helper()
	const router = "far"
	must(t, b.lab.Namespace(router))
	must(t, b.lab.Namespace(outsideNS))
	end := func(a string) lab.EndOptions {
		return lab.EndOptions{Addresses: []netip.Prefix{netip.MustParsePrefix(a)}}
	}
	must(t, b.lab.Veth("isp", "far0", router, "isp0", lab.VethOptions{MTU: 1300,
		A: end("192.168.76.1/24"), B: end("192.168.76.2/24")}))
	must(t, b.lab.Veth(router, "out0", outsideNS, "eth0", lab.VethOptions{MTU: 1500,
		A: end("192.168.77.1/24"), B: end(outsideIP + "/24")}))
	must(t, b.lab.DefaultRoute(outsideNS, "eth0", netip.MustParseAddr("192.168.77.1")))
	must(t, b.lab.DefaultRoute(router, "isp0", netip.MustParseAddr("192.168.76.1")))
	_, err := b.lab.Run("isp", "ip", "route", "add", "192.168.77.0/24", "via", "192.168.76.2")
	must(t, err)
	for _, ns := range []string{"isp", router} {
		must(t, b.lab.Sysctl(ns, "net/ipv4/ip_forward", "1"))
	}
}

// apply puts a document on all boxes, as an operator does.
func (b *balancer) apply(t *testing.T, text string) {
	t.Helper()
	b.applyTo(t, text, "d", "k", "h1", "h2", "h3")
}

func (b *balancer) applyTo(t *testing.T, text string, boxes ...string) {
	t.Helper()
	file := filepath.Join(b.lab.Dir(), "tables.toml")
	must(t, os.WriteFile(file, []byte(text), 0o644))
	for _, n := range boxes {
		out, err := exec.Command(program, "apply", "-f", file, "-s", b.Node(n).Socket).CombinedOutput()
		if err != nil {
			t.Fatalf("apply to %s: %v\n%s\n%s", n, err, out, text)
		}
	}
}

// remove deletes objects, as "servers/red/http/web2", on all boxes.
func (b *balancer) remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, n := range b.Boxes {
		for _, p := range paths {
			must(t, b.call(n.Name, "DELETE", "/v1/"+p, nil, nil))
		}
	}
}

// removeService deletes a service and its servers on all boxes.
func (b *balancer) removeService(t *testing.T, service string, servers ...string) {
	t.Helper()
	for _, s := range servers {
		b.remove(t, "servers/red/"+service+"/"+s)
	}
	b.remove(t, "services/red/"+service)
}

// service is a service of the lab's tenant, with servers that are equal.
type service struct {
	name, vip, protocol string
	id, port, to        int
	more                string // keys
	servers             []string
}

// document is the service as an operator writes it. The servers are found by their addresses.
func (b *balancer) document(s service) string {
	var d strings.Builder
	fmt.Fprintf(&d, "[[services]]\ntenant = \"red\"\nname = %q\nvip = %q\nid = %d\nprotocol = %q\nport = %d\n%s\n",
		s.name, s.vip, s.id, s.protocol, s.port, s.more)
	for _, name := range s.servers {
		fmt.Fprintf(&d, "[[servers]]\ntenant = \"red\"\nservice = %q\nname = %q\naddress = %q\nport = %d\n", s.name,
			name, b.host(name).IPv4, s.to)
	}
	return d.String()
}

// port is the counters of a box's port.
func (b *balancer) port(node, name string) status.Port {
	b.t.Helper()
	var l status.Items[status.Port]
	b.get(node, "/v1/stats/ports", &l)
	i := slices.IndexFunc(l.Items, func(p status.Port) bool { return p.Name == name })
	if i < 0 {
		b.t.Fatalf("%s has no port %s", node, name)
	}
	return l.Items[i]
}

// nginx starts a web server in a guest: on the virtual addresses, port 8080.
func (b *balancer) nginx(t *testing.T, vm string) {
	t.Helper()
	n, err := b.lab.Nginx(b.VM(vm).Namespace, vm, netip.AddrPortFrom(netip.MustParseAddr(vip4), backPort),
		netip.AddrPortFrom(netip.MustParseAddr(vip6), backPort))
	must(t, err)
	b.web[vm] = n
}

// accessLog is what a guest's web server has written: a line for each request.
func (b *balancer) accessLog(t *testing.T, vm string) []string {
	t.Helper()
	text, err := os.ReadFile(b.web[vm].AccessLog)
	must(t, err)
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n")
}

// watch counts the packets that match a filter at the client, until the returned function is called.
func (b *balancer) watch(t *testing.T, namespace, filter string) (count func() int) {
	t.Helper()
	p, err := b.lab.Start(namespace, "tcpdump", "tcpdump", "-n", "-i", "eth0", "-Q", "in", "--immediate-mode", "-l",
		filter)
	must(t, err)
	b.eventually(t, "tcpdump", func() bool { return strings.Contains(p.Log(), "listening on") })
	return func() int {
		time.Sleep(50 * time.Millisecond)
		must(t, p.Stop(2*time.Second))
		n := 0
		for _, l := range strings.Split(p.Log(), "\n") {
			if strings.Contains(l, " > ") {
				n++
			}
		}
		return n
	}
}

// TestBalancer runs what can share one lab; after each of its tests every box has to be balanced.
func TestBalancer(t *testing.T) {
	b := startBalancer(t)
	for _, name := range webServers {
		b.nginx(t, name)
	}
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *balancer)
	}{
		{"HTTP", testBalanceHTTP},
		{"HTTP6", testBalanceHTTP6},
		{"Outside", testBalanceOutside},
		{"Ping", testBalancePing},
		{"Drain", testBalanceDrain},
		{"DrainUDP", testBalanceDrainUDP},
		{"PathMTU", testBalancePathMTU},
		{"QUIC", testBalanceQUIC},
	} {
		ok := t.Run(tc.name, func(t *testing.T) {
			tc.run(t, b)
			for _, n := range slices.Concat(b.Boxes, b.Switches) {
				b.balanced(n.Name)
			}
		})
		if !ok {
			for _, n := range b.Boxes {
				t.Logf("drops of %s after %s: %s", n.Name, tc.name, b.dropsIfUp(n.Name))
			}
		}
	}
}

func addrOctets(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func addrText(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return a.String()
}
