package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What KickTx and WakeRx return when the interface cannot be used. They are fixed values, so that returning them
// in every turn of the loop costs nothing.
var (
	// ErrLinkDown says that the interface is administratively down; frames wait in the rings until it is up again.
	// It matches unix.ENETDOWN.
	ErrLinkDown = fmt.Errorf("xsk: interface is down: %w", unix.ENETDOWN)
	// ErrGone says that the interface was deleted and the socket is of no use any more: Close it and Drain it.
	// It matches unix.ENXIO.
	ErrGone = fmt.Errorf("xsk: interface is gone: %w", unix.ENXIO)
	// ErrClosed is returned by the methods of a closed socket or UMEM. It matches unix.EBADF.
	ErrClosed = fmt.Errorf("xsk: closed: %w", unix.EBADF)
)

// OpenError says why a socket could not be opened. errors.Is sees the system's error through it.
type OpenError struct {
	Ifindex int
	Queue   int
	Tried   string // what was tried last, e.g. "bind in zero-copy mode"
	Err     error
	Remedy  string // what the operator can do, or empty
}

func (e *OpenError) Error() string {
	s := fmt.Sprintf("xsk: interface index %d, queue %d: %s: %v", e.Ifindex, e.Queue, e.Tried, e.Err)
	if e.Remedy != "" {
		s += ": " + e.Remedy
	}
	return s
}

func (e *OpenError) Unwrap() error { return e.Err }

// remedy names what helps against the errors that opening a socket meets in practice.
func remedy(err error, zeroCopy bool, frameSize uint32) string {
	switch {
	case errors.Is(err, unix.EINVAL) && zeroCopy:
		return fmt.Sprintf("the interface has fewer queues than that (`ethtool -l` shows them), "+
			"or its MTU is above %d, the most that zero-copy mode takes with frames of %d octets, "+
			"or the driver refuses",
			zeroCopyMTU(frameSize), frameSize)
	case errors.Is(err, unix.EBUSY):
		return "another AF_XDP socket owns this queue; `ss -f xdp -p` lists them: " +
			"stop the other program, or use another queue"
	case errors.Is(err, unix.EPERM):
		return "needs the capability CAP_NET_RAW (systemd: AmbientCapabilities=)"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "no such interface in this network namespace; it may have been deleted or moved"
	case errors.Is(err, unix.EOPNOTSUPP):
		return "the driver cannot do this mode; use copy mode"
	case errors.Is(err, unix.EAFNOSUPPORT):
		return "the kernel is built without CONFIG_XDP_SOCKETS"
	case errors.Is(err, unix.ENOBUFS):
		return "locked memory is limited; raise it (systemd: LimitMEMLOCK=infinity) or lower the number of frames"
	case errors.Is(err, unix.ENOMEM):
		return "not enough memory; lower the number of frames or the ring sizes"
	case errors.Is(err, unix.ENETDOWN):
		return "set the interface up first"
	case errors.Is(err, unix.EINVAL):
		return "the interface has fewer queues than that, or the driver refuses the frame size; " +
			"`ethtool -l` shows the queues"
	}
	return ""
}

// zeroCopyMTU is the largest MTU with which the kernel binds a socket in zero-copy mode: behind the headroom there must
// be room for Ethernet header, two tags and FCS. Of what is there it uses multiples of 128 octets.
func zeroCopyMTU(frameSize uint32) uint32 { return (frameSize-256)&^127 - 26 }
