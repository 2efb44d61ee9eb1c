package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/guest/guesttest"
)

// TestUsers: an address stays as long as one VIF or service asks for it. What the guest had before stays in any case.
func TestUsers(t *testing.T) {
	g := guesttest.New(t, debian)
	g.Run("ip", "address", "add", "10.10.1.50/32", "dev", "lo") // by hand, before
	g.Run("sh", "-c", "echo 2 > /proc/sys/net/ipv4/conf/all/arp_ignore")
	before := g.Tree()
	r := runService(t, quick(t))
	set := func(list ...VIF) {
		t.Helper()
		for i := range list {
			list[i].Socket = g.Socket
		}
		r.Set(list)
		for _, v := range list {
			r.settled(t, v.Key, StateOK)
		}
	}
	set(VIF{Key: "red/web1", Addresses: addrs("10.10.1.100", "10.10.1.50")},
		VIF{Key: "red/web1b", Addresses: addrs("10.10.1.100", "10.10.1.101")})
	onLo(t, g, "10.10.1.100/32 10.10.1.101/32 10.10.1.50/32")
	if got := g.Sysctl("all/arp_ignore"); got != "2" {
		t.Errorf("arp_ignore is %s, want 2: it was stricter", got)
	}
	set(VIF{Key: "red/web1", Addresses: addrs("10.10.1.100", "10.10.1.50")})
	eventually(t, "one address is gone", func() bool { return g.Lo() == "10.10.1.100/32 10.10.1.50/32" })
	text, err := os.ReadFile(g.Root + "/etc/network/interfaces.d/penstock")
	if err != nil || strings.Contains(string(text), ".101") || !strings.Contains(string(text), ".100/32") {
		t.Errorf("the file holds %q, %v, want .100 and not .101", text, err)
	}
	r.Set([]VIF{{Key: "red/web1", Socket: g.Socket}})
	r.undone(t, g.Socket)
	onLo(t, g, "10.10.1.50/32")
	if d := guesttest.Differ(before, g.Tree()); d != nil {
		t.Errorf("undone, the tree differs: %q", d)
	}
	if got := g.Sysctl("all/arp_ignore") + g.Sysctl("lo/arp_ignore") + g.Sysctl("all/arp_announce"); got != "200" {
		t.Errorf("undone, the sysctls are %s, want 2, 0, 0", got)
	}
}

// TestRestart: what was set up is undone after a restart of the box, if the VIF is gone, and also if the records are
// lost and the guest tells what there was before.
func TestRestart(t *testing.T) {
	for _, lost := range []bool{false, true} {
		g := guesttest.New(t, map[string]string{"etc/network/interfaces": "auto lo\niface lo inet loopback"})
		before := g.Tree()
		c := quick(t)
		r := runService(t, c)
		vif := VIF{Key: "red/web1", Socket: g.Socket, Addresses: addrs("10.10.1.100")}
		r.Set([]VIF{vif})
		r.settled(t, vif.Key, StateOK)
		r.stop()
		if lost {
			if err := os.Remove(c.Path); err != nil {
				t.Fatal(err)
			}
			again := runService(t, c)
			again.Set([]VIF{vif})
			again.settled(t, vif.Key, StateOK)
			again.stop()
		}
		g.StopAgent() // and the guest is down when the box comes up
		r = runService(t, c)
		r.Set(nil)
		time.Sleep(300 * time.Millisecond)
		if !r.records.has(g.Socket) {
			t.Error("the guest is forgotten before it was undone")
		}
		g.StartAgent()
		r.undone(t, g.Socket)
		onLo(t, g, "")
		if d := guesttest.Differ(before, g.Tree()); d != nil {
			t.Errorf("undone (records lost: %v), the tree differs: %q", lost, d)
		}
		r.stop()
	}
}

