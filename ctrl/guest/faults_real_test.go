package guest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/guest/guesttest"
)

var debian = map[string]string{"etc/network/interfaces": sourceLine, "etc/network/interfaces.d/": "",
	"etc/sysctl.d/": ""}

func quick(t *testing.T) Config {
	return Config{Path: filepath.Join(t.TempDir(), "guests.json"), Readback: 500 * time.Millisecond,
		RetryMin: 200 * time.Millisecond, RetryMax: 500 * time.Millisecond, LingerGap: 100 * time.Millisecond}
}

// TestBlocked: an agent with commands blocked raises an alarm that names them; restarted without that, the guest is set
// up and the alarm is cleared, with nobody's help. What is not blocked is done meanwhile.
func TestBlocked(t *testing.T) {
	for _, tc := range []struct{ name, block, command, lo string }{
		{"guest-exec", "guest-exec", "guest-exec", ""},
		{"files", "guest-file-open,guest-file-write,guest-file-close",
			"guest-file-open, guest-file-write, guest-file-close", "10.10.1.100/32"},
		{"interfaces", "guest-network-get-interfaces", "guest-network-get-interfaces", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := guesttest.New(t, debian, "-b", tc.block)
			before := g.Tree()
			r := runService(t, quick(t))
			vif := VIF{Key: "red/web1", Socket: g.Socket, Addresses: addrs("10.10.1.100")}
			r.Set([]VIF{vif})
			r.settled(t, vif.Key, StateFailed)
			text := r.alarms.of(vif.Key)
			for _, want := range []string{"VIF red/web1", tc.command + ": ", "remove " + tc.command + " from the ",
				"ip address replace 10.10.1.100/32 dev lo"} {
				if !strings.Contains(text, want) {
					t.Errorf("the alarm says %q, want %q in it", text, want)
				}
			}
			onLo(t, g, tc.lo)
			if d := guesttest.Differ(before, g.Tree()); d != nil {
				t.Errorf("the tree differs: %q, want nothing written", d)
			}
			g.StopAgent()
			g.StartAgent()
			r.settled(t, vif.Key, StateOK)
			if text := r.alarms.of(vif.Key); text != "" {
				t.Errorf("the alarm says %q, want that it is cleared", text)
			}
			onLo(t, g, "10.10.1.100/32")
			r.Set(nil)
			r.undone(t, g.Socket)
			onLo(t, g, "")
			if d := guesttest.Differ(before, g.Tree()); d != nil {
				t.Errorf("undone, the tree differs: %q", d)
			}
		})
	}
}

// TestNotLasting: a guest whose configuration cannot hold the addresses gets them, and an alarm says why.
func TestNotLasting(t *testing.T) {
	nm := func(version string) string { return "#!/bin/sh\necho '" + version + "'\n" }
	for _, tc := range []struct {
		name  string
		files map[string]string
		asked []string
		want  string
	}{
		{"NetworkManager 1.40", map[string]string{"etc/NetworkManager/NetworkManager.conf": "[main]\n",
			"opt/bin/NetworkManager": nm("1.40.16"), "opt/bin/nmcli": nm("nmcli tool, version 1.40.16")},
			[]string{"10.10.1.100"}, "NetworkManager is version 1.40, which cannot configure lo; 1.42 is the first"},
		{"NetworkManager 1.40 with ifcfg files", map[string]string{"etc/NetworkManager/NetworkManager.conf": "[main]\n",
			"etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\n", "opt/bin/NetworkManager": nm("1.40.16")},
			[]string{"10.10.1.100"}, "NetworkManager is version 1.40"},
		{"a profile for lo", map[string]string{"etc/NetworkManager/NetworkManager.conf": "[main]\n",
			"opt/bin/NetworkManager":                                nm("1.46.0"),
			"etc/NetworkManager/system-connections/lo.nmconnection": "[connection]\nid=lo\ntype=loopback\n"},
			[]string{"10.10.1.100"}, "lo.nmconnection, and only one is in effect"},
		{"none", map[string]string{"etc/sysconfig/network/ifcfg-lo": ""}, []string{"10.10.1.100"},
			"none of ifupdown, netplan"},
		{"ifcfg with IPv6", map[string]string{"etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\n"},
			[]string{"fd00:10::100"}, "an ifcfg file of an alias cannot hold IPv6 addresses, here fd00:10::100/128"},
		{"another's file", map[string]string{"etc/network/interfaces": sourceLine,
			"etc/network/interfaces.d/penstock": "# mine\n"},
			[]string{"10.10.1.100"}, "/etc/network/interfaces.d/penstock that is not Penstock's"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := guesttest.New(t, tc.files)
			before := g.Tree()
			r := runService(t, quick(t))
			vif := VIF{Key: "red/web1", Socket: g.Socket, Addresses: addrs(tc.asked...)}
			r.Set([]VIF{vif})
			st := r.settled(t, vif.Key, StateOK, StateFailed)
			text := r.alarms.of(vif.Key)
			if st.State != StateFailed || !strings.Contains(text, tc.want) || !strings.Contains(text, "To do: ") ||
				!strings.Contains(text, "red/web1") {
				t.Errorf("the guest is %+v, the alarm says %q, want %q", st, text, tc.want)
			}
			lo := vif.Addresses[0].String() + map[bool]string{true: "/32", false: "/128"}[vif.Addresses[0].Is4()]
			onLo(t, g, lo)
			g.Run("ip", "address", "del", lo, "dev", "lo")
			eventually(t, "the address is back", func() bool { return g.Lo() == lo })
			r.Set(nil)
			r.undone(t, g.Socket)
			onLo(t, g, "")
			if d := guesttest.Differ(before, g.Tree()); d != nil {
				t.Errorf("undone, the tree differs: %q", d)
			}
		})
	}
}

// TestReadback: an address that is taken away in the guest comes back, also after a restart of the agent.
func TestReadback(t *testing.T) {
	g := guesttest.New(t, debian)
	r := runService(t, quick(t))
	vif := VIF{Key: "red/web1", Socket: g.Socket, Addresses: addrs("10.10.1.100")}
	r.Set([]VIF{vif})
	r.settled(t, vif.Key, StateOK)
	times := g.Times()
	g.Run("ip", "address", "del", "10.10.1.100/32", "dev", "lo")
	eventually(t, "the address is back", func() bool { return g.Lo() == "10.10.1.100/32" })
	g.StopAgent()
	g.Run("ip", "address", "del", "10.10.1.100/32", "dev", "lo")
	g.StartAgent()
	eventually(t, "the address is back", func() bool { return g.Lo() == "10.10.1.100/32" })
	r.settled(t, vif.Key, StateOK)
	if d := guesttest.Differ(times, g.Times()); d != nil {
		t.Errorf("written were %q, want no file", d)
	}
}

// TestReadbackMinute: with the times of a box, an agent's restart is noticed by its socket.
func TestReadbackMinute(t *testing.T) {
	g := guesttest.New(t, debian)
	r := runService(t, Config{Path: filepath.Join(t.TempDir(), "guests.json")})
	r.Set([]VIF{{Key: "red/web1", Socket: g.Socket, Addresses: addrs("10.10.1.100")}})
	r.settled(t, "red/web1", StateOK)
	g.StopAgent()
	g.Run("ip", "address", "del", "10.10.1.100/32", "dev", "lo")
	g.StartAgent()
	eventually(t, "the address is back", func() bool { return g.Lo() == "10.10.1.100/32" })
}
