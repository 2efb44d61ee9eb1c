package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"penstock/ctrl/alarm"
	"penstock/ctrl/gateway"
	"penstock/ctrl/rest"
	"penstock/ctrl/status"
	"penstock/dataplane/drop"
	"penstock/dataplane/stats"
)

// fake is a box in which every counter has counted.
type fake struct {
	stats         Stats
	broken, start error
}

func (f *fake) Stats() Stats   { return f.stats }
func (f *fake) Healthy() error { return f.broken }
func (f *fake) Ready() error   { return f.start }

func sample() *fake {
	gaps := make([]uint64, stats.GapBuckets)
	gaps[stats.GapBucket(20)], gaps[stats.GapBucket(4000)], gaps[stats.GapBucket(
		1e6)], gaps[stats.GapBuckets-1] = 10, 20, 3, 1
	return &fake{stats: Stats{
		Control: rest.Counters{Connections: 51, Streams: 52, Refused: 53, Evicted: 54, SlowBodies: 55, SlowReaders: 56},
		Box: status.Box{
			Name: "gw1", Version: "1.2.3", Commit: "abc", Started: time.UnixMilli(
				1700000000500), Revision: 42, Scheme: "10.p.t",
			Bindings: status.Bindings{Count: 7, Capacity: 100, Bytes: 4096},
			Frames: status.Frames{All: 64, Pooled: 32,
				ByOwner: map[string]int{"fill": 32, "pool": 32}, Violations: 1},
		},
		Ports: []status.Port{
			{Name: "acc0", Interface: "eth0", Role: "access", Open: true, Up: true, MTU: 1500,
				XDP: "native", Mode: "zero-copy",
				RxPackets: 1, RxBytes: 2, TxPackets: 3, TxBytes: 4, TxErrors: 5, Punted: 6, Injected: 7, Copies: 8,
				Punts:   map[string]uint64{"arp": 3},
				Reasons: map[string]uint64{drop.SpoofMAC.String(): 9, drop.NoPath.String(): 0},
				Kernel: status.Kernel{RxDropped: 10, RxRingFull: 11, FillRingEmpty: 12,
					RxInvalidDescs: 13, TxInvalidDescs: 14}},
			{Name: "fab0", Interface: "eth1", Role: "fabric", Up: true},
		},
		Workers: []status.Worker{{ID: 0, Turns: 100, BusyTurns: 60, Frames: 500, Sleeps: 4, BusyNs: 1500000000,
			MaxGapNs: 2000000, Gaps: gaps}},
		Paths: []status.Path{{Switch: "02:00:00:00:00:01", Port: "fab0", VID: 101, Live: true,
			Packets: 15, Bytes: 16, Probes: 17, Missed: 18, Failures: 19, RTT: &status.RTT{P50: 250_000}}},
		Gateways: Gateways{
			Groups: []status.GatewayGroup{{Name: "out", Active: "isp1", Announced: 31, Members: []status.Gateway{
				{Name: "isp1", State: "up", Active: true, Failures: 32, Probes: status.Probes{Sent: 33, Answered: 34,
					Missed: 35, Excused: 36, Late: 37}, RxPackets: 38, RxBytes: 39, TxPackets: 40, TxBytes: 41},
				{Name: "isp2", State: "down", Held: new(time.Time)}}}},
			Counters: gateway.Counters{Switches: map[gateway.Switches]uint64{{Group: "out", Why: "silent"}: 2},
				RTTs: []gateway.RTT{{Group: "out", Member: "isp1", Count: 3, Sum: 0.25,
					Buckets: map[float64]uint64{0.001: 2}}}},
		},
		Balance: Balance{
			Services: []status.Service{{Key: "red/http", Directing: true, Servers: 3, Usable: 2, Panic: true, Flows: 61,
				Connections: 62, Moved: 63, Guard: 64, NoServer: 65, InPackets: 66, InBytes: 67, OutPackets: 68,
				OutBytes: 69}},
			Servers: []status.Server{{Key: "red/http/web1", State: "up", Weight: 2, Flows: 71, Connections: 72,
				Moved: 73, InPackets: 74, InBytes: 75, OutPackets: 76, OutBytes: 77, Failures: 78,
				LastCheck: new(time.Time), LastTook: 0.5},
				{Key: "red/http/web2", State: "down"}},
			Tables: []status.FlowTable{{Worker: 0, Limit: 81, Bytes: 82, Flows: map[string]uint64{"udp": 83},
				OffTable: 84, Inserted: 85, Evicted: map[string]uint64{"half-open": 86},
				Expired: map[string]uint64{"closed": 87}, Guard: 88, NoRoom: 89, Moved: 90}},
			Directors: map[string]uint64{"forged": 91}, Told: 92, Takeovers: 93,
		},
		Bindings: Bindings{Messages: map[string]uint64{"here": 101}, Heard: map[string]uint64{"taken": 102},
			Stations: map[string]uint64{"new": 106}, Pulls: map[string]uint64{"done": 103}, Swept: 104,
			Boxes: map[string]int{"equal": 105}},
		VTEPs: VTEPs{List: []VTEP{{Name: "rack7", RxPackets: 111, RxBytes: 112, TxPackets: 113, TxBytes: 114}},
			Learning: map[string]uint64{"learned": 115}},
		LLDP: []LLDP{{Port: "fab0", Frames: map[string]uint64{"received": 121, "order": 122}, Neighbors: 1}},
		Alarms: Alarms{
			Active: []alarm.Alarm{{ID: 1, Kind: alarm.PortDown, Severity: alarm.Major, Object: "port fab0",
				Acknowledged: &alarm.Acknowledgement{By: "alice"}},
				{ID: 2, Kind: alarm.GatewayAllDown, Severity: alarm.Critical, Object: "gateway_group out"}},
			Totals: alarm.Totals{Raised: map[alarm.Severity]uint64{alarm.Major: 3, alarm.Critical: 1}, Refused: 2},
			Webhooks: []alarm.ReceiverStatus{{Name: "noc", Delivered: 21, Attempts: 21}, {Name: "sms", Waiting: 3,
				Dropped: 4, Attempts: 9, Failures: 5, Since: new(time.Time), Oldest: new(time.Time)}},
		},
		Objects:    map[string]int{"tenants": 2, "vifs": 3},
		Generation: 77,
		Events:     88,
	}}
}

