package e2e

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tickCommand makes the helper tick, see tick.
const tickCommand = "tick"

// tickInterval is how exactly a quota is kept.
const tickInterval = 250 * time.Microsecond

// tick takes the CPU for a moment at every interval, before all ordinary threads. It returns only on failure.
func tick() error {
	runtime.LockOSThread()
	a := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}
	if err := unix.SchedSetAttr(0, &a, 0); err != nil {
		return fmt.Errorf("%s: real-time priority: %w", tickCommand, err)
	}
	var next unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &next); err != nil {
		return fmt.Errorf("%s: clock: %w", tickCommand, err)
	}
	for {
		next = unix.NsecToTimespec(next.Nano() + tickInterval.Nanoseconds())
		// A raw call: for an ordinary call the Go runtime would wake another thread each time. Signals of the runtime
		// end the call early.
		if _, _, err := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME,
			uintptr(unsafe.Pointer(&next)), 0, 0, 0); err != 0 && err != unix.EINTR {
			return fmt.Errorf("%s: sleep: %w", tickCommand, err)
		}
	}
}
