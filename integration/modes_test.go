package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// TestModes runs the same traffic over every poll mode and every socket mode that a veth has.
func TestModes(t *testing.T) {
	for _, tc := range []struct{ poll, mode, xdp string }{
		{"busy", "auto", "native"},
		{"adaptive", "copy", "native"},
		{"interrupt", "generic", "generic"},
	} {
		t.Run(tc.poll+" "+tc.mode, func(t *testing.T) {
			o := rawPair()
			o.Dataplane.Poll, o.Dataplane.Mode, o.Dataplane.RingSize = tc.poll, tc.mode, 512
			f := startFabric(t, o)
			var ports status.Items[status.Port]
			f.get("box1", "/v1/stats/ports", &ports)
			for _, p := range ports.Items {
				if p.XDP != tc.xdp || p.Mode != "copy" {
					t.Errorf("port %s runs in mode %s with XDP %s, want copy and %s", p.Name, p.Mode, p.XDP, tc.xdp)
				}
			}
			frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 8, From: f.host("red-vm1"), To: f.host("red-vm2")},
				500)
			must(t, err)
			sendMix(t, f.raw(t, "red-vm1"), f.raw(t, "red-vm2"), frames)
			time.Sleep(300 * time.Millisecond) // idle: workers sleep in the modes that do
			if took := f.waitThrough("red-vm2", "red-vm1", time.Second); took > 100*time.Millisecond {
				t.Errorf("the first frame after a pause takes %v", took)
			}
		})
	}
}

// TestJumbo carries packets of 3,000 octets.
func TestJumbo(t *testing.T) {
	o := options{}
	o.AccessMTU, o.FabricMTU = 3000, 3100
	o.Dataplane.FrameSize = 4096
	f := startFabric(t, o)
	for _, addr := range []string{"10.0.0.2", "fd00::2"} {
		size := 3000 - 28
		if netip.MustParseAddr(addr).Is6() {
			size = 3000 - 48
		}
		if out, err := f.ping("red-vm1", addr, 3, "-M", "do", "-s", fmt.Sprint(size)); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	f.exchange(t, "blue-vm1", "blue-vm2", netip.MustParseAddr("10.0.0.2"), 1<<20)
}

// TestRefusedAtStart expects a box that cannot run to report the reason and to leave nothing behind.
func TestRefusedAtStart(t *testing.T) {
	f := startFabric(t, rawPair())
	swa, box := f.Node("swa"), f.Node("box1")
	for _, tc := range []struct {
		name, namespace, toml string
		want                  []string
	}{
		{"no such interface", "box2", strings.Replace(box.TOML, `interface = "acc0"`, `interface = "acc7"`, 1),
			[]string{`there is no interface "acc7"`}},
		{"mode that the driver has not", "box2", strings.Replace(box.TOML, `role = "access"`,
			"role = \"access\"\nmode = \"zero-copy\"", 1), []string{"acc0", "zero-copy"}},
		{"store in use", "box2", strings.Replace(box.TOML, box.State, swa.State, 1), []string{"penstock.db"}},
		{"interface in use", "box1", box.TOML,
			[]string{"fab0 has an XDP program already", "acc0 has an XDP program already"}},
		{"bad file", "box1", swa.TOML + "\n[edge]\nmac = 7\n", []string{"edge"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other := lab.Node{Config: t.TempDir() + "/penstock.toml"}
			text := strings.ReplaceAll(tc.toml, box.Socket, t.TempDir()+"/control.sock")
			if tc.namespace == "box2" {
				text = strings.ReplaceAll(text, box.State, t.TempDir())
				must(t, f.procs["box2"].Stop(5*time.Second))
				defer func() { f.start("box2"); f.waitReady("box2") }()
			}
			must(t, other.SetTOML(text))
			p, err := f.lab.Start(tc.namespace, "refused", program, "run", "--config", other.Config)
			must(t, err)
			defer p.Kill()
			err = p.Wait(5 * time.Second)
			if err == nil || p.Running() {
				t.Errorf("it runs: %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(p.Log(), want) {
					t.Errorf("%q is not in\n%s", want, p.Log())
				}
			}
			if strings.Contains(p.Log(), "panic") {
				t.Error(p.Log())
			}
			if tc.namespace == "box2" {
				for _, port := range f.Node("box2").Ports {
					f.expectClean(t, "box2", port.Name)
				}
			}
		})
	}
	f.waitThrough("red-vm1", "red-vm2", 5*time.Second) // the running box has not noticed
}

// TestLimitsTakeEffect changes rate limits by a reload and counts what gets through.
func TestLimitsTakeEffect(t *testing.T) {
	f := startFabric(t, oneBox())
	box := f.Node("box1")
	raw, edge := f.raw(t, "red-raw1"), f.edge(t, "box1")
	must(t, box.SetTOML(strings.Replace(box.TOML, "[dataplane]\n", `[dataplane]
flood_rate = 1
flood_burst = 40
icmp_rate = 1
icmp_burst = 5
`, 1)))
	must(t, f.procs["box1"].Signal(unix.SIGHUP))
	for deadline := time.Now().Add(2 * time.Second); !strings.Contains(f.procs["box1"].Log(), "reloaded") &&
		time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	from := f.host("red-raw1")
	t.Run("flood", func(t *testing.T) {
		before := f.drops("box1")
		frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 4, From: from, To: endpoint.Host{MAC: endpoint.Broadcast},
			Probe: true}, 50)
		must(t, err)
		for _, frame := range frames {
			must(t, raw.Send(frame))
		}
		got, err := edge.Gather(20, time.Second, func([]byte) bool { return true })
		must(t, err)
		// Two other boxes hold VIFs of the segment; the clock may let one more through.
		if len(got) != 20 && len(got) != 22 {
			t.Errorf("%d copies of 50 broadcasts on the fabric, want 20: a burst of 40 for 10 broadcasts to two "+
				"boxes and two VIFs here", len(got))
		}
		f.expectDrops(t, "box1", before, map[string]uint64{"flood_limit": 50 - uint64(len(got)/2)})
	})
	t.Run("ICMP", func(t *testing.T) {
		before := f.drops("box1")
		router := endpoint.Host{MAC: 0x025053000001, IPv4: netip.MustParseAddr("192.0.2.1")}
		for i := range uint16(20) {
			must(t, raw.Send(bytesOf(endpoint.UDP4(from, router, 0, 1000+i, 53, []byte("no route")))))
		}
		got, err := raw.Gather(5, time.Second, func([]byte) bool { return true })
		must(t, err)
		if len(got) != 5 && len(got) != 6 {
			t.Errorf("%d ICMP errors, want 5", len(got))
		}
		f.expectDrops(t, "box1", before, map[string]uint64{"icmp_limit": 20 - uint64(len(got))})
	})
}
