package vm

import (
	"slices"
	"testing"
	"time"
)

// TestZeroCopy runs the box on zero-copy sockets: the mode is demanded, so that anything else is an error.
func TestZeroCopy(t *testing.T) {
	m := Guest(t, "zc", SuiteZeroCopy, Options{Modules: []string{"veth", "xsk_diag"},
		NICs: slices.Concat(nics(2), wires())}, layers...)
	t.Run("packages", func(t *testing.T) { testPackages(t, m) })
	t.Run("modes", func(t *testing.T) { testModes(t, m) })
	t.Run("links", func(t *testing.T) { testLinks(t, m, "zero-copy") })
	t.Run("restarts", func(t *testing.T) { testRestarts(t, m) })
	t.Run("starved", func(t *testing.T) { testStarved(t, m, "zero-copy") })
	t.Run("wakeups", func(t *testing.T) { testWakeups(t, m) })
	t.Run("queues", func(t *testing.T) { testQueues(t, m) })
	t.Run("MTU", func(t *testing.T) { testMTU(t, m) })
	t.Run("channels", func(t *testing.T) { testChannels(t, m) })
	t.Run("mixed", func(t *testing.T) { testMixed(t, m) })
	t.Run("auto", func(t *testing.T) { testAuto(t, m) })
	t.Run("spare queues", func(t *testing.T) { testSpareQueues(t, m) })
}

// testModes carries mixed traffic both ways in every poll mode and with both frame sizes.
func testModes(t *testing.T, m *Machine) {
	for _, tc := range []struct {
		name string
		settings
	}{
		{"adaptive", settings{}},
		{"busy", settings{poll: "busy"}},
		{"interrupt, frames of 4096", settings{poll: "interrupt", frameSize: 4096}},
		{"one queue", settings{workers: 1}},
		{"small rings", settings{ring: 128}},
		{"hand-off", settings{more: "handoff = true"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, m, tc.settings)
			w.expectMode("zero-copy", tc.queues())
			w.through(10 * time.Second)
			w.out(1, 1000)
			w.in(2, 1000)
			must(t, w.Balanced())
		})
	}
}
