package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"penstock/perf/machine"
)

// Machine is what the figures were made on.
type Machine = machine.Machine

// ThisMachine describes this machine.
func ThisMachine() (Machine, error) { return machine.This() }

// userHz is the unit of times in /proc/PID/stat, which is the same on all architectures that Go knows
// (proc_pid_stat(5)).
const userHz = 100

// cpuTime returns the time that a process has used, user and system, of all its threads, to 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("e2e: %w", err)
	}
	return parseStat(stat)
}

func parseStat(stat []byte) (time.Duration, error) {
	// The second field is the command in parentheses and may contain anything; the 14th and 15th are the times.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("e2e: %q has too few fields", stat)
	}
	var ticks uint64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("e2e: %q: %w", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// loadAverage returns the first figure of /proc/loadavg.
func loadAverage() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, fmt.Errorf("e2e: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(first, 64)
}
