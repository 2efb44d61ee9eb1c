package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// period is the period of the CFS bandwidth control. A short one makes the device's pauses short: in 1 ms a source
// fills no ring of 2,048 slots at 1 Mpps.
const period = 2 * time.Millisecond

const groupPrefix = "penstock-e2e-"

// group is a control group of the cpu controller, of version 1 or 2.
type group struct {
	dir string
	v2  bool
}

// newGroup makes a control group for this process's devices, without a quota, and removes those that killed runs left.
func newGroup() (*group, error) {
	root, v2, err := cpuController("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	removeStaleGroups(root)
	if v2 {
		// Needed before a child may have a quota; it is there on most machines.
		have, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
		if err != nil || !slices.Contains(strings.Fields(string(have)), "cpu") {
			if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0o644); err != nil {
				return nil, fmt.Errorf("e2e: enable the cpu controller in %s: %w", root, err)
			}
		}
	}
	g := &group{dir: filepath.Join(root, groupPrefix+strconv.Itoa(os.Getpid())), v2: v2}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("e2e: make a control group: %w", err)
	}
	return g, nil
}

// cpuController finds where the cpu controller is mounted; the format of the file is that of proc_pid_mountinfo(5).
func cpuController(mountinfo string) (root string, v2 bool, err error) {
	text, err := os.ReadFile(mountinfo)
	if err != nil {
		return "", false, fmt.Errorf("e2e: find the cpu controller: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		front, back, ok := strings.Cut(line, " - ")
		where, what := strings.Fields(front), strings.Fields(back)
		if !ok || len(where) < 5 || len(what) < 3 {
			continue
		}
		switch what[0] {
		case "cgroup":
			if slices.Contains(strings.Split(what[2], ","), "cpu") {
				return where[4], false, nil
			}
		case "cgroup2":
			have, err := os.ReadFile(filepath.Join(where[4], "cgroup.controllers"))
			if err == nil && slices.Contains(strings.Fields(string(have)), "cpu") {
				root, v2 = where[4], true
			}
		}
	}
	if root == "" {
		return "", false, errors.New("e2e: no cpu controller is mounted (mount -t cgroup2 none /sys/fs/cgroup): " +
			"devices cannot be held to a share of a CPU")
	}
	return root, v2, nil
}

// removeStaleGroups removes the groups of processes that are gone. A group that still has processes stays.
func removeStaleGroups(root string) {
	dirs, err := filepath.Glob(filepath.Join(root, groupPrefix+"*"))
	if err != nil {
		return
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(d), groupPrefix))
		if err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = os.Remove(d)
		}
	}
}

// limit gives the group its share of a CPU, 0 for all of it.
func (g *group) limit(share float64) error {
	us := int64(-1)
	if share > 0 {
		us = int64(share * float64(period.Microseconds()))
	}
	files := [][2]string{{"cpu.cfs_period_us", fmt.Sprint(period.Microseconds())}, {"cpu.cfs_quota_us", fmt.Sprint(us)}}
	if g.v2 {
		amount := "max"
		if us > 0 {
			amount = fmt.Sprint(us)
		}
		files = [][2]string{{"cpu.max", fmt.Sprintf("%s %d", amount, period.Microseconds())}}
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(g.dir, f[0]), []byte(f[1]), 0o644); err != nil {
			return fmt.Errorf("e2e: hold the control group to a share of %g: %w", share, err)
		}
	}
	return nil
}

// meter starts the thread that keeps the device's quota exact.
//
// The kernel charges a thread for its time when another thread takes the CPU, and otherwise at the kernel's tick, every
// 4 ms at 250 Hz: two periods of the quota. The quota granted between two ticks exceeds the pool's limit and is lost.
// So a device with one busy thread got 0.39 to 0.42 of a core in place of 0.5, and a device with two threads that take
// turns got 0.48.
func (t *trial) meter() error {
	p, err := t.lab.Start(dutNS, tickCommand,
		t.held([]int{t.o.DeviceCPU}, "", []string{t.o.Self, HoldCommand, tickCommand})...)
	if err != nil {
		return err
	}
	t.bed.Cleanup(func() error {
		ran := p.Running()
		p.Kill()
		if !ran {
			return fmt.Errorf("the keeper of the quota has ended: %s", tail(p.Log(), 400))
		}
		return nil
	})
	return nil
}

// remove removes the group. The processes in it must have ended; the kernel may take a moment to notice.
func (g *group) remove() error {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := os.Remove(g.dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("e2e: remove the control group: %w", err)
		}
	}
}
