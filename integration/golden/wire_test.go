package golden

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"penstock/ctrl/status"
	"penstock/dataplane/drop"
	"penstock/dataplane/stats"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
	"penstock/integration/vm"
)

// wires is how many interfaces the guest has: as many ports as a configuration has at most.
const wires = 6

// shortest is the shortest frame that a packet socket sends: an Ethernet header.
const shortest = 14

// TestWire puts the golden cases through a running box on zero-copy sockets, in a guest (`make test-vm`): what goes in
// by a wire must come out by the wires as recorded, octet by octet, and be counted as recorded.
func TestWire(t *testing.T) {
	var nics []vm.NIC
	for i := range wires {
		nics = append(nics, vm.NIC{Tap: fmt.Sprintf("wire%d", i), Queues: 2})
	}
	m := vm.Guest(t, "golden", vm.SuiteZeroCopy, vm.Options{NICs: nics})
	byConfig := map[string][]goldenCase{}
	var order []string
	for _, c := range cases() {
		if _, cfg := load(t, c.config); len(cfg.Groups)+len(cfg.VIPs) > 0 {
			continue // gateways are probed and virtual addresses announced, by frames of the box's own
		}
		if byConfig[c.config] == nil {
			order = append(order, c.config)
		}
		byConfig[c.config] = append(byConfig[c.config], c)
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			w := startWire(t, m, name)
			for _, c := range byConfig[name] {
				t.Run(c.name, func(t *testing.T) { w.golden(t, c) })
			}
		})
	}
}

// wire is a running box in a guest with the host's ends of its ports.
type wire struct {
	*vm.Box
	cfg  *config
	ends []*endpoint.Raw // by port
}

// startWire starts a box with a golden configuration. At the end of the test it must be balanced.
func startWire(t *testing.T, m *vm.Machine, name string) *wire {
	t.Helper()
	_, cfg := load(t, name)
	w := &wire{Box: vm.NewBox(m), cfg: cfg}
	for i, p := range cfg.Ports {
		mtu := int(p.MTU)
		if mtu == 0 {
			mtu = map[bool]int{true: 1500, false: 1600}[p.Role == "access"]
		}
		link := fmt.Sprintf("eth%d", i+1)
		// Promiscuous: some frames are not for the port, and its interface would keep them from the box.
		for _, args := range [][]string{{"down"}, {"address", p.MAC.String(), "mtu", fmt.Sprint(mtu), "promisc", "on",
			"up"}} {
			if err := m.IP(append([]string{"link", "set", link}, args...)...); err != nil {
				t.Fatal(err)
			}
		}
		end, err := m.Open(fmt.Sprintf("wire%d", i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end.Close() })
		w.ends = append(w.ends, end)
	}
	if err := errors.Join(w.Forget(), w.Start(w.toml())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Balanced(), w.Stop()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the box:\n%s", w.Log())
		}
	})
	d := lab.Documents{Tenants: cfg.Tenants, Segments: cfg.Segments, Subnets: cfg.Subnets, VIFs: cfg.VIFs,
		Bindings: cfg.Bindings, Paths: cfg.Paths}
	if cfg.EdgeMAC == 0 {
		if err := w.Push(d.Operations()); err != nil {
			t.Fatal(err)
		}
	}
	w.answer(t)
	return w
}

func (w *wire) toml() string {
	var b strings.Builder
	fmt.Fprintf(&b, `scheme = %q

[dataplane]
workers = 2
ring_size = 256
verify = true
bindings = 1000
`, w.cfg.Scheme)
	for _, kv := range []struct {
		key   string
		value uint32
	}{{"icmp_rate", w.cfg.ICMPRate}, {"flood_rate", w.cfg.FloodRate}} {
		if kv.value != 0 {
			fmt.Fprintf(&b, "%s = %d\n", kv.key, kv.value)
		}
	}
	for i, p := range w.cfg.Ports {
		fmt.Fprintf(&b, `
[[port]]
name = %q
interface = "eth%d"
role = %q
mode = "zero-copy"
`, p.Name, i+1, p.Role)
		switch p.Role {
		case "access":
			fmt.Fprintf(&b, "complete_checksums = %v\nclamp_mss = %v\n", p.CompleteChecksums, p.ClampMSS)
		case "fabric":
			fmt.Fprintf(&b, "switch_mac = %q\nswitch_port = %d\n", p.SwitchMAC, p.SwitchPort)
			if p.Encap != "" {
				fmt.Fprintf(&b, "encap = %q\n", p.Encap)
			}
		case "downlink":
			fmt.Fprintf(&b, "switch_port = %d\n", p.SwitchPort)
		case "trunk":
			fmt.Fprintf(&b, "vlans = %s\n", strings.ReplaceAll(fmt.Sprint(p.VLANs), " ", ", "))
		}
	}
	if w.cfg.EdgeMAC != 0 {
		fmt.Fprintf(&b, "\n[edge]\nmac = %q\n", w.cfg.EdgeMAC)
	}
	return b.String()
}

