package gen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is what a run sends.
type Load struct {
	Rates    []float64     // frames per second of each sending port, in the order of the ports; 0: without limit
	Duration time.Duration // 0: until Count
	Count    uint64        // frames of each sending port; 0: until Duration
}

const (
	// overtime is the most by which a run exceeds its duration, so that frames delayed by the generator are still sent.
	overtime = 10 // per cent
	// still is how long nothing must arrive until nothing more is waited for: less if nothing is missing, and more if
	// frames take long.
	stillMissing  = 150 * time.Millisecond
	stillComplete = 20 * time.Millisecond
	// patience is how long stragglers are waited for at most (RFC 2544, section 23: two seconds), and how long for the
	// first frame.
	patience = 2 * time.Second
)

func (e *Engine) checkLoad(l *Load) error {
	switch {
	case len(l.Rates) != len(e.directions):
		return refuse("%d rates for %d ports that send", len(l.Rates), len(e.directions))
	case l.Duration < 0:
		return refuse("a duration of %v: want more than 0", l.Duration)
	case l.Duration == 0 && l.Count == 0:
		return refuse("neither a duration nor a count: the run would never end")
	}
	for i, r := range l.Rates {
		if r < 0 || r > highestRate || math.IsNaN(r) {
			return refuse("rate of %g frames per second: want 0 (as fast as it goes) to %g", r, float64(highestRate))
		}
		if l.total(i) == 0 {
			return refuse("%g frames per second for %v is not one frame: want a higher rate or a longer run",
				r, l.Duration)
		}
	}
	return nil
}

// total is how many frames direction i sends.
func (l *Load) total(i int) uint64 {
	n := uint64(math.MaxUint64)
	if l.Count > 0 {
		n = l.Count
	}
	if r := l.Rates[i]; r > 0 && l.Duration > 0 {
		n = min(n, uint64(math.Round(r*l.Duration.Seconds())))
	}
	return n
}

// deadline is how long direction i may send, in ns.
func (l *Load) deadline(i int) int64 {
	if l.Duration == 0 {
		return math.MaxInt64 / 2
	}
	if l.Rates[i] == 0 {
		return int64(l.Duration)
	}
	return int64(l.Duration) + int64(l.Duration)*overtime/100 + int64(time.Millisecond)
}

// running is a run under way.
type running struct {
	load      Load
	start     int64 // ns
	ready     sync.WaitGroup
	senders   sync.WaitGroup
	begun     chan struct{}
	stop      atomic.Bool // no more is to be sent
	done      atomic.Bool // no more is to be received
	userClock atomic.Bool // arrivals are by the receivers' clock
	marked    atomic.Int64

	mu  sync.Mutex
	err error // what ended it
}

// fail ends the run. The first error is the reason.
func (r *running) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.stop.Store(true)
}

// Run sends a load, waits for the frames still under way, and reports. If ctx ends, sending ends, and the report says
// so without an error. If a port fails (its interface is gone, for example), Run returns an error and the report until
// then.
func (e *Engine) Run(ctx context.Context, l Load) (*Report, error) {
	if err := e.checkLoad(&l); err != nil {
		return nil, err
	}
	before, err := e.observe()
	if err != nil {
		return nil, err
	}
	r := &running{load: l, begun: make(chan struct{})}
	for i, d := range e.directions {
		if err := d.prepare(e.cfg.Queues, l.total(i)); err != nil {
			return nil, err
		}
	}
	var threads sync.WaitGroup
	for _, w := range e.workers {
		r.ready.Add(1)
		if w.send != nil {
			w.send.prepare(e.directionOf(w.port))
			r.senders.Add(1)
		}
		threads.Go(func() { _ = w.loop(r) })
	}
	r.ready.Wait()
	if err := e.begin(r); err != nil {
		r.fail(err)
	}
	close(r.begun)
	e.setRun(r)
	interrupted := e.wait(ctx, r)
	e.drain(r)
	r.done.Store(true)
	threads.Wait()
	e.setRun(nil)
	after, err := e.observe()
	rep := e.report(r, before, after)
	if interrupted {
		rep.Stopped = StoppedInterrupted
	}
	if r.err != nil {
		rep.Stopped = StoppedError
	}
	return rep, errors.Join(r.err, err)
}

// begin starts the clock. The workers wait for it.
func (e *Engine) begin(r *running) error {
	r.start = e.clock.now()
	for i, d := range e.directions {
		d.mu.Lock()
		d.silence.Begin(r.start)
		d.mu.Unlock()
		for _, w := range e.workers {
			if w.send == nil || w.port != d.from {
				continue
			}
			if err := w.send.begin(r.load.Rates[i], r.load.total(i), r.start, r.start+r.load.deadline(i)); err != nil {
				return fmt.Errorf("port %s: %w", d.from.Interface, err)
			}
		}
	}
	return nil
}

// directionOf returns the direction that begins at a port.
func (e *Engine) directionOf(p *port) *direction {
	i := slices.IndexFunc(e.directions, func(d *direction) bool { return d.from == p })
	return e.directions[i]
}

func (e *Engine) setRun(r *running) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run = r
}

// wait waits until sending has ended.
func (e *Engine) wait(ctx context.Context, r *running) (interrupted bool) {
	sent := make(chan struct{})
	go func() { r.senders.Wait(); close(sent) }()
	select {
	case <-sent:
	case <-ctx.Done():
		interrupted = true
		r.stop.Store(true)
		<-sent
	}
	return interrupted
}

// drain waits until nothing arrives any more.
func (e *Engine) drain(r *running) {
	deadline := time.Now().Add(patience)
	last, since := uint64(0), time.Now()
	for now := since; now.Before(deadline); now = time.Now() {
		arrived, still, heard := uint64(0), stillComplete, false
		for _, d := range e.directions {
			if d.to == nil {
				continue
			}
			heard = true
			d.mu.Lock()
			arrived += d.received
			if c := d.counts(); c.Received < d.followed() {
				still = max(still, d.quiet())
			}
			d.mu.Unlock()
		}
		if !heard {
			return
		}
		if arrived != last {
			last, since = arrived, now
		}
		if now.Sub(since) > still {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Mark says that something is about to happen that may block the device: of the longest gap only what ends after now
// counts. The gaps before are kept apart.
func (e *Engine) Mark() {
	e.mu.Lock()
	r := e.run
	e.mu.Unlock()
	if r == nil {
		return
	}
	now := e.clock.now()
	r.marked.Store(now)
	for _, d := range e.directions {
		d.mu.Lock()
		d.background = d.silence.Longest()
		c := d.counts()
		d.early = c.Received
		d.silence.Mark(now)
		d.mu.Unlock()
	}
}
