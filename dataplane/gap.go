package dataplane

import (
	"golang.org/x/sys/unix"

	"penstock/dataplane/stats"
)

// longGap is the length of a turn in nanoseconds from which on the worker determines its cause. A full batch takes
// less.
const longGap = 100_000

// switches are the context switches of a worker's thread so far.
type switches struct {
	forced int64 // another thread, or an interrupt's, took its CPU
	waited int64 // the thread waited: in poll, for a lock of the kernel, or because the Go runtime stopped it
	slept  bool  // the worker has slept in poll since the last reading, so that waited does not show the cause
	stale  bool  // the reading is old: read again at the next turn
}

// note counts a turn of gap nanoseconds.
func (w *worker) note(gap int64, busy bool) {
	i := stats.GapBucket(gap)
	w.loop.Add(loopTurns, 1)
	w.loop.Add(loopGaps+i, 1)
	if busy {
		w.loop.Add(loopBusyGaps+i, 1)
	}
	w.loop.Max(loopMaxGap, uint64(gap))
	if gap >= longGap {
		w.cause(i)
	} else if w.switched.stale {
		w.readSwitches()
	}
}

// cause counts a long turn, of bucket i, by its cause: another thread had the CPU, or the thread waited. A turn with
// neither was long by its own work, interrupts, page faults, or a hypervisor that ran another machine.
func (w *worker) cause(i int) {
	before := w.switched
	w.readSwitches()
	switch {
	case w.switched.forced > before.forced:
		w.loop.Add(loopPreemptedGaps+i, 1)
	case w.switched.waited > before.waited && !before.slept:
		w.loop.Add(loopStoppedGaps+i, 1)
	}
}

// readSwitches reads the thread's context switches from the kernel. It is a system call: note calls it about once a
// millisecond and for long turns, so that a switch in an earlier short turn does not count as the cause of a long one.
func (w *worker) readSwitches() {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) == nil {
		w.switched = switches{forced: u.Nivcsw, waited: u.Nvcsw}
	}
}
