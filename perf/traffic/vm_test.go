package traffic_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/integration/endpoint"
	"penstock/integration/lab"
	"penstock/integration/vm"
	"penstock/perf/traffic"
)

// TestPktgenKernel runs the scripts with the pktgen of a real kernel, in a QEMU guest, and compares the frames that
// arrive. The guest boots only with PENSTOCK_VM=1, as make test-vm sets it.
func TestPktgenKernel(t *testing.T) {
	if os.Getenv("PENSTOCK_VM") != "1" {
		t.Skip("boots a guest: make test-vm, or PENSTOCK_VM=1")
	}
	if os.Geteuid() != 0 {
		t.Fatal("root is required: for network namespaces and taps")
	}
	if missing := vm.Missing(); len(missing) > 0 {
		t.Fatalf("not installed: %s (make test-vm installs them)", strings.Join(missing, " "))
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	kernel, err := vm.FetchKernel(vm.SuiteCopy)
	check(err)
	files, err := vm.Build(t.TempDir())
	check(err)
	l, err := lab.New("pktgen")
	check(err)
	stop := l.CloseOnSignal()
	t.Cleanup(func() {
		stop()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := vm.Boot(l, vm.Options{
		Kernel: kernel, Files: files, Modules: []string{"pktgen"}, NICs: []vm.NIC{{Tap: "gen0"}},
	})
	check(err)
	check(m.IP("link", "set", "eth1", "mtu", "9000"))
	check(m.IP("link", "set", "eth1", "up"))
	var in *endpoint.Raw
	check(l.Do(vm.Wire, func() (err error) {
		in, err = endpoint.Open("gen0")
		return err
	}))
	defer in.Close()

	scripts, err := filepath.Glob(filepath.Join(profilesDir, "pktgen", "*.sh"))
	if err != nil || len(scripts) < 7 {
		t.Fatal(scripts, err)
	}
	mixes := map[string]*traffic.Profile{"tagged": parse(t, tagged)}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".sh")
		mixes[name], err = traffic.Builtin(name)
		check(err)
	}
	for name, p := range mixes {
		t.Run(name, func(t *testing.T) {
			var script bytes.Buffer
			check(p.Export(traffic.Pktgen, traffic.Options{}, &script))
			check(m.Put("/run/script.sh", script.Bytes()))
			const count = 1100 // the flows of most go round
			out, err := m.Run(time.Minute, []string{"COUNT=1100", "RATE=20000"}, "/bin/busybox", "sh", "/run/script.sh",
				"eth1", "0")
			check(err)
			if !strings.Contains(out, "errors: 0") {
				t.Errorf("want \"errors: 0\" in:\n%s", out)
			}
			fromScript := func(f []byte) bool { // with pktgen's magic number at the start of the payload
				at := 42
				for len(f) > at+4 && binary.BigEndian.Uint16(f[at-30:]) == 0x8100 {
					at += 4
				}
				return len(f) > at+4 && binary.BigEndian.Uint32(f[at:]) == 0xbe9be955
			}
			got, err := in.Gather(count, 10*time.Second, fromScript)
			check(err)
			if len(got) != count {
				t.Fatalf("%d frames, want %d: %s", len(got), count, out)
			}
			g, err := p.Program(traffic.Options{})
			check(err)
			buf := make([]byte, g.MaxLen())
			sizes := map[int]int{}
			seq := uint64(0)
			for k, f := range got {
				for seq++; g.Stream(seq) != 0; seq++ { // of several sizes the first: pktgen draws them at random
				}
				want, have := keyOf(t, buf[:g.Make(seq, 0, buf)]), keyOf(t, f)
				if len(g.Streams()) > 1 {
					sizes[have.size]++
					want.size = have.size
				}
				if have != want {
					t.Fatalf("packet %d: %+v, here %+v", k, have, want)
				}
				if ttl := f[22]; name != "tagged" && ttl != 32 {
					t.Fatalf("packet %d: time to live %d, and the script says 32", k, ttl)
				}
			}
			for _, s := range g.Streams() {
				if len(g.Streams()) > 1 && sizes[s.MaxLen] < count*s.Weight/12/2 {
					t.Errorf("sizes %v: too few of %d", sizes, s.MaxLen)
				}
			}
		})
	}
	if c := m.Complaints(); c != "" {
		t.Errorf("the guest's kernel complains:\n%s", c)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
