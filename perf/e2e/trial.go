package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"penstock/ctrl/model"
	"penstock/integration/lab"
	"penstock/perf/load"
)

const (
	// fabricMTU leaves room for the box's 34 octets.
	accessMTU, fabricMTU = 1500, 1600
	// lead is how long load runs before the rates are taken.
	lead = 100 * time.Millisecond
	// still is how long nothing must arrive until nothing more will.
	still      = 30 * time.Millisecond
	stillLimit = 2 * time.Second
	// probeRate is the rate, in frames per second, at which the source asks whether the device forwards yet.
	probeRate = 1000
	patience  = 15 * time.Second
	stopLimit = 5 * time.Second
)

// Trial is one measurement of one device.
type Trial struct {
	Round  int // from 1
	Device string
	Size   int // octets of the frames sent, without FCS
	Place  Placement
	Sink   SinkNAPI
	Mode   string // how the device's XDP program is attached, and how frames get to its sockets; or that it is the kernel

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
	napi   int // thread of PortA's NAPI, 0 if it has none
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
	if err := t.load(ctx, r.o.Warmup, nil); err != nil {
		return res, err
	}
	res.Device, res.Size, res.Place, res.Sink = s.dev.Name, s.size, s.place, s.sink
	return res, t.load(ctx, r.o.Measure, &res)
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
		return fmt.Errorf("%s, %d octets, %s: %w", t.dev.Name, t.size, t.place.Name, err)
	}
	return nil
}

