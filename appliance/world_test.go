package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/appliance/box"
	"penstock/conf"
	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/compile"
	"penstock/ctrl/core"
	"penstock/ctrl/event"
	"penstock/ctrl/gateway"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/ctrl/store"
	"penstock/dataplane/fib"
	dpgateway "penstock/dataplane/gateway"
	"penstock/dataplane/table"
)

// world is the control plane of the box of conf/example/penstock.toml, with everything but the dataplane.
type world struct {
	t        *testing.T
	socket   string
	client   *client.Client
	compiler *compile.Compiler
	info     *fakeInfo
	alarms   *alarm.Board
}

// fakeInfo answers what the dataplane would count.
type fakeInfo struct {
	name    string
	queries atomic.Uint64 // the counters grow with it
	refusal error         // of Reload
	tables  []status.FlowTable

	compiler  *compile.Compiler
	neighbors []status.Place // nil = two ports
}

func (i *fakeInfo) Box() any {
	return status.Box{Name: i.name, Version: "v1", Commit: "abc", Started: time.Now().Add(-90 * time.Second),
		Ready: true, Scheme: "10.p.t", Workers: 2, Poll: "adaptive",
		Bindings: status.Bindings{Count: 5, Capacity: 1000, Bytes: 2_000_000},
		Frames:   status.Frames{All: 16384, Pooled: 16000, Size: 2048},
		Totals:   status.Totals{Rx: 10, Tx: 7, Drops: 4, Punted: 1, Copies: 2}}
}

func (i *fakeInfo) ports() []status.Port {
	n := i.queries.Load()
	return []status.Port{
		{Name: "acc0", Interface: "eth1", Role: "access", Open: true, Up: true, MTU: 1500, XDP: "native",
			Mode: "zero-copy", Queues: 2, RxPackets: 1000 * n, RxBytes: 125_000 * n, TxPackets: 7,
			Drops: 3, Reasons: map[string]uint64{"spoof_mac": 1, "access_vlan": 2},
			Kernel: status.Kernel{RxDropped: 5, RxRingFull: 6}},
		{Name: "fab0", Interface: "eth2", Role: "fabric", Open: true, MTU: 1534, XDP: "generic", Mode: "copy",
			Queues: 2, Reasons: map[string]uint64{"fabric_not_ip": 9}},
	}
}

func (i *fakeInfo) Ports() (ports []api.PortStatus) {
	for _, p := range i.ports() {
		ports = append(ports, api.PortStatus{Name: p.Name, Role: p.Role, Status: p})
	}
	return ports
}

