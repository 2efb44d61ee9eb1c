package notify

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A manager that does not read delays no caller, and gets the states in order when it reads again.
func TestUnread(t *testing.T) {
	c := manager(t, filepath.Join(t.TempDir(), "notify"))
	n := FromEnv()
	var err error
	begin := time.Now()
	sent := 0
	for ; err == nil && sent < 100_000; sent++ {
		err = n.Watchdog()
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("behind %d messages: got error %v, want EAGAIN", sent, err)
	}
	for _, send := range []func() error{n.Reloading, n.Ready, n.Watchdog, n.Stopping} {
		if err := send(); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("got error %v, want EAGAIN", err)
		}
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %s, want no waiting", took)
	}
	for range sent - 1 {
		receive(t, c)
	}
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	receive(t, c) // RELOADING, with the time
	for _, want := range []string{"READY=1\n", "STOPPING=1\n"} {
		if got := receive(t, c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
