package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// TestBalanceScale pushes 1,000 services with 10,000 servers to a director, which checks them: at most 5,000 checks a
// second, no second with more than twice the mean, and the box answers meanwhile.
func TestBalanceScale(t *testing.T) {
	const services, each = 1000, 10
	b := startFloodTown(t)
	b.applyTo(t, vipDocument("v4", vip4, own4), "d", "h1")
	var ops []lab.Operation
	put := func(o model.Object) {
		ops = append(ops, lab.Operation{Op: "put", Kind: o.Kind(), Key: o.Key(), Value: o})
	}
	for i := range services {
		s := model.Service{Tenant: "red", Name: fmt.Sprintf("s%03d", i), VIP: "v4", ID: uint32(100 + i),
			Port: uint16(1000 + i), TableSize: 1009}
		put(s)
		for k := range each {
			put(model.Server{Tenant: "red", Service: s.Name, Name: fmt.Sprintf("web%d", k),
				Address: b.host("web1").IPv4, Port: uint16(10_000 + each*i + k)})
		}
	}
	memory := b.memory(t, "d")
	for _, box := range []string{"h1", "d"} {
		began := time.Now()
		b.push(box, ops)
		t.Logf("%d services with %d servers pushed to %s in %v", services, services*each, box,
			time.Since(began).Round(time.Millisecond))
	}
	refused := func() (n int) {
		out, err := b.lab.Run(b.VM("web1").Namespace, "cat", "/proc/net/snmp")
		must(t, err)
		var names, values []string
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == "Tcp:" {
				names, values = values, f
			}
		}
		if i := slices.Index(names, "OutRsts"); i >= 0 {
			fmt.Sscan(values[i], &n)
		}
		return n
	}
	time.Sleep(3 * time.Second) // thousands change their state
	var rates []int
	steady := false
	for window := 0; window < 4 && !steady; window++ { // a loaded machine may hold one up
		rates = nil
		began, first := time.Now(), refused()
		for last := first; len(rates) < 3; {
			time.Sleep(time.Until(began.Add(time.Duration(len(rates)+1) * time.Second)))
			now := refused()
			rates, last = append(rates, now-last), now
			if r := rates[len(rates)-1]; r > 5500 {
				t.Errorf("checks in a second: got %d, want at most 5000", r)
			}
		}
		mean := (rates[0] + rates[1] + rates[2]) / 3
		steady = mean > 2500 && slices.Max(rates) <= 2*mean
	}
	if !steady {
		t.Errorf("checks by second: got %v, want more than 2500, and no second with twice the mean", rates)
	}
	asked := time.Now()
	var l status.Items[status.Server]
	b.get("d", "/v1/stats/servers", &l)
	t.Logf("checks by second: %v; all servers shown in %v; resident memory %d KiB before, %d KiB after", rates,
		time.Since(asked).Round(time.Millisecond), memory, b.memory(t, "d"))
	change := func(server map[string]any) {
		t.Helper()
		text, err := json.Marshal(server)
		must(t, err)
		asked := time.Now()
		must(t, b.call("d", http.MethodPatch, "/v1/servers/red/s500/web5", bytes.NewReader(text), nil))
		t.Logf("%s pushed in %v", text, time.Since(asked).Round(100*time.Microsecond))
	}
	change(map[string]any{"weight": 3})
	change(map[string]any{"state": "disabled"})
	change(map[string]any{"state": "enabled"})
	b.eventually(t, "all servers are down, for their connections are refused", func() bool {
		var l status.Items[status.Server]
		b.get("d", "/v1/stats/servers", &l)
		return len(l.Items) == services*each && !slices.ContainsFunc(l.Items, func(s status.Server) bool {
			return s.State != "down" || s.LastError != "connection refused"
		})
	})
}