// answer plays the boxes behind an edge switch: it answers the switch's first ARP request for each.
func (w *wire) answer(t *testing.T) {
	t.Helper()
	for number, mac := range w.cfg.BoxMACs {
		for i, p := range w.cfg.Ports {
			if p.Role != "downlink" || fmt.Sprint(p.SwitchPort) != number {
				continue
			}
			arp, err := w.ends[i].Find(20*time.Second, w.request)
			if err != nil {
				t.Fatalf("the switch does not ask for the box behind %s: %v", p.Name, err)
			}
			box, _ := netip.AddrFromSlice(endpoint.ParseARP(arp).DstProtAddress)
			reply, err := endpoint.ARPReply(endpoint.Host{MAC: mac, IPv4: box}, 0,
				endpoint.Host{MAC: w.cfg.EdgeMAC, IPv4: netip.IPv4Unspecified()})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.ends[i].Send(reply); err != nil {
				t.Fatal(err)
			}
		}
	}
	// It has taken them in when it has handed as many frames to control.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ports, err := w.Ports()
		if err != nil {
			t.Fatal(err)
		}
		var punted uint64
		for _, p := range ports {
			punted += p.Punted
		}
		if punted >= uint64(len(w.cfg.BoxMACs)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the switch has taken %d of %d answers", punted, len(w.cfg.BoxMACs))
		}
	}
}

// request reports whether a frame is an ARP request of the edge switch itself.
func (w *wire) request(frame []byte) bool {
	if w.cfg.EdgeMAC == 0 {
		return false
	}
	a := endpoint.ParseARP(frame)
	return a != nil && a.Operation == layers.ARPRequest && endpoint.MACAt(a.SourceHwAddress) == w.cfg.EdgeMAC
}

// golden sends the frames of a case, one after the other, and expects the result of the pipeline in a box without
// interfaces, which TestGolden compares with the records.
func (w *wire) golden(t *testing.T, c goldenCase) {
	r, _ := load(t, c.config)
	before := w.counts(t)
	for i, p := range read(t, filepath.Join("testdata", c.name, "in.pcapng")) {
		if len(p.data) < shortest {
			continue
		}
		if err := r.Receive(p.port, p.data); err != nil {
			t.Fatal(err)
		}
		if err := w.ends[p.port].Send(p.data); err != nil {
			t.Fatal(err)
		}
		for port := range w.cfg.Ports {
			for _, want := range r.Sent(port) {
				got, err := w.ends[port].Find(3*time.Second, func(b []byte) bool { return !w.request(b) })
				if err != nil {
					t.Fatalf("frame %d (%s): nothing leaves by %s, want % x: %v", i+1, c.in[i].note,
						w.cfg.Ports[port].Name, want, err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("frame %d (%s) leaves by %s as: %s", i+1, c.in[i].note, w.cfg.Ports[port].Name,
						endpoint.Diff(want, got))
				}
			}
		}
	}
	r.Ports.Publish()
	want := map[string]uint64{}
	for i, p := range w.cfg.Ports {
		want[p.Name+" rx"] = r.Ports.Of(i, stats.RxPackets)
		want[p.Name+" copies"] = r.Ports.Of(i, stats.Copies)
		want[p.Name+" punted"] = r.Ports.Of(i, stats.Punted)
		for d := drop.Reason(0); d < drop.Count; d++ {
			want[fmt.Sprintf("%s drop %v", p.Name, d)] = r.Ports.Of(i, stats.Drops+int(d))
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		after := w.counts(t)
		var wrong []string
		for k, n := range want {
			if got := after[k] - before[k]; got != n {
				wrong = append(wrong, fmt.Sprintf("%s: %d, want %d", k, got, n))
			}
		}
		if len(wrong) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("counters: %s", strings.Join(wrong, "; "))
			break
		}
	}
	for port, end := range w.ends {
		for {
			more, err := end.Find(20*time.Millisecond, func(b []byte) bool { return !w.request(b) })
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("a frame too many leaves by %s: % x", w.cfg.Ports[port].Name, more)
		}
	}
}

// counts are the box's counters, under the names that a case's have.
func (w *wire) counts(t *testing.T) map[string]uint64 {
	t.Helper()
	var list status.Items[status.Port]
	if err := w.Call("GET", "/v1/stats/ports", nil, &list); err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, p := range list.Items {
		if p.Mode != "zero-copy" {
			t.Fatalf("port %s is in mode %q", p.Name, p.Mode)
		}
		counts[p.Name+" rx"], counts[p.Name+" copies"], counts[p.Name+" punted"] = p.RxPackets, p.Copies, p.Punted
		for reason, n := range p.Reasons {
			counts[p.Name+" drop "+reason] = n
		}
	}
	return counts
}
