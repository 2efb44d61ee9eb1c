// Package notify speaks the notification protocol of service managers, sd_notify(3): the box says when it is ready, is
// reloading or stopping, and that it still makes progress. Without a manager, which is no error, every message is
// silently dropped, so that callers need not ask.
//
// A message is one datagram of NAME=VALUE lines to the socket that NOTIFY_SOCKET names. Abstract sockets (first
// character @) and paths are supported; vsock, which is for managers of virtual machines, is not.
package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier sends messages to the service manager. The nil Notifier sends nothing. Safe for concurrent use.
type Notifier struct {
	conn *net.UnixConn
}

// Open connects to the socket in NOTIFY_SOCKET and removes the variable from the environment, so that no child
// process speaks for the box. Without the variable it returns nil.
func Open() (*Notifier, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q: want a path or, after @, an abstract name", path)
	}
	// Package net turns a leading @ into the zero octet of an abstract address.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("cannot reach the service manager at %s: %w", path, err)
	}
	if err := os.Unsetenv("NOTIFY_SOCKET"); err != nil {
		conn.Close()
		return nil, fmt.Errorf("unsetting NOTIFY_SOCKET: %w", err)
	}
	return &Notifier{conn: conn}, nil
}

// Ready says that the service is up, or that a reload is done. status is shown by systemctl; empty leaves it as it is.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Reloading says that a reload has begun; Ready ends it. The time stamp, CLOCK_MONOTONIC in microseconds, is what
// Type=notify-reload asks for.
func (n *Notifier) Reloading() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(ts.Nano()/1000, 10))
}

// Stopping says that the service is on its way down.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", statusLine(status)) }

// Watchdog says that the service makes progress. To be sent at least every half of WatchdogInterval.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1", "") }

// Status sets the line that systemctl status shows.
func (n *Notifier) Status(status string) error { return n.send("", statusLine(status)) }

// Close closes the connection. Later messages fail.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

// send writes one datagram. It waits while the manager's queue is full.
func (n *Notifier) send(lines ...string) error {
	if n == nil {
		return nil
	}
	var b strings.Builder
	for _, l := range lines {
		if l != "" {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	if b.Len() == 0 {
		return nil
	}
	if _, err := n.conn.Write([]byte(b.String())); err != nil {
		return fmt.Errorf("telling the service manager %q: %w", lines[0], err)
	}
	return nil
}

// statusLine makes one line of a status: a newline would begin another assignment.
func statusLine(status string) string {
	if status == "" {
		return ""
	}
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, status)
}

// ErrWatchdog is wrapped by the errors of WatchdogInterval.
var ErrWatchdog = errors.New("the watchdog's environment is not understood")

// WatchdogInterval returns how much time may pass between two Watchdog messages before the manager kills the process,
// from WATCHDOG_USEC and WATCHDOG_PID (sd_watchdog_enabled(3)); 0 means that nobody watches this process.
func WatchdogInterval() (time.Duration, error) {
	text := os.Getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" {
		n, err := strconv.Atoi(pid)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("%w: WATCHDOG_PID is %q, want a process ID", ErrWatchdog, pid)
		}
		if n != os.Getpid() {
			return 0, nil
		}
	}
	const most = uint64(1<<63-1) / uint64(time.Microsecond)
	usec, err := strconv.ParseUint(text, 10, 64)
	if err != nil || usec == 0 || usec > most {
		return 0, fmt.Errorf("%w: WATCHDOG_USEC is %q, want microseconds", ErrWatchdog, text)
	}
	return time.Duration(usec) * time.Microsecond, nil
}
