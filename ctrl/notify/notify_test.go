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
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@penstock/notify/%d", os.Getpid())} {
		c := manager(t, name)
		n := FromEnv()
		if err := n.Err(); err != nil {
			t.Fatalf("%s: connect: error %v, want none", name, err)
		}
		if _, there := os.LookupEnv("NOTIFY_SOCKET"); there {
			t.Error("NOTIFY_SOCKET is still set, want it removed: a child would send messages for the box")
		}
		for _, m := range []struct {
			send func() error
			want string
		}{
			{n.Ready, "READY=1\n"},
			{n.Stopping, "STOPPING=1\n"},
			{func() error { return n.Status("2 ports, 1 worker") }, "STATUS=2 ports, 1 worker\n"},
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
	t.Setenv("WATCHDOG_USEC", "")
	for _, n := range []*Notifier{nil, FromEnv()} {
		for _, err := range []error{n.Err(), n.Ready(), n.Reloading(), n.Stopping(), n.Watchdog(), n.Status("x"),
			n.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
		if n.WatchdogInterval() != 0 {
			t.Error("a watchdog interval without a manager, want none")
		}
	}
}

func TestErrors(t *testing.T) {
	for _, name := range []string{"relative/path", "vsock:2:1234"} {
		t.Setenv("NOTIFY_SOCKET", name)
		n := FromEnv()
		if err := n.Err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one", name, err)
		}
		if n.Ready() == nil {
			t.Errorf("%s: Ready succeeds", name)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	t.Setenv("NOTIFY_SOCKET", gone)
	if err := FromEnv().Err(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), gone) {
		t.Errorf("%v", err)
	}
}

// TestBadWatchdog: messages still reach the manager, and the caller gets the error.
func TestBadWatchdog(t *testing.T) {
	c := manager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "soon")
	t.Setenv("WATCHDOG_PID", "")
	n := FromEnv()
	if err := n.Ready(); !errors.Is(err, ErrWatchdog) {
		t.Errorf("Ready: %v", err)
	}
	if got := receive(t, c); got != "READY=1\n" {
		t.Errorf("got %q", got)
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
		t.Setenv("NOTIFY_SOCKET", "")
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		n := FromEnv()
		if err := n.Err(); n.WatchdogInterval() != tc.want || (err != nil) != tc.err || err != nil &&
			!errors.Is(err, ErrWatchdog) {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: %v, %v", tc.usec, tc.pid, n.WatchdogInterval(), err)
		}
		if _, there := os.LookupEnv("WATCHDOG_USEC"); there {
			t.Error("WATCHDOG_USEC is still set, want it removed")
		}
	}
}
