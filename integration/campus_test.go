package integration

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// campusSwitches are four edge switches with a link between any two; two boxes hang from each.
var campusSwitches = []string{"swa", "swb", "swc", "swd"}

// campus is planned by the command line: it returns the fabric's options, and the file with the path table.
func campus(t *testing.T) (o options, tables string) {
	t.Helper()
	dir := t.TempDir()
	var top strings.Builder
	for i, s := range campusSwitches {
		fmt.Fprintf(&top, "[[switch]]\nname = %q\nmac = %q\n", s, lab.SwitchMAC(i))
	}
	for i, a := range campusSwitches {
		for _, b := range campusSwitches[i+1:] {
			fmt.Fprintf(&top, "[[link]]\na = %q\nb = %q\n", a, b)
		}
	}
	topology := filepath.Join(dir, "topology.toml")
	tables = filepath.Join(dir, "paths.toml")
	must(t, os.WriteFile(topology, []byte(top.String()), 0o644))
	report, err := exec.Command(program, "paths", "plan", topology, "--vlans", "101-140", "-o", tables).CombinedOutput()
	if err != nil {
		t.Fatalf("penstock paths plan: %v\n%s", err, report)
	}
	o.fake, o.Tap, o.NoPlaces, o.ControlVLAN = true, true, true, controlVLAN
	for _, m := range regexp.MustCompile(`(?m)^  (\S+) – (\S+): (.+)$`).FindAllStringSubmatch(string(report), -1) {
		l := lab.LinkSpec{A: m[1], B: m[2], VLANs: vlansOf(t, m[3])}
		l.Control = slices.Contains(l.VLANs, 101) // each VLAN is a tree of all switches
		o.Links = append(o.Links, l)
	}
	if len(o.Links) != 6 {
		t.Fatalf("the report names %d links, want 6:\n%s", len(o.Links), report)
	}
	o.Tenants, o.Segments = lab.DemoTenants()[:1], lab.DemoSegments()[:1]
	o.Subnets = lab.DemoSubnets()[:1]
	for i := range 8 {
		name := fmt.Sprint("box", i+1)
		o.Boxes = append(o.Boxes, lab.BoxSpec{Name: name, Switch: campusSwitches[i/2], Port: uint8(10 + i)})
		o.VMs = append(o.VMs, lab.VMSpec{Tenant: "red", Segment: "web", Name: fmt.Sprint("red-vm", i+1), Box: name,
			MAC: 0x020000000001 + model.MAC(i), Raw: true,
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24)}})
	}
	return o, tables
}

// vlansOf reads "101, 103-105", or "none".
func vlansOf(t *testing.T, text string) (list []uint16) {
	t.Helper()
	for part := range strings.SplitSeq(text, ", ") {
		var a, b uint16
		if n, _ := fmt.Sscanf(part, "%d-%d", &a, &b); n == 1 {
			b = a
		}
		for v := a; v != 0 && v <= b; v++ {
			list = append(list, v)
		}
	}
	return list
}

// TestCampus: eight boxes behind four edge switches are told tenants, segments, their own VIFs and the planned path
// table. All else they find out. Then nodes restart, and cables change their places.
func TestCampus(t *testing.T) {
	o, tables := campus(t)
	f := startFabric(t, o) // the boxes alone: nobody tells them where they are
	for _, n := range f.Boxes {
		out, err := exec.Command(program, "apply", "-f", tables, "-s", n.Socket).CombinedOutput()
		if err != nil {
			t.Fatalf("penstock apply at %s: %v\n%s", n.Name, err, out)
		}
	}
	began := time.Now()
	for _, s := range campusSwitches {
		f.start(s)
	}
	for _, s := range campusSwitches {
		f.waitReady(s)
	}
	ready := time.Now()
	f.knowAll(t)
	t.Logf("all bindings everywhere %v after the edge switches were started, %v after the last was ready",
		time.Since(began).Round(time.Millisecond), time.Since(ready).Round(time.Millisecond))
	f.carriesAllPairs(t)

	var paths status.Items[model.Path]
	f.get("box1", "/v1/paths", &paths)
	f.usesAllPaths(t, paths.Items)

	orders := [][]string{{"swb", "box3", "box1"}, {"box8", "swd", "swa"}}
	if os.Getenv("PENSTOCK_PATHS") != "full" {
		orders = orders[:1]
	}
	for _, order := range orders {
		t.Run("restart of "+strings.Join(order, ", "), func(t *testing.T) {
			for _, n := range order {
				f.procs[n].Kill()
			}
			for _, n := range order {
				f.start(n)
			}
			for _, n := range order {
				f.waitReady(n)
			}
			ready := time.Now()
			f.knowAll(t)
			t.Logf("all bindings everywhere %v after the last was ready", time.Since(ready).Round(time.Millisecond))
			f.carriesAllPairs(t)
		})
	}
	t.Run("cables", f.testCables)
}

