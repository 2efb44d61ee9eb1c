package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager listens as a service manager does and puts its address into the environment.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return c
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	var b [4096]byte
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestMessages(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@penstock/notify/%d", os.Getpid())} {
		c := manager(t, name)
		n, err := Open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, there := os.LookupEnv("NOTIFY_SOCKET"); there {
			t.Error("NOTIFY_SOCKET is still there: a child would speak for the box")
		}
		for _, m := range []struct {
			send func() error
			want string
		}{
			{func() error { return n.Ready("2 ports, 1 worker") }, "READY=1\nSTATUS=2 ports, 1 worker\n"},
			{func() error { return n.Ready("") }, "READY=1\n"},
			{func() error { return n.Stopping("") }, "STOPPING=1\n"},
			{func() error { return n.Stopping("signal") }, "STOPPING=1\nSTATUS=signal\n"},
			{n.Watchdog, "WATCHDOG=1\n"},
			{func() error { return n.Status("a\nREADY=1\x00b") }, "STATUS=a READY=1 b\n"},
		} {
			if err := m.send(); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, c); got != m.want {
				t.Errorf("%s: got %q, want %q", name, got, m.want)
			}
		}
		if err := n.Status(""); err != nil {
			t.Error(err)
		}

		before := monotonic(t)
		if err := n.Reloading(); err != nil {
			t.Fatal(err)
		}
		usec, ok := strings.CutPrefix(strings.TrimSuffix(receive(t, c), "\n"), "RELOADING=1\nMONOTONIC_USEC=")
		if at, err := strconv.ParseInt(usec, 10, 64); !ok || err != nil || at < before || at > monotonic(t) {
			t.Errorf("MONOTONIC_USEC=%s, %v", usec, err)
		}

		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if err := n.Watchdog(); err == nil {
			t.Error("Watchdog after Close: no error")
		}
	}
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() / 1000
}

func TestWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := Open()
	if n != nil || err != nil {
		t.Fatalf("Open = %v, %v", n, err)
	}
	for _, err := range []error{n.Ready("x"), n.Reloading(), n.Stopping("x"), n.Watchdog(), n.Status("x"), n.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for _, name := range []string{"relative/path", "vsock:2:1234"} {
		t.Setenv("NOTIFY_SOCKET", name)
		if _, err := Open(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	t.Setenv("NOTIFY_SOCKET", gone)
	if _, err := Open(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), gone) {
		t.Errorf("%v", err)
	}
}

func TestWatchdogInterval(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, tc := range []struct {
		usec, pid string
		want      time.Duration
		err       bool
	}{
		{"", "", 0, false},
		{"", self, 0, false},
		{"10000000", "", 10 * time.Second, false},
		{"10000000", self, 10 * time.Second, false},
		{"10000000", "1", 0, false}, // meant for another process
		{"10000000", "self", 0, true},
		{"10000000", "-1", 0, true},
		{"0", self, 0, true},
		{"-5", self, 0, true},
		{"10s", self, 0, true},
		{"18446744073709551615", self, 0, true},
		{"9223372036854775", self, 9223372036854775 * time.Microsecond, false},
	} {
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		got, err := WatchdogInterval()
		if got != tc.want || (err != nil) != tc.err || err != nil && !errors.Is(err, ErrWatchdog) {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: %v, %v", tc.usec, tc.pid, got, err)
		}
	}
}
