package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// twoWorkers is rawPair with two workers on two queues a port, passing flows between them.
func twoWorkers() options {
	o := rawPair()
	o.Dataplane.Workers, o.Dataplane.Queues, o.Dataplane.Handoff, o.Dataplane.Poll = 2, 2, true, "adaptive"
	o.Dataplane.RingSize = 512
	return o
}

func TestWorkers(t *testing.T) {
	f := startFabric(t, twoWorkers())
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 2, From: f.host("red-vm1"), To: f.host("red-vm2")}, 3000)
	must(t, err)
	sendMix(t, f.raw(t, "red-vm1"), f.raw(t, "red-vm2"), frames)
	s := f.steady(t, "red-vm2", "red-vm1", 4000, 64)
	time.Sleep(500 * time.Millisecond)
	if r := stop(t, s); r.Lost() != 0 || r.Reordered != 0 {
		t.Error(r)
	}
	for _, n := range f.Boxes {
		var workers status.Items[status.Worker]
		f.get(n.Name, "/v1/stats/workers", &workers)
		if len(workers.Items) != 2 {
			t.Fatalf("%s has %d workers", n.Name, len(workers.Items))
		}
		for _, w := range workers.Items {
			if w.Frames == 0 {
				t.Errorf("worker %d of %s has done nothing", w.ID, n.Name)
			}
		}
	}
}

// TestMillionBindings pushes 1,000,000 bindings under traffic.
func TestMillionBindings(t *testing.T) {
	const count = 1_000_000
	o := rawPair()
	o.Dataplane.Bindings = count + 1000
	f := startFabric(t, o)
	file, err := os.CreateTemp(t.TempDir(), "bindings")
	must(t, err)
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	sw := f.Node("swb").MAC
	for i := range count {
		fmt.Fprintf(w,
			`{"tenant":"red","segment":"web","mac":"02:10:00:%02x:%02x:%02x","switch_mac":"%s","switch_port":2}`+"\n",
			i>>16&255, i>>8&255, i&255, sw)
	}
	must(t, w.Flush())

	s := f.steady(t, "red-vm1", "red-vm2", 4000, 16)
	time.Sleep(100 * time.Millisecond)
	for _, what := range []string{"pushed", "pushed again"} {
		_, err = file.Seek(0, io.SeekStart)
		must(t, err)
		began := time.Now()
		var answer map[string]any
		must(t, f.call("box1", http.MethodPost, "/v1/bulk/bindings?mode=merge", io.NopCloser(file), &answer))
		took := time.Since(began)
		t.Logf("%d bindings %s, durable and live in %v: %v", count, what, took.Round(time.Millisecond), answer)
		if took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	}
	r := stop(t, s)
	if r.Lost() != 0 {
		t.Errorf("frames lost while bindings were pushed: %v", r)
	}
	var box status.Box
	f.get("box1", "/v1/box", &box)
	if box.Bindings.Count < count+1 {
		t.Errorf("got bindings %+v, want at least %d", box.Bindings, count+1)
	}
	t.Logf("%d bindings in %d octets", box.Bindings.Count, box.Bindings.Bytes)

	// The last one is live, and all of them come back after a restart.
	from := f.host("red-vm1")
	last := endpoint.Host{MAC: mac("02:10:00:0f:42:3f"), IPv4: f.host("red-vm2").IPv4}
	for _, when := range []string{"pushed", "restarted"} {
		if when == "restarted" {
			began := time.Now()
			must(t, f.procs["box1"].Stop(10*time.Second))
			f.start("box1")
			f.waitReady("box1")
			t.Logf("restarted with %d bindings in %v", count, time.Since(began).Round(time.Millisecond))
			f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
		}
		before := f.drops("box2")
		must(t, f.raw(t, "red-vm1").Send(bytesOf(endpoint.UDP4(from, last, 0, 1, 2, []byte("to the last")))))
		f.expectDrops(t, "box2", before, map[string]uint64{"fabric_not_here": 1})
	}
}

// TestKilledWhilePushing kills a box in the middle of pushes of 200,000 bindings: after a restart a push is there as a
// whole or not at all.
func TestKilledWhilePushing(t *testing.T) {
	const count = 200_000
	o := rawPair()
	o.Dataplane.Bindings = count + 1000
	f := startFabric(t, o)
	var b strings.Builder
	sw := f.Node("swb").MAC
	for i := range count {
		fmt.Fprintf(&b,
			`{"tenant":"red","segment":"web","mac":"02:10:00:%02x:%02x:%02x","switch_mac":"%s","switch_port":2}`+"\n",
			i>>16&255, i>>8&255, i&255, sw)
	}
	lines := b.String()
	acknowledged := false
	for _, after := range []time.Duration{10, 60, 110, 160, 210, 300} {
		done := make(chan error, 1)
		go func() {
			done <- f.call("box1", http.MethodPost, "/v1/bulk/bindings?mode=merge", strings.NewReader(lines), nil)
		}()
		time.Sleep(after * time.Millisecond)
		f.procs["box1"].Kill()
		acknowledged = acknowledged || <-done == nil
		f.start("box1")
		f.waitReady("box1")
		var box status.Box
		f.get("box1", "/v1/box", &box)
		t.Logf("killed after %v: %d bindings, acknowledged %v", after*time.Millisecond, box.Bindings.Count,
			acknowledged)
		whole := box.Bindings.Count >= count
		if !whole && box.Bindings.Count > 10 {
			t.Errorf("%d bindings: half of a push", box.Bindings.Count)
		}
		if acknowledged && !whole {
			t.Error("an acknowledged push is missing")
		}
		f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
	}
}

