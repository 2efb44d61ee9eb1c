package vm

import (
	"testing"
	"time"
)

// TestCopyOnly runs the box on a kernel whose virtio-net has no zero-copy mode: with mode = "zero-copy" the start
// fails with that reason; with mode = "auto" the box copies.
func TestCopyOnly(t *testing.T) {
	m := Guest(t, "copy", SuiteCopy, Options{NICs: nics(2)})
	t.Run("zero-copy demanded", func(t *testing.T) {
		refused(t, m, settings{}, "eth1", "bind in zero-copy mode", "operation not supported", "use copy mode")
	})
	t.Run("auto", func(t *testing.T) {
		w := open(t, m, settings{mode: "auto"})
		w.expectMode("copy", 2)
		w.through(10 * time.Second)
		w.out(1, 1000)
		w.in(2, 1000)
	})
	t.Run("links", func(t *testing.T) { testLinks(t, m, "copy") })
	t.Run("starved", func(t *testing.T) { testStarved(t, m, "copy") })
}
