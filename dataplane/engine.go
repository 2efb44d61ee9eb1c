package dataplane

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/await"
	"penstock/dataplane/drop"
	"penstock/dataplane/edge"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/pathprobe"
	"penstock/dataplane/punt"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/stats"
	"penstock/dataplane/uplink"
	"penstock/dataplane/xsk"
)

// Engine is the running dataplane: one UMEM, the ports' sockets and programs, the workers.
type Engine struct {
	cfg      Config
	start    time.Time
	umem     *xsk.Umem
	pool     *frame.Pool
	verify   *frame.Verify
	workers  []*worker
	snapshot atomic.Pointer[fib.Snapshot]
	stopping atomic.Bool
	threads  sync.WaitGroup

	publishMu sync.Mutex
	injectMu  sync.Mutex
	innerMu   sync.Mutex
	portMu    sync.Mutex // ports, ctl
	ports     []openPort
	portOpen  []atomic.Bool
	ctl       *frame.Cache // control's own frames, for filling and draining rings
	stopped   bool         // OpenPort opens no port

	punts    *punt.Reader
	resolver *resolve.Reader
	keeper   *keeper.Keeper // probes and timers, on the first worker's thread
	gateways *uplink.Prober // of the gateway groups
	paths    *pathprobe.Prober
	echoes   []*pathprobe.Echo // by worker
	runMu    sync.RWMutex      // running, ended
	running  bool              // the workers execute commands
	noFlows  bool              // no memory for flow tables; under publishMu
	notes    *flow.Notes       // of the agents; likewise
	ended    bool              // the workers have stopped, or are stopping

	progressMu sync.Mutex // progress, turnsSeen
	progress   uint64
	turnsSeen  []uint64 // by worker: its turns when progress last grew
}

// New allocates memory and workers. It does not access interfaces; Start does.
func New(cfg Config) (*Engine, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("dataplane: %w", err)
	}
	e := &Engine{
		cfg: cfg, start: time.Now(), turnsSeen: make([]uint64, cfg.Workers),
		ports: make([]openPort, len(cfg.Ports)), portOpen: make([]atomic.Bool, len(cfg.Ports)),
	}
	var err error
	e.umem, err = xsk.NewUmem(xsk.UmemConfig{Frames: cfg.Frames, FrameSize: cfg.FrameSize, HugePages: cfg.HugePages})
	if err != nil {
		return nil, fmt.Errorf("dataplane: %w", err)
	}
	if e.pool, err = frame.NewPool(cfg.Frames, cfg.FrameSize, cfg.Workers+1); err != nil {
		return nil, errors.Join(err, e.umem.Close())
	}
	if cfg.Verify {
		e.verify = frame.NewVerify(cfg.Frames, uint32(cfg.FrameSize))
	}
	e.ctl = e.pool.NewCache()
	e.snapshot.Store(&fib.Snapshot{})
	if err := e.makeWorkers(); err != nil {
		for _, w := range e.workers {
			err = errors.Join(err, unix.Close(w.wake))
		}
		return nil, errors.Join(err, e.umem.Close())
	}
	return e, nil
}

func (e *Engine) makeWorkers() error {
	n, ports := e.cfg.Workers, len(e.cfg.Ports)
	fdb := edge.NewFDB(4096)
	var rings []*punt.Ring
	var messages []*resolve.Ring
	for i := range n {
		wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("dataplane: eventfd for worker %d: %w", i, err)
		}
		w := &worker{
			Pipeline: NewPipeline(e.umem.Mem(), e.pool, e.verify, ports, e.cfg.VIFs, e.cfg.Paths),
			eng:      e, id: i, wake: wake,
			injects: frame.NewSlots(256), inners: frame.NewSlots(innerSlots),
			from: make([]*frame.Handoff, n), to: make([]*frame.Handoff, n),
			loop: stats.NewBlock(loopLen), tx: make([]*xsk.Socket, ports),
			sent: make([]int, ports), refused: make([]int64, ports),
		}
		w.Edge.FDB = fdb
		w.Flows = e.cfg.Flows
		w.Await.Room = min(await.MaxPackets, e.cfg.Frames/8) / n
		if i > 0 {
			w.Overlay.Virtual = e.workers[0].Overlay.Virtual
		}
		if i > 0 {
			w.Punts.ShareLimits(e.workers[0].Punts)
		}
		rings, messages = append(rings, w.Punts), append(messages, w.Resolve)
		w.Flush = w.flush
		w.gen.Store(idle)
		w.rebuildPolls()
		e.workers = append(e.workers, w)
	}
	for i, w := range e.workers {
		for j, v := range e.workers {
			if i != j {
				r := frame.NewHandoff(1024)
				w.to[j], v.from[i] = r, r
			}
		}
		if n > 1 {
			w.handoff = &handoffs{rings: w.to}
			w.Balance.Affinity = stage.Spread{Self: uint32(i), Workers: uint32(n)}
		}
		if e.cfg.Handoff && n > 1 {
			w.Spread = w.Balance.Affinity
		}
	}
	e.punts, e.resolver = punt.NewReader(rings...), resolve.NewReader(messages...)
	e.newKeeper()
	return nil
}

