package xsktest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Alone runs the test in a process and a network namespace of its own, for tests that use all threads of their process,
// and reports whether this is that process.
func Alone(t *testing.T) bool {
	t.Helper()
	const child = "PENSTOCK_TEST_ALONE"
	if os.Getenv(child) != "" {
		return true
	}
	RequireRoot(t)
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
	c.Env = append(os.Environ(), child+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}
