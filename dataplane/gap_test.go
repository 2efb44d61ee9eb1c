package dataplane

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/stats"
)

// TestCause: a long turn counts under its cause, and under no other.
func TestCause(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := &worker{loop: stats.NewBlock(loopLen)}
	const long = 3 * longGap
	at := stats.GapBucket(long)
	hold := func(what string, gaps, preempted, stopped uint64) {
		t.Helper()
		w.loop.Publish()
		g, p, s := w.loop.Load(loopGaps+at), w.loop.Load(loopPreemptedGaps+at), w.loop.Load(loopStoppedGaps+at)
		if g != gaps || p != preempted || s != stopped {
			t.Errorf("%s: %d long turns, %d preempted, %d stopped; want %d, %d, %d",
				what, g, p, s, gaps, preempted, stopped)
		}
	}
	// wait waits without being preempted. On a busy machine that needs several attempts.
	wait := func() {
		for range 1000 {
			w.readSwitches()
			before := w.switched
			time.Sleep(time.Millisecond)
			var u unix.Rusage
			if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
				t.Fatal(err)
			}
			if u.Nivcsw == before.forced && u.Nvcsw > before.waited {
				return
			}
		}
		t.Skip("the machine is too busy: the thread was preempted in every attempt to wait")
	}
	wait()
	w.note(long, true)
	hold("waited", 1, 0, 1)

	wait()
	w.switched.slept = true
	w.note(long, true)
	hold("slept in poll", 2, 0, 1)

	wait()
	w.note(longGap-1, true)
	w.switched.stale = true
	w.note(1000, true)
	before := w.switched
	w.note(1000, true)
	if w.switched != before || before.stale || before.slept {
		t.Errorf("reading %+v, then %+v after a short turn; want a new reading in the turn before, none in this one",
			before, w.switched)
	}

	preempt(t)
	w.note(long, false)
	hold("preempted", 3, 1, 1)
}

// preempt yields the CPU to a thread that spins on it, until the kernel has preempted the caller.
func preempt(t *testing.T) {
	var had, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &had); err != nil {
		t.Fatal(err)
	}
	for c := range 1024 {
		if had.IsSet(c) {
			one.Set(c)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &had); err != nil {
			t.Error(err)
		}
	}()
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		runtime.LockOSThread() // never unlocked: its affinity ends with it
		_ = unix.SchedSetaffinity(0, &one)
		for !stop.Load() {
		}
	}()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	for first, deadline := u.Nivcsw, time.Now().Add(10*time.Second); u.Nivcsw == first; {
		if time.Now().After(deadline) {
			t.Fatal("the thread was not preempted in 10 s, want it preempted")
		}
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
	}
}
