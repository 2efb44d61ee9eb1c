// Package machine describes what figures were measured on, so that they can be told apart later. The generator, the
// end-to-end measurements and whatever else writes results use it.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what the figures were made on.
type Machine struct {
	CPU    string `json:"cpu"`    // model
	Cores  int    `json:"cores"`  // that the process may use
	Kernel string `json:"kernel"` // release
}

// This describes this machine. Cores is asked for when the process starts: binding it to a CPU later changes nothing.
func This() (Machine, error) {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU()}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("machine: ask for the kernel's version: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(u.Release[:])
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("machine: %w", err)
	}
	m.CPU = model(string(text), m.CPU)
	return m, nil
}

// model finds the CPU's model in the text of /proc/cpuinfo. Not every architecture names it.
func model(cpuinfo, unknown string) string {
	for line := range strings.Lines(cpuinfo) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return unknown
}