// TestManual: a guest that is set up by hand is looked at, and not touched; neither is one that was set up before.
func TestManual(t *testing.T) {
	g := guesttest.New(t, debian)
	before := g.Tree()
	r := runService(t, quick(t))
	vif := VIF{Key: "red/web1", Socket: g.Socket, Manual: true, Addresses: addrs("10.10.1.100")}
	r.Set([]VIF{vif})
	r.settled(t, vif.Key, StateFailed)
	if text := r.alarms.of(vif.Key); !strings.Contains(text, "type there: ip address replace 10.10.1.100/32 dev lo") {
		t.Errorf("the alarm says %q, want what to type", text)
	}
	if d := guesttest.Differ(before, g.Tree()); d != nil || g.Lo() != "" {
		t.Errorf("the tree differs: %q, on lo is %q, want nothing touched", d, g.Lo())
	}
	g.Run("ip", "address", "add", "10.10.1.100/32", "dev", "lo")
	r.settled(t, vif.Key, StateOK)

	vif.Manual = false
	r.Set([]VIF{vif})
	eventually(t, "the file is there", func() bool {
		_, err := os.Stat(g.Root + "/etc/network/interfaces.d/penstock")
		return err == nil && r.Status(vif.Key).State == StateOK
	})
	set := g.Tree()
	vif.Manual = true
	r.Set([]VIF{vif})
	r.settled(t, vif.Key, StateOK)
	time.Sleep(300 * time.Millisecond)
	if d := guesttest.Differ(set, g.Tree()); d != nil {
		t.Errorf("set to manual, the tree differs: %q, want it left as it is", d)
	}
	// The VIF goes: what was set up before it became manual is undone, but for the address that was there.
	r.Set(nil)
	r.undone(t, g.Socket)
	onLo(t, g, "10.10.1.100/32")
	if d := guesttest.Differ(before, g.Tree()); d != nil {
		t.Errorf("undone, the tree differs: %q", d)
	}
}

// TestLinger: an address with a connection stays until that has ended, and is then removed.
func TestLinger(t *testing.T) {
	guesttest.Need(t, "python3")
	g := guesttest.New(t, debian)
	before := g.Tree()
	c := quick(t)
	r := runService(t, c)
	vif := VIF{Key: "red/web1", Socket: g.Socket, Addresses: addrs("10.10.1.100", "fd00:10::100"), Linger: time.Minute}
	r.Set([]VIF{vif})
	r.settled(t, vif.Key, StateOK)
	p := g.Command("python3", "-c", `import socket
l = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
c = socket.create_connection(("10.10.1.100", 8080)); s = l.accept()[0]
print("connected", flush=True); input()`)
	in, err := p.StdinPipe()
	must(t, err)
	out, err := p.StdoutPipe()
	must(t, err)
	must(t, p.Start())
	defer p.Wait()
	defer in.Close()
	if n, _ := out.Read(make([]byte, 16)); n == 0 {
		t.Fatal("there is no connection")
	}
	r.Set(nil)
	eventually(t, "the address without connections is gone", func() bool { return g.Lo() == "10.10.1.100/32" })
	time.Sleep(500 * time.Millisecond)
	onLo(t, g, "10.10.1.100/32")
	r.stop() // it lingers over a restart, too
	r = runService(t, c)
	r.Set(nil)
	time.Sleep(500 * time.Millisecond)
	onLo(t, g, "10.10.1.100/32")
	in.Close()
	r.undone(t, g.Socket)
	onLo(t, g, "")
	if d := guesttest.Differ(before, g.Tree()); d != nil {
		t.Errorf("undone, the tree differs: %q", d)
	}
}

// TestForgotten: a guest that no VIF refers to and that never answers is forgotten in the end.
func TestForgotten(t *testing.T) {
	g := guesttest.New(t, debian)
	c := quick(t)
	c.Patience = time.Second
	r := runService(t, c)
	r.Set([]VIF{{Key: "red/web1", Socket: g.Socket, Addresses: addrs("10.10.1.100")}})
	r.settled(t, "red/web1", StateOK)
	g.StopAgent()
	r.Set(nil)
	r.undone(t, g.Socket)
	var list []os.DirEntry
	var err error
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if list, err = os.ReadDir(filepath.Dir(c.Path)); err == nil && len(list) == 1 {
			return // a write that is under way has a file of its own until it ends
		}
	}
	t.Errorf("beside the records are %v, %v, want nothing", list, err)
}
