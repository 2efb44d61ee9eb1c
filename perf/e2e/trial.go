package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/perf/load"
)

const (
	// fabricMTU leaves room for the box's 34 octets.
	accessMTU, fabricMTU = 1500, 1600
	// lead is how long load runs before the rates are taken.
	lead = 100 * time.Millisecond
	// still is how long nothing must arrive until nothing more will: longer where frames are missing, which a device
	// that was kept from its CPU may still have.
	still        = 30 * time.Millisecond
	stillMissing = 150 * time.Millisecond
	stillLimit   = 2 * time.Second
	// probeRate is the rate, in frames per second, at which the source asks whether the device forwards yet.
	probeRate = 1000
	patience  = 15 * time.Second
	stopLimit = 5 * time.Second
)

var errEnded = errors.New("it has ended")

// Trial is one measurement of one device.
type Trial struct {
	Measure Measure
	Round   int // from 1
	Device  string
	Size    int // octets of the frames sent, without FCS
	Place   Placement
	Sink    SinkNAPI
	Mode    string // how the XDP program is attached and how frames get to its sockets; or the kernel

	Seconds  float64 // over which the rates were taken
	SentRate float64 // frames per second that the source sent
	Rate     float64 // frames per second that arrived at the sink as expected
	CPU      float64 // share of one CPU that the device used, with the kernel's reception if Place.Whole
	Load1    float64 // load average of the machine over the last minute, this measurement included

	// From the first frame under this load to the last, exactly; frames on their way have arrived.
	Sent, Received, Other uint64
	// Of those lost, what the kernel dropped because PortA's queue was full, and because the sink's was: the latter is
	// no fault of the device.
	DoorDrops, SinkDrops uint64

	PDRUpper      float64 // of a PDR, which is Rate: the lowest rate that lost more
	SourceLimited bool    // of a PDR or a latency: the source could no more, or did not keep its rate

	Delay Delay // of a latency, at SentRate
}

// Loss is the share of the frames sent that did not arrive as expected, 0 to 1.
func (t *Trial) Loss() float64 {
	if t.Sent == 0 {
		return 0
	}
	return 1 - float64(t.Received)/float64(t.Sent)
}

// perCore is the rate that the device would have reached with the whole of a core, had it been busy all the time.
func (t *Trial) perCore() float64 {
	if t.CPU <= 0 {
		return 0
	}
	return t.Rate / t.CPU
}

// sinkLoss is the share of what the device sent that was lost at the sink's door.
func (t *Trial) sinkLoss() float64 {
	if t.SinkDrops == 0 {
		return 0
	}
	return float64(t.SinkDrops) / float64(t.SinkDrops+t.Received+t.Other)
}

// trial is a trial under way.
type trial struct {
	*runner
	setup
	bed    *Bed
	src    sources
	counts *load.Sink
	ends   []func() error // close source and sink
	napi   int            // thread of PortA's NAPI, 0 if it has none
}

// put prepares a trial.
func (r *runner) put(s setup) *trial {
	b := &Bed{Lab: r.lab, Dir: filepath.Join(r.lab.Dir(), s.dev.Name), CPUs: []int{r.o.DeviceCPU}}
	if s.dev.Workers > 1 {
		b.CPUs = append(b.CPUs, r.o.LoadCPU)
	}
	return &trial{runner: r, setup: s, bed: b}
}

func (r *runner) trial(ctx context.Context, s setup) (res Trial, err error) {
	t := r.put(s)
	defer func() { err = t.end(err) }()
	if err := t.begin(ctx); err != nil {
		return res, err
	}
	if res.Mode, err = t.mode(); err != nil {
		return res, err
	}
	// Only now: starting up is not what is held back.
	if err := r.group.limit(s.place.Share); err != nil {
		return res, err
	}
	t.bed.Cleanup(func() error { return r.group.limit(0) })
	if s.place.Share > 0 {
		if err := t.meter(); err != nil {
			return res, err
		}
	}
	res.Measure, res.Device, res.Size, res.Place, res.Sink = s.measure, s.dev.Name, s.size, s.place, s.sink
	if s.measure == Latency {
		err = t.latency(ctx, &res)
	} else {
		err = t.flood(ctx, &res)
	}
	if err == nil {
		res.Load1, err = loadAverage()
	}
	return res, err
}

// flood warms the device up at full load, and takes what is measured with the source and the counting sink.
func (t *trial) flood(ctx context.Context, res *Trial) error {
	if _, err := t.settled(ctx, t.src.Sent()); err != nil { // since the probe
		return err
	}
	if err := t.load(ctx, t.o.Warmup, nil); err != nil {
		return err
	}
	if t.measure == PDR {
		return t.pdr(ctx, res)
	}
	return t.load(ctx, t.o.Measure, res)
}

