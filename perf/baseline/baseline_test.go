package baseline_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/baseline"
)

func TestMain(m *testing.M) { xsktest.Main(m) }

type result struct {
	c   baseline.Counters
	err error
}

// start runs the forwarder between two veth pairs, a–b ⇄ c–d.
func start(t *testing.T) (left, right *xsktest.PacketSocket, stop func() result) {
	t.Helper()
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	_, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	left, right = xsktest.Packet(t, a), xsktest.Packet(t, d)
	f, err := baseline.Open("b", "c")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan result, 1)
	go func() {
		c, err := f.Run(ctx)
		done <- result{c, err}
	}()
	closed := false
	stop = func() result {
		cancel()
		r := <-done
		done <- r
		if !closed {
			closed = true
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		return r
	}
	t.Cleanup(func() { stop() })
	return left, right, stop
}

func TestForward(t *testing.T) {
	left, right, stop := start(t)
	const n = 3000 // every ring wraps
	for i := range uint64(n) {
		for _, way := range [][2]*xsktest.PacketSocket{{left, right}, {right, left}} {
			way[0].Send(xsktest.Frame(i, 60+int(i)%1400))
			if i%100 != 99 {
				continue
			}
			for want := i - 99; want <= i; want++ {
				f := way[1].Receive(time.Second)
				if f == nil {
					t.Fatalf("frame %d lost", want)
				}
				if got, ok := xsktest.Seq(f); !ok || got != want || len(f) != 60+int(want)%1400 {
					t.Fatalf("got frame %d of %d octets, whole: %v; want %d", got, len(f), ok, want)
				}
			}
		}
	}
	r := stop()
	if r.err != nil {
		t.Error(r.err)
	}
	for _, d := range []baseline.Direction{r.c.AtoB, r.c.BtoA} {
		if d.Received != n || d.Sent != n || d.Dropped != 0 || d.Octets < n*60 {
			t.Errorf("counters %+v, want %d frames", d, n)
		}
	}
	for _, name := range []string{"b", "c"} {
		if id := xsktest.XDP(t, name); id != 0 {
			t.Errorf("program %d left on %s", id, name)
		}
	}
}

// TestLinkDown: an error, not a crash.
func TestLinkDown(t *testing.T) {
	left, _, stop := start(t)
	xsktest.Down(t, "c")
	for until := time.Now().Add(100 * time.Millisecond); time.Now().Before(until); time.Sleep(time.Millisecond) {
		left.Send(xsktest.Frame(1, 60))
	}
	if r := stop(); r.err == nil || !strings.Contains(r.err.Error(), "gave up") {
		t.Errorf("an interface is down: %v", r.err)
	}
}

func TestDeleted(t *testing.T) {
	_, _, stop := start(t)
	xsktest.Delete(t, "c")
	time.Sleep(50 * time.Millisecond)
	if r := stop(); r.err == nil || !strings.Contains(r.err.Error(), "gave up") {
		t.Errorf("an interface is gone: %v", r.err)
	}
}

func TestOpenErrors(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	if _, err := baseline.Open("a", "a"); err == nil {
		t.Error("one interface twice: no error")
	}
	if _, err := baseline.Open("a", "nothere"); err == nil || !strings.Contains(err.Error(), "nothere") {
		t.Errorf("no such interface: %v", err)
	}
	p, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	id := xsktest.XDP(t, "a")
	if _, err := baseline.Run(t.Context(), "b", "a"); err == nil || !strings.Contains(err.Error(), "xdp off") {
		t.Errorf("another program is attached: %v", err)
	}
	if xsktest.XDP(t, "a") != id || xsktest.XDP(t, "b") != 0 {
		t.Error("Open left something behind, or took something away")
	}
}

// TestRun opens, forwards for a while and closes.
func TestRun(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := baseline.Run(ctx, "a", "b"); err != nil || c != (baseline.Counters{}) {
		t.Errorf("forwarder without traffic: %+v, error %v, want zeros and no error", c, err)
	}
	if xsktest.XDP(t, "a") != 0 || xsktest.XDP(t, "b") != 0 {
		t.Error("programs left")
	}
}