// gather returns the metric families of the box, without those of the Go runtime and the process.
func gather(t *testing.T, f *fake) map[string]*dto.MetricFamily {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newCollector(f), newServer(f).push)
	list, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, m := range list {
		out[m.GetName()] = m
	}
	return out
}

func labelNames(m *dto.MetricFamily) []string {
	var names []string
	for _, l := range m.Metric[0].Label {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	return names
}

func TestValues(t *testing.T) {
	f := sample()
	want := `
# HELP penstock_alarm_active 1 for every active alarm.
# TYPE penstock_alarm_active gauge
penstock_alarm_active{kind="gateway_all_down",object="gateway_group out",severity="critical"} 1
penstock_alarm_active{kind="port_down",object="port fab0",severity="major"} 1
# HELP penstock_alarms_unacknowledged Active alarms that nobody has acknowledged.
# TYPE penstock_alarms_unacknowledged gauge
penstock_alarms_unacknowledged{severity="critical"} 1
penstock_alarms_unacknowledged{severity="major"} 0
penstock_alarms_unacknowledged{severity="minor"} 0
penstock_alarms_unacknowledged{severity="warning"} 0
# HELP penstock_webhook_dropped_total Notices that the receiver will never get, since it was configured: they gave way to newer ones.
# TYPE penstock_webhook_dropped_total counter
penstock_webhook_dropped_total{webhook="noc"} 0
penstock_webhook_dropped_total{webhook="sms"} 4
# HELP penstock_webhook_up 1 as long as the receiver of alarms takes what it is sent.
# TYPE penstock_webhook_up gauge
penstock_webhook_up{webhook="noc"} 1
penstock_webhook_up{webhook="sms"} 0
# HELP penstock_bindings Rows in the bindings table: pushed ones, those of other boxes, and local VIFs.
# TYPE penstock_bindings gauge
penstock_bindings 7
# HELP penstock_gateway_state 1 for the state that the gateway is in, 0 for the others.
# TYPE penstock_gateway_state gauge
penstock_gateway_state{group="out",member="isp1",state="disabled"} 0
penstock_gateway_state{group="out",member="isp1",state="down"} 0
penstock_gateway_state{group="out",member="isp1",state="init"} 0
penstock_gateway_state{group="out",member="isp1",state="suspect"} 0
penstock_gateway_state{group="out",member="isp1",state="up"} 1
penstock_gateway_state{group="out",member="isp2",state="disabled"} 0
penstock_gateway_state{group="out",member="isp2",state="down"} 1
penstock_gateway_state{group="out",member="isp2",state="init"} 0
penstock_gateway_state{group="out",member="isp2",state="suspect"} 0
penstock_gateway_state{group="out",member="isp2",state="up"} 0
# HELP penstock_gateway_switches_total Changes of the active member, by cause. A cause appears once it counted.
# TYPE penstock_gateway_switches_total counter
penstock_gateway_switches_total{cause="silent",group="out"} 2
# HELP penstock_path_bytes_total Octets sent by the path, with the outer headers.
# TYPE penstock_path_bytes_total counter
penstock_path_bytes_total{port="fab0",switch="02:00:00:00:00:01",vid="101"} 16
# HELP penstock_path_rtt_seconds Median of the last 64 round trips of the path's probes; absent before the first.
# TYPE penstock_path_rtt_seconds gauge
penstock_path_rtt_seconds{port="fab0",switch="02:00:00:00:00:01",vid="101"} 0.00025
# HELP penstock_port_drops_total Frames received on the port and discarded. A reason appears once it counted.
# TYPE penstock_port_drops_total counter
penstock_port_drops_total{port="acc0",reason="spoof_mac"} 9
# HELP penstock_port_kernel_drops_total Frames that the kernel could not hand over or refused (XDP_STATISTICS).
# TYPE penstock_port_kernel_drops_total counter
penstock_port_kernel_drops_total{port="acc0",reason="fill_ring_empty"} 12
penstock_port_kernel_drops_total{port="acc0",reason="rx_dropped"} 10
penstock_port_kernel_drops_total{port="acc0",reason="rx_invalid"} 13
penstock_port_kernel_drops_total{port="acc0",reason="rx_ring_full"} 11
penstock_port_kernel_drops_total{port="acc0",reason="tx_invalid"} 14
penstock_port_kernel_drops_total{port="fab0",reason="fill_ring_empty"} 0
penstock_port_kernel_drops_total{port="fab0",reason="rx_dropped"} 0
penstock_port_kernel_drops_total{port="fab0",reason="rx_invalid"} 0
penstock_port_kernel_drops_total{port="fab0",reason="rx_ring_full"} 0
penstock_port_kernel_drops_total{port="fab0",reason="tx_invalid"} 0
# HELP penstock_port_up 1 when the port has carrier and its sockets are bound.
# TYPE penstock_port_up gauge
penstock_port_up{port="acc0"} 1
penstock_port_up{port="fab0"} 0
# HELP penstock_start_time_seconds When the box started, in seconds since 1970.
# TYPE penstock_start_time_seconds gauge
penstock_start_time_seconds 1.7000000005e+09
# HELP penstock_worker_empty_turns_total Turns that found no frame anywhere.
# TYPE penstock_worker_empty_turns_total counter
penstock_worker_empty_turns_total{worker="0"} 40
`
	var names []string
	for _, m := range regexp.MustCompile(`# TYPE (\S+)`).FindAllStringSubmatch(want, -1) {
		names = append(names, m[1])
	}
	if err := testutil.CollectAndCompare(newCollector(f), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	all := gather(t, f)
	for name, want := range map[string][]float64{ // every port counter of acc0, in a row
		"penstock_port_receive_packets_total": {1, 0}, "penstock_port_receive_bytes_total": {2, 0},
		"penstock_port_transmit_packets_total": {3, 0}, "penstock_port_transmit_bytes_total": {4, 0},
		"penstock_port_transmit_errors_total": {5, 0}, "penstock_port_punted_packets_total": {6, 0},
		"penstock_port_injected_packets_total": {7, 0}, "penstock_port_copied_packets_total": {8, 0},
	} {
		var got []float64
		for _, m := range all[name].GetMetric() {
			got = append(got, m.Counter.GetValue())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	h := all["penstock_worker_loop_gap_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 34 || len(h.Bucket) != maxGap-minGap+1 {
		t.Errorf("%d gaps in %d buckets, want all of them", h.GetSampleCount(), len(h.Bucket))
	}
	for _, b := range h.Bucket {
		want := uint64(10)
		if b.GetUpperBound() >= 4.096e-6 {
			want = 30
		}
		if b.GetUpperBound() >= 1.048576e-3 {
			want = 33
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("%d gaps up to %v s, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(newCollector(sample()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("metric %s: %s, want no problem", p.Metric, p.Text)
	}
}

var row = regexp.MustCompile("(?m)^\\| `(penstock_[a-z_]+)` \\| ([a-z]+) \\| (.*?) \\| (.*) \\|$")

// TestREADME holds the documentation to the code: every metric with its type, labels and meaning, and nothing else.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if documented[m[1]] != nil {
			t.Errorf("%s is documented twice", m[1])
		}
		documented[m[1]] = m[2:]
	}
	for name, m := range gather(t, sample()) {
		var labels []string
		for _, l := range labelNames(m) {
			labels = append(labels, "`"+l+"`")
		}
		want := []string{strings.ToLower(m.GetType().String()), strings.Join(labels, ", "), m.GetHelp()}
		if !slices.Equal(documented[name], want) {
			t.Errorf("README.md:\n got %s %q\nwant | `%s` | %s |", name, documented[name], name,
				strings.Join(want, " | "))
		}
		delete(documented, name)
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		t.Errorf("README.md documents %s, which does not exist", name)
	}
}

func TestServer(t *testing.T) {
	f := sample()
	s, err := Listen("127.0.0.1:0", f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(s.Addr().String(), f); err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("a second listener on one address: error %v, want one", err)
	}
	done := make(chan error)
	go func() { done <- s.Serve() }()
	get := func(path string) (int, string) {
		t.Helper()
		r, err := http.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	s.ObservePush(OpTransaction, 3*time.Millisecond)
	s.ObservePush("something else", time.Second)
	(*Server)(nil).ObservePush(OpBulk, time.Second)
	code, body := get("/metrics")
	for _, want := range []string{"penstock_ready 1\n",
		`penstock_push_duration_seconds_bucket{operation="transaction",le="0.005"} 1`,
		`penstock_push_duration_seconds_count{operation="other"} 1`,
		`penstock_push_duration_seconds_count{operation="bulk"} 0`,
		"go_goroutines", "process_resident_memory_bytes"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics answers %d without %s, want 200 with it", code, want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(path); code != 200 || body != "ok\n" {
			t.Errorf("%s answers %d %q, want 200", path, code, body)
		}
	}
	f.broken, f.start = errors.New("worker 1 stands still"), errors.New("starting")
	if code, body := get("/healthz"); code != 503 || body != "worker 1 stands still\n" {
		t.Errorf("/healthz of a broken box answers %d %q, want 503 and the fault", code, body)
	}
	if code, body := get("/readyz"); code != 503 || body != "starting\n" {
		t.Errorf("/readyz of a starting box answers %d %q, want 503 and the reason", code, body)
	}
	if code, _ := get("/nothing"); code != 404 {
		t.Errorf("/nothing answers %d, want 404", code)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve returns %v, want nil", err)
	}
}

// TestUnserved shuts a server down that never served, as a start that fails does.
func TestUnserved(t *testing.T) {
	s, err := Listen("127.0.0.1:0", sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	again, err := Listen(s.Addr().String(), sample())
	if err != nil {
		t.Fatalf("the listener is still open: %v, want it closed", err)
	}
	if err := again.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestDuplicates: one wrong series does not remove others.
func TestDuplicates(t *testing.T) {
	f := sample()
	f.stats.Paths = append(f.stats.Paths, f.stats.Paths[0])
	s := newServer(f)
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `penstock_port_up{port="acc0"} 1`) {
		t.Errorf("answer %d", w.Code)
	}
}

// TestConcurrent scrapes and pushes at the same time, for the race detector.
func TestConcurrent(t *testing.T) {
	s := newServer(sample())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 20 {
				w := httptest.NewRecorder()
				s.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				if w.Code != 200 {
					t.Errorf("answer %d", w.Code)
				}
				s.ObservePush(OpBulk, time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// A scrape is answered however many connections others hold, with and without a request; connections are bounded.
func TestConnectionLimit(t *testing.T) {
	s, err := Listen("127.0.0.1:0", sample())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	defer func() {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range 3 * maxConns {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if i%3 > 0 { // answered, not read, and kept
			fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n")
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		resp, err := client.Get("http://" + s.Addr().String() + "/metrics")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("a scrape fails: %v, want an answer", err)
		}
	}
	open := 0
	for _, c := range held {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := io.Copy(io.Discard, c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	const told = 16 // refused connections that may read the reason for a second
	if open > maxConns+told {
		t.Errorf("%d connections are open, want at most %d", open, maxConns+told)
	}
}
