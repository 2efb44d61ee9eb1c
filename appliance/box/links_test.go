package box

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/conf"
	"penstock/dataplane/xsk/xsktest"
)

// testBox is a box with an access port on each interface, started.
func testBox(t *testing.T, interfaces ...string) *Box {
	t.Helper()
	var ports strings.Builder
	for i, name := range interfaces {
		fmt.Fprintf(&ports, "[[port]]\nname = \"acc%d\"\ninterface = %q\nrole = \"access\"\nmode = \"copy\"\n", i, name)
	}
	return startBox(t, ports.String())
}

// startBox is a box with the given ports, as TOML, started.
func startBox(t *testing.T, ports string) *Box {
	t.Helper()
	dir := t.TempDir()
	var toml strings.Builder
	fmt.Fprintf(&toml, `[box]
name = "test"
state_dir = %q
[dataplane]
workers = 1
frames = 4096
ring_size = 256
bindings = 1024
verify = true
[control]
socket = %q
[metrics]
listen = ""
[log]
level = "error"
`,
		dir, filepath.Join(dir, "control.sock"))
	toml.WriteString(ports)
	path := filepath.Join(dir, "penstock.toml")
	if err := os.WriteFile(path, []byte(toml.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := conf.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(cfg, path, Build{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// up reports which ports frames may leave by.
func up(b *Box) string {
	var s []string
	for _, p := range b.compiler.Snapshot().Ports {
		s = append(s, fmt.Sprint(p.Up))
	}
	return strings.Join(s, " ")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal(what)
		}
	}
}

// A box is ready when its ports can be used, and not before their links are known.
func TestReadyMeansLinksAreKnown(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	for _, name := range []string{"p0", "p1", "p2"} {
		xsktest.Veth(t, name, "f"+name, xsktest.VethConfig{})
	}
	b := testBox(t, "p0", "p1", "p2")
	if err := b.Ready(); err != nil {
		t.Error(err)
	}
	if s := up(b); s != "true true true" {
		t.Errorf("ports up when the box is ready: %s", s)
	}
}

// A port follows its interface as often as that goes and comes back, and nothing is left of the former ones.
func TestInterfaceComesAndGoes(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	xsktest.Veth(t, "p0", "f0", xsktest.VethConfig{})
	b := testBox(t, "p0")
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := descriptors()
	for range 5 {
		xsktest.Delete(t, "p0")
		eventually(t, "the port stays up without its interface",
			func() bool { return up(b) == "false" && !b.engine.Ports()[0].Open })
		p, _ := xsktest.Veth(t, "p0", "f0", xsktest.VethConfig{})
		eventually(t, "the port does not come back", func() bool {
			r := b.engine.Ports()[0]
			return up(b) == "true" && r.Open && r.Ifindex == p.Index
		})
	}
	if n := descriptors(); n > before+2 {
		t.Errorf("%d descriptors are open, %d before", n, before)
	}
}

// TestTooLong: an MTU that is set at run time and fits no buffer is reported.
func TestTooLong(t *testing.T) {
	for _, tc := range []struct {
		size, mtu int
		want      string
	}{{2048, 1774, ""}, {2048, 1775, "(1774)"}, {4096, 3822, ""}, {4096, 9000, "(3822)"}} {
		got := tooLong(&conf.Dataplane{FrameSize: tc.size}, tc.mtu)
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("MTU %d in frames of %d: %q, want %q in it", tc.mtu, tc.size, got, tc.want)
		}
	}
}
