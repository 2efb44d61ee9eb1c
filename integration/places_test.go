package integration

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/ctrl/status"
	"penstock/dataplane/wire"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// place returns what a node says of a port.
func (f *fabric) place(t *testing.T, node, port string) status.Place {
	t.Helper()
	var l status.Items[status.Place]
	f.get(node, "/v1/neighbors", &l)
	for _, p := range l.Items {
		if p.Port == port {
			return p
		}
	}
	t.Fatalf("%s has no port %s that speaks LLDP", node, port)
	return status.Place{}
}

// waitPlace waits until a box says that its fabric port is at a place: "MAC/number origin".
func (f *fabric) waitPlace(t *testing.T, box, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		p := f.place(t, box, "fab0")
		if got = fmt.Sprintf("%s/%d %s", p.SwitchMAC, p.SwitchPort, p.Origin); got == want {
			return
		}
	}
	t.Fatalf("place of %s: got %s, want %s within 20 s", box, got, want)
}

// TestPlaces: boxes that are told nothing of their edge switches find them, and tenants' frames get through; a box that
// starts while its switch says nothing is where it was.
func TestPlaces(t *testing.T) {
	f := startFabric(t, options{FabricOptions: lab.FabricOptions{NoPlaces: true}})
	for _, box := range []string{"box1", "box2"} {
		n := f.Node(box)
		f.waitPlace(t, box, fmt.Sprintf("%s/%d lldp", n.SwitchMAC, n.SwitchPort))
	}
	f.eventually(t, "both edge switches hear all that is plugged in", func() bool {
		heard := len(f.place(t, "swa", "down1").Neighbors)
		for _, p := range f.Node("swb").Ports {
			heard += len(f.place(t, "swb", p.Name).Neighbors)
		}
		return heard == 1+len(f.Node("swb").Ports)
	})
	sw := f.place(t, "swa", "down1")
	if len(sw.Neighbors) != 1 || sw.SwitchMAC != 0 || sw.Neighbors[0].SystemName != "box1" ||
		sw.Neighbors[0].ChassisID != f.Node("box1").MAC.String() {
		t.Errorf("what the edge switch hears: got %+v, want box1 by the MAC of its port", sw)
	}

	n := f.Node("box1")
	must(t, f.procs["swa"].Stop(10*time.Second))
	f.eventually(t, "the switch's good-bye has arrived", func() bool {
		return len(f.place(t, "box1", "fab0").Neighbors) == 0
	})
	f.waitPlace(t, "box1", fmt.Sprintf("%s/%d lldp", n.SwitchMAC, n.SwitchPort))
	must(t, f.procs["box1"].Stop(10*time.Second))
	f.start("box1")
	f.waitReady("box1")
	f.waitPlace(t, "box1", fmt.Sprintf("%s/%d stored", n.SwitchMAC, n.SwitchPort))
	f.start("swa")
	f.waitReady("swa")
	f.waitPlace(t, "box1", fmt.Sprintf("%s/%d lldp", n.SwitchMAC, n.SwitchPort))
	f.converge()
}

// TestLLDPD: Debian's lldpd as edge switch says the place, and understands what the box says.
func TestLLDPD(t *testing.T) {
	f := startFabric(t, options{fake: true, noPush: true, only: "box1",
		FabricOptions: lab.FabricOptions{NoPlaces: true}})
	n := f.Node("box1")
	peer := fmt.Sprintf("down%d", n.SwitchPort)
	must(t, os.MkdirAll("/run/lldpd", 0o755)) // where it shuts its helper in
	socket := filepath.Join(f.lab.Dir(), "lldpd.sock")
	d, err := f.lab.Start(n.Switch, "lldpd", "lldpd", "-d", "-u", socket, "-I", peer)
	must(t, err)
	cli := func(args ...string) string {
		t.Helper()
		var out []byte
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			text, err := f.lab.Run(n.Switch, append([]string{"lldpcli", "-u", socket}, args...)...)
			if out = []byte(text); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("lldpcli %v: %v %s\n%s", args, err, out, d.Log())
			}
		}
		return string(out)
	}
	cli("configure", "ports", peer, "lldp", "portidsubtype", "local", "17")
	cli("configure", "lldp", "tx-interval", "1")
	own, err := f.lab.MAC(n.Switch, peer)
	must(t, err)
	chassis := own.String()
	f.waitPlace(t, "box1", chassis+"/17 lldp")

	// The box answers for 10.17.0.1, towards that switch only.
	r := f.open(t, n.Switch, peer)
	ask := func(from string) bool {
		must(t, r.Send(bytesOf(endpoint.ARPRequest(
			endpoint.Host{MAC: mac(from), IPv4: netip.MustParseAddr("10.17.0.0")}, 0,
			netip.MustParseAddr("10.17.0.1")))))
		_, err := r.Find(time.Second, func(b []byte) bool {
			return len(b) >= 42 && wire.Ethernet(b).Type() == wire.EtherTypeARP &&
				wire.ARP(b[14:]).Op() == wire.ARPReply && wire.ARP(b[14:]).SenderIP() == 0x0a110001
		})
		return err == nil
	}
	if !ask(chassis) {
		t.Error("the switch asks for 10.17.0.1: got no answer, want the box's")
	}
	if ask("02:00:00:00:00:99") {
		t.Error("a stranger asks for 10.17.0.1: got an answer, want none")
	}

	var heard struct {
		LLDP struct {
			Interface map[string]struct {
				Chassis map[string]json.RawMessage
			}
		}
	}
	f.eventually(t, "lldpd hears the box", func() bool {
		return json.Unmarshal([]byte(cli("show", "neighbors", "-f", "json")), &heard) == nil &&
			len(heard.LLDP.Interface[peer].Chassis) > 0
	})
	text := cli("show", "neighbors", "details", "-f", "keyvalue")
	for _, want := range []string{"chassis.name=box1", "chassis.mac=" + n.MAC.String(), "port.ifname=fab0",
		"port.ttl=121", "chassis.descr=Penstock"} {
		if !strings.Contains(text, want) {
			t.Errorf("lldpd says of the box:\n%s\nwant %q in it", text, want)
		}
	}
	must(t, d.Signal(syscall.SIGTERM))
	f.eventually(t, "lldpd's good-bye has arrived", func() bool {
		return len(f.place(t, "box1", "fab0").Neighbors) == 0
	})
	f.waitPlace(t, "box1", chassis+"/17 lldp")
}