func (i *fakeInfo) Stats(kind string) (any, error) {
	n := i.queries.Add(1)
	switch kind {
	case "ports":
		return status.Items[status.Port]{Items: i.ports()}, nil
	case "workers":
		return status.Items[status.Worker]{Items: []status.Worker{{ID: 0, Turns: 100 * n, BusyTurns: 10 * n,
			Frames: 40 * n, BusyNs: 4000 * n, NsPerFrame: 100, PerTurn: 4, MaxGapNs: 1500}, {ID: 1}}}, nil
	case "drops":
		d := status.Drops{Total: map[string]uint64{}, Ports: map[string]map[string]uint64{}}
		for _, p := range i.ports() {
			d.Ports[p.Name] = p.Reasons
			for r, c := range p.Reasons {
				d.Total[r] += c
			}
		}
		return d, nil
	case "paths":
		return status.Items[status.Path]{Items: []status.Path{
			{Switch: "02:00:00:00:00:0a", Port: "fab0", VID: 100, PortUp: true, State: "down", Answers: 30, Missed: 34,
				Loss: 0.25, RTT: &status.RTT{P50: 251_400, P99: 1_200_000}, Changes: []status.PathChange{
					{At: time.Date(2024, 5, 1, 12, 0, 0, 123e6, time.UTC), From: "unknown", To: "up",
						Reason: "answers"},
					{At: time.Date(2024, 5, 1, 12, 1, 0, 0, time.UTC), From: "up", To: "down", Reason: "silent"}}},
			{Switch: "02:00:00:00:00:0b", Port: "fab0", VID: 101, PortUp: true, State: "up",
				Live: true, Packets: 500 * n, Bytes: 62_500 * n},
		}}, nil
	case "webhooks":
		since := time.Date(2024, 5, 1, 12, 0, 0, 0, time.Local)
		return status.Items[alarm.ReceiverStatus]{Items: []alarm.ReceiverStatus{{Name: "noc", Place: "https://noc",
			Severity: "warning", State: "idle", Delivered: 9},
			{Name: "sms", Place: "http://sms", Severity: "critical", State: "retrying", Waiting: 3, Dropped: 1,
				Failures: 7, LastError: "it answers 500", Since: &since}}}, nil
	case "vifs":
		return status.Items[status.VIF]{Items: []status.VIF{{Key: "red/web1", RxPackets: 100 * n, TxPackets: 50},
			{Key: "red/db1"}, {Key: "blue/web1"}}}, nil
	case "flows":
		return status.Items[status.FlowTable]{Items: i.tables}, nil
	case "services":
		return status.Items[status.Service]{Items: []status.Service{{Key: "red/http", Directing: true, Servers: 2,
			Usable: 2, Flows: 7, Connections: 100 * n, InPackets: 1000 * n, InBytes: 125_000 * n, OutPackets: 2000,
			NoServer: 3}}}, nil
	case "servers":
		checked := time.Now().Add(-3 * time.Second)
		return status.Items[status.Server]{Items: []status.Server{{Key: "red/http/web1", State: "up", Weight: 1,
			Flows: 5, Connections: 60 * n, InPackets: 600 * n, LastCheck: &checked,
			LastError: "connection refused"}}}, nil
	}
	return nil, errors.New("no such statistics")
}

func (i *fakeInfo) Flows(_ context.Context, q api.FlowQuery) (p status.FlowPage, err error) {
	f := status.Flow{Service: "red/http", Server: "red/http/web1", VIP: "red/www", Protocol: "tcp", Client: "10.0.0.9",
		ClientPort: 40000, Port: 80, State: "established", Idle: 1500, OffTable: true}
	gone := status.Flow{VIP: "red/www6", Protocol: "udp", Client: "fd00::9", ClientPort: 5353, Port: 53, State: "udp",
		Worker: 1}
	switch {
	case q.State == "closed":
	case q.After == "":
		p.Items, p.Next = []status.Flow{f}, "0.1"
	default:
		p.Items = []status.Flow{gone}
	}
	return p, nil
}

// fakeGateways are a group "out" with isp1 and isp2, both up.
type fakeGateways struct{ active string }

func (g *fakeGateways) Status() []status.GatewayGroup {
	since := time.Now().Add(-90 * time.Second)
	probes := status.Probes{Sent: 900, Answered: 890, Missed: 4, Excused: 5, Late: 6, RTT: 123_456}
	out := status.GatewayGroup{Name: "out", MAC: "02:50:53:01:00:01", Addresses: []string{"10.0.0.254"},
		Active: g.active, Since: &since, Why: "answers", Switches: 1, Announced: 12, Members: []status.Gateway{
			{Name: "isp1", State: "up", Since: &since, Why: "answers", Port: "up0", VLAN: 7, IP: "192.0.2.1",
				Address: "192.0.2.2/29", MAC: "02:00:00:00:00:91", Probes: probes, RxPackets: 1, RxBytes: 2,
				TxPackets: 3, TxBytes: 4},
			{Name: "isp2", State: "up", Since: &since, Why: "answers", Port: "up1", IP: "198.51.100.1",
				Address: "198.51.100.2/29", Failures: 2},
		}}
	for i := range out.Members {
		out.Members[i].Active = out.Members[i].Name == g.active
	}
	return []status.GatewayGroup{out, {Name: "spare", MAC: "02:50:53:01:00:02", Why: "none", Addresses: []string{},
		Members: []status.Gateway{{Name: "isp3", State: "down", Why: "carrier", Port: "up1", IP: "203.0.113.1"}}}}
}