// testCables exchanges the cables of two boxes behind different switches while one is sent to.
func (f *fabric) testCables(t *testing.T) {
	a, b := f.Node("box5"), f.Node("box8")
	s := f.steady(t, "red-vm1", "red-vm8", 2000, 16)
	time.Sleep(100 * time.Millisecond)
	for _, n := range []*lab.Node{a, b} {
		must(t, f.lab.Delete(n.Namespace, "fab0"))
	}
	swA, portA, swB, portB := a.Switch, a.SwitchPort, b.Switch, b.SwitchPort
	must(t, f.Plug(a.Name, swB, portB))
	must(t, f.Plug(b.Name, swA, portA))
	plugged := time.Now()
	for _, n := range []*lab.Node{a, b} {
		f.waitPlace(t, n.Name, fmt.Sprintf("%s/%d lldp", n.SwitchMAC, n.SwitchPort))
	}
	placed := time.Since(plugged)
	f.waitThrough("red-vm2", "red-vm8", 10*time.Second)
	t.Logf("at their new places after %v, frames arrive %v after the cables were plugged in",
		placed.Round(time.Millisecond), time.Since(plugged).Round(time.Millisecond))
	time.Sleep(200 * time.Millisecond)
	r := stop(t, s)
	t.Logf("blocked for %v", r.Blocked.Round(time.Millisecond))
	if r.Lost() == 0 {
		t.Error("no frame was lost while the cable was out: the test has not disturbed anything")
	}
	f.knowAll(t)
	f.carriesAllPairs(t)
}

