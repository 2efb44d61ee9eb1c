package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// Scenario is what goes on in the box while the gaps of its worker's loop are measured.
type Scenario struct {
	Name string
	Push bool // all bindings are pushed again and again, each time with other locations
	GOGC int  // of the box: the lower, the more often the collector runs
}

// Scenarios are what is measured by default: each adds a disturbance to the one before.
var Scenarios = []Scenario{{"traffic", false, 100}, {"push", true, 100}, {"push, GOGC=10", true, 10}}

// GapOptions of a measurement of loop gaps.
type GapOptions struct {
	Binary    string // the box
	Bindings  int
	Scenarios []Scenario
	Rate      float64 // frames per second; 0: as fast as the kernel takes them
	Warmup    time.Duration
	Measure   time.Duration
	Apart     bool // the box's other threads are kept off the worker's CPU, with taskset(1) as it were
	Nice      int  // of the worker: dataplane.nice
	FIFO      int  // real-time priority of the worker (SCHED_FIFO, as `chrt --fifo` sets it); 0: none

	DeviceCPU, LoadCPU int
	Self               string // as in Options
	Progress           io.Writer
}

// Gaps are the lengths of turns of a worker's loop in one scenario.
type Gaps struct {
	Scenario Scenario
	Seconds  float64
	Rate     float64 // frames per second that arrived at the sink
	All      Histogram
	Busy     Histogram // turns that moved a frame
	// Turns above 100 µs in which another thread had the worker's CPU, and in which the worker waited.
	Preempted, Stopped Histogram
	Own                Histogram // All without those two
	Pushes             float64   // of all bindings
	GCs                int       // runs of the collector
}

// MeasureGaps runs the real box under load in every scenario and reads its own histogram of the turns of its loop. It
// needs root, and binds the calling process to LoadCPU for good.
func MeasureGaps(ctx context.Context, g GapOptions) (all []Gaps, err error) {
	o := Options{
		Devices: []Device{{}}, Sizes: []int{60}, Places: []Placement{Unlimited},
		Rounds: 1, Warmup: g.Warmup, Measure: g.Measure,
		DeviceCPU: g.DeviceCPU, LoadCPU: g.LoadCPU, Self: g.Self, Progress: g.Progress,
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if g.Bindings < 1 || g.Rate < 0 {
		return nil, fmt.Errorf("e2e: %d bindings, %g frames per second: must be 1 or more, and 0 or more",
			g.Bindings, g.Rate)
	}
	// Encoding a million of them is not to take the CPU while the gaps are measured.
	var bindings [2][]byte
	for i := range bindings {
		var b bytes.Buffer
		if err := writeBindings(&b, g.Bindings, i); err != nil {
			return nil, err
		}
		bindings[i] = b.Bytes()
	}
	r, err := open(&o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for i, s := range g.Scenarios {
		p := &box{
			binary: g.Binary, bindings: g.Bindings, nice: g.Nice,
			env: []string{"GODEBUG=gctrace=1", "GOGC=" + strconv.Itoa(s.GOGC)},
		}
		d := &Device{
			Name: "gaps-" + strconv.Itoa(i), Flows: g.Bindings,
			Command: p.command, Prepare: p.prepare, Expect: encapsulated,
		}
		t := r.put(setup{d, Throughput, 60, Unlimited, SinkInline})
		t.bed.House = []int{g.DeviceCPU, g.LoadCPU}
		res, err := t.gaps(ctx, &g, s, bindings)
		if err = t.end(err); err != nil {
			return all, fmt.Errorf("e2e: %s: %w", s.Name, err)
		}
		fmt.Fprintf(g.Progress, "%s: %d turns, %.1f pushes, %d collections\n",
			s.Name, res.All.Count(), res.Pushes, res.GCs)
		all = append(all, res)
	}
	return all, nil
}

func (t *trial) gaps(ctx context.Context, g *GapOptions, s Scenario, bindings [2][]byte) (res Gaps, err error) {
	res.Scenario = s
	if err := t.begin(ctx); err != nil {
		return res, err
	}
	if err := g.arrange(t.bed.Process.PID()); err != nil {
		return res, err
	}
	if err := t.src.Start(g.Rate); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, t.src.Stop()) }()
	c := client.New(socket(t.bed))
	defer c.Close()
	p := pusher{client: c, bindings: bindings, end: make(chan error, 1)}
	if s.Push {
		pushing, stop := context.WithCancel(ctx)
		go p.run(pushing)
		defer func() {
			stop()
			err = errors.Join(err, <-p.end)
		}()
	}
	if err := sleep(ctx, t.o.Warmup); err != nil {
		return res, err
	}
	before, err := t.snap(ctx, c, &p)
	if err != nil {
		return res, err
	}
	if err := sleep(ctx, t.o.Measure); err != nil {
		return res, err
	}
	after, err := t.snap(ctx, c, &p)
	if err != nil {
		return res, err
	}
	res.Seconds = after.at.Sub(before.at).Seconds()
	res.Rate = float64(after.received-before.received) / res.Seconds
	for _, h := range [...]struct {
		to           *Histogram
		after, prior []uint64
	}{
		{&res.All, after.worker.Gaps, before.worker.Gaps}, {&res.Busy, after.worker.BusyGaps, before.worker.BusyGaps},
		{&res.Preempted, after.worker.PreemptedGaps, before.worker.PreemptedGaps},
		{&res.Stopped, after.worker.StoppedGaps, before.worker.StoppedGaps},
	} {
		if *h.to, err = Histogram(h.after).Minus(h.prior); err != nil {
			return res, err
		}
	}
	if res.Own, err = res.All.Minus(res.Preempted); err == nil {
		res.Own, err = res.Own.Minus(res.Stopped)
	}
	res.Pushes, res.GCs = after.pushes-before.pushes, after.gcs-before.gcs
	return res, err
}

