package integration

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// router is one of several that share a gateway's address, behind a switch.
type router struct {
	name string
	mac  model.MAC    // of its interface
	own  netip.Prefix // its own address, beside the one that is shared
}

// routers turns the namespace of a gateway into a switch with two routers behind it.
// Neither has the gateway's address yet.
func (f *fabric) routers(t *testing.T, gateway string) (list [2]router) {
	t.Helper()
	g := f.Gateway(gateway)
	run := func(namespace string, argv ...string) {
		t.Helper()
		if out, err := f.lab.Run(namespace, argv...); err != nil {
			t.Fatalf("%q: got %v, want success:\n%s", argv, err, out)
		}
	}
	run(g.Name, "ip", "addr", "flush", "dev", g.Interface)
	run(g.Name, "ip", "addr", "flush", "dev", "lo")
	var ports []string
	for i := range list {
		r := router{name: fmt.Sprintf("router%d", i+1), mac: 0x02000000fd01 + model.MAC(i)}
		r.own = netip.PrefixFrom(g.BoxSide.Addr().Next(), g.BoxSide.Bits())
		if i > 0 {
			r.own = netip.PrefixFrom(list[i-1].own.Addr().Next(), g.BoxSide.Bits())
		}
		list[i] = r
		must(t, f.lab.Namespace(r.name))
		must(t, f.lab.Sysctl(r.name, "net/ipv6/conf/all/disable_ipv6", "1"))
		for _, key := range []string{"all", "default"} {
			must(t, f.lab.Sysctl(r.name, "net/ipv4/conf/"+key+"/rp_filter", "0"))
		}
		must(t, f.lab.Veth(r.name, "eth0", g.Name, r.name, lab.VethOptions{
			A: lab.EndOptions{MAC: r.mac, Addresses: []netip.Prefix{r.own}, NoTSO: true, NoTxSum: true},
		}))
		must(t, f.lab.Address(r.name, "lo", netip.PrefixFrom(lab.OutsideAddress, 32)))
		must(t, f.lab.DefaultRoute(r.name, "eth0", g.BoxSide.Addr()))
		ports = append(ports, r.name)
	}
	must(t, f.lab.Bridge(g.Name, "br0", append(ports, g.Interface)...))
	return list
}

// oneGateway is a box with one gateway; group holds further keys of its group.
func oneGateway(group string) options {
	o := outside()
	o.Gateways = o.Gateways[:1]
	o.Group += group
	return o
}

// mac returns the MAC in use for the first gateway of the group.
func (f *fabric) mac() string { return f.group().Members[0].MAC }

// keepalived runs a VRRP router with a virtual MAC for the gateway's address.
func (f *fabric) keepalived(t *testing.T, r router, gateway netip.Prefix, priority int) *lab.Process {
	t.Helper()
	file := func(suffix string) string { return filepath.Join(f.lab.Dir(), r.name+suffix) }
	must(t, os.WriteFile(file(".conf"), fmt.Appendf(nil, `global_defs {
	router_id %s
	vrrp_version 3
}
vrrp_instance gateway {
	state BACKUP
	interface eth0
	virtual_router_id 7
	priority %d
	advert_int 0.1
	use_vmac
	virtual_ipaddress {
		%s
	}
}
`, r.name, priority, gateway), 0o644))
	p, err := f.lab.Start(r.name, "keepalived-"+r.name, "keepalived", "--dont-fork", "--log-console", "--vrrp",
		"--use-file", file(".conf"), "--pid", file(".pid"), "--vrrp_pid", file("-vrrp.pid"))
	must(t, err)
	t.Cleanup(func() { _ = p.Stop(5 * time.Second) }) // before its namespace goes; that it runs was seen
	return p
}

