// Package golden holds the packet path to recorded behaviour: for each case a box configuration and in.pcapng (one
// interface per port) give out.pcapng and counters.txt, octet by octet. No root, no interfaces.
//
//	go test ./integration/golden -update        writes inputs (from cases_test.go) and outputs anew; read the diff
package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

var update = flag.Bool("update", false, "write testdata anew")

// config is a box: its ports as netlink and TOML would give them, and the tables pushed to it.
type config struct {
	Scheme    model.Scheme
	EdgeMAC   model.MAC
	BoxMACs   map[string]model.MAC // edge: by downlink number
	ICMPRate  uint32
	FloodRate uint32
	Ports     []struct {
		Name, Role                  string
		MAC                         model.MAC
		MTU                         uint16
		SwitchMAC                   model.MAC
		SwitchPort                  uint8
		VLANs                       []uint16
		CompleteChecksums, ClampMSS bool
		Encap                       string // "" = "ip"
		VTEPAddress                 netip.Prefix
	}
	Groups   []compile.Group
	Tenants  []model.Tenant
	Segments []model.Segment
	Subnets  []model.Subnet
	VIFs     []model.VIF
	Bindings []model.Binding
	VTEPs    []model.VTEP
	Paths    []model.Path

	Box      string // the box's name, for directors
	VIPs     []model.VIP
	Services []model.Service
	Servers  []model.Server
}

// balanceKey is that of PROTOCOL.md#balancer.
var balanceKey = [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

var roles = map[string]fib.Role{"access": fib.RoleAccess, "fabric": fib.RoleFabric, "downlink": fib.RoleDownlink,
	"trunk": fib.RoleTrunk, "uplink": fib.RoleUplink}

var forms = map[string]fib.Form{"": fib.FormIP, "udp": fib.FormUDP,
	"vxlan": fib.FormVXLAN, "vxlan6": fib.FormVXLAN6}

func load(t testing.TB, name string) (*rig.Rig, *config) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "config", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var c config
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		t.Fatalf("configuration %s cannot be read: %v", name, err)
	}
	for i := range c.Groups {
		c.Groups[i].Policy = gateway.DefaultPolicy()
	}
	o := rig.Options{Groups: c.Groups, Scheme: c.Scheme, EdgeMAC: c.EdgeMAC, ICMPRate: c.ICMPRate,
		FloodRate: c.FloodRate, Bindings: c.Bindings, State: c.state(), UDPPort: udpPort, Box: c.Box,
		BalanceKey: balanceKey}
	var refs []model.PortRef
	for _, p := range c.Ports {
		o.Ports = append(o.Ports, compile.Port{Name: p.Name, Role: roles[p.Role], SwitchMAC: p.SwitchMAC,
			SwitchPort: p.SwitchPort, VLANs: p.VLANs,
			CompleteChecksums: p.CompleteChecksums, ClampMSS: p.ClampMSS, Encap: forms[p.Encap],
			VTEPAddress: p.VTEPAddress})
		o.MTU, o.MAC = append(o.MTU, p.MTU), append(o.MAC, p.MAC)
		refs = append(refs, model.PortRef{Name: p.Name, Role: p.Role})
	}
	if problems := o.State.Validate(model.Options{Scheme: c.Scheme, Ports: refs}); len(problems) > 0 {
		t.Fatalf("tables of configuration %s: got %v, want no problem", name, problems)
	}
	r, err := rig.New(o)
	if err != nil {
		t.Fatalf("no rig for configuration %s: %v", name, err)
	}
	t.Cleanup(func() { _ = r.Close() })
	for i, hop := range r.Compiler.NextHops() {
		r.Compiler.SetNextHop(hop, nextHop+model.MAC(i))
	}
	for number, mac := range c.BoxMACs {
		var n uint8
		fmt.Sscan(number, &n)
		r.Compiler.SetBoxMAC(n, mac)
	}
	return r, &c
}

// state is the tables by key.
func (c *config) state() *model.State {
	s := &model.State{
		Tenants: map[string]model.Tenant{}, Segments: map[string]model.Segment{}, Subnets: map[string]model.Subnet{},
		VIFs: map[string]model.VIF{}, Paths: map[string]model.Path{}, VTEPs: map[string]model.VTEP{},
		VIPs: map[string]model.VIP{}, Services: map[string]model.Service{}, Servers: map[string]model.Server{},
	}
	for _, v := range c.Tenants {
		s.Tenants[v.Name] = v
	}
	for _, v := range c.VTEPs {
		s.VTEPs[v.Name] = v
	}
	for _, v := range c.Segments {
		s.Segments[v.Tenant+"/"+v.Name] = v
	}
	for _, v := range c.Subnets {
		s.Subnets[v.Tenant+"/"+v.Name] = v
	}
	for _, v := range c.VIFs {
		s.VIFs[v.Tenant+"/"+v.Name] = v
	}
	for _, v := range c.Paths {
		s.Paths[v.A.String()+"/"+v.B.String()] = v
	}
	for _, v := range c.VIPs {
		s.VIPs[v.Key()] = v
	}
	for _, v := range c.Services {
		s.Services[v.Key()] = v
	}
	for _, v := range c.Servers {
		s.Servers[v.Key()] = v
	}
	return s
}

