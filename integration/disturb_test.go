package integration

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// steady starts traffic from one VM to another over a number of flows.
func (f *fabric) steady(t *testing.T, from, to string, rate, flows int) *endpoint.Steady {
	t.Helper()
	var templates [][]byte
	for port := range uint16(flows) {
		templates = append(templates,
			bytesOf(endpoint.UDP4(f.host(from), f.host(to), 0, 20000+port, 9, endpoint.SteadyPayload(40))))
	}
	s, err := endpoint.StartSteady(f.raw(t, from), f.raw(t, to), rate, templates...)
	must(t, err)
	return s
}

func stop(t *testing.T, s *endpoint.Steady) endpoint.SteadyResult {
	t.Helper()
	r, err := s.Stop(200 * time.Millisecond)
	must(t, err)
	t.Log(r)
	if r.Overruns != 0 {
		t.Errorf("the test's own receiver lost %d frames", r.Overruns)
	}
	if r.Duplicates != 0 {
		t.Errorf("%d frames arrived twice", r.Duplicates)
	}
	return r
}

// TestReload sends SIGHUP under traffic, with files good and bad: not a frame may be lost.
func TestReload(t *testing.T) {
	f := startFabric(t, rawPair())
	box := f.Node("box1")
	original := box.TOML
	s := f.steady(t, "red-vm1", "red-vm2", 4000, 16)
	for _, tc := range []struct {
		name, toml, log string
	}{
		{"unchanged", original, `msg=reloaded changes=0`},
		{"changed", original + "\n[log]\nlevel = \"debug\"\n", `msg=reloaded changes=1`},
		{"changed in the tables", strings.Replace(original, "complete_checksums = true",
			"complete_checksums = true\nclamp_mss = false", 1) + "\n[log]\nlevel = \"debug\"\n",
			`msg=reloaded changes=1`},
		{"no TOML", "[box", "reload refused"},
		{"unknown key", original + "\n[log]\ncolour = true\n", "colour"},
		{"needs a restart", strings.Replace(original, "ring_size = 1024", "ring_size = 512", 1), "needs a restart"},
		{"back", original, `msg=reloaded changes=2`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, box.SetTOML(tc.toml))
			seen := len(f.procs["box1"].Log())
			must(t, f.procs["box1"].Signal(unix.SIGHUP))
			deadline := time.Now().Add(3 * time.Second)
			for !strings.Contains(f.procs["box1"].Log()[seen:], tc.log) && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
			}
			if log := f.procs["box1"].Log()[seen:]; !strings.Contains(log, tc.log) {
				t.Errorf("%q is not logged:\n%s", tc.log, log)
			}
			time.Sleep(50 * time.Millisecond)
		})
	}
	if r := stop(t, s); r.Lost() != 0 || r.Reordered != 0 {
		t.Errorf("frames lost or reordered while reloading: %v", r)
	}
}

// TestKilled kills processes under traffic: the kernel is left clean, and a new
// process carries on with the stored tables.
func TestKilled(t *testing.T) {
	f := startFabric(t, rawPair())
	for _, node := range []string{"box1", "box2", "swa"} {
		t.Run(node, func(t *testing.T) {
			n := f.Node(node)
			s := f.steady(t, "red-vm1", "red-vm2", 2000, 4)
			time.Sleep(100 * time.Millisecond)
			f.procs[node].Kill()
			for _, p := range n.Ports {
				f.expectClean(t, node, p.Name)
			}
			f.start(node)
			f.waitReady(node) // nothing is pushed
			took := f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
			time.Sleep(100 * time.Millisecond)
			r := stop(t, s)
			t.Logf("blocked for %v; %v from ready to the first frame through", r.Blocked.Round(time.Millisecond),
				took.Round(time.Millisecond))
			if r.Blocked > 3*time.Second {
				t.Errorf("blocked for %v", r.Blocked)
			}
			if r.Lost() == 0 {
				t.Error("no frame was lost while the process was dead: the test has not disturbed anything")
			}
		})
	}
}

