package xsk

import "golang.org/x/sys/unix"

// maxKicks bounds the system calls of one KickTx, and with them the time it takes: without carrier each call
// disposes of one frame only.
const maxKicks = 128

// NeedWakeupTx reports whether the kernel transmits only when kicked. In copy mode that is always so.
func (s *Socket) NeedWakeupTx() bool { return s.tx.needWakeup() }

// NeedWakeupRx reports whether the driver waits to be told that there are frames in the fill ring. In copy mode it
// never does.
func (s *Socket) NeedWakeupRx() bool { return s.fill.needWakeup() }

// KickTx makes the kernel transmit what Send queued, if the kernel needs a call for that.
//
// In copy mode the system call itself transmits, up to a budget, and says EAGAIN both when more remains and when it
// cannot go on (completion ring full, send buffer used up, device busy). KickTx repeats it as long as that moves
// frames. Without carrier every call consumes one frame and says EBUSY; KickTx goes on, up to 128 times. Frames that
// still remain are no error: TxPending reports them, and the next call carries on, after Reclaim.
//
// Errors: ErrLinkDown, ErrGone, ErrClosed, or another unix.Errno.
func (s *Socket) KickTx() error {
	if s.fd < 0 {
		return ErrClosed
	}
	if !s.tx.needWakeup() {
		return nil
	}
	if s.zeroCopy {
		// Frames that the driver took but has not completed count too: some drivers look at finished ones only
		// when kicked.
		if s.tx.prod == s.comp.cons {
			return nil
		}
		return s.kicked(kick(s.fd))
	}
	left := s.tx.pending()
	for turn := 0; left != 0 && turn < maxKicks; turn++ {
		e := kick(s.fd)
		switch e {
		case unix.EBUSY, unix.EINTR:
			// EBUSY: a frame was consumed, though the consumer word may not show it yet.
		case unix.EAGAIN:
			now := s.tx.pending()
			if now == left {
				return nil
			}
			left = now
		default:
			return s.kicked(e)
		}
	}
	return nil
}

// WakeRx wakes the kernel for frames in the fill ring, if the kernel waits for that. Errors as for KickTx.
func (s *Socket) WakeRx() error {
	if s.fd < 0 {
		return ErrClosed
	}
	if !s.fill.needWakeup() {
		return nil
	}
	return s.kicked(wake(s.fd))
}

// kicked maps the kernel's answer: what passes by itself is no error, the rest are fixed values.
func (s *Socket) kicked(e unix.Errno) error {
	switch e {
	case 0, unix.EAGAIN, unix.EBUSY, unix.EINTR, unix.ENOBUFS:
		return nil
	case unix.ENETDOWN:
		return ErrLinkDown
	case unix.ENXIO, unix.ENODEV:
		return ErrGone
	}
	return e
}
