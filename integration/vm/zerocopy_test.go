package vm

import (
	"testing"
	"time"
)

// TestZeroCopy runs the box on zero-copy sockets: the mode is demanded, so that anything else is an error.
func TestZeroCopy(t *testing.T) {
	m := guest(t, "zc", SuiteZeroCopy, Options{NICs: nics(2)})
	t.Run("modes", func(t *testing.T) { testModes(t, m) })
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