func (g *fakeGateways) Switch(group, member, expect string) (status.GatewayGroup, error) {
	if group != "out" {
		return status.GatewayGroup{}, gateway.ErrNoGroup
	}
	if expect != "" && expect != g.active {
		return status.GatewayGroup{}, fmt.Errorf("%w: %s", gateway.ErrChanged, g.active)
	}
	if member == "" {
		member = "isp2"
	}
	g.active = member
	return g.Status()[0], nil
}

func (g *fakeGateways) Disable(group, member, expect string, force bool) (status.GatewayGroup, error) {
	if !force {
		return status.GatewayGroup{}, dpgateway.ErrLast
	}
	return g.Status()[0], nil
}

func (g *fakeGateways) Enable(group, member, expect string) (status.GatewayGroup, error) {
	return g.Status()[0], nil
}

func (i *fakeInfo) LearnedBindings(f core.BindingFilter, after model.BindingKey, n int) []model.Binding {
	return i.compiler.LearnedBindings(f, after, n)
}

func (i *fakeInfo) LearnedBinding(key model.BindingKey) (model.Binding, bool) {
	return i.compiler.LearnedBinding(key)
}

func (i *fakeInfo) Boxes() []status.FabricBox {
	at := time.Now().Add(-3500 * time.Millisecond)
	return []status.FabricBox{{Place: "02:00:00:00:00:0b-9", SwitchMAC: 0x02000000000b, SwitchPort: 9,
		MAC: 0x02000000fb02, State: "equal", First: at, Heard: at, Bindings: 12, Known: 12},
		{Place: "02:00:00:00:00:0b-10", SwitchMAC: 0x02000000000b, SwitchPort: 10, MAC: 0x02000000fb03,
			State: "pulling", First: at, Heard: at, Bindings: 100}}
}

func (i *fakeInfo) Sync(place string) bool { return place == "02:00:00:00:00:0b-9" }

func (i *fakeInfo) ReleaseBinding(key model.BindingKey) bool {
	return key == model.BindingKey{Tenant: "red", Segment: "web", MAC: 0x020000000101}
}

func (i *fakeInfo) Neighbors() []status.Place {
	if i.neighbors != nil {
		return i.neighbors
	}
	at := time.Now().Add(-7500 * time.Millisecond)
	leaf := status.Neighbor{ChassisID: "02:00:00:00:00:0a", ChassisSubtype: 4, PortID: "Ethernet1/17/3", PortSubtype: 5,
		PortDescription: "to box1", SystemName: "leaf1", TTL: 120, First: at, Heard: at, SwitchMAC: 0x02000000000a,
		Reason: `port ID "Ethernet1/17/3" is one of several on one cable`}
	return []status.Place{
		{Port: "fab0", Reason: leaf.Reason, Neighbors: []status.Neighbor{leaf}},
		{Port: "fab1", SwitchMAC: 0x02000000000b, SwitchPort: 9, Origin: "stored", Since: &at,
			Neighbors: []status.Neighbor{}, Reason: "no LLDP frame has come for 35s"},
	}
}

func (i *fakeInfo) Reload(context.Context) error { return i.refusal }
func (i *fakeInfo) Ready() error                 { return nil }

