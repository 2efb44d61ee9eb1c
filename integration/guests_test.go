package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// guestLimit is how long a guest may take to learn of a move here: far less than its reachability detection needs, and
// more than a busy machine does.
const guestLimit = 12 * time.Second

// guestTown is two boxes with two VMs each of red, and the same of blue, without IPs of VMs' own routers.
func guestTown() options {
	var o options
	for _, tenant := range []string{"red", "blue"} {
		for i, box := range []string{"box1", "box2", "box1", "box2"} {
			o.VMs = append(o.VMs, lab.VMSpec{
				Tenant: tenant, Segment: "web", Name: fmt.Sprintf("%s-vm%d", tenant, i+1), Box: box,
				MAC: 0x020000000001 + model.MAC(i),
				Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", i+1)),
					netip.MustParsePrefix(fmt.Sprintf("fd00::%d/64", i+1))},
			})
		}
	}
	return o
}

// give pushes a VM with further addresses: as VIF to its box, as binding to the other one.
func (f *fabric) give(vm string, change func(*model.VIF)) map[string]lab.Operation {
	v := f.VM(vm).VIF()
	change(&v)
	b := f.Binding(f.VM(vm))
	b.Addresses = v.Addresses
	ops := map[string]lab.Operation{}
	for _, n := range f.Boxes {
		ops[n.Name] = lab.Operation{Op: "put", Kind: model.KindBinding, Key: b.Tenant + "/" + b.Segment + "/" +
			b.MAC.String(), Value: b}
	}
	ops[f.VM(vm).Box] = lab.Operation{Op: "put", Kind: model.KindVIF, Key: v.Tenant + "/" + v.Name, Value: v}
	return ops
}

// pushAll pushes the same change to every box, each in its form.
func (f *fabric) pushAll(ops ...map[string]lab.Operation) {
	f.t.Helper()
	for _, n := range f.Boxes {
		var list []lab.Operation
		for _, o := range ops {
			list = append(list, o[n.Name])
		}
		f.push(n.Name, list)
	}
}

// flooding lets the segment of a tenant flood what is unknown.
func (f *fabric) flooding(tenant string) {
	f.t.Helper()
	for _, n := range f.Boxes {
		for _, g := range f.Options.Segments {
			if g.Tenant == tenant {
				g.UnknownUnicast, g.RouterAdvertisements = "flood", "accept"
				f.push(n.Name, []lab.Operation{{Op: "put", Kind: model.KindSegment, Key: g.Tenant + "/" + g.Name,
					Value: g}})
			}
		}
	}
}

