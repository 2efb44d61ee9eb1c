package failover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/perf/csvfile"
	"penstock/perf/machine"
)

func results() []Result {
	var all []Result
	for i := range 10 {
		all = append(all,
			Result{Device: "box:10ms", Fault: "carrier", Run: i + 1,
				Rate: 10_000, Back: true, TCPBack: true, Moved: true,
				Iperf: 100 * time.Millisecond * time.Duration(1+2*one(i == 9)), Quiet: i == 9,
				Loss: Loss{Offered: 1000, Lost: i, Blocked: time.Duration(i) * 100 * time.Microsecond}},
			Result{
				Device: "box:10ms", Fault: "planned", Run: i + 1, Back: true,
				TCPBack: true, Moved: true, Loss: Loss{Offered: 1000, Lost: one(i == 3)},
			},
			Result{
				Device: "keepalived:1s", Fault: "deaf", Run: i + 1, TCPBack: i != 0,
				Loss: Loss{Offered: 10, Lost: 10, Blocked: time.Second}, Wrong: "traffic did not come back",
			})
	}
	return all
}

func TestReport(t *testing.T) {
	devices, err := ParseDevices("box:10ms,keepalived:1s")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Report(&b, &Options{Devices: devices, Faults: Faults, Rate: 10_000}, results()); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for l := range strings.Lines(b.String()) {
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"carrier box:10ms 10 45/10000 0.4 / 0.9 / 0.9 0.0 / 0.0 / 0.0 0.0 / 0.0 / 0.0 > 100.0 / 300.0 / 300.0 " +
			"≤ 2.0: met",
		"planned box:10ms 10 1/10000 0.0 / 0.0 / 0.0 0.0 / 0.0 / 0.0 0.0 / 0.0 / 0.0 0.0 / 0.0 / 0.0 0 lost: missed",
		"deaf keepalived:1s 10 100/100 > 1000.0 / 1000.0 / 1000.0",
		"note: deaf, keepalived:1s: traffic did not come back in 10 of 10 runs",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(text, "reload box") {
		t.Error("a line without a run")
	}
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "failover.csv")
	var rows []Row
	for _, r := range results() {
		rows = append(rows, Row{
			Date: time.Unix(0, 0), Commit: "c0ffee",
			Machine: machine.Machine{CPU: "some, CPU", Cores: 2, Kernel: "6.1"}, Result: r,
		})
	}
	for range 2 {
		if err := Append(path, rows); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := csvfile.Read(path)
	if err != nil || len(lines) != 1+2*len(rows) {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, name := range columns {
		want := map[string]string{
			"machine": "some, CPU", "fault": "deaf", "lost": "10", "blocked_ms": "1000.000",
			"iperf3_stall_ms": "0.000", "udp_back": "false", "note": "traffic did not come back",
		}[name]
		if want != "" && lines[3][i] != want {
			t.Errorf("%s: %q, want %q", name, lines[3][i], want)
		}
	}
	if err := os.WriteFile(path, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if Append(path, rows) == nil {
		t.Error("rows were added to a file with other columns")
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{
		"", "box", "box:", "box:9ms", "box:11s", "router:1s",
		"keepalived:15ms", "keepalived:41s", "box:10ms,box:10ms", "box:10ms,",
	} {
		if list, err := ParseDevices(text); err == nil {
			t.Errorf("%q is read: %v", text, list)
		}
	}
	list, err := ParseDevices("box:10ms,box:100ms,keepalived:10ms,keepalived:1s,keepalived:100ms")
	if err != nil || len(list) != 5 {
		t.Fatal(list, err)
	}
	suffer := func(d Device, fault string, all bool) bool {
		f, err := ParseFaults(fault)
		if err != nil || len(f) != 1 {
			t.Fatal(f, err)
		}
		return d.suffers(&f[0], list, all)
	}
	for _, tc := range []struct {
		device int
		fault  string
		all    bool
		want   bool
	}{
		{0, "carrier", false, true}, {0, "push", false, true}, {1, "carrier", false, false},
		{1, "carrier", true, true}, {1, "silent", false, true},
		{2, "push", true, false}, {2, "deaf", false, true}, {3, "deaf", false, false}, {3, "deaf", true, true},
		{3, "silent", false, true},
		{3, "planned", false, false}, {4, "carrier", false, true}, {4, "deaf", false, true},
		{4, "planned", false, false}, {4, "planned", true, true},
	} {
		if got := suffer(list[tc.device], tc.fault, tc.all); got != tc.want {
			t.Errorf("%s, %s, all %t: %t, want %t", list[tc.device].Name, tc.fault, tc.all, got, tc.want)
		}
	}
	for _, text := range []string{"carrier,", "Carrier", "fire"} {
		if list, err := ParseFaults(text); err == nil {
			t.Errorf("%q is read: %v", text, list)
		}
	}
	if list, err := ParseFaults("silent,carrier"); err != nil || len(list) != 2 || list[0].Name != "silent" {
		t.Error(list, err)
	}
	if list, err := ParseFaults(""); err != nil || len(list) != len(Faults) {
		t.Error(list, err)
	}
}
