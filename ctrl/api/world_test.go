package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/event"
	"penstock/ctrl/gateway"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
	"penstock/ctrl/status"
	"penstock/ctrl/store"
	dpgateway "penstock/dataplane/gateway"
)

// sink is a Live that accepts every plan.
type sink struct{}

func (sink) SetAges(func([]model.BindingKey) ([]uint64, error)) {}

func (sink) Plan(*model.State, model.BindingChanges) (core.Plan, error) { return 0, nil }
func (sink) Apply(core.Plan) error                                      { return nil }
func (sink) BulkBegin(core.BulkSize) error                              { return nil }
func (sink) BulkPut([]model.Binding) error                              { return nil }
func (sink) BulkDelete([]model.BindingKey) error                        { return nil }
func (sink) BulkEnd()                                                   {}
func (sink) Status(model.Kind, string) any                              { return map[string]string{"state": "live"} }

type info struct {
	notReady atomic.Bool
	reloads  atomic.Int32
	asked    atomic.Pointer[api.FlowQuery] // the last one
	learned  []model.Binding               // by key
}

func (i *info) Box() any { return map[string]string{"name": "box1"} }
func (i *info) Stats(kind string) (any, error) {
	return map[string]any{"items": []string{}}, nil
}
func (i *info) Flows(_ context.Context, q api.FlowQuery) (status.FlowPage, error) {
	if q.After != "" && q.After != "0.5" {
		return status.FlowPage{}, api.ErrPosition
	}
	i.asked.Store(&q)
	return status.FlowPage{Items: []status.Flow{{Service: "RED/http", Server: "RED/http/web1", VIP: "RED/www",
		Protocol: "tcp", Client: "10.1.0.9", ClientPort: 40000, Port: 80, State: "established", Idle: 5}},
		Next: "0.5"}, nil
}

func (i *info) LearnedBindings(f core.BindingFilter, after model.BindingKey, n int) (list []model.Binding) {
	if f.Origin == model.OriginLearned {
		return nil
	}
	for _, b := range i.learned {
		if b.Key() > after.String() && (f.Tenant == "" || f.Tenant == b.Tenant) && len(list) < n {
			list = append(list, b)
		}
	}
	return list
}

func (i *info) LearnedBinding(key model.BindingKey) (model.Binding, bool) {
	for _, b := range i.learned {
		if b.BindingKey() == key {
			return b, true
		}
	}
	return model.Binding{}, false
}

func (i *info) ReleaseBinding(key model.BindingKey) bool {
	return key == model.BindingKey{Tenant: "RED", Segment: "web", MAC: 0x020000000101}
}

func (i *info) Ports() []api.PortStatus {
	return []api.PortStatus{
		{Name: "acc0", Role: "access", Status: map[string]bool{"up": true}},
		{Name: "fab0", Role: "fabric"},
	}
}

func (i *info) Boxes() []status.FabricBox {
	at := time.Now().Add(-3500 * time.Millisecond)
	return []status.FabricBox{{Place: "02:00:00:00:00:0b-9", SwitchMAC: 0x02000000000b, SwitchPort: 9,
		MAC: 0x02000000fb02, State: "equal", First: at, Heard: at, Bindings: 12, Known: 12}}
}

func (i *info) Sync(place string) bool { return place == "02:00:00:00:00:0b-9" }

func (i *info) Neighbors() []status.Place {
	at := time.Unix(1, 0).UTC()
	return []status.Place{{Port: "fab0", SwitchMAC: 0x02000000000a, SwitchPort: 17, Origin: "lldp", Since: &at,
		Neighbors: []status.Neighbor{{ChassisID: "02:00:00:00:00:0a", ChassisSubtype: 4, PortID: "swp17",
			PortSubtype: 5, SystemName: "leaf1", TTL: 120, First: at, Heard: at, SwitchMAC: 0x02000000000a,
			SwitchPort: 17}}}}
}

func (i *info) Reload(context.Context) error {
	if i.reloads.Add(1) > 1 {
		return errors.New("penstock.toml:3: box.workers: cannot change while running")
	}
	return nil
}
func (i *info) Ready() error {
	if i.notReady.Load() {
		return errors.New("rings are being filled")
	}
	return nil
}

