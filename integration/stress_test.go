package integration

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestNoFalseSwitch: gateways that answer stay up, whatever the machine does: every core is wanted by three programs
// that compute, bindings are pushed without a pause, the box's collector has to keep up with them, and the probes are
// 10 ms apart, three to fail. It takes 3 s, or PENSTOCK_STRESS.
func TestNoFalseSwitch(t *testing.T) {
	length := 3 * time.Second
	if text := os.Getenv("PENSTOCK_STRESS"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		must(t, err)
	}
	const count = 50_000
	o := outside()
	o.Group = "probe_interval = \"10ms\"\nmisses = 3\nflap_count = 0\ndata_liveness = false\n"
	o.Dataplane.Bindings = count + 1000
	f := startFabric(t, o)
	f.isActive(t, "isp1", "up", "up")
	before := f.group()

	for i := range 3 * runtime.NumCPU() {
		hog, err := f.lab.Start("isp1", fmt.Sprintf("hog%d", i), "sh", "-c", "while :; do :; done")
		must(t, err)
		defer hog.Kill()
	}
	var lines [2]string
	for round := range lines { // each push moves all of them
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, `{"tenant":"red","segment":"web","mac":"02:10:00:%02x:%02x:%02x",`+
				`"switch_mac":"02:00:00:00:fa:0b","switch_port":%d}`+"\n", i>>16&255, i>>8&255, i&255, 2+round)
		}
		lines[round] = b.String()
	}
	pushes := 0
	for began := time.Now(); time.Since(began) < length; pushes++ {
		must(t, f.call("box1", http.MethodPost, "/v1/bulk/bindings?mode=merge", strings.NewReader(lines[pushes%2]),
			nil))
	}
	after := f.group()
	for i, m := range after.Members {
		p, q := m.Probes, before.Members[i].Probes
		t.Logf("%s: %d probes, %d answered, %d missed, %d late timers, %d failures; %d pushes of %d bindings", m.Name,
			p.Sent-q.Sent, p.Answered-q.Answered, p.Missed-q.Missed, p.Late-q.Late,
			m.Failures-before.Members[i].Failures, pushes, count)
		if m.Failures != before.Members[i].Failures {
			t.Errorf("%s has failed, want it up", m.Name)
		}
	}
	if after.Switches != before.Switches {
		t.Errorf("%d false switches", after.Switches-before.Switches)
	}
	// And one that falls silent is found out all the same.
	must(t, f.silence("isp1", true))
	began := time.Now()
	f.isActive(t, "isp2", "down", "up")
	t.Logf("a silent gateway is left after %v", time.Since(began).Round(time.Millisecond))
}
