package xsk

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel frees the queue of a closed socket from a work queue, and later still if frames are in flight or other
// interfaces change. So a socket that follows another one on the same queue, in this process or after a restart, may
// find the queue busy for a moment; on a machine whose CPUs are all taken, for more than a second.
const (
	busyPatience = 3 * time.Second
	busyInterval = 5 * time.Millisecond
)

// letGoLimit is how long Close waits for a driver in zero-copy mode to release its buffers.
const letGoLimit = 10 * time.Second

// sentLimit is how long Close waits for frames that a driver sends out of the UMEM itself.
const sentLimit = 2 * time.Second

// minTxBudget is the kernel's TX_BATCH_SIZE, the least that XDP_MAX_TX_SKB_BUDGET accepts.
const minTxBudget = 32

// Open creates a socket with its rings and binds it to a queue. Nothing arrives until the socket is registered with
// the XDP program; fill it first.
//
// The UMEM is registered with the kernel by the first socket; others share it (XDP_SHARED_UMEM) by way of a socket
// that is bound at this moment and agrees in copy mode and need-wakeup, which sharing inherits. If there is none,
// because the interfaces of all others were deleted or their driver differs, the same memory is registered once
// more: addresses are the same, so frames still move freely between all sockets.
//
// Errors of the system are wrapped in an *OpenError. A queue that is in use is waited for up to three seconds.
func (u *Umem) Open(c SocketConfig) (*Socket, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mem == nil {
		return nil, &OpenError{Ifindex: c.Ifindex, Queue: c.Queue, Tried: "open socket", Err: ErrClosed}
	}
	deadline := time.Now().Add(busyPatience)
	for {
		s, err := u.openOnce(c)
		if err == nil {
			u.open = append(u.open, s)
			return s, nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(busyInterval)
	}
}

// openOnce tries the modes that c allows, best first, but by itself none that is known to fail.
func (u *Umem) openOnce(c SocketConfig) (*Socket, error) {
	switch c.Mode {
	case ModeZeroCopy:
		return u.openMode(c, true)
	case ModeCopy, ModeGeneric:
		return u.openMode(c, false)
	}
	why := zeroCopyFault(c.Ifindex)
	if why == nil {
		s, err := u.openMode(c, true)
		if err == nil {
			return s, nil
		}
		// These would be the same in copy mode.
		for _, fatal := range [...]error{unix.EBUSY, unix.EPERM, unix.ENODEV, unix.EAFNOSUPPORT} {
			if errors.Is(err, fatal) {
				return nil, err
			}
		}
		why = err
	}
	s, err := u.openMode(c, false)
	if err != nil {
		var o *OpenError
		if errors.As(err, &o) {
			o.Tried = fmt.Sprintf("without zero-copy mode (%v): %s", cmp.Or(errors.Unwrap(why), why), o.Tried)
		}
		return nil, err
	}
	s.fallback = why
	return s, nil
}

// openMode shares the registration of a live socket of the same kind, or registers the memory.
func (u *Umem) openMode(c SocketConfig, zeroCopy bool) (*Socket, error) {
	for _, other := range u.open {
		if other.zeroCopy != zeroCopy || other.cfg.NeedWakeup != c.NeedWakeup {
			continue
		}
		s, err := u.bind(c, zeroCopy, other)
		// EBADF: that socket is not bound any more, its interface was deleted.
		if errors.Is(err, unix.EBADF) {
			continue
		}
		return s, err
	}
	return u.bind(c, zeroCopy, nil)
}

// bind makes a socket and its rings and binds it. With share it uses that socket's registration of the UMEM.
func (u *Umem) bind(c SocketConfig, zeroCopy bool, share *Socket) (_ *Socket, err error) {
	tried := "create socket"
	s := &Socket{fd: -1, cfg: c, umem: u, zeroCopy: zeroCopy}
	defer func() {
		if err != nil {
			s.release()
			err = &OpenError{
				Ifindex: c.Ifindex, Queue: c.Queue, Tried: tried,
				Err: err, Remedy: remedy(err, zeroCopy, u.frameSize),
			}
		}
	}()

	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		s.fd = -1
		return nil, err
	}
	if share == nil {
		tried = fmt.Sprintf("register UMEM of %d octets", len(u.mem))
		if err = registerUmem(s.fd, u.mem, u.frameSize); err != nil {
			return nil, err
		}
	}
	tried = "create rings"
	if err = s.makeRings(); err != nil {
		return nil, err
	}
	s.widenTx()

	sa := unix.SockaddrXDP{Ifindex: uint32(c.Ifindex), QueueID: uint32(c.Queue)}
	mode := ModeCopy
	if zeroCopy {
		mode = ModeZeroCopy
	}
	if share != nil {
		tried = fmt.Sprintf("bind in %s mode, sharing the UMEM of interface index %d, queue %d",
			mode, share.cfg.Ifindex, share.cfg.Queue)
		sa.Flags, sa.SharedUmemFD, s.shared = unix.XDP_SHARED_UMEM, uint32(share.fd), share.cfg.Ifindex
	} else {
		tried = fmt.Sprintf("bind in %s mode", mode)
		sa.Flags = unix.XDP_COPY
		if zeroCopy {
			sa.Flags = unix.XDP_ZEROCOPY
		}
		if c.NeedWakeup {
			sa.Flags |= unix.XDP_USE_NEED_WAKEUP
		}
	}
	if err = unix.Bind(s.fd, &sa); err != nil {
		return nil, err
	}

	tried = "ask for the mode"
	flags, err := socketFlags(s.fd)
	if err != nil {
		return nil, err
	}
	if s.zeroCopy = flags&unix.XDP_OPTIONS_ZEROCOPY != 0; s.zeroCopy {
		tried = "open a second socket for the queue"
		if s.sentinel, err = newSentinel(c.Ifindex, c.Queue); err != nil {
			return nil, err
		}
	}
	s.held = newFrameSet(len(u.mem)/int(u.frameSize), u.frameSize)
	s.sent = newFrameSet(len(u.mem)/int(u.frameSize), u.frameSize)
	s.refers, s.limit = !s.zeroCopy && sendsFromFrames(driver(c.Ifindex)), sentLimit
	return s, nil
}