func TestGolden(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			r, cfg := load(t, c.config)
			dir := filepath.Join("testdata", c.name)
			if *update {
				var in []packet
				for _, f := range c.in {
					data, err := f.make()
					if err != nil {
						t.Fatal(err)
					}
					in = append(in, packet{port: portIndex(t, cfg, f.port), data: data, note: f.note})
				}
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "in.pcapng"), cfg, in)
			}
			in := read(t, filepath.Join(dir, "in.pcapng"))
			if len(in) != len(c.in) {
				t.Fatalf("in.pcapng holds %d frames, the case describes %d: run with -update", len(in), len(c.in))
			}
			var out []packet
			for i, p := range in {
				if len(cfg.Groups) > 0 {
					r.Tick(0)
				}
				if err := r.Receive(p.port, p.data); err != nil {
					t.Fatal(err)
				}
				for port := range cfg.Ports {
					for _, f := range r.Sent(port) {
						out = append(out, packet{port: port, data: f, note: fmt.Sprintf("for frame %d", i+1)})
					}
				}
			}
			counters := count(r, cfg)
			if n, first := r.Verify.Violations(); n > 0 {
				t.Errorf("frame ownership: %d violations: %v", n, first)
			}
			if *update {
				write(t, filepath.Join(dir, "out.pcapng"), cfg, out)
				if err := os.WriteFile(filepath.Join(dir, "counters.txt"), []byte(counters), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			compare(t, cfg, read(t, filepath.Join(dir, "out.pcapng")), out)
			want, err := os.ReadFile(filepath.Join(dir, "counters.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != counters {
				t.Errorf("counters:\n%s\nwant:\n%s", counters, want)
			}
			for _, p := range out {
				if err := checkSums(p.data); err != nil {
					t.Errorf("port %s, %s: %v", cfg.Ports[p.port].Name, p.note, err)
				}
			}
		})
	}
}

// checkSums verifies all checksums of a frame, and of the one inside if it is encapsulated.
func checkSums(data []byte) error {
	if o, err := endpoint.DecodeOuter(data); err == nil && o.Proto == endpoint.Proto143 {
		data = o.Inner
	} else if err := checkVXLAN(data); err != nil {
		return err
	} else if isVXLAN(data) {
		data = data[50:]
	}
	return endpoint.CheckSums(data)
}

// count lists all counters of all ports, and checks that every frame is accounted for.
func count(r *rig.Rig, cfg *config) string {
	r.Publish()
	var b strings.Builder
	var balance int64
	for i, p := range cfg.Ports {
		for _, k := range []struct {
			name string
			at   int
			sign int64
		}{{"rx", stats.RxPackets, 1}, {"copies", stats.Copies, 1}, {"injected", stats.Injected, 1},
			{"punted", stats.Punted, -1}} {
			if n := r.Ports.Of(i, k.at); n > 0 {
				fmt.Fprintf(&b, "%s %s %d\n", p.Name, k.name, n)
				balance += k.sign * int64(n)
			}
		}
		for d := drop.Reason(0); d < drop.Count; d++ {
			if n := r.Ports.Of(i, stats.Drops+int(d)); n > 0 {
				fmt.Fprintf(&b, "%s drop %s %d\n", p.Name, d, n)
				balance -= int64(n)
			}
		}
	}
	fmt.Fprintf(&b, "sent %d\n", balance)
	return b.String()
}

func compare(t *testing.T, cfg *config, want, got []packet) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			t.Errorf("out frame %d is missing: port %s % x", i+1, cfg.Ports[want[i].port].Name, want[i].data)
		case i >= len(want):
			t.Errorf("out frame %d is too much: port %s % x", i+1, cfg.Ports[got[i].port].Name, got[i].data)
		case want[i].port != got[i].port || !bytes.Equal(want[i].data, got[i].data):
			t.Errorf("out frame %d (%s) from port %s, want %s: %s", i+1, got[i].note, cfg.Ports[got[i].port].Name,
				cfg.Ports[want[i].port].Name, endpoint.Diff(want[i].data, got[i].data))
		}
	}
}

func portIndex(t *testing.T, cfg *config, name string) int {
	t.Helper()
	for i, p := range cfg.Ports {
		if p.Name == name {
			return i
		}
	}
	t.Fatalf("no port %s", name)
	return 0
}

// packet is a frame in a capture.
type packet struct {
	port int
	data []byte
	note string
}

func write(t *testing.T, path string, cfg *config, packets []packet) {
	t.Helper()
	var buf bytes.Buffer
	var w *pcapgo.NgWriter
	var err error
	for i, p := range cfg.Ports {
		intf := pcapgo.NgInterface{Name: p.Name, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9,
			SnapLength: 65535}
		if i == 0 {
			w, err = pcapgo.NewNgWriterInterface(&buf, intf, pcapgo.NgWriterOptions{})
		} else {
			_, err = w.AddInterface(intf)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range packets {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(p.data), Length: len(p.data),
			InterfaceIndex: p.port}
		if err := w.WritePacket(ci, p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []packet {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to make it)", err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatalf("%s is no capture file: %v", path, err)
	}
	var packets []packet
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return packets
		}
		if err != nil {
			t.Fatalf("a packet of %s cannot be read: %v", path, err)
		}
		packets = append(packets, packet{port: ci.InterfaceIndex, data: slices.Clone(data)})
	}
}
