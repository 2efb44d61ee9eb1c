package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/gen"
	"penstock/perf/gen/search"
	"penstock/perf/gen/track"
)

// TestGenUsage: a command line that is invalid on every machine ends with 64, and its message names the valid form.
func TestGenUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                              "--tx is missing",
		"x":                             `unknown command "x"`,
		"--tx a":                        "--profile is missing: a file, or one of ",
		"--tx a --profile size-64":      "--rate is missing: want 250kpps",
		"--profile nosuch --rate 1pps":  `no built-in profile "nosuch"`,
		"--profile size-65 --rate 1pps": "did you mean size-64? (a file",
		"--tx a --rx a --rate 1pps":     "--tx and --rx are both a",
		"--rx b --reflect --rate 1pps":  "want only one of them",
		"--rx b --side b --rate 1pps":   "--side is for one port",
		"--side c --rate 1pps":          "want a, b or both",
		"--rate 1pps --duration 0":      "--duration 0s: want more than 0",
		"--rate 1pps --duration -1s":    "--duration -1s",
		"--rate 1pps --duration 10":     "invalid argument \"10\"",
		"--rate 1pps --count 0":         "--count 0: want 1 or more",
		"--rate 1pps --count -1":        "invalid argument \"-1\"",
		"--rate 0pps":                   "want more than 0",
		"--rate 10":                     "want a number with pps",
		"--rate 120%":                   "at most 100%",
		"--rate 1pps --queues 0":        "--queues 0",
		"--rate 1pps --cpus x":          "invalid argument \"x\"",
		"--rate 1pps --xdp fast":        "want auto, native or generic",
		"--rate 1pps --mode fast":       "want auto, zero-copy or copy",
		"--rate 1pps --set size":        "want key=value",
		"--rate 1pps --dst-mac 02:00":   "is no MAC address",
		"--rate 1pps --src-mac 02:00:00:00:00:01,02:00:00:00:00:02,02:00:00:00:00:03": "want one, or one for each side",
		"--rate 1pps --side both --src-mac 02:00:00:00:00:01,02:00:00:00:00:02":       "want one, or one side",
		"--ndr":                                        "the receiving port is missing",
		"--rx b --pdr 0":                               "--pdr 0: want more than 0",
		"--rx b --pdr 100":                             "--pdr 100",
		"--rx b --ndr --width 0":                       "--width 0",
		"--rx b --ndr --repeat 0":                      "--repeat 0",
		"--rx b --ndr --count 5":                       "--count is for runs",
		"--rx b --ndr --min-rate max":                  "want a lowest rate",
		"--rx b --ndr --limit -1s":                     "want times above 0",
		"--rx b --ndr --blocked-time x":                "run the search first",
		"--rx b --rate 1pps --latency":                 "--latency is for --ndr or --pdr",
		"--rx b --rate 1pps --runs 3":                  "--runs is for --blocked-time",
		"--rx b --blocked-time x":                      "--rate is missing",
		"--rx b --blocked-time x --rate max":           "steady --rate",
		"--blocked-time x --rate 1pps":                 "the receiving port is missing",
		"--rx b --blocked-time x --rate 1pps --runs 0": "--runs 0",
		"--rx b --blocked-time x --rate 1pps --lead 0": "--lead 0s",
	} {
		line := strings.Fields("gen " + args)
		if args != "" && args != "x" && !strings.HasPrefix(args, "--tx") {
			line = append(line, "--tx", "a")
		}
		if args != "" && args != "x" && args != "--tx a" && !strings.Contains(args, "--profile") {
			line = append(line, "--profile", "size-64")
		}
		a := command(t, "", line...)
		if a.code != exitUsage || a.out != "" || !strings.Contains(a.err, want) ||
			!strings.HasPrefix(a.err, "penstock: ") {
			t.Errorf("penstock %s: %+v\nwant %d and %q", strings.Join(line, " "), a, exitUsage, want)
		}
	}
}

