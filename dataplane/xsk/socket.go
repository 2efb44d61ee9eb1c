package xsk

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is an AF_XDP socket bound to one queue of an interface. Its methods are for one goroutine at a time.
type Socket struct {
	rx   rxRing
	tx   txRing
	fill fillRing
	comp compRing
	held frameSet // frames that went in by Fill and have not come back
	sent frameSet // frames that went in by Send and have not come back

	fd       int
	zeroCopy bool
	cfg      SocketConfig
	umem     *Umem
	fallback error         // see Fallback
	sentinel *sentinel     // in zero-copy mode, nil else
	stuck    bool          // closed, and the driver has not let go
	refers   bool          // in copy mode: the driver sends out of the frames themselves
	limit    time.Duration // how long Close waits for those
	shared   int           // interface index of the socket that the UMEM's registration came from, 0 for one of its own
	maps     [4][]byte     // the rings' mappings
	dead     uint32        // what the words of a closed socket's rings are
}

// FD returns the file descriptor, for poll(2) and for registration with the XDP program; -1 after Close.
func (s *Socket) FD() int { return s.fd }

// Mode returns ModeZeroCopy or ModeCopy, as the kernel reports it.
func (s *Socket) Mode() Mode {
	if s.zeroCopy {
		return ModeZeroCopy
	}
	return ModeCopy
}

// Fallback returns why zero-copy mode was not possible, or not reliable, if ModeAuto was configured and ModeCopy was
// the result.
func (s *Socket) Fallback() error { return s.fallback }

// Receive moves descriptors of received frames to d and returns their number. The frames belong to the caller.
func (s *Socket) Receive(d []Desc) int { return s.rx.get(d, &s.held) }

// Send queues frames for transmission and returns how many of d had room; those belong to the kernel until Reclaim.
// KickTx sets them going. A frame must lie within one chunk and have at least 14 octets (an Ethernet header): the
// kernel discards others, counts them in Stats.TxInvalidDescs, and returns them only through Drain. Options of d
// are ignored.
func (s *Socket) Send(d []Desc) int { return s.tx.put(d, 0, &s.sent) }

// SendLeaving is Send for what may wait: it leaves so many slots of the ring free.
func (s *Socket) SendLeaving(d []Desc, leave uint32) int { return s.tx.put(d, leave, &s.sent) }

// TxFree returns how many frames Send would take now.
func (s *Socket) TxFree() int { return int(s.tx.free()) }

// TxPending reports whether frames wait in the tx ring for the kernel to take them.
func (s *Socket) TxPending() bool { return s.tx.pending() != 0 }

// TxTaken returns how many frames the kernel has taken from the tx ring so far, modulo 2^32.
func (s *Socket) TxTaken() uint32 { s.tx.pending(); return s.tx.cons }

// Fill gives empty frames to the kernel to receive into and returns how many of addrs had room. An address may be
// any within its frame.
func (s *Socket) Fill(addrs []uint64) int { return s.fill.put(addrs, &s.held) }

// FillFree returns how many frames Fill would take now.
func (s *Socket) FillFree() int { return int(s.fill.free()) }

// Reclaim moves the addresses of transmitted frames to addrs and returns their number. Each address is that of the
// frame's first octet in the UMEM, wherever the descriptor pointed.
func (s *Socket) Reclaim(addrs []uint64) int { return s.comp.get(addrs, &s.sent) }

// Held returns the number of frames that the socket was given and has not given back.
func (s *Socket) Held() int { return s.held.len() + s.sent.len() }

// Stats are the kernel's counters of a socket (XDP_STATISTICS), since it was opened.
type Stats struct {
	RxDropped      uint64 // frames dropped on reception for other reasons: too long for a frame, no frame to put it in
	RxInvalidDescs uint64 // frames with an invalid address in the fill ring
	TxInvalidDescs uint64 // descriptors in the tx ring that were invalid
	RxRingFull     uint64 // frames dropped because the rx ring was full
	RxFillEmpty    uint64 // attempts to take a frame from an empty fill ring
	TxRingEmpty    uint64 // attempts to take a frame from an empty tx ring; normal
}

// Stats reads the kernel's counters.
func (s *Socket) Stats() (Stats, error) {
	if s.fd < 0 {
		return Stats{}, ErrClosed
	}
	k, err := socketStatistics(s.fd)
	if err != nil {
		return Stats{}, fmt.Errorf("xsk: interface index %d, queue %d: read statistics: %w",
			s.cfg.Ifindex, s.cfg.Queue, err)
	}
	return Stats{
		RxDropped:      k.Rx_dropped,
		RxInvalidDescs: k.Rx_invalid_descs,
		TxInvalidDescs: k.Tx_invalid_descs,
		RxRingFull:     k.Rx_ring_full,
		RxFillEmpty:    k.Rx_fill_ring_empty_descs,
		TxRingEmpty:    k.Tx_ring_empty_descs,
	}, nil
}

// Close closes the socket: its queue becomes free and the XDP program forgets it. The goroutine that uses the rings
// must have stopped; afterwards their methods find empty and full rings. In zero-copy mode Close waits until the driver
// has released its buffers, some 50 ms if the machine is idle; in copy mode, if the driver sends out of the
// frames (see finish), until they are sent. Drain then lists the frames that are free again. If the driver does not
// release its buffers within 10 s, or frames being sent within 2 s, Close returns an error and those frames are lost.
// Closing twice does nothing.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	s.umem.forget(s)
	unsent := s.finish()
	err := errors.Join(unsent, s.release())
	if s.sentinel != nil {
		if e := s.sentinel.wait(letGoLimit); e != nil {
			s.stuck, err = true, errors.Join(err, e)
		}
		err = errors.Join(err, s.sentinel.close())
		s.sentinel = nil
	}
	if err != nil {
		return fmt.Errorf("xsk: interface index %d, queue %d: close: %w", s.cfg.Ifindex, s.cfg.Queue, err)
	}
	return nil
}

// Drain calls addrs with the address of every frame that the socket was given and never gave back, each once, and
// forgets them. Call it after Close: before, the kernel may still write to them.
func (s *Socket) Drain(addrs func(addr uint64)) {
	if s.stuck {
		return
	}
	s.held.take(addrs)
	if !s.refers {
		s.sent.take(addrs)
	}
}

// release closes the descriptor, makes the rings empty ones without slots, and unmaps them.
func (s *Socket) release() error {
	var errs []error
	if s.fd >= 0 {
		if err := unix.Close(s.fd); err != nil {
			errs = append(errs, err)
		}
		s.fd = -1
	}
	s.rx = rxRing{producer: &s.dead, consumer: &s.dead}
	s.tx = txRing{producer: &s.dead, consumer: &s.dead, flags: &s.dead}
	s.fill = fillRing{producer: &s.dead, consumer: &s.dead, flags: &s.dead}
	s.comp = compRing{producer: &s.dead, consumer: &s.dead}
	for i, m := range s.maps {
		if m == nil {
			continue
		}
		if err := unix.Munmap(m); err != nil {
			errs = append(errs, err)
		}
		s.maps[i] = nil
	}
	return errors.Join(errs...)
}