// wire makes the veth pairs, and opens source and sink at their ends.
func (t *trial) wire(tmpl load.Template) error {
	end := func(m model.MAC) lab.EndOptions { return lab.EndOptions{MAC: m, GRO: true, NoTSO: true} }
	for _, v := range [...]struct {
		nsA, ifA, nsB, ifB string
		mtu                int
		macA, macB         model.MAC
	}{{gen, SourceIf, dut, PortA, accessMTU, 0, macA}, {dut, PortB, sink, SinkIf, fabricMTU, macB, 0}} {
		if err := t.lab.Veth(v.nsA, v.ifA, v.nsB, v.ifB, lab.VethOptions{MTU: v.mtu, Queues: max(1, t.dev.Workers), A: end(v.macA), B: end(v.macB)}); err != nil {
			return err
		}
		t.bed.Cleanup(func() error { return t.lab.Delete(v.nsA, v.ifA) })
	}
	want, err := t.dev.Expect(tmpl)
	if err != nil {
		return err
	}
	err = t.lab.Do(sink, func() error {
		i, err := net.InterfaceByName(SinkIf)
		if err != nil {
			return err
		}
		t.counts, err = load.OpenSink(i.Index, want)
		return err
	})
	if err != nil {
		return err
	}
	t.bed.Cleanup(t.counts.Close)
	err = t.lab.Do(gen, func() error {
		i, err := net.InterfaceByName(SourceIf)
		if err != nil {
			return err
		}
		for q := range max(1, t.dev.Sources) {
			s, err := load.OpenSource(load.SourceConfig{Ifindex: i.Index, Queue: q, Template: tmpl, CPU: t.o.LoadCPU})
			if err != nil {
				return err
			}
			t.src = append(t.src, s)
			t.bed.Cleanup(s.Close)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return nil
}

// start starts the device and waits until it forwards.
func (t *trial) start(ctx context.Context) error {
	if err := os.MkdirAll(t.bed.Dir, 0o755); err != nil {
		return err
	}
	if t.dev.Before != nil {
		if err := t.dev.Before(ctx, t.bed); err != nil {
			return err
		}
	}
	if t.dev.Command == nil {
		return t.probe(ctx)
	}
	argv, err := t.dev.Command(t.bed)
	if err != nil {
		return err
	}
	house, group := t.bed.CPUs, t.group.dir
	if t.bed.House != nil { // no quota, and no group: it would not allow real-time priorities
		house, group = t.bed.House, ""
	}
	held := []string{t.o.Self, HoldCommand, "-cpus", cpuList(house), "-group", group, "-parent", strconv.Itoa(os.Getpid()), "--"}
	if t.bed.Process, err = t.lab.Start(dut, t.dev.Name, append(held, argv...)...); err != nil {
		return err
	}
	// How it ends is not what is measured.
	t.bed.Cleanup(func() error { _ = t.bed.Process.Stop(stopLimit); return nil })
	if t.dev.Prepare != nil {
		if err := t.dev.Prepare(ctx, t.bed); err != nil {
			return err
		}
	}
	return t.probe(ctx)
}

// The sink's thread comes before the source's on the CPU that they share: what it leaves waiting is lost at its door.
const sinkNice = -20

// threads gives the NAPIs of both ends the threads that the placement asks for. It is called when the device forwards:
// what it does to its interfaces may make their NAPIs anew.
func (t *trial) threads() (err error) {
	if t.place.Whole {
		if t.napi, err = threadNAPI(t.lab, dut, PortA, t.o.DeviceCPU, 0); err != nil {
			return err
		}
	}
	if t.setup.sink == SinkThreaded {
		_, err = threadNAPI(t.lab, sink, SinkIf, t.o.LoadCPU, sinkNice)
	}
	return err
}

// running reports whether the device has not ended by itself.
func (t *trial) running() bool { return t.bed.Process == nil || t.bed.Process.Running() }

// probe sends slowly until frames come out as they should.
func (t *trial) probe(ctx context.Context) (err error) {
	if err := t.src.Start(probeRate); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.src.Stop()) }()
	limit := t.dev.Patience
	if limit == 0 {
		limit = patience
	}
	for deadline := time.Now().Add(limit); ; {
		c, err := t.counts.Counts()
		switch {
		case err != nil:
			return err
		case c.Expected > 0:
			return nil
		case !t.running():
			return errors.New("it has ended")
		case time.Now().After(deadline):
			return fmt.Errorf("of %d frames sent none came out as expected within %v (%d others did)", t.src.Sent(), limit, c.Other)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// load puts the device under load for some time, and writes down what happened if res is not nil.
func (t *trial) load(ctx context.Context, d time.Duration, res *Trial) error {
	before, err := t.settled(ctx)
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
	// Stop whatever happened: the source is not to run into the next phase.
	if err := errors.Join(rates(), t.src.Stop()); err != nil {
		return err
	}
	after, err := t.settled(ctx)
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
	res.Load1, err = loadAverage()
	return err
}

// sight is what the counters say at one moment.
type sight struct {
	at             time.Time
	sent, received uint64
	cpu            time.Duration
}

func (t *trial) look() (s sight, err error) {
	if !t.running() {
		return s, errors.New("it has ended")
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

// drops are the frames that the kernel has dropped on their way into PortA and into the sink, for want of room.
func (t *trial) drops() (door, atSink uint64, err error) {
	for _, x := range [...]struct {
		namespace, name string
		n               *uint64
	}{{gen, SourceIf, &door}, {dut, PortB, &atSink}} {
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

// settled waits until nothing arrives any more.
func (t *trial) settled(ctx context.Context) (load.Counts, error) {
	last, err := t.counts.Counts()
	for deadline := time.Now().Add(stillLimit); err == nil && time.Now().Before(deadline); {
		if err := sleep(ctx, still); err != nil {
			return last, err
		}
		var now load.Counts
		if now, err = t.counts.Counts(); now == last {
			return now, err
		}
		last = now
	}
	return last, err
}

// mode says how the device has attached itself to PortA. Veth has no zero-copy mode.
func (t *trial) mode() (mode string, err error) {
	if t.dev.Command == nil {
		return "kernel", nil
	}
	err = t.lab.Do(dut, func() error {
		l, err := netlink.LinkByName(PortA)
		if err != nil {
			return err
		}
		x := l.Attrs().Xdp
		if x == nil || !x.Attached {
			return fmt.Errorf("no XDP program is attached to %s", PortA)
		}
		if mode = "native"; x.AttachMode == nl.XDP_ATTACHED_SKB {
			mode = "generic"
		}
		return nil
	})
	return mode + ", copy", err
}

// sources are the sources of a trial, one for each queue that is fed.
type sources []*load.Source

// Start sends at rate frames per second in all, or as fast as the kernel takes them if rate is 0.
func (s sources) Start(rate float64) error {
	for _, x := range s {
		if err := x.Start(rate / float64(len(s))); err != nil {
			return err
		}
	}
	return nil
}

func (s sources) Stop() (err error) {
	for _, x := range s {
		err = errors.Join(err, x.Stop())
	}
	return err
}

func (s sources) Sent() (n uint64) {
	for _, x := range s {
		n += x.Sent()
	}
	return n
}

func cpuList(cpus []int) string {
	names := make([]string, len(cpus))
	for i, c := range cpus {
		names[i] = strconv.Itoa(c)
	}
	return strings.Join(names, ",")
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