// TestVirtualRouter has two real VRRP routers as the gateway. Their ARP answers name the virtual MAC, and what they
// forward leaves from the MACs of their interfaces. The gateway comes up, traffic passes, also when the backup takes
// over, and what sources says is kept.
func TestVirtualRouter(t *testing.T) {
	const virtual = "00:00:5e:00:01:07"
	requireRoot(t)
	if _, err := exec.LookPath("keepalived"); err != nil {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	f := startFabric(t, oneGateway(""))
	pair := f.routers(t, "isp1")
	g := f.Gateway("isp1")
	first := f.keepalived(t, pair[0], g.Address, 200)
	f.keepalived(t, pair[1], g.Address, 100)
	f.eventually(t, "the virtual router as next hop", func() bool { return f.mac() == virtual })
	f.isActive(t, "isp1", "up")
	f.reaches(t, "through the master")

	must(t, first.Stop(5*time.Second))
	f.eventually(t, "the backup as master", func() bool {
		out, _ := f.lab.Run(pair[1].name, "ip", "-brief", "addr")
		return strings.Contains(string(out), g.Address.Addr().String())
	})
	f.isActive(t, "isp1", "up")
	f.reaches(t, "through the backup")
	changed, conflicts := f.alarms("box1", alarm.GatewayMAC), f.active("box1", alarm.GatewayConflict)
	if mac := f.mac(); mac != virtual || len(changed) != 1 || changed[0].Count != 1 || conflicts != 0 {
		t.Errorf("next hop %s, %d conflicts, changes %v; want %s, none, and the one from the lab's own gateway", mac,
			conflicts, changed, virtual)
	}

	box := f.Node("box1")
	plain, reloads := box.TOML, 0
	for _, tc := range []struct {
		sources string
		passes  bool
	}{{`"gateway"`, false}, {fmt.Sprintf(`[%q, %q]`, pair[0].mac, pair[1].mac), true},
		{fmt.Sprintf(`[%q]`, pair[0].mac), false}} {
		must(t, box.SetTOML(strings.Replace(plain, "[[gateway_group.member]]\n", "[[gateway_group.member]]\nsources = "+
			tc.sources+"\n", 1)))
		must(t, f.procs["box1"].Signal(unix.SIGHUP))
		reloads++
		f.eventually(t, "the reload", func() bool {
			return strings.Count(f.procs["box1"].Log(), "msg=reloaded") == reloads
		})
		if tc.passes {
			f.reaches(t, "sources = "+tc.sources)
			continue
		}
		before := f.drops("box1")["uplink_source"]
		f.ping("red-vm1", lab.OutsideAddress.String(), 3, "-i", "0.02", "-W", "0.2")
		if n := f.drops("box1")["uplink_source"] - before; n != 3 {
			t.Errorf("sources = %s: %d frames dropped as uplink_source, want 3", tc.sources, n)
		}
		if m := f.group().Members[0]; m.State != "up" {
			t.Errorf("sources = %s: the gateway is %s, want up", tc.sources, m.State)
		}
	}
}

// TestGatewayAddressMoves moves the gateway's address to another router, without a word about it, while the old one
// goes on sending from the MAC that answered: the new one is the next hop, and the group never fails.
func TestGatewayAddressMoves(t *testing.T) {
	for _, group := range []string{"", "data_liveness = false\n", "data_max = 2\n"} {
		t.Run(strings.TrimSpace(group), func(t *testing.T) {
			f := startFabric(t, oneGateway(group+"misses = 5\n"))
			pair := f.routers(t, "isp1")
			g := f.Gateway("isp1")
			has := func(r router, has bool) {
				t.Helper()
				verb := map[bool]string{true: "add", false: "del"}[has]
				if out, err := f.lab.Run(r.name, "ip", "addr", verb, netip.PrefixFrom(g.Address.Addr(), 32).String(),
					"dev", "eth0"); err != nil {
					t.Fatalf("ip addr %s: got %v, want success:\n%s", verb, err, out)
				}
			}
			has(pair[0], true)
			f.eventually(t, "the first router as next hop", func() bool { return f.mac() == pair[0].mac.String() })
			f.isActive(t, "isp1", "up")
			f.reaches(t, "through the first router")

			vm := f.host("red-vm1").IPv4.String()
			sender, err := f.lab.Start(pair[0].name, "sender", "ping", "-n", "-q", "-i", "0.005", "-I",
				lab.OutsideAddress.String(), vm)
			must(t, err)
			switches, received := f.group().Switches, f.group().Members[0].RxPackets
			has(pair[0], false)
			has(pair[1], true)
			f.eventually(t, "the second router as next hop", func() bool { return f.mac() == pair[1].mac.String() })
			f.reaches(t, "through the second router")
			now := f.group()
			if now.Switches != switches || now.Members[0].State != "up" || now.Members[0].Failures != 0 {
				t.Errorf("%d switches, %+v; want none, up, and no failure", now.Switches-switches, now.Members[0])
			}
			if n := now.Members[0].RxPackets - received; n < 10 || !sender.Running() {
				t.Errorf("%d packets came from outside meanwhile: the old router did not go on sending", n)
			}
			f.expectAlarms(t, "gateway_mac_changed gateway out/isp1")
			sender.Kill()
		})
	}
}
