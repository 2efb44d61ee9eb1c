package xsk

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// sentinel finds out when the kernel has let go of a queue in zero-copy mode.
//
// Closing a socket is not enough: the driver releases its buffers later, from a work queue, after a grace period of RCU
// and under the lock that all changes of interfaces take. Until then the network card receives into the frames. The
// only sign of the end is that another socket can be bound to the queue. The sentinel is such a socket: in copy mode,
// with a page of memory of its own, and without a request to the driver. It is created together with the socket that it
// watches. So both belong to the same network namespace, whatever thread closes the watched socket, and the sentinel
// cannot fail for lack of descriptors.
type sentinel struct {
	fd    int
	mem   []byte
	where unix.SockaddrXDP
}

func newSentinel(ifindex, queue int) (_ *sentinel, err error) {
	s := &sentinel{
		fd: -1, where: unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(ifindex), QueueID: uint32(queue)},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		s.fd = -1
		return nil, err
	}
	s.mem, err = unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	if err = registerUmem(s.fd, s.mem, 2048); err != nil {
		return nil, err
	}
	for _, ring := range [...]int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_TX_RING} {
		if err = unix.SetsockoptInt(s.fd, unix.SOL_XDP, ring, 1); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// wait returns when the queue is free or its interface is gone, which frees it as well. It fails if neither happens
// within the given time.
func (s *sentinel) wait(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(busyInterval) {
		err := unix.Bind(s.fd, &s.where)
		switch {
		case err == nil, errors.Is(err, unix.ENODEV):
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("see whether the driver has let go: %w", err)
		case time.Now().After(deadline):
			return fmt.Errorf("the driver has not let go within %v: %w", limit, err)
		}
	}
}

func (s *sentinel) close() error {
	var errs []error
	if s.fd >= 0 {
		errs = append(errs, unix.Close(s.fd))
	}
	if s.mem != nil {
		errs = append(errs, unix.Munmap(s.mem))
	}
	s.fd, s.mem = -1, nil
	return errors.Join(errs...)
}