// TestRestartedAtOnce leaves no time between a kill and the next start, as a service manager would.
func TestRestartedAtOnce(t *testing.T) {
	f := startFabric(t, rawPair())
	for range 5 {
		f.procs["box1"].Kill()
		f.start("box1")
		f.waitReady("box1")
	}
	f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
	f.waitThrough("red-vm2", "red-vm1", 5*time.Second)
}

// expectNoProgram expects an interface without an XDP program; the kernel may
// take a moment to let go of a dead process's.
func (f *fabric) expectNoProgram(t *testing.T, namespace, name string) {
	t.Helper()
	var id uint32
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var err error
		if id, err = f.lab.XDPProgram(namespace, name); err == nil && id == 0 {
			return
		}
	}
	t.Errorf("XDP program %d is left on %s of %s", id, name, namespace)
}

// expectClean expects an interface as it was before a box took it.
func (f *fabric) expectClean(t *testing.T, namespace, name string) {
	t.Helper()
	f.expectNoProgram(t, namespace, name)
	if on, err := f.lab.Promiscuous(namespace, name); err != nil || on {
		t.Errorf("%s of %s is left promiscuous: %v, %v", name, namespace, on, err)
	}
}

// TestTerminated ends a box with SIGTERM.
func TestTerminated(t *testing.T) {
	f := startFabric(t, rawPair())
	for _, node := range []string{"box1", "swb"} {
		n := f.Node(node)
		id, err := f.lab.XDPProgram(node, n.Ports[0].Name)
		must(t, err)
		if id == 0 {
			t.Errorf("no XDP program on %s of running %s", n.Ports[0].Name, node)
		}
		if err := f.procs[node].Stop(5 * time.Second); err != nil {
			t.Errorf("%s on SIGTERM: %v\n%s", node, err, f.procs[node].Log())
		}
		for _, p := range n.Ports {
			f.expectClean(t, node, p.Name)
		}
		if _, err := os.Stat(n.Socket); err == nil {
			t.Errorf("%s leaves its socket behind", node)
		}
		f.start(node)
		f.waitReady(node)
	}
	f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
}

// TestLinks takes every link of a box down and up, at either end, and then away and back.
func TestLinks(t *testing.T) {
	t.Run("one worker", func(t *testing.T) { testLinks(t, rawPair()) })
	t.Run("two workers", func(t *testing.T) { testLinks(t, twoWorkers()) })
}

func testLinks(t *testing.T, o options) {
	f := startFabric(t, o)
	box := f.Node("box1")
	for _, p := range box.Ports {
		for _, end := range []struct{ name, namespace, iface string }{
			{p.Name, box.Namespace, p.Name},
			{"peer of " + p.Name, p.PeerNamespace, p.PeerInterface},
		} {
			t.Run(end.name, func(t *testing.T) {
				s := f.steady(t, "red-vm2", "red-vm1", 2000, 4)
				time.Sleep(50 * time.Millisecond)
				must(t, f.lab.SetDown(end.namespace, end.iface))
				f.waitPort(t, "box1", p.Name, false)
				time.Sleep(50 * time.Millisecond)
				must(t, f.lab.SetUp(end.namespace, end.iface))
				f.waitPort(t, "box1", p.Name, true)
				f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
				f.waitThrough("red-vm2", "red-vm1", 5*time.Second)
				time.Sleep(50 * time.Millisecond)
				if r := stop(t, s); r.Lost() == 0 && r.SendErrors == 0 {
					t.Error("nothing was lost: the link was not down")
				}
				f.balanced("box1")
			})
		}
	}
	t.Run("recreated access port", func(t *testing.T) {
		must(t, f.lab.Delete("box1", "acc0"))
		f.waitPort(t, "box1", "acc0", false)
		vm := f.VM("red-vm1")
		must(t, f.lab.Veth(vm.Namespace, vm.Interface, "box1", "acc0", lab.VethOptions{
			MTU: lab.AccessMTU, Queues: f.Options.Dataplane.Queues, A: lab.EndOptions{MAC: vm.MAC, NoTSO: true},
			B: lab.EndOptions{GRO: true, NoTSO: true}}))
		f.waitPort(t, "box1", "acc0", true)
		f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
		f.waitThrough("red-vm2", "red-vm1", 5*time.Second)
	})
	t.Run("recreated fabric port", func(t *testing.T) {
		must(t, f.lab.Delete("box1", "fab0"))
		f.waitPort(t, "box1", "fab0", false)
		f.waitPort(t, "swa", "down1", false)
		must(t, f.lab.Veth("box1", "fab0", "swa", "down1", lab.VethOptions{
			MTU: lab.FabricMTU, Queues: f.Options.Dataplane.Queues,
			A: lab.EndOptions{MAC: box.MAC, GRO: true, NoTSO: true}, B: lab.EndOptions{MAC: box.SwitchMAC, GRO: true,
				NoTSO: true}}))
		f.waitPort(t, "box1", "fab0", true)
		f.waitPort(t, "swa", "down1", true)
		f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
		f.waitThrough("red-vm2", "red-vm1", 5*time.Second)
	})
}

