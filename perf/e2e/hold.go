package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// HoldCommand is the first argument with which a program that uses Run must call Hold: the program is its own helper.
const HoldCommand = "hold"

// Hold becomes the program that follows "--" in args, on its CPUs and in a control group from its first instruction, so
// that all its threads are. It returns only on failure.
//
//	hold -cpus N[,N…] -group DIR -parent PID -- PROGRAM [ARGUMENT…]
//
// As "hold tick" it keeps quotas exact until it is ended.
func Hold(args []string) error {
	if len(args) == 1 && args[0] == tickCommand {
		return tick()
	}
	f := flag.NewFlagSet(HoldCommand, flag.ContinueOnError)
	list := f.String("cpus", "0", "CPUs to run on, separated by commas")
	group := f.String("group", "", "directory of the control group to join; empty: none")
	parent := f.Int("parent", 0, "process to die with")
	if err := f.Parse(args); err != nil {
		return err
	}
	argv := f.Args()
	if len(argv) == 0 {
		return errors.New("hold: no program given")
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	runtime.LockOSThread() // the thread that calls exec is the one that remains
	if *group != "" {
		err := os.WriteFile(filepath.Join(*group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
		if err != nil {
			return fmt.Errorf("hold: join the control group: %w", err)
		}
	}
	var cpus []int
	for _, c := range strings.Split(*list, ",") {
		n, err := strconv.Atoi(c)
		if err != nil {
			return fmt.Errorf("hold: CPU %q: %w", c, err)
		}
		cpus = append(cpus, n)
	}
	if err := pin(0, cpus...); err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	// A program that waits for its standard input to end shall wait for ever: both ends of a pipe stay with it.
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return fmt.Errorf("hold: pipe: %w", err)
	}
	if err := unix.Dup3(p[0], 0, 0); err != nil {
		return fmt.Errorf("hold: standard input: %w", err)
	}
	// The signal belongs to the thread that requested it, which need not be the first.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("hold: die with the parent: %w", err)
	}
	if os.Getppid() != *parent {
		return errors.New("hold: the parent is gone")
	}
	return fmt.Errorf("hold: %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

// pin binds a thread, or the calling one if tid is 0, to CPUs.
func pin(tid int, cpus ...int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		return fmt.Errorf("pin thread %d to CPUs %d: %w", tid, cpus, err)
	}
	return nil
}

// pinProcess binds all threads of this process to a CPU; those that they start follow.
func pinProcess(cpu int) error {
	// A thread may start another while the list is read: once more finds that one.
	for range 2 {
		tids, err := threads(os.Getpid())
		if err != nil {
			return err
		}
		for _, tid := range tids {
			if err := pin(tid, cpu); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// threads lists the threads of a process.
func threads(pid int) (tids []int, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}
