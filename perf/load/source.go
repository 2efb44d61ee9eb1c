package load

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/xsk"
)

const (
	ring  = 512 // slots of the source's rings, and its frames
	batch = 64
	// pause is how long the source sleeps when the rate has nothing due.
	pause = 20 * time.Microsecond
	// maxDebt is how much of a rate that could not be kept is made up for.
	maxDebt = 10 * time.Millisecond
	// returnLimit is how long Stop waits for the frames that the kernel still has.
	returnLimit = time.Second
)

// SourceConfig describes a source.
type SourceConfig struct {
	Ifindex  int // interface to send from, in the network namespace of the calling thread
	Queue    int // to send on; on veth also the one that the frames arrive on
	Template Template
	CPU      int // the CPU of the sending thread; negative: the scheduler chooses
}

// Source sends frames. Open, Start, Stop and Close are for one goroutine; Sent is for any.
type Source struct {
	cfg  SourceConfig
	umem *xsk.Umem
	sock *xsk.Socket
	vary []varying
	free []uint64 // frames that the kernel does not have; last in, first out keeps them in the cache
	rng  uint32

	sent atomic.Uint64
	stop atomic.Bool
	done chan error // nil while the source is not running
}

// OpenSource makes a source on a queue of an interface. Nothing is sent before Start.
func OpenSource(c SourceConfig) (*Source, error) {
	if err := c.Template.check(); err != nil {
		return nil, err
	}
	u, err := xsk.NewUmem(xsk.UmemConfig{Frames: ring, FrameSize: chunk})
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: c, umem: u, vary: c.Template.varying(), rng: 1}
	s.sock, err = u.Open(xsk.SocketConfig{
		Ifindex: c.Ifindex, Queue: c.Queue, RxSize: 1, TxSize: ring, FillSize: 1, CompSize: ring, Mode: xsk.ModeAuto,
		NeedWakeup: true,
	})
	if err != nil {
		return nil, errors.Join(err, u.Close())
	}
	for a := uint64(0); a < ring*chunk; a += chunk {
		copy(u.Mem()[a+headroom:], c.Template.Frame)
		s.free = append(s.free, a)
	}
	return s, nil
}

// Mode is how frames get from the UMEM to the driver.
func (s *Source) Mode() xsk.Mode { return s.sock.Mode() }

// Sent returns the frames sent since the source was opened: those that the kernel took and gave back. While the source
// runs it lags behind by the few that are under way; after Stop it is exact.
func (s *Source) Sent() uint64 { return s.sent.Load() }

// Start sends frames until Stop: rate frames per second, or as many as the kernel takes if rate is 0.
func (s *Source) Start(rate float64) error {
	if rate < 0 || rate > 1e9 {
		return fmt.Errorf("load: rate of %g frames per second: must be 0 (no limit) to 1e9", rate)
	}
	if s.done != nil {
		return errors.New("load: the source runs already")
	}
	s.stop.Store(false)
	s.done = make(chan error, 1)
	go func() { s.done <- s.run(rate) }()
	return nil
}

// Stop ends sending and waits until the kernel has given back every frame. The error is what ended sending earlier, or
// that frames are missing; Sent is then not the whole truth.
func (s *Source) Stop() error {
	if s.done == nil {
		return errors.New("load: the source does not run")
	}
	s.stop.Store(true)
	err := <-s.done
	s.done = nil
	return err
}

// Close stops and closes the source.
func (s *Source) Close() error {
	var errs []error
	if s.done != nil {
		errs = append(errs, s.Stop())
	}
	return errors.Join(append(errs, s.sock.Close(), s.umem.Close())...)
}

// run is the sending thread.
func (s *Source) run(rate float64) error {
	runtime.LockOSThread()
	if s.cfg.CPU >= 0 {
		// Never unlocked: the thread ends with the goroutine, and its affinity with it.
		var set unix.CPUSet
		set.Set(s.cfg.CPU)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("load: pin the source to CPU %d: %w", s.cfg.CPU, err)
		}
	} else {
		defer runtime.UnlockOSThread()
	}
	start := time.Now()
	queued := 0.0
	for !s.stop.Load() {
		n := batch
		if rate > 0 {
			due := time.Since(start).Seconds()*rate - queued
			if most := rate * maxDebt.Seconds(); due > most+batch {
				queued += due - most - batch
				due = most + batch
			}
			n = min(batch, int(due))
		}
		s.reclaim()
		n = min(n, len(s.free))
		if n <= 0 {
			// Nothing is due, or the kernel has all frames.
			ts := unix.NsecToTimespec(int64(pause))
			_ = unix.Nanosleep(&ts, nil) // a signal may end it early
		}
		if n > 0 {
			queued += float64(s.send(n))
		}
		if err := s.sock.KickTx(); err != nil {
			return fmt.Errorf("load: send: %w", err)
		}
	}
	return s.settle()
}

// send queues n frames and returns how many had room.
func (s *Source) send(n int) int {
	var d [batch]xsk.Desc
	mem, size := s.umem.Mem(), uint32(len(s.cfg.Template.Frame))
	left := len(s.free) - n
	for i := range n {
		at := s.free[left+i] + headroom
		put(mem[at:at+uint64(size)], s.vary, s.flow())
		d[i] = xsk.Desc{Addr: at, Len: size}
	}
	sent := s.sock.Send(d[:n])
	copy(s.free[left:], s.free[left+sent:]) // the frames that had no room stay
	s.free = s.free[:len(s.free)-sent]
	return sent
}

// flow draws the number of a flow (xorshift32, Marsaglia 2003; period 2³²−1).
func (s *Source) flow() uint32 {
	r := s.rng
	r ^= r << 13
	r ^= r >> 17
	r ^= r << 5
	s.rng = r
	return uint32(uint64(r) * uint64(s.cfg.Template.Flows) >> 32)
}

func (s *Source) reclaim() {
	var addrs [2 * batch]uint64
	for {
		n := s.sock.Reclaim(addrs[:])
		s.free = append(s.free, addrs[:n]...)
		s.sent.Add(uint64(n))
		if n < len(addrs) {
			return
		}
	}
}

// settle waits until all frames are back.
func (s *Source) settle() error {
	for deadline := time.Now().Add(returnLimit); ; time.Sleep(100 * time.Microsecond) {
		s.reclaim()
		if len(s.free) == ring {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("load: the kernel still has %d frames %v after the last was sent: "+
				"the number sent is not exact", ring-len(s.free), returnLimit)
		}
		if err := s.sock.KickTx(); err != nil {
			return fmt.Errorf("load: send: %w", err)
		}
	}
}
