package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"penstock/ctrl/guest/guesttest"
)

const sourceLine = "# the guest's own\nsource /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n"

// styles are guests of every style, and how the style's own program takes our file.
var styles = []struct {
	name  string
	style string
	files map[string]string
	at    string // our file
	tools []string
	check func(t *testing.T, g *guesttest.Guest, at string)
	four  bool // no IPv6
}{
	{name: "ifupdown with source", style: "ifupdown", tools: []string{"ifquery"}, check: ifup,
		files: map[string]string{"etc/network/interfaces": sourceLine,
			"etc/network/interfaces.d/": "", "etc/sysctl.d/": ""},
		at: "/etc/network/interfaces.d/penstock"},
	{name: "ifupdown with source of cfg", style: "ifupdown", tools: []string{"ifquery"}, check: ifup,
		files: map[string]string{"etc/network/interfaces": "source interfaces.d/*.cfg\nauto lo\n" +
			"iface lo inet loopback\n"},
		at: "/etc/network/interfaces.d/penstock.cfg"},
	{name: "ifupdown without source", style: "ifupdown", tools: []string{"ifquery"}, check: ifup,
		files: map[string]string{"etc/network/interfaces": "auto lo\niface lo inet loopback\n"},
		at:    "/etc/network/interfaces"},
	{name: "ifupdown without an end of line", style: "ifupdown", tools: []string{"ifquery"}, check: ifup,
		files: map[string]string{"etc/network/interfaces": "auto lo\niface lo inet loopback"},
		at:    "/etc/network/interfaces"},
	{name: "netplan", style: "netplan", tools: []string{"netplan"}, check: netplan,
		files: map[string]string{"etc/netplan/50-cloud-init.yaml": "network:\n  version: 2\n  ethernets:\n" +
			"    ens3:\n      dhcp4: true\n", "etc/sysctl.d/": ""},
		at: "/etc/netplan/90-penstock.yaml"},
	{name: "systemd-networkd", style: "systemd-networkd", tools: []string{"/lib/systemd/systemd-networkd"},
		check: networkd,
		files: map[string]string{"etc/systemd/network/50-dhcp.network": "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n"},
		at:    "/etc/systemd/network/05-penstock-lo.network"},
	{name: "systemd-networkd with lo", style: "systemd-networkd", tools: []string{"/lib/systemd/systemd-networkd"},
		check: networkd, files: map[string]string{
			"etc/systemd/network/20-lo.network": "[Match]\nName=lo\n\n[Network]\nAddress=192.0.2.9/32\n"},
		at: "/etc/systemd/network/20-lo.network.d/penstock.conf"},
	{name: "NetworkManager 1.42", style: "NetworkManager", tools: []string{"nmcli", "NetworkManager"},
		check: nmcli,
		files: map[string]string{"etc/NetworkManager/NetworkManager.conf": "[main]\n"},
		at:    "/etc/NetworkManager/system-connections/penstock-lo.nmconnection"},
	{name: "netplan with NetworkManager", style: "NetworkManager", tools: []string{"nmcli", "NetworkManager"},
		check: nmcli,
		files: map[string]string{"etc/netplan/01-nm.yaml": "network:\n  version: 2\n  renderer: NetworkManager\n",
			"etc/NetworkManager/NetworkManager.conf": "[main]\n"},
		at: "/etc/NetworkManager/system-connections/penstock-lo.nmconnection"},
	{name: "ifcfg", style: "ifcfg", check: ifcfg, four: true,
		files: map[string]string{
			"etc/sysconfig/network-scripts/ifcfg-lo":   "DEVICE=lo\nIPADDR=127.0.0.1\nNETMASK=255.0.0.0\nONBOOT=yes\n",
			"etc/sysconfig/network-scripts/ifcfg-lo:0": "DEVICE=lo:0\nIPADDR=192.0.2.7\nNETMASK=255.255.255.255\n"},
		at: "/etc/sysconfig/network-scripts/ifcfg-lo:1"},
}

// ifup: ifquery reads the addresses, and ifup sets them.
func ifup(t *testing.T, g *guesttest.Guest, _ string) {
	said := g.Run("ifquery", "lo")
	for _, a := range []string{"10.10.1.100", "fd00:10::100"} {
		if !strings.Contains(said, "address: "+a+"\n") {
			t.Errorf("ifquery lo says %q, want address %s", said, a)
		}
	}
	g.Run("ip", "address", "del", "10.10.1.100/32", "dev", "lo")
	g.Run("ip", "address", "del", "fd00:10::100/128", "dev", "lo")
	g.Run("mkdir", "-p", "/run/network")
	g.Run("ifup", "--no-scripts", "--force", "lo")
	onLo(t, g, "10.10.1.100/32 fd00:10::100/128")
}

func onLo(t *testing.T, g *guesttest.Guest, want string) {
	t.Helper()
	if got := g.Lo(); got != want {
		t.Errorf("on lo is %q, want %q", got, want)
	}
}

