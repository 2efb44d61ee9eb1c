package xsktest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// WithoutCapabilities calls fn on a thread without any effective capability. The calling goroutine must be locked to
// its thread, as Namespace does it, and fn must not start others.
func WithoutCapabilities(t testing.TB, fn func()) {
	t.Helper()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, none [2]unix.CapUserData
	if err := unix.Capget(&h, &had[0]); err != nil {
		t.Fatalf("get capabilities: %v", err)
	}
	none = had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&h, &none[0]); err != nil {
		t.Fatalf("drop capabilities: %v", err)
	}
	defer func() {
		if err := unix.Capset(&h, &had[0]); err != nil {
			t.Fatalf("restore capabilities: %v", err)
		}
	}()
	fn()
}
