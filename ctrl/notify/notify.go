// Package notify implements the notification protocol of service managers, sd_notify(3): the box reports that it is
// ready, reloading or stopping, and that it makes progress. Without a manager every message is dropped without an
// error.
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
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier sends messages to the service manager. The nil Notifier sends nothing. Safe for concurrent use.
type Notifier struct {
	conn     *net.UnixConn // nil without a manager
	err      error         // why the connection to the manager failed
	watchdog time.Duration

	mu      sync.Mutex
	waiting []string // messages for which the manager's queue had no room, in order
}

// FromEnv connects to the socket in NOTIFY_SOCKET and reads WATCHDOG_USEC and WATCHDOG_PID. It removes the three from
// the environment, so that no child process sends messages for the box. Err and every message return what is wrong with
// them.
func FromEnv() *Notifier {
	n := &Notifier{}
	n.err = n.open(os.Getenv("NOTIFY_SOCKET"))
	var err error
	if n.watchdog, err = watchdogInterval(os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")); err != nil {
		n.err = errors.Join(n.err, err)
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if err := os.Unsetenv(name); err != nil {
			n.err = errors.Join(n.err, err)
		}
	}
	return n
}

func (n *Notifier) open(path string) error {
	if path == "" {
		return nil
	}
	if path[0] != '/' && path[0] != '@' {
		return fmt.Errorf("NOTIFY_SOCKET is %q: want a path or, after @, an abstract name", path)
	}
	// Package net turns a leading @ into the zero octet of an abstract address.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot reach the service manager at %s: %w", path, err)
	}
	n.conn = conn
	return nil
}

// Err returns what is wrong with the environment, or nil.
func (n *Notifier) Err() error {
	if n == nil {
		return nil
	}
	return n.err
}

// WatchdogInterval returns how much time may pass between two Watchdog messages before the manager kills the process;
// 0 means that no manager watches this process (sd_watchdog_enabled(3)).
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready reports that the service is up, or that a reload is done.
func (n *Notifier) Ready() error { return n.send(true, "READY=1") }

// Reloading reports that a reload has begun; Ready ends it. The time stamp, CLOCK_MONOTONIC in microseconds, is what
// Type=notify-reload requires.
func (n *Notifier) Reloading() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	return n.send(true, "RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(ts.Nano()/1000, 10))
}

// Stopping reports that the service is stopping.
func (n *Notifier) Stopping() error { return n.send(true, "STOPPING=1") }

// Watchdog reports that the service makes progress. It is to be sent at least every half of WatchdogInterval.
func (n *Notifier) Watchdog() error { return n.send(false, "WATCHDOG=1") }

// Status sets the line that systemctl status shows.
func (n *Notifier) Status(status string) error {
	oneLine := strings.Map(func(r rune) rune {
		if r < ' ' { // a newline would begin another assignment
			return ' '
		}
		return r
	}, status)
	return n.send(false, "STATUS="+oneLine)
}

// Flush sends the messages for which the manager had no room earlier. It is to be called at intervals.
func (n *Notifier) Flush() error {
	if n == nil || n.conn == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.flush()
}

// Close closes the connection. Later messages fail.
func (n *Notifier) Close() error {
	if n == nil || n.conn == nil {
		return nil
	}
	return n.conn.Close()
}

// maxWaiting is how many messages are kept for a manager that does not read; beyond it the oldest are dropped.
const maxWaiting = 16

// send sends one datagram, and never waits. If the manager's queue has no room, the message is
// sent later if keep is set; the error is returned in either case.
func (n *Notifier) send(keep bool, lines ...string) error {
	if n == nil {
		return nil
	}
	if n.conn == nil {
		return n.err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	text := strings.Join(lines, "\n") + "\n"
	err := n.flush()
	if err == nil {
		err = n.write(text)
	}
	if errors.Is(err, unix.EAGAIN) && keep {
		n.waiting = append(n.waiting, text)
		n.waiting = n.waiting[max(0, len(n.waiting)-maxWaiting):]
	}
	if err != nil {
		return fmt.Errorf("send %q to the service manager: %w", lines[0], err)
	}
	return n.err
}

func (n *Notifier) flush() error {
	for len(n.waiting) > 0 {
		if err := n.write(n.waiting[0]); err != nil {
			return err
		}
		n.waiting = n.waiting[1:]
	}
	return nil
}

// write sends a datagram now or not at all (EAGAIN).
func (n *Notifier) write(text string) error {
	raw, err := n.conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Write(func(fd uintptr) bool {
		sent = unix.Send(int(fd), []byte(text), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true
	}); err != nil {
		return err
	}
	return sent
}

// ErrWatchdog is wrapped by Err if the watchdog's variables are wrong.
var ErrWatchdog = errors.New("the watchdog's environment is invalid")

// watchdogInterval reads WATCHDOG_USEC, in microseconds, and WATCHDOG_PID, the process that is meant.
func watchdogInterval(usec, pid string) (time.Duration, error) {
	if usec == "" {
		return 0, nil
	}
	if pid != "" {
		n, err := strconv.Atoi(pid)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("%w: WATCHDOG_PID is %q, want a process ID", ErrWatchdog, pid)
		}
		if n != os.Getpid() {
			return 0, nil
		}
	}
	const most = uint64(1<<63-1) / uint64(time.Microsecond)
	n, err := strconv.ParseUint(usec, 10, 64)
	if err != nil || n == 0 || n > most {
		return 0, fmt.Errorf("%w: WATCHDOG_USEC is %q, want microseconds", ErrWatchdog, usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}