// waitPort waits until a node reports a port to be up and open, or not.
func (f *fabric) waitPort(t *testing.T, node, port string, up bool) {
	t.Helper()
	var last status.Port
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var ports status.Items[status.Port]
		if err := f.call(node, http.MethodGet, "/v1/stats/ports", nil, &ports); err != nil {
			t.Fatal(err)
		}
		for _, p := range ports.Items {
			if p.Name == port {
				last = p
			}
		}
		if (last.Up && last.Open) == up {
			return
		}
	}
	t.Fatalf("port %s of %s: got %+v, want up=%v\n%s", port, node, last, up, tail(f.procs[node].Log(), 20))
}

// TestTrunkFails takes a trunk down under traffic; a path table without its VLAN restores the traffic.
func TestTrunkFails(t *testing.T) {
	f := startFabric(t, rawPair())
	s := f.steady(t, "red-vm1", "red-vm2", 4000, 32)
	time.Sleep(100 * time.Millisecond)
	trunk := f.Trunks[0]
	must(t, f.lab.SetDown(trunk.NamespaceA, trunk.PortA))
	time.Sleep(100 * time.Millisecond) // as long as the path computation takes to notice
	f.putPaths(f.Trunks[1].VLAN)
	time.Sleep(50 * time.Millisecond)
	healed := f.steadyLossless(t)
	must(t, f.lab.SetUp(trunk.NamespaceA, trunk.PortA))
	f.waitPort(t, "swa", trunk.PortA, true)
	f.waitPort(t, "swb", trunk.PortB, true)
	f.putPaths(f.Trunks[0].VLAN, f.Trunks[1].VLAN)
	time.Sleep(100 * time.Millisecond)
	r := stop(t, s)
	if r.Lost() == 0 {
		t.Error("nothing was lost: no flow was on the trunk that went down")
	}
	if limit := uint32(4000 / 4); r.Lost() > limit {
		t.Errorf("%d frames lost; one of two trunks was down for some 100 ms", r.Lost())
	}
	if healed.Lost() != 0 {
		t.Errorf("%d frames lost on the trunk that is left", healed.Lost())
	}
	var paths status.Items[status.Path]
	f.get("box1", "/v1/stats/paths", &paths)
	for _, p := range paths.Items {
		if p.Switch == f.Node("swb").MAC.String() && p.Packets == 0 {
			t.Errorf("path: got %+v, want more than 0 packets", p)
		}
	}
}

// steadyLossless runs some traffic the other way and returns its result.
func (f *fabric) steadyLossless(t *testing.T) endpoint.SteadyResult {
	t.Helper()
	s := f.steady(t, "red-vm2", "red-vm1", 2000, 32)
	time.Sleep(300 * time.Millisecond)
	return stop(t, s)
}