// TestGenRefused: what this machine, or the profile, does not allow ends with 3 or 1, and nothing is touched.
func TestGenRefused(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{MTU: 1400})
	_, c := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	l, err := netlink.LinkByIndex(c.Index)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(l, addr); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(bad, []byte("title = 7\n[[stream]]\nsize = 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args, want string
		code       int
	}{
		{"--tx a --rx b --profile size-64 --set size=10 --rate 1pps", "size=10: ", exitRefused},
		{"--tx a --rx b --profile size-64 --set foo=10 --rate 1pps", "foo=10: no such key", exitRefused},
		{"--tx a --rx b --profile size-1518 --rate 1pps", "ip link set dev a mtu 1500", exitRefused},
		{"--tx a --rx b --profile size-9000 --rate 1pps", "no multi-buffer", exitRefused},
		{"--tx a --rx b --profile size-64 --rate 1pps --ring 1000", "power of two", exitRefused},
		{"--tx a --rx b --profile size-64 --rate 1pps --queues 5", "ethtool -l a", exitRefused},
		{"--tx a --rx b --profile size-64 --rate 1pps --cpus 0", "1 CPUs for 2 threads", exitRefused},
		{"--tx a --rx b --profile size-64 --rate 0.0001pps", "want 0.01 or more", exitRefused},
		{"--tx a --rx b --profile size-64 --rate 1pps --duration 1ms", "not one frame", exitRefused},
		{"--tx a --rx b --profile size-64 --ndr --rate 1kpps --min-rate 2kpps",
			"--min-rate 2kpps is more than --rate 1kpps", exitRefused},
		{"--tx a --rx d --profile size-64 --rate 1pps", "port d: it carries 192.0.2.1/24: ", exitRefused},
		{"--tx lo --rx b --profile size-64 --rate 1pps", "port lo: it is the loopback", exitRefused},
		{"--tx a --rx b --rate 1pps --profile " + bad, bad + ":1: title", exitRefused},
		{"--tx a --rx nowhere --profile size-64 --rate 1pps", "port nowhere: there is no such interface", exitFailure},
		{"--tx a --rx b --rate 1pps --profile /nowhere/x.toml", "/nowhere/x.toml: no such file", exitFailure},
		{"--tx a --rx b --profile size-64 --rate 1kpps --count 1 --json /nowhere/x.json", "--json: open /nowhere/",
			exitFailure},
	} {
		a := command(t, "", strings.Fields("gen "+tc.args)...)
		if a.code != tc.code || a.out != "" || !strings.Contains(a.err, tc.want) {
			t.Errorf("penstock gen %s: %+v\nwant %d and %q", tc.args, a, tc.code, tc.want)
		}
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if xsktest.XDP(t, name) != 0 {
			t.Errorf("a program is attached to %s", name)
		}
	}
	if a := command(t, "",
		strings.Fields("gen --tx c --rx d --profile size-64 --rate 10kpps --count 50 --force")...); a.code != exitOK ||
		!strings.Contains(a.out, "received     50 frames") {
		t.Errorf("with --force: got %+v, want exit code 0 and 50 frames received", a)
	}
}

