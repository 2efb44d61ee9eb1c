package gen

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock reads CLOCK_MONOTONIC, as XDP programs do, without a system call: Go's monotonic clock is the same clock with
// another zero.
type clock struct {
	base   time.Time
	offset int64 // CLOCK_MONOTONIC at base, ns
	err    int64 // by how much offset may be wrong, ns
}

func newClock() (clock, error) {
	c := clock{base: time.Now(), err: 1 << 62}
	for range 64 { // the quietest attempt counts
		var ts unix.Timespec
		before := time.Since(c.base)
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return c, fmt.Errorf("gen: read CLOCK_MONOTONIC: %w", err)
		}
		after := time.Since(c.base)
		if e := int64(after-before+1) / 2; e < c.err {
			c.err, c.offset = e, ts.Nano()-int64(before+after)/2
		}
	}
	return c, nil
}

// now returns CLOCK_MONOTONIC in ns.
func (c *clock) now() int64 { return c.offset + int64(time.Since(c.base)) }