// knowAll waits until every box has the bindings of all VIFs of others, at the places where they are.
func (f *fabric) knowAll(t *testing.T) {
	t.Helper()
	missing := ""
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if missing = f.unknown(); missing == "" {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	for _, n := range f.Boxes {
		var boxes status.Items[status.FabricBox]
		f.get(n.Name, "/v1/boxes", &boxes)
		t.Logf("%s knows: %+v\ndrops: %v", n.Name, boxes.Items, f.drops(n.Name))
	}
	t.Fatalf("bindings: %s is missing after 30 s, want all everywhere", missing)
}

// unknown names a binding that a box does not have.
func (f *fabric) unknown() string {
	for _, n := range f.Boxes {
		var list status.Items[model.Binding]
		f.get(n.Name, "/v1/bindings?origin=fabric", &list)
		for _, vm := range f.VMs {
			at := f.Node(vm.Box)
			if vm.Box != n.Name && !slices.ContainsFunc(list.Items, func(b model.Binding) bool {
				return b.MAC == vm.MAC && b.SwitchMAC == at.SwitchMAC && b.SwitchPort == uint16(at.SwitchPort)
			}) {
				return fmt.Sprintf("%s at %s", vm.Name, n.Name)
			}
		}
	}
	return ""
}

// pairFlows is how many flows are sent for a pair of VMs: enough that each of a pair's paths has some.
const pairFlows = 64

// carriesAllPairs sends flows from every VM to every other. All frames have to arrive.
func (f *fabric) carriesAllPairs(t *testing.T) {
	t.Helper()
	for _, from := range f.VMs { // edge switches resolve their boxes, and learn where the others are
		for _, to := range f.VMs {
			if from.Box != to.Box {
				f.waitThrough(from.Name, to.Name, 10*time.Second)
			}
		}
	}
	rx := map[string]*endpoint.Raw{}
	for _, vm := range f.VMs {
		rx[vm.Name] = f.raw(t, vm.Name)
	}
	for _, from := range f.VMs {
		for _, to := range f.VMs {
			if from.Box == to.Box {
				continue
			}
			for i := range pairFlows {
				must(t, rx[from.Name].Send(bytesOf(endpoint.UDP4(f.host(from.Name), f.host(to.Name), 0,
					uint16(30_000+i), 9, make([]byte, 26)))))
			}
		}
	}
	for _, to := range f.VMs {
		got := map[uint64]bool{}
		frames, err := rx[to.Name].Gather((len(f.VMs)-1)*pairFlows, 5*time.Second, func(b []byte) bool {
			return len(b) >= 42 && b[23] == 17 && binary.BigEndian.Uint16(b[34:]) >= 30_000
		})
		must(t, err)
		for _, b := range frames {
			if len(b) >= 42 && b[23] == 17 && endpoint.MACAt(b) == to.MAC {
				got[uint64(endpoint.MACAt(b[6:]))<<16|uint64(binary.BigEndian.Uint16(b[34:]))] = true
			}
		}
		if want := (len(f.VMs) - 1) * pairFlows; len(got) != want {
			t.Errorf("frames for %s: got %d, want %d", to.Name, len(got), want)
		}
		must(t, rx[to.Name].Close())
	}
}

// way is what carries a frame between two switches.
type way struct {
	from, to model.MAC
	vid      uint16
}

// usesAllPaths expects traffic between all VMs on each VLAN that the table has for each pair of switches, in both
// directions, and on no other.
func (f *fabric) usesAllPaths(t *testing.T, table []model.Path) {
	t.Helper()
	want := map[way]bool{}
	for _, p := range table {
		for _, v := range p.VLANs {
			want[way{p.A, p.B, v.VID}], want[way{p.B, p.A, v.VID}] = true, true
		}
	}
	if len(table) != 6 {
		t.Errorf("pairs in the table: got %d, want 6", len(table))
	}
	var mu sync.Mutex
	seen := map[way]int{}
	var done atomic.Bool
	var threads sync.WaitGroup
	for _, trunk := range f.Trunks {
		for _, end := range []string{trunk.Tap, strings.TrimSuffix(trunk.Tap, "a") + "b"} {
			r := f.open(t, lab.TapNamespace, end)
			threads.Go(func() {
				for !done.Load() {
					b, err := r.Receive(50 * time.Millisecond)
					if err != nil || len(b) < 42 || b[27] != endpoint.Proto143 {
						continue
					}
					o, err := endpoint.DecodeOuter(b)
					if err != nil || o.Proto != endpoint.Proto143 {
						continue
					}
					mu.Lock()
					seen[way{o.SrcMAC, o.DstMAC, o.VID}]++
					mu.Unlock()
				}
			})
		}
	}
	f.carriesAllPairs(t)
	complete := func() (missing []way) {
		mu.Lock()
		defer mu.Unlock()
		for w := range want {
			if seen[w] == 0 {
				missing = append(missing, w)
			}
		}
		return missing
	}
	for end := time.Now().Add(5 * time.Second); len(complete()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	done.Store(true)
	threads.Wait()
	if missing := complete(); len(missing) > 0 {
		t.Errorf("paths without traffic: %v, want traffic on all %d", missing, len(want))
	}
	for w, n := range seen {
		if !want[w] {
			t.Errorf("%d frames from %s to %s in VLAN %d, which the table does not have", n, w.from, w.to, w.vid)
		}
	}
	vlans := map[uint16]bool{}
	for w := range want {
		vlans[w.vid] = true
	}
	t.Logf("traffic on all %d paths of %d pairs of switches, in %d VLANs", len(want), len(table), len(vlans))
}
