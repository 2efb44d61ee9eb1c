package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/baseline"
	"penstock/perf/e2e"
	"penstock/perf/load"
)

// The test's program is its own helper, and its own devices.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case e2e.HoldCommand:
			fmt.Fprintln(os.Stderr, e2e.Hold(os.Args[2:]))
			os.Exit(1)
		case "-a": // as baseline-forwarder
			runtime.GOMAXPROCS(2)
			_, err := baseline.Run(context.Background(), os.Args[2], os.Args[4])
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	xsktest.Main(m)
}

func options(t *testing.T, devices ...e2e.Device) e2e.Options {
	t.Helper()
	xsktest.RequireRoot(t)
	if n := runtime.NumCPU(); n < 2 {
		t.Skipf("needs two CPUs, has %d", n)
	}
	return e2e.Options{
		Devices: devices, Sizes: []int{60}, Places: []e2e.Placement{e2e.Half}, Rounds: 1,
		Warmup: 20 * time.Millisecond, Measure: 300 * time.Millisecond,
		DeviceCPU: 0, LoadCPU: 1, Self: self(t), Progress: t.Output(),
		Round: func([]e2e.Trial) error { return nil },
	}
}

func self(t *testing.T) string {
	t.Helper()
	s, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withAffinity restores the affinity that f takes away.
func withAffinity(t *testing.T, f func()) {
	t.Helper()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		tasks, _ := filepath.Glob("/proc/self/task/*")
		for _, task := range tasks {
			var tid int
			if _, err := fmt.Sscan(filepath.Base(task), &tid); err == nil {
				_ = unix.SchedSetaffinity(tid, &before) // the thread may have ended
			}
		}
	}()
	f()
}

// run runs and restores the affinity that Run takes away, and fails if anything is left behind.
func run(t *testing.T, ctx context.Context, o e2e.Options) error {
	t.Helper()
	var err error
	withAffinity(t, func() { err = e2e.Run(ctx, o) })
	for _, pattern := range []string{
		"/run/netns/pst-%d-e2e.*", "/sys/fs/cgroup/*/penstock-e2e-%d",
		"/sys/fs/cgroup/penstock-e2e-%d", os.TempDir() + "/pst-%d-e2e",
	} {
		if left, _ := filepath.Glob(fmt.Sprintf(pattern, os.Getpid())); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	return err
}

// TestRun measures two devices for a moment, in every way, and looks at everything that comes of it.
func TestRun(t *testing.T) {
	o := options(t)
	a, b := e2e.Asavie(o.Self), e2e.Asavie(o.Self)
	b.Name = "second"
	o.Devices = []e2e.Device{a, {Name: "testpmd", Absent: errors.New("is far away")}, b}
	o.Sizes, o.Places, o.Rounds = []int{1400}, []e2e.Placement{e2e.Half, e2e.Unlimited}, 2
	var trials []e2e.Trial
	file := filepath.Join(t.TempDir(), "e2e.csv")
	m, err := e2e.ThisMachine()
	if err != nil {
		t.Fatal(err)
	}
	o.Round = func(r []e2e.Trial) error {
		trials = append(trials, r...)
		rows := make([]e2e.Row, len(r))
		for i := range r {
			rows[i] = e2e.Row{Date: time.Unix(0, 0), Commit: "c0ffee", Machine: m, Trial: r[i]}
		}
		return e2e.Append(file, rows)
	}
	if err := run(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(trials) != 8 {
		t.Fatalf("%d trials, want 8", len(trials))
	}
	used := 0.0
	for i, r := range trials {
		// Each round begins with another device.
		want := []string{"asavie", "second"}[(i+i/4)%2]
		if r.Device != want || r.Round != 1+i/4 || r.Mode != "native, copy" {
			t.Errorf("trial %d: %+v: want %s in turn", i, r, want)
		}
		// Sent and Received cover the whole load; a busy machine may leave the device nothing within the interval.
		if r.Sent == 0 || r.Received == 0 || r.Received > r.Sent || r.Rate < 0 || r.SentRate < 0 || r.Seconds < 0.3 ||
			r.Other != 0 {
			t.Errorf("trial %d: %+v", i, r)
		}
		used += r.CPU
		// A period's quota may be used at both ends of the interval, and times are in steps of 10 ms.
		if limit := 0.62; r.Place == e2e.Half && r.CPU > limit || r.CPU < 0 || r.CPU > 1.1 {
			t.Errorf("trial %d, %s: the device used %.2f of a core", i, r.Place.Name, r.CPU)
		}
	}
	if used == 0 {
		t.Error("no device used any time of a CPU")
	}
	var out bytes.Buffer
	if err := e2e.Report(&out, o.Devices, trials, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Throughput under overload, 1400 octets, half: the device's process held to 0.5 of a core",
		"the device's process has a core", "not installed", "testpmd was not measured: is far away",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, out.String())
		}
	}
	rows, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(rows, []byte("\n")); n != 9 || bytes.Count(rows, []byte(",c0ffee,")) != 8 {
		t.Errorf("%d lines in the results, want a header and 8 rows:\n%s", n, rows)
	}
}