// netplan: netplan makes a file of systemd-networkd of it.
func netplan(t *testing.T, g *guesttest.Guest, _ string) {
	c := exec.Command(guesttest.Program("netplan"), "generate", "--root-dir", g.Root)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("netplan generate: %v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(g.Root, "run/systemd/network/10-netplan-lo.network"))
	if err != nil || !strings.Contains(string(text), "Address=10.10.1.100/32\nAddress=fd00:10::100/128") {
		t.Errorf("netplan has made %q, %v, want both addresses", text, err)
	}
}

// nmcli: it reads the profile, and names the addresses.
func nmcli(t *testing.T, g *guesttest.Guest, at string) {
	text, err := os.ReadFile(g.Root + at)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(guesttest.Program("nmcli"), "--offline", "connection", "modify", "connection.autoconnect", "yes")
	c.Stdin = strings.NewReader(string(text))
	out, err := c.CombinedOutput()
	for _, want := range []string{"type=loopback", "address1=10.10.1.100/32", "address1=fd00:10::100/128"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("nmcli --offline says %q, %v, want %s", out, err, want)
		}
	}
}

// ifcfg: the file is shell, and says what ifup-aliases reads.
func ifcfg(t *testing.T, g *guesttest.Guest, at string) {
	said := g.Run("sh", "-ec", ". '"+at+"'; echo $DEVICE $IPADDR $NETMASK $ONBOOT $ARPUPDATE")
	if want := "lo:1 10.10.1.100 255.255.255.255 yes no\n"; said != want {
		t.Errorf("the file says %q, want %q", said, want)
	}
}

// networkd: it sets the addresses of the file under its own account.
func networkd(t *testing.T, g *guesttest.Guest, at string) {
	g.Run("ip", "address", "del", "10.10.1.100/32", "dev", "lo")
	g.Run("ip", "address", "del", "fd00:10::100/128", "dev", "lo")
	g.Run("sh", "-c", "mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp && "+
		"chown -R systemd-network /run/systemd/netif")
	c := g.Command("setpriv", "--reuid=998", "--regid=998", "--clear-groups", "--inh-caps=+net_admin",
		"--ambient-caps=+net_admin", "--bounding-set=-all,+net_admin", "/lib/systemd/systemd-networkd")
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	eventually(t, "systemd-networkd has set the addresses", func() bool {
		return strings.HasPrefix(g.Lo(), "10.10.1.100/32 ") && strings.Contains(g.Lo(), "fd00:10::100/128")
	})
}

// TestStyles: the addresses are on lo and in a file that the style's program accepts; asked again, nothing is written;
// with the last that asks for them everything is as before.
func TestStyles(t *testing.T) {
	for _, tc := range styles {
		t.Run(tc.name, func(t *testing.T) {
			guesttest.Need(t, tc.tools...)
			g := guesttest.New(t, tc.files)
			if tc.style != "systemd-networkd" { // a guest need not know names of accounts
				must(t, os.Remove(filepath.Join(g.Root, "etc/passwd")))
				must(t, os.Remove(filepath.Join(g.Root, "etc/group")))
			}
			before, lo := g.Tree(), g.Lo()
			want, asked := "10.10.1.100/32 fd00:10::100/128", addrs("10.10.1.100", "fd00:10::100")
			if tc.four {
				want, asked = "10.10.1.100/32", addrs("10.10.1.100")
			}
			r := runService(t, Config{Path: filepath.Join(t.TempDir(), "guests.json")})
			vif := VIF{Key: "red/web1", Socket: g.Socket, Addresses: asked}
			r.Set([]VIF{vif})
			st := r.settled(t, vif.Key, StateOK, StateFailed)
			if st.State != StateOK || st.Style != tc.style {
				t.Fatalf("the guest is %+v, want ok and %s", st, tc.style)
			}
			onLo(t, g, strings.TrimSpace(want))
			for name, v := range map[string]string{"all/arp_ignore": "1", "lo/arp_ignore": "1", "all/arp_announce": "2",
				"lo/arp_announce": "2"} {
				if got := g.Sysctl(name); got != v {
					t.Errorf("%s is %s, want %s", name, got, v)
				}
			}
			for _, p := range []string{tc.at, "/etc/sysctl.d/99-penstock.conf"} {
				i, err := os.Stat(g.Root + p)
				if err != nil || i.Mode().Perm() != 0o600 && p != "/etc/network/interfaces" {
					t.Fatalf("%s: %v, %v, want mode 0600; the tree differs: %q", p, i, err,
						guesttest.Differ(before, g.Tree()))
				}
			}
			g.Run("sysctl", "-p", "/etc/sysctl.d/99-penstock.conf")
			times := g.Times()
			r.stop()

			r = runService(t, Config{Path: r.records.path})
			r.Set([]VIF{vif})
			r.settled(t, vif.Key, StateOK)
			if d := guesttest.Differ(times, g.Times()); d != nil {
				t.Errorf("pushed again, these files were written: %q, want none", d)
			}
			tc.check(t, g, tc.at)
			r.Set(nil)
			r.undone(t, g.Socket)
			if d := guesttest.Differ(before, g.Tree()); d != nil {
				t.Errorf("undone, the tree differs: %q", d)
			}
			if got := g.Sysctl("all/arp_ignore") + g.Sysctl("lo/arp_announce"); got != "00" {
				t.Errorf("undone, arp_ignore and arp_announce are %q, want 0 and 0", got)
			}
			if got := g.Lo(); got != lo && !strings.Contains(tc.name, "with lo") {
				t.Errorf("undone, on lo is %q, want %q", got, lo)
			}
		})
	}
}
