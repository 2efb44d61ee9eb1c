package gen

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"penstock/dataplane/xsk"
)

const (
	// txRing is the size of the transmit ring and the number of frames to send with.
	txRing = 1024
	batch  = 64
	// nap is how long a receiver without work sleeps: short against what its ring holds.
	nap = 50_000 // ns
	// early is how much sooner a sleeping sender wakes than it must, since waking takes time.
	early = 100_000 // ns
	// settleLimit is how long the kernel may take to give back the last frames.
	settleLimit = 1_000_000_000 // ns
)

// worker is one thread of one port.
type worker struct {
	e      *Engine
	port   *port
	number int // of the port's threads
	cpu    int // −1: any
	umem   *xsk.Umem
	chunk  uint64
	queues []*queue
	send   *sender // nil if the port sends nothing

	descs [batch]xsk.Desc
	addrs [2 * batch]uint64
	strange
	live liveStrange
}

// queue is a bound queue of an interface.
type queue struct {
	number   int
	receives bool
	sock     *xsk.Socket
}

// strange are frames that arrived and belong to no stream of the run.
type strange struct {
	Foreign uint64 `json:"foreign"` // without a signature, or with one that was not sent
	Looped  uint64 `json:"looped"`  // sent by the port they arrived at
	Stale   uint64 `json:"stale"`   // of an earlier run
}

type liveStrange struct{ all atomic.Uint64 }

// bind opens the sockets of a port's workers.
func (e *Engine) bind(p *port) error {
	for k := range e.cfg.Queues {
		w := &worker{e: e, port: p, number: k, cpu: -1, chunk: uint64(e.cfg.chunk())}
		if len(e.cfg.CPUs) > 0 {
			w.cpu = e.cfg.CPUs[len(e.workers)]
		}
		e.workers = append(e.workers, w)
		if err := w.open(); err != nil {
			return err
		}
	}
	return nil
}

// open binds the worker's queues, the one it sends on first, and steers frames to those it receives from.
func (w *worker) open() (err error) {
	p, cfg := w.port, &w.e.cfg
	if p.Program != nil {
		w.queues = append(w.queues, &queue{number: w.number})
	}
	for q := w.number; p.receives && q < p.hw.rx; q += cfg.Queues {
		if len(w.queues) == 0 || w.queues[0].number != q {
			w.queues = append(w.queues, &queue{number: q})
		}
		w.queues[len(w.queues)-1].receives = true
	}
	frames := 0
	for _, q := range w.queues {
		if q.receives {
			frames += cfg.Ring
		}
	}
	if p.Program != nil {
		frames += txRing
	}
	if frames == 0 {
		return nil
	}
	if w.umem, err = xsk.NewUmem(xsk.UmemConfig{Frames: frames, FrameSize: int(w.chunk), HugePages: true}); err != nil {
		return err
	}
	next := uint64(0)
	if p.Program != nil {
		w.send = newSender(w, next)
		next += txRing * w.chunk
	}
	for i, q := range w.queues {
		c := xsk.SocketConfig{
			Ifindex: p.index, Queue: q.number, RxSize: 1, FillSize: 1,
			TxSize: 1, CompSize: 1, Mode: cfg.Socket, NeedWakeup: true,
		}
		if q.receives {
			c.RxSize, c.FillSize = cfg.Ring, cfg.Ring
		}
		if i == 0 && p.Program != nil {
			c.TxSize, c.CompSize = txRing, txRing
		}
		if q.sock, err = w.umem.Open(c); err != nil {
			if p.spare > 0 && q.number >= p.spare {
				err = fmt.Errorf("%w: the driver receives on it since XDP is in use, "+
					"and takes no such socket there: `ethtool -L %s combined %d` puts all queues into use before",
					err, p.Interface, p.most)
			}
			return fmt.Errorf("queue %d: %w", q.number, err)
		}
		if !q.receives {
			continue
		}
		for range cfg.Ring {
			w.refill(q, next)
			next += w.chunk
		}
		if err := errors.Join(q.sock.WakeRx(), p.program.Register(q.number, q.sock.FD())); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) close() error {
	var errs []error
	for _, q := range w.queues {
		if q.sock != nil {
			errs = append(errs, q.sock.Close())
		}
	}
	if w.umem != nil {
		errs = append(errs, w.umem.Close())
	}
	return errors.Join(errs...)
}

// pin binds the calling thread to the worker's CPU and lets it sleep exactly. The thread must end with its goroutine.
func (w *worker) pin() error {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // else sleeps last 50 µs longer
	if w.cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(w.cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("port %s: pin thread %d to CPU %d: %w", w.port.Interface, w.number, w.cpu, err)
	}
	return nil
}

// loop is the worker's thread: it sends what is due until the run's end, then receives until it is told to stop.
func (w *worker) loop(r *running) error {
	runtime.LockOSThread() // never unlocked: affinity and timer slack end with the thread
	err := w.pin()
	w.strange = strange{}
	w.live.all.Store(0)
	r.ready.Done()
	<-r.begun
	if w.send != nil {
		w.send.cpu = -threadCPU()
	}
	if err == nil {
		err = w.turns(r)
	}
	if err != nil {
		r.fail(err)
	}
	if w.send != nil && w.send.active {
		w.send.end(r)
	}
	return err
}

func (w *worker) turns(r *running) error {
	receives := len(w.queues) > 0 && w.queues[len(w.queues)-1].receives
	for !r.done.Load() {
		wait := int64(nap)
		if s := w.send; s != nil && s.active {
			next, err := s.turn(r)
			if err != nil {
				return err
			}
			wait = next - early
			if receives {
				wait = min(wait, nap)
			}
		}
		if receives {
			before := w.e.clock.now()
			busy, exact, err := w.receive(r)
			if err != nil {
				return err
			}
			if s := w.send; busy && s != nil && s.active && s.since == 0 {
				s.receiving += w.e.clock.now() - before
			}
			if busy || !exact {
				continue
			}
		}
		if wait > 0 {
			w.sleep(wait)
		}
	}
	return nil
}

// sleep sleeps for so many ns, or until a signal comes.
func (w *worker) sleep(ns int64) {
	before := w.e.clock.now()
	ts := unix.NsecToTimespec(ns)
	_ = unix.Nanosleep(&ts, nil)
	if w.send != nil {
		w.send.slept += w.e.clock.now() - before
	}
}
