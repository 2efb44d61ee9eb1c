package integration

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
)

// TestGuestDaemons has a VM of the tenant serve DHCP, DHCPv6 and router advertisements (dnsmasq) to a VM on another
// box, both strict: leases of both families (dhclient), and an address and a
// default route that the kernel makes itself.
func TestGuestDaemons(t *testing.T) {
	f := startFabric(t, guestTown())
	f.flooding("red") // takes router advertisements from other boxes, too
	const server, client = "red-vm2", "red-vm3"
	own := "fd00::ff:fe00:3" // what SLAAC makes of the client's MAC
	f.pushAll(
		f.give(server, func(v *model.VIF) { v.Allow = []string{"dhcp-server", "ra"} }),
		f.give(client, with(own)))
	dir := t.TempDir()
	f.run(t, client, "ip", "route", "flush", "default")
	f.run(t, client, "ip", "-6", "route", "flush", "default")
	for _, a := range []string{"10.0.0.3/24", "fd00::3/64"} {
		f.run(t, client, "ip", "addr", "del", a, "dev", "eth0")
	}
	must(t, f.lab.Sysctl(f.VM(client).Namespace, "net/ipv6/conf/eth0/accept_ra", "1"))
	dnsmasq, err := f.lab.Start(f.VM(server).Namespace, "dnsmasq", "dnsmasq", "--no-daemon", "--conf-file=/dev/null",
		"--port=0",
		"--interface=eth0", "--bind-dynamic", "--dhcp-range=10.0.0.3,10.0.0.3,255.255.255.0,2m",
		"--dhcp-range=fd00::3,fd00::3,slaac,64,2m",
		"--enable-ra", "--ra-param=eth0,4,120", "--dhcp-host=02:00:00:00:00:03,10.0.0.3", "--dhcp-leasefile="+
			filepath.Join(dir, "leases"), "--no-ping", "--log-dhcp", "--user=root")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("dnsmasq: %s\ndrops: %v %v", dnsmasq.Log(), f.drops("box1"), f.drops("box2"))
		}
	})
	until := func(what string, cond func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * guestLimit); !cond(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not within %v\n%s", what, 2*guestLimit, f.run(t, client, "ip", "addr", "show", "dev",
					"eth0"))
			}
		}
	}
	until("an address by SLAAC", func() bool {
		return strings.Contains(f.run(t, client, "ip", "-6", "addr", "show", "dev", "eth0"), own+"/64")
	})
	router := "via fe80::ff:fe00:2"
	until("a default route by router advertisement", func() bool {
		return strings.Contains(f.run(t, client, "ip", "-6", "route", "show", "default"), router)
	})

	script := filepath.Join(dir, "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$reason $new_ip_address $new_ip6_address\" >>"+dir+
		"/leased\nexit 0\n"), 0o700))
	leased := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "leased"))
		return string(b)
	}
	for family, want := range map[string]string{"-4": "BOUND 10.0.0.3", "-6": "BOUND6  fd00::3"} {
		p, err := f.lab.Start(f.VM(client).Namespace, "dhclient", "dhclient", family, "-1", "-d", "-sf", script, "-cf",
			"/dev/null",
			"-lf", filepath.Join(dir, "lease"+family), "-pf", filepath.Join(dir, "pid"+family), "eth0")
		must(t, err)
		until("a lease by dhclient "+family, func() bool { return strings.Contains(leased(), want) })
		p.Kill()
	}

	// A link-local address that does not derive from a MAC: the guests resolve it among themselves.
	f.pushAll(f.give("red-vm1", func(v *model.VIF) { v.AntiSpoof = "mac" }))
	f.run(t, "red-vm1", "ip", "addr", "add", "fe80::1:2:3:4/64", "dev", "eth0", "nodad")
	f.reach(t, []string{"red-vm3", "red-vm4"}, []string{netip.MustParseAddr("fe80::1:2:3:4").String() + "%eth0"})
	f.reach(t, []string{"red-vm3", "red-vm4"}, []string{"fe80::ff:fe00:2%eth0"})
}