// TestPeers: every peer that is there forwards as the sink expects it, with threads for the NAPIs of both ends.
func TestPeers(t *testing.T) {
	o := options(t,
		e2e.Asavie(self(t)), e2e.KernelRoute(), e2e.KernelBridge(), e2e.XDPRedirect(),
		e2e.Testpmd(), e2e.OVS("ovs", false), e2e.OVS("ovs-vxlan", true), e2e.NftDNAT(), e2e.XDPBalance())
	o.Places, o.Sinks = []e2e.Placement{e2e.OneCore}, []e2e.SinkNAPI{e2e.SinkThreaded}
	o.Measure = 50 * time.Millisecond
	o.Failed = func(f e2e.Failure) { t.Errorf("failure %+v, want none", f) }
	var trials []e2e.Trial
	o.Round = func(r []e2e.Trial) error { trials = append(trials, r...); return nil }
	if err := run(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, r := range trials {
		own := uint64(0)
		switch {
		case r.Device == "kernel-bridge":
			own = 2 // it joins 224.0.0.106 with up to two IGMP reports
		case strings.HasPrefix(r.Device, "penstock"):
			own = lldpFrames
		}
		if r.Other > own || r.Received == 0 || r.Received+r.DoorDrops+r.SinkDrops > r.Sent {
			t.Errorf("trial %+v, want frames received, no more than sent, and at most %d others", r, own)
		}
	}
	want := 0
	for _, d := range o.Devices {
		if d.Absent != nil {
			t.Logf("%s: %v", d.Name, d.Absent)
			continue
		}
		want++
	}
	if len(trials) != want {
		t.Errorf("%d trials, want %d", len(trials), want)
	}
}

// TestMeasures: the rate at low loss is below the throughput under overload and within its loss; latencies are of all
// frames.
func TestMeasures(t *testing.T) {
	o := options(t, e2e.Asavie(self(t)), e2e.KernelRoute())
	o.Measures, o.LatencyRate = []e2e.Measure{e2e.Throughput, e2e.PDR, e2e.Latency}, 5000
	got := map[string]e2e.Trial{}
	o.Round = func(r []e2e.Trial) error {
		for _, x := range r {
			got[x.Device+" "+string(x.Measure)] = x
		}
		return nil
	}
	if err := run(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 {
		t.Errorf("%d measurements, want 4: %+v", len(got), got)
	}
	p := got["asavie pdr"]
	if p.Rate <= 0 || p.Loss() > e2e.PDRLoss || p.PDRUpper > 0 && p.PDRUpper < p.Rate || p.Sent == 0 {
		t.Errorf("PDR %+v, want a rate above 0 at a loss of at most %v, below its upper bound", p, e2e.PDRLoss)
	}
	for _, name := range []string{"asavie latency", "kernel-route latency"} {
		l := got[name]
		d := l.Delay
		if d.P50 <= 0 || d.P99 < d.P50 || d.P999 < d.P99 || d.Max < d.P999 || d.Frames != l.Received ||
			l.Received > l.Sent || l.Place != e2e.Unlimited {
			t.Errorf("%s: %+v, want a core and percentiles above 0, in order, of all frames received", name, l)
		}
	}
}

// TestFailed: a peer that does not work costs the others nothing, and is not tried again.
func TestFailed(t *testing.T) {
	dies := e2e.Asavie(self(t))
	dies.Name = "dies"
	dies.Command = func(*e2e.Bed) ([]string, error) { return []string{"sh", "-c", "echo I am no device"}, nil }
	o := options(t, dies, e2e.Asavie(self(t)))
	o.Measure, o.Rounds = 50*time.Millisecond, 2
	var failures []e2e.Failure
	o.Failed = func(f e2e.Failure) { failures = append(failures, f) }
	var trials []e2e.Trial
	o.Round = func(r []e2e.Trial) error { trials = append(trials, r...); return nil }
	if err := run(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(failures) != 1 || len(trials) != 2 || trials[0].Device != "asavie" {
		t.Fatalf("failures %+v, trials %+v", failures, trials)
	}
	var out bytes.Buffer
	if err := e2e.Report(&out, o.Devices, trials, failures); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"dies   failed", "dies failed: dies, throughput, 60 octets, half: it has ended", "I am no device",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in the report:\n%s", want, out.String())
		}
	}
}

// lldpFrames is the most LLDP frames that a box sends in a trial: it begins with four.
const lldpFrames = 4

// TestPenstock: the real box encapsulates as the sink expects it.
func TestPenstock(t *testing.T) {
	o := options(t)
	if testing.Short() {
		t.Skip("builds the binary")
	}
	binary := filepath.Join(t.TempDir(), "penstock")
	if out, err := exec.Command("go", "build", "-o", binary, "penstock/appliance").CombinedOutput(); err != nil {
		t.Fatalf("build the binary: %v\n%s", err, out)
	}
	var trials []e2e.Trial
	o.Round = func(r []e2e.Trial) error { trials = append(trials, r...); return nil }
	o.Devices = []e2e.Device{e2e.Penstock("penstock", binary, 1000)}
	o.Sizes, o.Rounds = []int{60, 1400}, 2 // the second start finds the tables in the store
	if err := run(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Devices = []e2e.Device{
		e2e.TwoWorkers("two-queues", binary, false),
		e2e.TwoWorkers("handoff", binary, true), e2e.Busy("busy", binary),
	}
	o.Places, o.Sizes, o.Rounds = []e2e.Placement{e2e.Half, e2e.Unlimited}, []int{60}, 1
	if err := run(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(trials) != 8 {
		t.Errorf("%d trials, want 8", len(trials))
	}
	for _, r := range trials {
		if r.Other > lldpFrames || r.Received == 0 {
			t.Errorf("trial %+v, want frames received, and no others but the box's LLDP", r)
		}
	}
	withAffinity(t, func() { gaps(t, binary) })
}

// gaps runs the box while its bindings are pushed.
func gaps(t *testing.T, binary string) {
	t.Helper()
	all, err := e2e.MeasureGaps(t.Context(), e2e.GapOptions{
		Binary: binary, Bindings: 2000, Scenarios: e2e.Scenarios[1:], Rate: 100_000, Measure: 300 * time.Millisecond,
		Apart: true, DeviceCPU: 0, LoadCPU: 1, Self: self(t), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("%d scenarios", len(all))
	}
	for _, g := range all {
		rest := g.Preempted.Count() + g.Stopped.Count()
		if g.All.Count() == 0 || g.Busy.Count() == 0 || g.Busy.Count() > g.All.Count() ||
			g.Own.Count()+rest != g.All.Count() || g.Pushes == 0 || g.Rate == 0 {
			t.Errorf("gaps %+v, want pushes, a rate, and every gap counted as one kind", g)
		}
	}
}

// TestInterrupt: ending the context at any moment ends the run soon and leaves nothing.
func TestInterrupt(t *testing.T) {
	for _, after := range []time.Duration{
		time.Millisecond, 60 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond,
	} {
		t.Run(after.String(), func(t *testing.T) {
			o := options(t, e2e.Asavie(self(t)))
			o.Measure = time.Minute
			o.Round = func([]e2e.Trial) error { t.Error("a round that was not whole"); return nil }
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			start := time.Now()
			err := run(t, ctx, o)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, e2e.ErrLeft) ||
				time.Since(start) > 10*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		})
	}
}

// TestWrongDevice: a device that does something else is no device, and the error says what it did.
func TestWrongDevice(t *testing.T) {
	forwarder := func(name string) e2e.Device {
		d := e2e.Asavie(self(t))
		d.Name, d.Required = name, true
		return d
	}
	dies := forwarder("dies")
	dies.Command = func(*e2e.Bed) ([]string, error) { return []string{"sh", "-c", "echo I am no device"}, nil }
	idle := forwarder("idle")
	idle.Command = func(*e2e.Bed) ([]string, error) { return []string{"cat"}, nil } // its standard input never ends
	idle.Patience = 100 * time.Millisecond
	changes := forwarder("changes")
	changes.Patience = 500 * time.Millisecond
	changes.Expect = func(f load.Template) (load.Expect, error) { return load.Expect{Size: len(f.Frame) + 1}, nil }
	late := forwarder("dies-late")
	late.Command = func(*e2e.Bed) ([]string, error) {
		return []string{"timeout", "-s", "KILL", "1", self(t), "-a", e2e.PortA, "-b", e2e.PortB}, nil
	}
	for want, d := range map[string]e2e.Device{
		"I am no device":            dies,
		"none came out as expected": idle,
		"(0 others did)":            idle,
		"others did)\nits output":   changes,
		"dies-late, throughput, 60 octets, half: it has ended": late,
	} {
		t.Run(d.Name, func(t *testing.T) {
			o := options(t, d)
			o.Measure = 2 * time.Second
			err := run(t, t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, e2e.ErrLeft) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	d := e2e.Asavie("x")
	for want, change := range map[string]func(*e2e.Options){
		"no device":        func(o *e2e.Options) { o.Devices = nil },
		"no size":          func(o *e2e.Options) { o.Sizes = nil },
		"no placement":     func(o *e2e.Options) { o.Places = nil },
		"0 rounds":         func(o *e2e.Options) { o.Rounds = 0 },
		"warm-up":          func(o *e2e.Options) { o.Measure = 0 },
		"both on CPU":      func(o *e2e.Options) { o.DeviceCPU = o.LoadCPU },
		"CPU 1000":         func(o *e2e.Options) { o.DeviceCPU = 1000 },
		"1515 octets":      func(o *e2e.Options) { o.Sizes = []int{1515} },
		"latency at 0":     func(o *e2e.Options) { o.Measures = []e2e.Measure{e2e.Latency} },
		"twice":            func(o *e2e.Options) { o.Devices = append(o.Devices, d) },
		"none of the devi": func(o *e2e.Options) { o.Devices[0].Absent = errors.New("gone") },
	} {
		o := options(t, slices.Clone([]e2e.Device{d})...)
		change(&o)
		if err := e2e.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestHoldErrors(t *testing.T) {
	xsktest.RequireRoot(t)
	for want, args := range map[string][]string{
		"no program":     {"-cpus", "0,1"},
		"nothere":        {"--", "nothere"},
		"cgroup.procs":   {"-group", t.TempDir() + "/none", "--", "true"},
		"not defined":    {"-nonsense"},
		`CPU "x"`:        {"-group", t.TempDir(), "-cpus", "0,x", "--", "true"},
		"parent is gone": {"-group", t.TempDir(), "-parent", "1", "--", "true"},
	} {
		cmd := exec.Command(self(t), append([]string{e2e.HoldCommand}, args...)...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v, %q, want %q", args, err, out, want)
		}
	}
}
