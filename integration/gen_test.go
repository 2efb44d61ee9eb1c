package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/integration/lab"
)

// generator is `penstock gen` as an operator runs it: the binary, in a namespace with a veth pair.
type generator struct {
	t   *testing.T
	lab *lab.Lab
}

func newGenerator(t *testing.T) *generator {
	t.Helper()
	requireRoot(t)
	l, err := lab.New(fmt.Sprintf("t%d", labs.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	stop := l.CloseOnSignal()
	t.Cleanup(func() {
		stop()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Namespace("g"); err != nil {
		t.Fatal(err)
	}
	if err := l.Veth("g", "a", "g", "b", lab.VethOptions{}); err != nil {
		t.Fatal(err)
	}
	return &generator{t, l}
}

func (g *generator) start(args ...string) *lab.Process {
	g.t.Helper()
	p, err := g.lab.Start("g", "gen", append([]string{program, "gen", "--tx", "a", "--rx", "b", "--profile", "size-64"},
		args...)...)
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// programs lists the XDP programs that are attached in the namespace.
func (g *generator) programs() string {
	g.t.Helper()
	out, err := g.lab.Run("g", "ip", "link")
	if err != nil {
		g.t.Fatal(err)
	}
	n := strings.Count(string(out), "prog/xdp")
	return fmt.Sprint(n)
}

func (g *generator) until(what string, ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestGenSignals: SIGINT and SIGTERM end a run with its results and leave nothing behind, nor does SIGKILL.
func TestGenSignals(t *testing.T) {
	g := newGenerator(t)
	attached := func() bool { return g.programs() == "2" }
	for _, s := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		file := filepath.Join(t.TempDir(), "r.json")
		p := g.start("--rate", "2kpps", "--duration", "1h", "--json", file)
		g.until("attached", attached)
		time.Sleep(300 * time.Millisecond) // of traffic, however much that is
		if err := p.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(30 * time.Second); err != nil {
			t.Fatalf("%v: %v\n%s", s, err, p.Log())
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Interrupted bool
			Run         struct {
				Stopped    string
				Directions []struct{ Sent, Received, Lost uint64 }
			}
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if d := r.Run.Directions[0]; !r.Interrupted || r.Run.Stopped != "interrupted" || d.Sent == 0 ||
			d.Received != d.Sent || d.Lost != 0 {
			t.Errorf("%v: got %+v, want an interrupted run without loss", s, r)
		}
		if !strings.Contains(p.Log(), "interrupted: the figures are those until then") || g.programs() != "0" {
			t.Errorf("%v: XDP programs %s remain, want none\n%s", s, g.programs(), p.Log())
		}
	}
	p := g.start("--rate", "2kpps", "--duration", "1h")
	g.until("attached", attached)
	p.Kill()
	g.until("detached", func() bool { return g.programs() == "0" })
	// A port that the killed one had is free at once.
	if p := g.start("--rate", "10kpps", "--count", "100"); p.Wait(30*time.Second) != nil ||
		!strings.Contains(p.Log(), "received     100 frames") {
		t.Errorf("got\n%s\nwant 100 frames received and exit code 0", p.Log())
	}
}

// TestGenTwice: a second generator on the same ports is refused with the owner's name, and does not disturb the first.
func TestGenTwice(t *testing.T) {
	g := newGenerator(t)
	first := g.start("--rate", "1kpps", "--count", "2000")
	g.until("attached", func() bool { return g.programs() == "2" })
	second := g.start("--rate", "1kpps", "--count", "1")
	if err := second.Wait(30 * time.Second); err == nil || !strings.Contains(second.Log(), "port a: ") ||
		!strings.Contains(second.Log(), "another XDP program is attached") {
		t.Errorf("%v\n%s", err, second.Log())
	}
	if err := first.Wait(30 * time.Second); err != nil || !strings.Contains(first.Log(), "received     2,000 frames") ||
		!strings.Contains(first.Log(), "lost         0, 0 %") {
		t.Errorf("%v\n%s", err, first.Log())
	}
}

// TestGenBlockedTime: the receiving port's link goes away and comes back, done by a command, twice.
func TestGenBlockedTime(t *testing.T) {
	g := newGenerator(t)
	file := filepath.Join(t.TempDir(), "r.json")
	p := g.start("--rate", "5kpps", "--duration", "1s", "--lead", "300ms", "--runs", "2", "--json", file,
		"--blocked-time", "ip link set dev b down; sleep 0.2; ip link set dev b up")
	if err := p.Wait(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Blocked struct {
			Runs []struct {
				Gap   int64  `json:"gap_ns"`
				Error string `json:"error"`
			} `json:"runs"`
		} `json:"blocked_time"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	// The link is down for 200 ms at least, and then both ends have to find out that it is up.
	for _, run := range r.Blocked.Runs {
		if run.Error != "" || run.Gap < int64(190*time.Millisecond) {
			t.Errorf("got %+v, want a gap of at least 190 ms and no error", run)
		}
	}
	if len(r.Blocked.Runs) != 2 || !strings.Contains(p.Log(), "OVER 2 RUNS") {
		t.Errorf("got %+v, want 2 runs\n%s", r, p.Log())
	}
}
