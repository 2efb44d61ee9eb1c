package dataplane

import (
	"golang.org/x/sys/unix"

	"penstock/dataplane/stats"
)

// longGap is how long a turn takes, in nanoseconds, for its cause to be asked for: more than a full batch needs.
const longGap = 100_000

// switches are the context switches of a worker's thread so far.
type switches struct {
	forced int64 // another thread, or an interrupt's, took its CPU
	waited int64 // it waited: in poll, for a lock of the kernel, or because the Go runtime stopped it
	slept  bool  // since the last look: the worker waited in poll, and waited says nothing
	stale  bool  // it is time to look again
}

// note counts a turn and its length in nanoseconds.
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
		w.look()
	}
}

// cause counts a long turn, of bucket i, under what kept the thread from running, if anything did. What remains took its
// time by itself: its own work, interrupts, page faults, or a hypervisor that ran another machine.
func (w *worker) cause(i int) {
	before := w.switched
	w.look()
	switch {
	case w.switched.forced > before.forced:
		w.loop.Add(loopPreemptedGaps+i, 1)
	case w.switched.waited > before.waited && !before.slept:
		w.loop.Add(loopStoppedGaps+i, 1)
	}
}

// look asks the kernel for the thread's context switches. Often enough, so that what happened in short turns is not taken
// for the cause of a long one; seldom enough, since it is a system call.
func (w *worker) look() {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) == nil {
		w.switched = switches{forced: u.Nivcsw, waited: u.Nvcsw}
	}
}