// gates are the gateway group "out" with isp1, isp2, both up, and isp3, which is down.
type gates struct {
	active  string
	invalid error // of the next command
}

func newGates() *gates { return &gates{active: "isp1"} }

func (g *gates) Status() []status.GatewayGroup {
	out := status.GatewayGroup{Name: "out", MAC: "02:50:53:01:00:01", Addresses: []string{"10.0.0.254"},
		Active: g.active, Why: "operator", Since: new(time.Time), Switches: 1}
	for _, name := range []string{"isp1", "isp2", "isp3"} {
		state := "up"
		if name == "isp3" {
			state = "down"
		}
		out.Members = append(out.Members, status.Gateway{
			Name: name, State: state, Active: name == g.active, Why: "answers", Port: "up0", VLAN: 7,
			IP: "192.0.2.1", Address: "192.0.2.9/28", MAC: "02:00:00:00:00:01",
		})
	}
	return []status.GatewayGroup{out}
}

func (g *gates) do(group, expect string, fn func()) (status.GatewayGroup, error) {
	switch {
	case group != "out":
		return status.GatewayGroup{}, gateway.ErrNoGroup
	case expect != "" && expect != g.active:
		return status.GatewayGroup{}, fmt.Errorf("%w: %s", gateway.ErrChanged, g.active)
	case g.invalid != nil:
		return status.GatewayGroup{}, g.invalid
	}
	fn()
	return g.Status()[0], nil
}

func (g *gates) Switch(group, member, expect string) (status.GatewayGroup, error) {
	return g.do(group, expect, func() { g.active = cmp.Or(member, "isp2") })
}

func (g *gates) Disable(group, member, expect string, force bool) (status.GatewayGroup, error) {
	if !force && group == "out" && member == "isp9" {
		return status.GatewayGroup{}, dpgateway.ErrLast
	}
	return g.do(group, expect, func() {})
}

func (g *gates) Enable(group, member, expect string) (status.GatewayGroup, error) {
	return g.do(group, expect, func() {})
}

type world struct {
	t      testing.TB
	dir    string
	path   string
	core   *core.Core
	alarms *alarm.Board
	gates  *gates
	events *event.Log
	info   *info
	server *api.Server
	backup atomic.Pointer[error] // of the next backups
	client *client.Client
}

// newWorld starts a server with a store of its own. change may alter its configuration.
func newWorld(t testing.TB, change func(*api.Config, *core.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), info: &info{}, gates: newGates()}
	w.path = filepath.Join(w.dir, "c.sock")
	s, err := store.Open(filepath.Join(w.dir, "db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	w.events = event.New(event.Config{})
	board := alarm.Config{Path: filepath.Join(w.dir, "alarms.db"), Box: "box1", Events: w.events, NoSync: true}
	if w.alarms, err = alarm.Open(board); err != nil {
		t.Fatal(err)
	}
	ports := []model.PortRef{
		{Name: "acc0", Role: "access"}, {Name: "acc1", Role: "access"}, {Name: "fab0", Role: "fabric"},
	}
	cc := core.Config{Store: s, Live: sink{}, Events: w.events, Options: model.Options{Ports: ports}}
	ac := api.Config{Path: w.path, Group: -1, Events: w.events, Alarms: w.alarms, Gateways: w.gates, Info: w.info,
		Backup: func(_ context.Context, out io.Writer) error {
			if err := w.backup.Load(); err != nil {
				return *err
			}
			_, err := io.WriteString(out, "archive")
			return err
		},
		ServiceTable: func(key string) (status.ServiceTable, string, bool) {
			if key != "RED/http" {
				return status.ServiceTable{}, "the service has no usable server", true
			}
			return status.ServiceTable{Servers: []string{"web1", "web2"}, Entries: []uint16{0, 1, 0}}, "", true
		}}
	if change != nil {
		change(&ac, &cc)
	}
	if w.core, err = core.New(cc); err != nil {
		t.Fatal(err)
	}
	ac.Core = w.core
	if w.server, err = api.New(ac); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.server.Serve() }()
	w.client = client.New(w.path)
	t.Cleanup(func() {
		w.client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		w.alarms.Close()
		s.Close()
	})
	return w
}