// Start opens all ports and runs the workers. Control publishes a snapshot with the ports' roles first: without it
// every frame is discarded as no_role. On error Start closes what it has opened.
func (e *Engine) Start() error {
	if n := e.cfg.Workers + 2; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n) // a busy worker must not keep control from running
	}
	e.runMu.Lock()
	for _, w := range e.workers {
		e.threads.Go(w.run)
	}
	e.running = true
	e.runMu.Unlock()
	for i := range e.cfg.Ports {
		if err := e.OpenPort(i); err != nil {
			return errors.Join(err, e.Stop())
		}
	}
	return nil
}

// Stop ends the workers and closes all ports. Afterwards every frame is back in the pool; the error says so if not.
// Stopping again, as after a Start that failed, does nothing. Nobody may call Inject any more, nor take
// from Punts.
func (e *Engine) Stop() error {
	e.portMu.Lock()
	defer e.portMu.Unlock()
	if e.stopped {
		return nil
	}
	e.stopped = true
	e.runMu.Lock()
	e.running, e.ended = false, true
	e.runMu.Unlock()
	for i := range e.ports { // before the first port closes: a gateway without answers from now on has not failed
		e.workers[0].Uplink.Shared.Open(i, false)
	}
	for i := range e.ports {
		e.closePort(i)
	}
	e.stopping.Store(true)
	for _, w := range e.workers {
		w.wakeUp()
	}
	e.threads.Wait()
	var err error
	for _, w := range e.workers {
		for _, r := range w.from {
			for r != nil {
				n := r.Take(w.handed[:])
				for _, h := range w.handed[:n] {
					w.Move(h.Off, frame.OwnerHandoff, frame.OwnerBatch)
					w.Discard(h.Port, drop.TxPortDown, h.Off, h.Len)
				}
				if n == 0 {
					break
				}
			}
		}
		w.Balance.Drain()
		w.Await.Drain()
		err = errors.Join(err, w.Balance.Close())
		w.Ports.Publish()
		w.Cache.Flush()
		err = errors.Join(err, unix.Close(w.wake))
	}
	e.ctl.Flush()
	if free := e.pool.Free(); free != e.cfg.Frames {
		err = errors.Join(err, fmt.Errorf("dataplane: %d of %d frames are missing after the stop",
			e.cfg.Frames-free, e.cfg.Frames))
	}
	return errors.Join(err, e.umem.Close())
}

// tune sets the CPU and the niceness of a worker's thread. If that fails, tune logs a warning.
func (e *Engine) tune(w *worker) {
	if e.cfg.CPUs != nil {
		var set unix.CPUSet
		set.Set(e.cfg.CPUs[w.id])
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			e.cfg.Log(Warn, "cannot bind worker to its CPU", "worker", w.id, "cpu", e.cfg.CPUs[w.id], "err", err)
		}
	}
	if e.cfg.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), e.cfg.Nice); err != nil {
			e.cfg.Log(Warn, "cannot set the worker's niceness (needs CAP_SYS_NICE)",
				"worker", w.id, "nice", e.cfg.Nice, "err", err)
		}
	}
}

// Publish makes s the snapshot of all workers and returns when no worker uses an older one. Each snapshot must have a
// larger generation than the one before.
func (e *Engine) Publish(s *fib.Snapshot) {
	e.publishMu.Lock()
	defer e.publishMu.Unlock()
	e.direct(s)
	e.snapshot.Store(s)
	for _, w := range e.workers {
		for spins := 0; w.gen.Load() < s.Generation; spins++ {
			if spins < 100 {
				runtime.Gosched()
			} else {
				time.Sleep(20 * time.Microsecond)
			}
		}
	}
}