// TestGenRun: runs over a real wire, as text and as JSON.
func TestGenRun(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	ok := func(args string) string {
		t.Helper()
		a := command(t, "", strings.Fields("gen --tx a --rx b "+args)...)
		if a.code != exitOK || a.err != "" {
			t.Fatalf("penstock gen %s: got %+v, want exit code 0 and no message", args, a)
		}
		return a.out
	}
	out := ok("--profile size-64 --rate 10kpps --count 1234")
	for _, want := range []string{
		"size-64: 64-octet frames, ", "\na: veth, 10 Gb/s, native copy, 1 queue, MTU 1500\n", " a → b\n",
		"\nsent         1,234 frames in ", "\nreceived     1,234 frames, ",
		"\nlost         0, 0 %\n", "\nduplicates   0\n", "\nreordered    0\n", "\nlatency      µs: min ",
		"\nlongest gap  ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "STREAM") || strings.Contains(out, "not followed") {
		t.Errorf("one stream, all signed:\n%s", out)
	}

	file := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := ok("--profile size-imix --set flows=17 --seed 5 --rate 10kpps --count 120 --json " +
		file); !strings.Contains(out, "\nudp/570") {
		t.Errorf("with a file the text is printed too:\n%s", out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := decode[genResult](t, string(text))
	d := &r.Run.Directions[0]
	if r.Schema != 1 || r.Date.IsZero() || r.Machine.Kernel == "" || r.Machine.CPU == "" || r.Version != version ||
		r.Commit != commit || len(r.Command) == 0 || r.Interrupted ||
		r.Profile.Name != "size-imix" || r.Profile.Seed != 5 || r.Profile.Set["flows"] != "17" || len(r.Ports) != 2 ||
		r.Ports[1].Driver != "veth" || r.Ports[1].Socket != "copy" ||
		d.Sent != 120 || d.Received != 120 || len(d.Streams) != 3 || r.Throughput != nil || r.Blocked != nil ||
		r.Run.Stopped != gen.StoppedCount {
		t.Errorf("got %+v, want the result of 120 frames, all received, with profile and ports", r)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if r := decode[genResult](t,
		ok("--profile size-64 --rate 10kpps --count 10 --json -")); r.Run.Directions[0].Received != 10 {
		t.Errorf("got %+v, want 10 frames received", r.Run)
	}
	// Both ports send.
	r = decode[genResult](t, ok("--profile churn --rate 10kpps --count 400 --json -"))
	if len(r.Run.Directions) != 2 || r.Run.Directions[1].From != "b" || r.Run.Directions[1].Requested >= 10_000 ||
		r.Run.Directions[0].Requested != 10_000 || r.Run.Directions[1].Lost != 0 {
		t.Errorf("both ports send: got %+v, want two directions without loss, b slower than a", r.Run)
	}
	if a := command(t, "",
		strings.Fields("gen --tx a --profile size-64 --rate 10kpps --count 10")...); a.code != exitOK ||
		strings.Contains(a.out, "received") {
		t.Errorf("send only: got %+v, want exit code 0 and no row of received frames", a)
	}
}

// TestGenModes: searches and blocked time over a real wire.
func TestGenModes(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	run := func(args ...string) answer {
		t.Helper()
		return command(t, "", append(strings.Fields("gen --tx a --rx b --profile size-64"), args...)...)
	}
	a := run(strings.Fields("--rate 3kpps --ndr --pdr 0.5 --latency --repeat 1 --width 20 --duration 50ms")...)
	if a.code != exitOK || !strings.Contains(a.out, "\nNDR          ") || !strings.Contains(a.out, "\nPDR (0.5 %)  ") ||
		!strings.Contains(a.out, "LATENCY AT") || !strings.Contains(a.out, "\n90 %  ") {
		t.Errorf("a search: got %+v, want exit code 0, NDR, PDR and latency", a)
	}
	if a := run(strings.Fields("--rate 3kpps --ndr --limit 1ms --duration 1s --json -")...); a.code != exitOK ||
		decode[genResult](t, a.out).Throughput.Results[0].Status != search.Unfinished {
		t.Errorf("a search with --limit 1ms: got %+v, want exit code 0 and an unfinished search", a)
	}
	marks := filepath.Join(t.TempDir(), "marks")
	a = run("--rate", "2kpps", "--duration", "300ms", "--lead", "100ms", "--runs", "2", "--json", "-",
		"--blocked-time", "echo do $PENSTOCK_RUN >> "+marks, "--restore", "echo undo $PENSTOCK_RUN >> "+marks)
	if r := decode[genResult](t, a.out); a.code != exitOK || len(r.Blocked.Runs) != 2 || r.Blocked.Runs[1].Run != 2 ||
		r.Blocked.Gap.Max == 0 {
		t.Errorf("blocked time: got %+v, want exit code 0 and two runs with a gap", a)
	}
	if text, err := os.ReadFile(marks); err != nil || string(text) != "do 1\nundo 1\ndo 2\nundo 2\n" {
		t.Errorf("runs of the commands: got %q, %v; want do and undo, twice", text, err)
	}
	a = run("--rate", "2kpps", "--duration", "100ms", "--lead", "100ms", "--blocked-time", "echo trouble >&2; exit 7")
	if a.code != exitFailure || !strings.Contains(a.out, "exit status 7") ||
		!strings.Contains(a.err, "no run was whole") {
		t.Errorf("a command that fails: got %+v, want exit code %d and its exit status", a, exitFailure)
	}
	a = run("--rate", "2kpps", "--duration", "200ms", "--lead", "100ms", "--blocked-time", "sleep 600 & sleep 600")
	if a.code != exitFailure || !strings.Contains(a.out, "did not end within 200ms") {
		t.Errorf("a command that hangs: got %+v, want exit code %d and \"did not end\"", a, exitFailure)
	}
}

// TestGenInterrupted: Ctrl-C ends a run with its results, and a search with its partial result, and a message says so.
func TestGenInterrupted(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	interrupt := func(after time.Duration, args string) answer {
		root := rootCommand()
		var out, errs bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&errs)
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		code := execute(ctx, root, strings.Fields("gen --tx a --rx b --profile size-64 "+args))
		return answer{code, out.String(), errs.String()}
	}
	a := interrupt(500*time.Millisecond, "--rate 1kpps --duration 1h")
	if a.code != exitOK || !strings.Contains(a.out, "\nreceived  ") ||
		!strings.Contains(a.out, "interrupted: the figures are those until then") {
		t.Errorf("an interrupted run: got %+v, want exit code 0 and its figures", a)
	}
	a = interrupt(700*time.Millisecond, "--rate 1kpps --ndr --duration 1h --json -")
	if r := decode[genResult](t, a.out); a.code != exitFailure || !r.Interrupted ||
		!strings.Contains(a.err, "interrupted: the measurement is not whole") {
		t.Errorf("an interrupted search: got %+v, want exit code %d and a partial result", a, exitFailure)
	}
	if xsktest.XDP(t, "a") != 0 || xsktest.XDP(t, "b") != 0 {
		t.Error("programs are left")
	}
}

func TestGenCompletion(t *testing.T) {
	for flag, want := range map[string]string{"profile": "size-64", "mode": "zero-copy", "xdp": "native",
		"side": "both"} {
		a := command(t, "", "__completeNoDesc", "gen", "--"+flag, "")
		if !slices.Contains(strings.Fields(a.out), want) {
			t.Errorf("--%s: %q, want %s among them", flag, a.out, want)
		}
	}
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	if a := command(t, "", "__completeNoDesc", "gen", "--rx", ""); !strings.HasPrefix(a.out, "a\nb\n:") {
		t.Errorf("completion of --rx: got %q, want a and b", a.out)
	}
}

// TestGenText holds the text of all parts of a result.
func TestGenText(t *testing.T) {
	d := gen.Direction{
		From: "a", To: "b", Requested: 2e6, Frames: 1e7, Sent: 9_000_000, Unsigned: 12, Followed: 8_999_988, Stuck: 3,
		Counts: track.Counts{Received: 8_999_000, Duplicates: 5, TooLate: 2, Reordered: 7, Extent: 90, Behind: 1200,
			AtLeast: true},
		Lost: 988, LossRatio: 988.0 / 9e6, TxRate: 1.8e6, RxRate: 1.7998e6, TxBits: 1.2e9, ByLoss: 548_000,
		Latency: gen.Latency{Clock: "receiver", Frames: 1, Min: 900, P50: 2100, P90: 5000, P99: 9100, P999: 65_000,
			Max: 1_200_000},
		Gap:     gen.Gap{Length: 1_500_000, Begin: 3_400_000_000},
		Streams: []gen.Stream{{Name: "x", Signed: true, Sent: 10, Received: 9}, {Name: "y", Sent: 12}},
		Sender:  gen.Sender{Limit: gen.LimitKernel, Why: "kernel, driver and link: 90 %"},
	}
	port := gen.PortReport{Interface: "b", Overrun: 4, Counters: gen.Counters{RxDropped: 6, TxDropped: 1, RxErrors: 2}}
	port.Foreign, port.Looped, port.Stale = 1000, 2, 3
	var b bytes.Buffer
	if err := genText(&b, &genResult{Run: &gen.Report{Took: 5_000_000_000, Stopped: gen.StoppedInterrupted,
		Directions: []gen.Direction{d}, Ports: []gen.PortReport{port}}}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "\n\n")
	const want = `              a → b
sent          9,000,000 frames in 5.000 s, 1.800 Mpps, 1.200 Gb/s on the wire
rate          2.000 Mpps requested, and NOT reached
stuck         3 (the kernel did not give them back)
received      8,999,000 frames, 1.800 Mpps
lost          988, 0.011 %
not followed  12 (sent without a signature)
duplicates    5
reordered     7, 0.000078 %; largest extent at least 90, largest distance 1,200
too late      2 (beyond the window of 64 Mi frames)
latency       µs: min 0.9, p50 2.1, p90 5.0, p99 9.1, p99.9 65.0, max 1200.0 (as the receiver saw it: this driver has no room for time stamps)
longest gap   1.50 ms, after 3.400 s; lost ÷ rate 548.0 µs

STREAM  SENT  RECEIVED      LOST
x         10  9             1
y         12  not followed  -
a: what limited the rate: kernel, driver and link: 90 %
b: 4 frames found no room in the receiver's ring: lost by the generator, not by the device (--ring, --cpus)
b: 1,000 frames arrived that the generator did not send, or that carry no signature
b: 2 frames returned to the port that sent them
b: 3 frames arrived from an earlier run
b: 1 frames dropped by the kernel at its transmit side (tx_dropped)
b: 2 frames dropped by the kernel on reception (rx_dropped)
b: 2 frames with errors (tx_errors, rx_errors)
interrupted: the figures are those until then
`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}

	b.Reset()
	goal := search.Goal{Name: "PDR", LossRatio: 0.005}
	tr := &gen.ThroughputReport{Max: 2e6, MaxWhy: "asked for", Report: &search.Report{Took: 61 * time.Second,
		Trials: make([]search.Trial, 40), Results: []search.Result{
			{Goal: search.Goal{Name: "NDR"}, Status: search.None, Upper: 2000},
			{Goal: goal, Status: search.Found, Rate: 995_000, Upper: 1e6, Loss: 0.004},
			{Goal: goal, Status: search.Found, Rate: 995_000, Upper: 1e6, GeneratorLimited: true},
			{Goal: goal, Status: search.AtMax, Rate: 2e6},
			{Goal: goal, Status: search.Unfinished},
		}}, Latency: []gen.LatencyAt{{Share: 0.1, Rate: 99_500,
		Report: &gen.Report{Directions: []gen.Direction{{From: "a", To: "b", Requested: 99_500, Latency: d.Latency},
			{From: "b"}}}},
		{Rate: 500_000, Report: &gen.Report{}, Loss: 0.05, Contradicts: []string{"NDR"}},
		{Rate: 900_000, Report: &gen.Report{}, Loss: 0.05, Contradicts: []string{"NDR"}, Fault: "port b: full"}}}
	if err := throughputText(&b, tr); err != nil {
		t.Fatal(err)
	}
	const wantSearch = `             RATE         FORWARDED    UPPER BOUND  WIDTH   
NDR          -            -            2.00 kpps    -       not met even at the lowest rate tried
PDR (0.5 %)  995.00 kpps  991.02 kpps  1.000 Mpps   0.50 %  -
PDR (0.5 %)  995.00 kpps  995.00 kpps  1.000 Mpps   0.50 %  the generator's limit: the device may do more
PDR (0.5 %)  2.000 Mpps   2.000 Mpps   -            -       met at the highest rate tried: the device may do more
PDR (0.5 %)  -            -            -            -       the search is not finished
remark: NDR is in doubt: 5.000 % was lost at 500.00 kpps, where latency was measured, below the NDR found.` +
		` Search again with longer trials (--duration) or more of them (--repeat)
remark: the latency at 900.00 kpps does not measure the device: port b: full
40 trials, 61.000 s of load; highest rate tried 2.000 Mpps: asked for

LATENCY AT              LOST  
10 %        99.50 kpps  0 %   µs: min 0.9, p50 2.1, p90 5.0, p99 9.1, p99.9 65.0, max 1200.0 (as the receiver saw it: this driver has no room for time stamps)
`
	if got := b.String(); got != wantSearch {
		t.Errorf("%s\nwant\n%s", got, wantSearch)
	}

	line := liveLine(&gen.Live{Elapsed: 3_100_000_000, Directions: []gen.LiveDirection{
		{From: "a", To: "b", TxRate: 1e6, RxRate: 999, Missing: 1234, Latency: gen.Latency{P50: 2100, P99: 15_000_000}},
		{From: "b", TxRate: 5},
	}})
	if line != "3s  a → b: tx 1.000 Mpps, rx 999 pps, missing 1,234, p50 2.1 µs, p99 15.00 ms  b: tx 5 pps" {
		t.Errorf("live line: got %q, want the rates of both directions", line)
	}
}

// TestGenProgress: on a terminal a line for what is done, and none is lost.
func TestGenProgress(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	f := &genFlags{tx: "a", rx: "b", profile: "size-64", queues: 1, rate: "5kpps", xdp: "auto", mode: "auto"}
	s, err := f.setup(&genResult{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := gen.Open(t.Context(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &genProgress{out: &out, stop: make(chan struct{}), ended: make(chan struct{}), lines: make(chan string, 16)}
	go p.follow(e.Watch(), 10*time.Millisecond)
	if _, err := e.Run(t.Context(), gen.Load{Rates: []float64{5000}, Count: 1000}); err != nil {
		t.Error(err)
	}
	p.trial(search.Trial{Goal: "NDR", Rate: 1e6, Duration: time.Second, Sent: 1_000_000, Lost: 1000, Fault: "too slow"})
	p.measuring(5)
	p.blocked(gen.BlockedRun{Run: 3, Gap: 1_000_000, Error: "exit status 1"})
	p.end()
	p.line("the display has ended, and nothing waits for it")
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	got := out.String()
	for _, want := range []string{
		"\r\x1b[KNDR    1.000 Mpps for 1s: 1,000 of 1,000,000 lost; does not count: too slow\n",
		"\r\x1b[Klatency at 5 pps\n",
		"\r\x1b[Krun 3: nothing arrived for 1.00 ms, lost ÷ rate 0; does not count: exit status 1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	live := regexp.MustCompile(`\r\x1b\[K0s  a → b: tx [0-9.]+ k?pps, rx [0-9.]+ k?pps, missing \d+, p50 `)
	if !live.MatchString(got) {
		t.Errorf("no live line in %q", got)
	}
}