// send makes one request and returns status, header and body.
func (w *world) send(method, url, body string, header ...string) (int, http.Header, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, "http://box"+url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.path)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dial}
	c := http.Client{Timeout: 20 * time.Second, Transport: transport}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v, want an answer", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v, want an answer", method, url, err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// must makes a request that has to succeed.
func (w *world) must(method, url, body string) string {
	w.t.Helper()
	status, _, text := w.send(method, url, body)
	if status >= 300 {
		w.t.Fatalf("%s %s: status %d, want below 300: %s", method, url, status, text)
	}
	return text
}

// refused makes a request that has to fail and returns its envelope.
func (w *world) refused(method, url, body string, header ...string) rest.EnvelopeError {
	w.t.Helper()
	status, h, text := w.send(method, url, body, header...)
	var e rest.Envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error.Message == "" ||
		h.Get("Content-Type") != "application/json" {
		w.t.Fatalf("%s %s: status %d, %s (%v), want an error envelope in JSON", method, url, status, text, err)
	}
	if e.Error.Status != status {
		w.t.Errorf("%s %s: status %d, and %d in the envelope, want the same", method, url, status, e.Error.Status)
	}
	return e.Error
}

// isRefusal fails the test unless a refusal has a status and a code, and its message all parts of the text.
func (w *world) isRefusal(what string, e rest.EnvelopeError, status int, code string, parts ...string) {
	w.t.Helper()
	if e.Status != status || e.Code != code {
		w.t.Errorf("%s: status %d, code %q, want %d, %q: %s", what, e.Status, e.Code, status, code, e.Message)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message, part) {
			w.t.Errorf("%s: the message is %q, want %q in it", what, e.Message, part)
		}
	}
}

// bindingLine is a binding of the tenant RED as a line of a bulk stream.
func bindingLine(segment string, mac model.MAC, port int) string {
	const form = `{"tenant":"RED","segment":%q,"mac":%q,"switch_mac":"02:aa:00:00:00:01","switch_port":%d}` + "\n"
	return fmt.Sprintf(form, segment, mac.String(), port)
}

// base fills the tables that the tests build on.
const base = `{"operations":[
 {"op":"put","kind":"tenants","key":"RED","value":{"id":7}},
 {"op":"put","kind":"tenants","key":"BLUE","value":{"id":8,"router_mac":"02:00:00:00:0b:0b"}},
 {"op":"put","kind":"segments","key":"RED/web","value":{"id":1}},
 {"op":"put","kind":"segments","key":"RED/db","value":{"id":2}},
 {"op":"put","kind":"segments","key":"BLUE/web","value":{"id":1}},
 {"op":"put","kind":"subnets","key":"RED/web4","value":{"segment":"web","prefix":"10.1.0.0/24","router":"10.1.0.1"}},
 {"op":"put","kind":"subnets","key":"RED/web6","value":{"segment":"web","prefix":"fd00:1::/64","router":"fd00:1::1"}},
 {"op":"put","kind":"vifs","key":"RED/vm1","value":{
  "segment":"web","mac":"02:00:00:00:00:01","addresses":["10.1.0.5","fd00:1::5","fe80::5"],"port":"acc0"}},
 {"op":"put","kind":"vifs","key":"RED/vm2","value":{"segment":"db","mac":"02:00:00:00:00:02","port":"acc0","vlan":20}},
 {"op":"put","kind":"bindings","key":"RED/web/02:00:00:00:01:01","value":{
  "addresses":["10.1.0.9"],"switch_mac":"02:aa:00:00:00:01","switch_port":3}},
 {"op":"put","kind":"paths","key":"02:aa:00:00:00:01/02:aa:00:00:00:02","value":{
  "vlans":[{"vid":10},{"vid":20,"weight":5}]}}
]}`