// makeRings creates the four rings in the kernel and maps them.
func (s *Socket) makeRings() error {
	c := &s.cfg
	for _, o := range [...]struct{ opt, size int }{
		{unix.XDP_UMEM_FILL_RING, c.FillSize},
		{unix.XDP_UMEM_COMPLETION_RING, c.CompSize},
		{unix.XDP_RX_RING, c.RxSize},
		{unix.XDP_TX_RING, c.TxSize},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, o.opt, o.size); err != nil {
			return err
		}
	}
	off, err := ringOffsets(s.fd)
	if err != nil {
		return err
	}
	f, q, r, t := &s.fill, &s.comp, &s.rx, &s.tx
	s.maps[0], f.slots, f.producer, f.consumer, f.flags, err = mapRing[uint64](
		s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, c.FillSize, off.Fr)
	if err != nil {
		return err
	}
	s.maps[1], q.slots, q.producer, q.consumer, _, err = mapRing[uint64](
		s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, c.CompSize, off.Cr)
	if err != nil {
		return err
	}
	s.maps[2], r.slots, r.producer, r.consumer, _, err = mapRing[Desc](
		s.fd, unix.XDP_PGOFF_RX_RING, c.RxSize, off.Rx)
	if err != nil {
		return err
	}
	s.maps[3], t.slots, t.producer, t.consumer, t.flags, err = mapRing[Desc](
		s.fd, unix.XDP_PGOFF_TX_RING, c.TxSize, off.Tx)
	return err
}

// widenTx lifts two limits of copy mode that would cut batches into pieces. Both are improvements only: a kernel or
// a set of capabilities that refuses them leaves KickTx with more system calls to make.
func (s *Socket) widenTx() {
	// One sendto transmits up to 32 frames unless told otherwise (kernel 6.17).
	if s.cfg.TxSize >= minTxBudget {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, s.cfg.TxSize)
	}
	// Each frame under way counts against the send buffer, with its bookkeeping, until the receiver or the network
	// card is done with it.
	const perFrame = 1280
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE,
		min(s.cfg.TxSize*(int(s.umem.frameSize)+perFrame), 1<<30))
}