// newWorld serves on a socket. change may alter the configuration.
func newWorld(t *testing.T, change func(*conf.Config)) *world {
	t.Helper()
	cfg, err := conf.Load("../conf/example/penstock.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dataplane.Bindings = 1000
	if change != nil {
		change(cfg)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, socket: filepath.Join(t.TempDir(), "c.sock"), info: &fakeInfo{name: "box1"}}
	bindings, err := table.NewBindings(table.Config{Capacity: cfg.Dataplane.Bindings})
	must(err)
	t.Cleanup(func() { bindings.Close() })
	cc := compile.Config{Scheme: cfg.Box.Scheme, Bindings: bindings, Capacity: cfg.Dataplane.Bindings,
		Publish: func(*fib.Snapshot) {}}
	box.ApplyLive(&cc, cfg, gateway.State{})
	w.compiler = compile.New(cc)
	w.info.compiler = w.compiler
	for i := range cfg.Ports {
		w.compiler.SetLink(i, true, 1534, 0x020000000100+uint64(i))
	}
	st, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{NoSync: true})
	must(err)
	t.Cleanup(func() { st.Close() })
	events := event.New(event.Config{})
	w.alarms, err = alarm.Open(alarm.Config{Path: filepath.Join(t.TempDir(), "alarms.db"), Box: "box1", Events: events,
		NoSync: true})
	must(err)
	t.Cleanup(func() { w.alarms.Close() })
	c, err := core.New(core.Config{Store: st, Live: w.compiler, Events: events, Options: box.ModelOptions(cfg)})
	must(err)
	server, err := api.New(api.Config{Path: w.socket, Owner: os.Getuid(), Group: -1, Core: c, Events: events,
		Alarms: w.alarms, Gateways: &fakeGateways{active: "isp1"}, Info: w.info, ServiceTable: w.compiler.ServiceTable})
	must(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	w.client = client.New(w.socket)
	t.Cleanup(func() {
		w.client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return w
}

// answer is what a command line led to.
type answer struct {
	code     int
	out, err string
}

// command runs a command line as main does.
func command(t *testing.T, stdin string, args ...string) answer {
	t.Helper()
	root := rootCommand()
	var out, errs bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	code := execute(ctx, root, args)
	if ctx.Err() != nil {
		t.Fatalf("penstock %s hangs", strings.Join(args, " "))
	}
	return answer{code, out.String(), errs.String()}
}

// run runs a command line against the world.
func (w *world) run(args ...string) answer {
	w.t.Helper()
	return command(w.t, "", append(args, "--socket", w.socket)...)
}

// ok runs a command line that has to succeed, and returns its output.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	a := w.run(args...)
	if a.code != exitOK {
		w.t.Fatalf("penstock %s: exit code %d: %s", strings.Join(args, " "), a.code, a.err)
	}
	return a.out
}

// example pushes conf/example/tables.toml.
func (w *world) example() *world {
	w.t.Helper()
	w.ok("apply", "-f", "../conf/example/tables.toml")
	return w
}

// decode reads JSON that a command printed.
func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// TestExampleTables: the example is taken whole by the box of the example configuration, and all of it is live.
func TestExampleTables(t *testing.T) {
	w := newWorld(t, nil).example()
	for _, kind := range model.Kinds {
		type state struct {
			Status struct {
				Live   bool   `json:"live"`
				Reason string `json:"reason"`
			} `json:"status"`
		}
		n := 0
		err := w.client.Each(t.Context(), kind, nil, func(raw json.RawMessage) error {
			n++
			s := decode[state](t, string(raw))
			if kind == model.KindVTEP { // the example has no port with VXLAN
				s.Status.Live, s.Status.Reason = !s.Status.Live, ""
			}
			if !s.Status.Live || s.Status.Reason != "" {
				t.Errorf("%s: not live", raw)
			}
			return nil
		})
		if err != nil || n < 2 {
			t.Errorf("%s: %d objects, %v", kind, n, err)
		}
	}
	if a := w.run("apply", "--prune", "-f", "../conf/example/tables.toml"); a.code != exitOK ||
		a.out != "0 changes, revision 1\n" {
		t.Errorf("the same tables again: got %+v, want exit code 0 and no change", a)
	}
	var vif model.VIF
	if err := w.client.Object(t.Context(), model.KindVIF, "red/web1", &vif); err != nil ||
		vif.Addresses[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("VIF red/web1: got %+v, %v; want address 10.0.0.1", vif, err)
	}
}