// begin brings the device up between source and sink, until it forwards.
func (t *trial) begin(ctx context.Context) error {
	frames := t.dev.Frames
	if frames == nil {
		frames = template
	}
	tmpl, err := frames(t.size, t.dev.Flows)
	if err != nil {
		return err
	}
	if err := t.wire(tmpl); err != nil {
		return err
	}
	if err := t.start(ctx); err != nil {
		return err
	}
	return t.threads()
}

// end removes all that begin made, and says where err happened, if it is one.
func (t *trial) end(err error) error {
	if err != nil && t.bed.Process != nil {
		err = fmt.Errorf("%w\nits output:\n%s", err, tail(t.bed.Process.Log(), 4000))
	}
	for i := len(t.bed.clean) - 1; i >= 0; i-- {
		err = errors.Join(err, left(t.bed.clean[i]()))
	}
	if err != nil {
		return fmt.Errorf("%s, %s, %d octets, %s: %w", t.dev.Name, t.measure, t.size, t.place.Name, err)
	}
	return nil
}

// load puts the device under load for some time, and writes down what happened if res is not nil.
func (t *trial) load(ctx context.Context, d time.Duration, res *Trial) error {
	before, err := t.counts.Counts()
	if err != nil {
		return err
	}
	sent := t.src.Sent()
	door, atSink, err := t.drops()
	if err != nil {
		return err
	}
	if err := t.src.Start(0); err != nil {
		return err
	}
	rates := func() error {
		if err := sleep(ctx, lead); err != nil {
			return err
		}
		a, err := t.look()
		if err != nil {
			return err
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
		b, err := t.look()
		if err != nil || res == nil {
			return err
		}
		res.Seconds = b.at.Sub(a.at).Seconds()
		res.SentRate = float64(b.sent-a.sent) / res.Seconds
		res.Rate = float64(b.received-a.received) / res.Seconds
		res.CPU = (b.cpu - a.cpu).Seconds() / res.Seconds
		return nil
	}
	// Stop also after an error: the source must not run into the next phase.
	if err := errors.Join(rates(), t.src.Stop()); err != nil {
		return err
	}
	after, err := t.settled(ctx, before.Expected+t.src.Sent()-sent)
	if err != nil || res == nil {
		return err
	}
	res.Sent, res.Received, res.Other = t.src.Sent()-sent, after.Expected-before.Expected, after.Other-before.Other
	if res.DoorDrops, res.SinkDrops, err = t.drops(); err != nil {
		return err
	}
	res.DoorDrops, res.SinkDrops = res.DoorDrops-door, res.SinkDrops-atSink
	if res.Received > res.Sent {
		return fmt.Errorf("%d frames came out of %d sent: the device multiplies them", res.Received, res.Sent)
	}
	if res.Received == 0 {
		return fmt.Errorf("of %d frames sent none came out as expected (%d others did)", res.Sent, res.Other)
	}
	return nil
}

// sight is what the counters say at one moment.
type sight struct {
	at             time.Time
	sent, received uint64
	cpu            time.Duration
}

func (t *trial) look() (s sight, err error) {
	if !t.running() {
		return s, errEnded
	}
	c, err := t.counts.Counts()
	if err != nil {
		return s, err
	}
	s = sight{at: time.Now(), sent: t.src.Sent(), received: c.Expected}
	s.cpu, err = t.used()
	return s, err
}

// used is the CPU time of the device so far.
func (t *trial) used() (sum time.Duration, err error) {
	var pids []int
	if t.bed.Process != nil {
		pids = append(pids, t.bed.Process.PID())
	}
	if t.napi != 0 {
		pids = append(pids, t.napi)
	}
	for _, pid := range pids {
		d, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// drops are the frames that the kernel has dropped on their way into PortA and into the sink, for lack of room.
func (t *trial) drops() (door, atSink uint64, err error) {
	for _, x := range [...]struct {
		namespace, name string
		n               *uint64
	}{{genNS, SourceIf, &door}, {dutNS, PortB, &atSink}} {
		err := t.lab.Do(x.namespace, func() error {
			l, err := netlink.LinkByName(x.name)
			if err == nil && l.Attrs().Statistics != nil {
				*x.n = l.Attrs().Statistics.TxDropped
			}
			return err
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return door, atSink, nil
}

// settled waits until nothing arrives any more. Want is how many frames there are to come in all, if none is lost.
func (t *trial) settled(ctx context.Context, want uint64) (load.Counts, error) {
	last, err := t.counts.Counts()
	for deadline, since := time.Now().Add(stillLimit), time.Now(); err == nil && time.Now().Before(deadline); {
		if err := sleep(ctx, still); err != nil {
			return last, err
		}
		now, err := t.counts.Counts()
		switch {
		case err != nil:
			return now, err
		case now != last:
			last, since = now, time.Now()
		case now.Expected >= want || time.Since(since) >= stillMissing:
			return now, nil
		}
	}
	return last, err
}

// sleep sleeps, and returns early with the context's error if that ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// tail returns the last n octets of a text, from the start of a line.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	return s[strings.IndexByte(s, '\n')+1:]
}