// TestManyTenants fills a box with as many tenants as the scheme holds, each with a
// segment, and nearly 10,000 local VIFs.
func TestManyTenants(t *testing.T) {
	const vifs = 9_990 // with those of the town it is all a box holds
	o := oneBox()
	o.Dataplane.Bindings = 2 * vifs
	f := startFabric(t, o)
	var d lab.Documents
	for id := uint32(1000); id <= 65_534; id++ {
		name := fmt.Sprintf("t%d", id)
		d.Tenants = append(d.Tenants, model.Tenant{Name: name, ID: id})
	}
	began := time.Now()
	f.push("box1", d.Operations())
	t.Logf("%d tenants in %v", len(d.Tenants), time.Since(began).Round(time.Millisecond))
	d = lab.Documents{}
	for id := uint32(1000); id <= 65_534; id++ {
		d.Segments = append(d.Segments, model.Segment{Tenant: fmt.Sprintf("t%d", id), Name: "s", ID: id})
	}
	began = time.Now()
	f.push("box1", d.Operations())
	t.Logf("%d segments in %v", len(d.Segments), time.Since(began).Round(time.Millisecond))
	// One tenant of them has all the VIFs behind a VLAN of red-raw1's port.
	d = lab.Documents{}
	const tenant, vlan = 65_000, 99
	for i := range vifs {
		d.VIFs = append(d.VIFs, model.VIF{Tenant: fmt.Sprintf("t%d", tenant), Name: fmt.Sprintf("v%d", i), Segment: "s",
			MAC: 0x020000100000 + model.MAC(i), Port: f.VM("red-raw1").Port, VLAN: vlan})
	}
	began = time.Now()
	f.push("box1", d.Operations())
	t.Logf("%d VIFs in %v", len(d.VIFs), time.Since(began).Round(time.Millisecond))

	edge, raw := f.edge(t, "box1"), f.raw(t, "red-raw1")
	for i := 0; i < vifs; i += 97 {
		frame := plain(endpoint.Host{MAC: 0x0200000000ee}, endpoint.Host{MAC: d.VIFs[i].MAC}, 0)
		must(t, edge.Send(edge.ToBox(2, tenant, tenant, 101, frame).Encode()))
		got, err := raw.Receive(time.Second)
		must(t, err)
		if want := plain(endpoint.Host{MAC: 0x0200000000ee}, endpoint.Host{MAC: d.VIFs[i].MAC},
			vlan); endpoint.Diff(want, got) != "" {
			t.Errorf("VIF %d: %s", i, endpoint.Diff(want, got))
		}
	}
	began = time.Now()
	must(t, f.procs["box1"].Stop(10*time.Second))
	f.start("box1")
	f.waitReady("box1")
	t.Logf("restarted in %v", time.Since(began).Round(time.Millisecond))
}

// TestSoak runs for PENSTOCK_SOAK under traffic with everything that can change changing.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("PENSTOCK_SOAK"))
	if err != nil {
		t.Skip("set PENSTOCK_SOAK to a duration, such as 10m")
	}
	f := startFabric(t, rawPair())
	box := f.Node("box1")
	original := box.TOML
	memory := f.memory(t, "box1")
	rounds := 0
	for began := time.Now(); time.Since(began) < length && !t.Failed(); rounds++ {
		// A test of its own closes its endpoints at its end: each open one gets a copy of every frame.
		t.Run(fmt.Sprint("round ", rounds), func(t *testing.T) { soakRound(t, f, original, rounds) })
	}
	after := f.memory(t, "box1")
	t.Logf("%d rounds; memory of box1 %d KiB before, %d KiB after", rounds, memory, after)
	if after > memory*3/2+64<<10 {
		t.Errorf("memory of box1 grew from %d KiB to %d KiB", memory, after)
	}
}

// soakRound changes paths, configuration and links of box1 under traffic.
func soakRound(t *testing.T, f *fabric, original string, round int) {
	box := f.Node("box1")
	s := f.steady(t, "red-vm1", "red-vm2", 4000, 32)
	f.putPaths(f.Trunks[0].VLAN)
	time.Sleep(200 * time.Millisecond)
	f.putPaths(f.Trunks[0].VLAN, f.Trunks[1].VLAN)
	must(t, box.SetTOML(strings.Replace(original, "complete_checksums = true",
		fmt.Sprintf("complete_checksums = true\nclamp_mss = %v", round%2 == 0), 1)))
	must(t, f.call("box1", http.MethodPost, "/v1/reload", nil, nil))
	time.Sleep(200 * time.Millisecond)
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: uint64(round), From: f.host("red-vm2"),
		To: f.host("red-vm1")}, 2000)
	must(t, err)
	sendMix(t, f.raw(t, "red-vm2"), f.raw(t, "red-vm1"), frames)
	if r := stop(t, s); r.Lost() != 0 {
		t.Errorf("round %d: %v", round, r)
		f.logPorts(t)
	}
	for _, port := range box.Ports {
		must(t, f.lab.SetDown(port.PeerNamespace, port.PeerInterface))
		f.waitPort(t, "box1", port.Name, false)
		must(t, f.lab.SetUp(port.PeerNamespace, port.PeerInterface))
		f.waitPort(t, "box1", port.Name, true)
		f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
	}
	for _, n := range []string{"box1", "box2", "swa", "swb"} {
		f.balanced(n)
	}
}

// memory returns the resident memory of a process, in KiB.
func (f *fabric) memory(t *testing.T, node string) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.procs[node].PID()))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
