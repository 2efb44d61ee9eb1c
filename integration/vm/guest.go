package vm

import (
	"os"
	"strings"
	"testing"
	"time"

	"penstock/integration/lab"
)

// require skips the test unless PENSTOCK_VM=1; with it, it fails the test if guests cannot run.
func require(t testing.TB) {
	t.Helper()
	if os.Getenv("PENSTOCK_VM") != "1" {
		t.Skip("boots a guest: make test-vm, or PENSTOCK_VM=1")
	}
	if os.Geteuid() != 0 {
		t.Fatal("root is required: for network namespaces and taps")
	}
	if missing := Missing(); len(missing) > 0 {
		t.Fatalf("not installed: %s (make test-vm installs them)", strings.Join(missing, " "))
	}
}

// Guest boots a kernel for a test and its subtests. At its end the kernel must have no complaints; after a failure
// the console is shown.
func Guest(t testing.TB, name, suite string, o Options, testsOf ...string) *Machine {
	t.Helper()
	require(t)
	kernel, err := FetchKernel(suite)
	check(t, err)
	o.Kernel = kernel
	o.Files, err = Build(t.TempDir(), testsOf...)
	check(t, err)
	l, err := lab.New(name)
	check(t, err)
	stop := l.CloseOnSignal()
	t.Cleanup(func() {
		stop()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	m, err := Boot(l, o)
	check(t, err)
	t.Logf("kernel %s of %s, up after %v", m.Release, suite, time.Since(began).Round(10*time.Millisecond))
	t.Cleanup(func() {
		if !m.Running() {
			t.Error("the guest has ended before its time")
		} else if err := m.Close(); err != nil {
			t.Error(err)
		}
		if c := m.Complaints(); c != "" {
			t.Errorf("the guest's kernel complains:\n%s", c)
		}
		if t.Failed() {
			t.Logf("console of the guest:\n%s", m.Console())
		}
	})
	return m
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