func (f *fabric) run(t *testing.T, vm string, argv ...string) string {
	t.Helper()
	out, err := f.lab.Run(f.VM(vm).Namespace, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// neighbor returns the MAC that a VM has for an address, "" = none.
func (f *fabric) neighbor(t *testing.T, vm, addr string) string {
	t.Helper()
	m := regexp.MustCompile(`lladdr (\S+)`).FindStringSubmatch(f.run(t, vm, "ip", "neigh", "show", addr, "dev", "eth0"))
	if m == nil {
		return ""
	}
	return m[1]
}

// learns waits until VMs have a MAC for addresses, and returns how long that took.
func (f *fabric) learns(t *testing.T, vms, addrs []string, mac string) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		missing := ""
		for _, vm := range vms {
			for _, a := range addrs {
				if got := f.neighbor(t, vm, a); got != mac {
					missing += fmt.Sprintf("%s has %s at %q; ", vm, a, got)
				}
			}
		}
		if missing == "" {
			return time.Since(start)
		}
		if time.Since(start) > guestLimit {
			t.Fatalf("after %v: %swant %s", guestLimit, missing, mac)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (f *fabric) reach(t *testing.T, vms, addrs []string) {
	t.Helper()
	for _, vm := range vms {
		for _, a := range addrs {
			end := time.Now().Add(guestLimit)
			for {
				out, err := f.ping(vm, a, 1)
				if err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s does not reach %s: %v\n%s", vm, a, err, out)
				}
			}
		}
	}
}

func with(addrs ...string) func(*model.VIF) {
	return func(v *model.VIF) {
		for _, a := range addrs {
			v.Addresses = append(v.Addresses, netip.MustParseAddr(a))
		}
	}
}

func sharing(addrs ...string) func(*model.VIF) {
	return func(v *model.VIF) {
		for _, a := range addrs {
			v.SharedAddresses = append(v.SharedAddresses, netip.MustParseAddr(a))
		}
	}
}

// TestAddressMoves moves addresses of both families between VMs of two boxes, by push and by the VM's own announcement:
// other guests on both boxes learn it long before their reachability detection would tell them. The other tenant, which
// has the same of everything, notices nothing.
func TestAddressMoves(t *testing.T) {
	f := startFabric(t, guestTown())
	watchers := []string{"red-vm3", "red-vm4"}
	mac := func(vm string) string { return f.VM(vm).MAC.String() }
	has := func(vm string, add bool, addrs ...string) {
		t.Helper()
		for _, a := range addrs {
			op, bits := "del", "/24"
			if add {
				op = "add"
			}
			args := []string{"ip", "addr", op}
			if strings.Contains(a, ":") {
				bits = "/64"
			}
			args = append(args, a+bits, "dev", "eth0")
			if add && bits == "/64" {
				args = append(args, "nodad")
			}
			f.run(t, vm, args...)
		}
	}
	pushed := []string{"10.0.0.50", "fd00::50"}
	for _, tenant := range []string{"red", "blue"} {
		f.pushAll(f.give(tenant+"-vm1", with(pushed...)))
		has(tenant+"-vm1", true, pushed...)
		f.reach(t, []string{tenant + "-vm3", tenant + "-vm4"}, pushed)
	}
	f.learns(t, append([]string{"blue-vm3", "blue-vm4"}, watchers...), pushed, mac("red-vm1"))
	listeners := []*endpoint.Raw{f.raw(t, "blue-vm3"), f.raw(t, "blue-vm4")}

	has("red-vm1", false, pushed...)
	has("red-vm2", true, pushed...)
	f.pushAll(f.give("red-vm1", with()), f.give("red-vm2", with(pushed...)))
	t.Logf("by push to another box: learned in %v", f.learns(t, watchers, pushed, mac("red-vm2")))
	f.reach(t, watchers, pushed)

	has("red-vm2", false, pushed...)
	has("red-vm1", true, pushed...)
	f.pushAll(f.give("red-vm2", with())) // two pushes, between which the address is nobody's
	f.pushAll(f.give("red-vm1", with(pushed...)))
	t.Logf("by two pushes: learned in %v", f.learns(t, watchers, pushed, mac("red-vm1")))
	f.reach(t, watchers, pushed)

	// Shared addresses: the VMs announce their locations themselves.
	f.flooding("red")
	shared := []string{"10.0.0.60", "fd00::60"}
	f.pushAll(f.give("red-vm1", sharing(shared...)), f.give("red-vm2", sharing(shared...)))
	has("red-vm1", true, shared...)
	f.reach(t, watchers, shared)
	f.learns(t, watchers, shared, mac("red-vm1"))
	has("red-vm1", false, shared...)
	has("red-vm2", true, shared...)
	tx := f.raw(t, "red-vm2")
	h := endpoint.Host{MAC: f.VM("red-vm2").MAC, IPv4: netip.MustParseAddr(shared[0]),
		IPv6: netip.MustParseAddr(shared[1])}
	must(t, tx.Send(bytesOf(endpoint.ARPRequest(h, 0, h.IPv4))))
	must(t, tx.Send(bytesOf(endpoint.UnsolicitedAdvertisement(h, 0))))
	t.Logf("by the VM's announcement: learned in %v", f.learns(t, watchers, shared, mac("red-vm2")))
	f.reach(t, watchers, shared)

	f.learns(t, []string{"blue-vm3", "blue-vm4"}, pushed, mac("blue-vm1"))
	for _, l := range listeners {
		got, err := l.Collect(0)
		must(t, err)
		for _, b := range got {
			if a := endpoint.ParseARP(b); a != nil && slices.Equal(a.SourceProtAddress, a.DstProtAddress) {
				t.Errorf("blue hears an announcement of red: % x", b)
			}
		}
	}
}

// TestGuestVRRP has keepalived in two VMs on two boxes share addresses of both families: other guests reach whoever is
// master, with the VMs' own MACs and with virtual ones.
func TestGuestVRRP(t *testing.T) {
	for name, tc := range map[string]struct {
		vmac  string
		macs  [2]string // of the addresses, with vm1 and vm2 as master; IPv4
		macs6 [2]string
	}{
		"own MACs": {"", [2]string{"02:00:00:00:00:01", "02:00:00:00:00:02"},
			[2]string{"02:00:00:00:00:01", "02:00:00:00:00:02"}},
		"virtual MACs": {"use_vmac", [2]string{"00:00:5e:00:01:33", "00:00:5e:00:01:33"},
			[2]string{"00:00:5e:00:02:34", "00:00:5e:00:02:34"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFabric(t, guestTown())
			f.flooding("red")
			share := func(v *model.VIF) {
				sharing("10.0.0.100", "fd00::100", "fe80::100")(v)
				v.Allow = []string{"vrrp"}
			}
			f.pushAll(f.give("red-vm1", share), f.give("red-vm2", share))
			procs := map[string]*lab.Process{}
			start := func(vm string, priority int) {
				dir := t.TempDir()
				conf := filepath.Join(dir, "keepalived.conf")
				must(t, os.WriteFile(conf, []byte(fmt.Sprintf(`global_defs {
	vrrp_version 3
	vrrp_garp_master_refresh 0
}
vrrp_instance v4 { 
	interface eth0
	virtual_router_id 51
	priority %[1]d
	advert_int 1
	%[2]s
	virtual_ipaddress { 
		10.0.0.100/24
	}
}
vrrp_instance v6 { 
	interface eth0
	virtual_router_id 52
	priority %[1]d
	advert_int 1
	%[2]s
	virtual_ipaddress { 
		fe80::100/64
		fd00::100/64
	}
}
`, priority, tc.vmac)), 0o600))
				p, err := f.lab.Start(f.VM(vm).Namespace, "keepalived-"+vm, "keepalived", "-n", "-l", "-P", "-f", conf,
					"-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
				must(t, err)
				procs[vm] = p
			}
			t.Cleanup(func() {
				if t.Failed() {
					for _, p := range procs {
						t.Logf("%s", p.Log())
					}
				}
			})
			start("red-vm1", 200)
			start("red-vm2", 100)
			watchers := []string{"red-vm3", "red-vm4"}
			f.reach(t, watchers, []string{"10.0.0.100", "fd00::100"})
			f.learns(t, watchers, []string{"10.0.0.100"}, tc.macs[0])
			f.learns(t, watchers, []string{"fd00::100"}, tc.macs6[0])
			must(t, procs["red-vm1"].Stop(10*time.Second))
			f.learns(t, watchers, []string{"10.0.0.100"}, tc.macs[1])
			f.learns(t, watchers, []string{"fd00::100"}, tc.macs6[1])
			f.reach(t, watchers, []string{"10.0.0.100", "fd00::100"})
		})
	}
}