// glance is what the counters of box and sink say.
type glance struct {
	at       time.Time
	worker   status.Worker
	received uint64
	pushes   float64
	gcs      int
}

func (t *trial) snap(ctx context.Context, c *client.Client, p *pusher) (g glance, err error) {
	var w status.Items[status.Worker]
	if err := c.Get(ctx, "/v1/stats/workers", &w); err != nil {
		return g, err
	}
	if len(w.Items) != 1 {
		return g, fmt.Errorf("the box has %d workers", len(w.Items))
	}
	g = glance{at: time.Now(), worker: w.Items[0], pushes: p.done(), gcs: strings.Count(t.bed.Process.Log(), "\ngc ")}
	n, err := t.counts.Counts()
	g.received = n.Expected
	return g, err
}

// pusher pushes all bindings again and again.
type pusher struct {
	client   *client.Client
	bindings [2][]byte
	sent     counter
	end      chan error
}

func (p *pusher) run(ctx context.Context) {
	for i := 1; ; i++ {
		b := p.bindings[i%2]
		body := io.TeeReader(bytes.NewReader(b), &p.sent)
		_, err := p.client.Bulk(ctx, model.KindBinding, body, core.Merge, client.WriteOptions{})
		if err != nil {
			if ctx.Err() != nil {
				err = nil // it was to end
			}
			p.end <- err
			return
		}
	}
}

// done is how often all bindings have been sent.
func (p *pusher) done() float64 {
	return float64(p.sent.n.Load()) / float64(max(1, len(p.bindings[0])))
}

// arrange gives the box's threads their places: the worker is the one that is bound to its CPU alone.
func (g *GapOptions) arrange(pid int) error {
	tids, err := threads(pid)
	if err != nil {
		return err
	}
	var worker, others []int
	for _, tid := range tids {
		var set unix.CPUSet
		switch err := unix.SchedGetaffinity(tid, &set); {
		case errors.Is(err, unix.ESRCH): // it has ended
		case err != nil:
			return fmt.Errorf("affinity of thread %d: %w", tid, err)
		case set.Count() == 1 && set.IsSet(g.DeviceCPU):
			worker = append(worker, tid)
		default:
			others = append(others, tid)
		}
	}
	if len(worker) != 1 {
		return fmt.Errorf("%d threads are bound to CPU %d alone: cannot tell which is the worker",
			len(worker), g.DeviceCPU)
	}
	if g.Apart { // threads that these start follow them
		for _, tid := range others {
			if err := pin(tid, g.LoadCPU); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	if g.FIFO == 0 {
		return nil
	}
	a := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: uint32(g.FIFO)}
	if err := unix.SchedSetAttr(worker[0], &a, 0); err != nil {
		return fmt.Errorf("give the worker real-time priority %d: %w", g.FIFO, err)
	}
	return nil
}
