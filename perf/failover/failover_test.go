package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"penstock/perf/failover/cut"
)

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
		t.Fatal("root is required")
	}
	t.Skip("needs root")
}

// program is the path of the box; TestMain sets it before any test runs.
var program string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // tests that need it skip, or fail if root is required
	}
	if program = os.Getenv("PENSTOCK_BINARY"); program == "" {
		dir, err := os.MkdirTemp("", "penstock-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "penstock")
		if out, err := exec.Command("go", "build", "-o", program, "penstock/appliance").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// Two faults, with the box and with keepalived: the command's way, short. How long they block depends on the machine;
// which of the two blocks longer does not.
func TestMeasure(t *testing.T) {
	requireRoot(t)
	faults, err := ParseFaults("carrier,planned")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := ParseDevices("box:100ms,keepalived:200ms")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Measure(context.Background(), Options{
		Binary: program, Devices: devices, Faults: faults, Runs: 1, Rate: 1000, Bindings: 1, Progress: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 {
		t.Fatalf("%d runs, want 4: %v", len(all), all)
	}
	lost := map[string]int{}
	for _, r := range all {
		if !r.Back || !r.TCPBack || !r.Moved || r.Offered == 0 || r.Early > 0 || r.Duplicates > 0 {
			t.Errorf("%s, %s: %+v, want traffic back over the other gateway, and no frame early or twice",
				r.Fault, r.Device, r)
		}
		lost[r.Fault+" "+r.Device] = r.Lost
	}
	if box, peer := lost["carrier box:100ms"], lost["carrier keepalived:200ms"]; box >= peer || peer < 100 {
		t.Errorf("carrier: the box lost %d, keepalived, which waits for three advertisements, %d", box, peer)
	}
	if n := lost["planned box:100ms"]; n > 0 {
		t.Errorf("a planned switch lost %d", n)
	}
}

// What the harness counts as lost is what it has thrown away itself.
func TestLossExplained(t *testing.T) {
	requireRoot(t)
	const enough = 200
	d, err := newKeepalived("explained", 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.shut(); err != nil {
			t.Error(err)
		}
	}()
	var during uint64
	f := Fault{Name: "deaf for a while", do: func(ctx context.Context, r *run) error {
		r.device.(*keepalived).processes[1].Kill() // nobody takes over
		if err := r.cut(0, cut.In); err != nil {
			return err
		}
		if err := until(ctx, func() error {
			n, err := r.bed.gateways[0].cut.Counts()
			if during = n.Dropped; err == nil && during < enough {
				err = errors.New("not enough yet")
			}
			return err
		}); err != nil {
			return err
		}
		return r.bed.gateways[0].cut.Set(0)
	}}
	r := run{Options: &Options{Rate: 1000}, device: d, bed: d.network()}
	res, err := r.measure(context.Background(), &f)
	if err != nil {
		t.Fatal(err)
	}
	// Beside the datagrams segments of the stream are dropped; and a few of both after the last look at the counter.
	if res.Lost < enough/2 || uint64(res.Lost) > during+enough/2 || !res.Back || res.Moved || res.Early > 0 {
		t.Errorf("%d frames were dropped: %+v", during, res)
	}
	if 2*res.Gap < res.Blocked || res.Stall == 0 || res.Iperf == 0 {
		t.Errorf("%d frames were dropped in a row, and the longest gap is %v of UDP, %v of TCP, %v of iperf3",
			during, res.Gap, res.Stall, res.Iperf)
	}
}

// A short, light stress for any machine. The test checks that the result has probes, pushes, traffic and the real
// fault.
func TestStress(t *testing.T) {
	requireRoot(t)
	res, err := Stress(context.Background(), StressOptions{
		Binary: program, Duration: time.Second, Interval: 50 * time.Millisecond, Hogs: 1, Bindings: 10_000, GOGC: 50,
		Rate: 1000, Progress: io.Discard,
		Peers: []Device{{Name: "keepalived:100ms", Keepalived: true, Interval: 100 * time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Err(); err != nil {
		t.Errorf("stress: %v, want no error: %+v", err, res)
	}
	if res.Probes.Answered == 0 || res.Pushes == 0 || res.Offered == 0 || res.Real == 0 || len(res.Takeovers) != 1 {
		t.Errorf("stress: %+v, want probes, pushes, datagrams, a real fault and the takeovers of one peer", res)
	}
}

// A stress with a finding returns an error.
func TestStressErr(t *testing.T) {
	good := StressResult{Back: true}
	good.Probes.Sent = 1
	if err := good.Err(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*StressResult){
		func(r *StressResult) { r.Switches = 1 },
		func(r *StressResult) { r.Failures = 1 },
		func(r *StressResult) { r.Probes.Sent = 0 },
		func(r *StressResult) { r.Back = false },
	} {
		bad := good
		change(&bad)
		if bad.Err() == nil {
			t.Errorf("nothing wrong with %+v", bad)
		}
	}
}
