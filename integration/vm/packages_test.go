package vm

import (
	"strings"
	"testing"
	"time"
)

// wires are pairs of interfaces inside QEMU, for tests that run in the guest; they are the guest's last ones.
func wires() []NIC { return []NIC{{Hub: 1}, {Hub: 1}, {Hub: 2}, {Hub: 2}} }

const wireNames = "PENSTOCK_TEST_WIRES=eth4-eth5 eth6-eth7"

var layers = []string{"dataplane/xsk", "dataplane/steer", "perf/gen"}

// testPackages runs the tests of packages in the guest: those over veth, as on the host, but on this kernel, and those
// that need zero-copy interfaces. Tests that compute much and need no kernel run on the host.
func testPackages(t *testing.T, m *Machine) {
	for _, pkg := range layers {
		t.Run(pkg, func(t *testing.T) {
			which := "-test.skip=^Test(Producer|Consumer)Rings$|^TestRings"
			if pkg == "perf/gen" { // the rest measures, and the host does
				which = "-test.run=^TestZeroCopy$"
			}
			out, err := m.Run(4*time.Minute, []string{wireNames, "PENSTOCK_REQUIRE_ROOT=1"}, TestBinary(pkg), "-test.v",
				"-test.timeout=3m30s", which)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out) {
				if s := strings.TrimSpace(line); strings.HasPrefix(s, "--- PASS: TestZeroCopy") ||
					strings.HasPrefix(s, "--- SKIP") {
					t.Log(s)
				}
			}
		})
	}
}
