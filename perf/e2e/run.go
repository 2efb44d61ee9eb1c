package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"penstock/integration/lab"
)

// Options of a run.
type Options struct {
	Devices     []Device  // in the order in which they take turns
	Measures    []Measure // none: Throughput
	Sizes       []int     // octets of the frames, without FCS: up to 1,514
	Places      []Placement
	Sinks       []SinkNAPI // none: SinkInline
	Rounds      int
	LatencyRate float64       // frames per second at which latency is measured
	Warmup      time.Duration // load before each measurement
	Measure     time.Duration

	DeviceCPU, LoadCPU int
	Self               string    // program that calls Hold when its first argument is HoldCommand
	Progress           io.Writer // a line for each trial
	// Round is called with the trials of every whole round.
	Round func([]Trial) error
	// Failed is called when a device that is not required does not work; it is not tried there again.
	Failed func(Failure)
}

// Failure is a device that did not work.
type Failure struct {
	Measure Measure
	Device  string
	Size    int
	Place   Placement
	Sink    SinkNAPI
	Err     error
}

func (o *Options) check() error {
	switch {
	case len(o.Devices) == 0 || len(o.Sizes) == 0 || len(o.Places) == 0:
		return errors.New("e2e: no device, no size or no placement to measure")
	case o.Rounds < 1:
		return fmt.Errorf("e2e: %d rounds: must be 1 or more", o.Rounds)
	case o.Warmup < 0 || o.Measure <= 0:
		return fmt.Errorf("e2e: warm-up of %v, measurement of %v: must be 0 or more, and more than 0",
			o.Warmup, o.Measure)
	case slices.Contains(o.Measures, Latency) && !(o.LatencyRate >= 100):
		return fmt.Errorf("e2e: latency at %g frames per second: must be 100 or more", o.LatencyRate)
	case o.DeviceCPU == o.LoadCPU:
		return fmt.Errorf("e2e: device and load both on CPU %d: they would take it from each other", o.LoadCPU)
	}
	var mine unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil {
		return fmt.Errorf("e2e: %w", err)
	}
	for _, cpu := range [...]int{o.DeviceCPU, o.LoadCPU} {
		if cpu < 0 || !mine.IsSet(cpu) {
			return fmt.Errorf("e2e: CPU %d: this process may not use it (it may use %d)", cpu, mine.Count())
		}
	}
	for _, s := range o.Sizes {
		if s < 60 || s > accessMTU+14 {
			return fmt.Errorf("e2e: frames of %d octets: must be 60 to %d", s, accessMTU+14)
		}
	}
	seen := map[string]bool{}
	for _, d := range o.Devices {
		if seen[d.Name] {
			return fmt.Errorf("e2e: device %s twice", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}

// ErrLeft says that something Run made could not be removed; the next run tries again.
var ErrLeft = errors.New("not everything could be removed")

// left marks an error of removing something.
func left(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLeft, err)
}

type runner struct {
	o      *Options
	lab    *lab.Lab
	group  *group
	failed map[setup]bool
}

// Run measures all devices that are not absent at all sizes under all placements that fit them, so many rounds. The
// devices take turns at every step, each round beginning with another one, so that what changes about the machine
// meets all of them. It needs root, and binds the calling process to LoadCPU for good. Everything it made is gone when
// it returns, also if ctx ended.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	var present []*Device
	for i := range o.Devices {
		if d := &o.Devices[i]; d.Absent == nil {
			present = append(present, d)
		}
	}
	if len(present) == 0 {
		return errors.New("e2e: none of the devices is there")
	}
	r, err := open(&o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for round := 1; round <= o.Rounds; round++ {
		if err := r.round(ctx, round, present); err != nil {
			return err
		}
	}
	return nil
}

// open makes what all trials of a run need, and binds the process to LoadCPU.
func open(o *Options) (_ *runner, err error) {
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))) // the source's thread is one of them
	if err := pinProcess(o.LoadCPU); err != nil {
		return nil, fmt.Errorf("e2e: %w", err)
	}
	if len(o.Sinks) == 0 {
		o.Sinks = []SinkNAPI{SinkInline}
	}
	if len(o.Measures) == 0 {
		o.Measures = []Measure{Throughput}
	}
	r := &runner{o: o, failed: map[setup]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.lab, err = lab.New("e2e"); err != nil {
		return nil, err
	}
	for _, ns := range [...]string{genNS, dutNS, sinkNS} {
		if err := r.namespace(ns); err != nil {
			return nil, err
		}
	}
	r.group, err = newGroup()
	return r, err
}

func (r *runner) close() (err error) {
	if r.group != nil {
		err = left(r.group.remove())
	}
	if r.lab != nil {
		err = errors.Join(left(r.lab.Close()), err)
	}
	return err
}

// namespace makes a namespace in which the kernel says nothing by itself.
func (r *runner) namespace(name string) error {
	if err := r.lab.Namespace(name); err != nil {
		return err
	}
	for _, scope := range [...]string{"all", "default"} {
		err := r.lab.Sysctl(name, "net/ipv6/conf/"+scope+"/disable_ipv6", "1")
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return nil
}

func (r *runner) round(ctx context.Context, round int, devices []*Device) error {
	var trials []Trial
	for _, s := range r.setups() {
		for i := range devices {
			s.dev = devices[(i+round-1)%len(devices)]
			t, err := r.turn(ctx, s)
			if err != nil {
				return fmt.Errorf("e2e: round %d: %w", round, err)
			}
			if t == nil {
				continue
			}
			t.Round = round
			fmt.Fprintf(r.o.Progress, "round %d of %d  %-10s  %4d octets  %-9s  %-8s  %-16s  %s\n",
				round, r.o.Rounds, s.measure, s.size, s.place.Name, s.sink, s.dev.Name, t)
			trials = append(trials, *t)
		}
	}
	return r.o.Round(trials)
}

// setups lists what is measured of every device, in the order of a round.
func (r *runner) setups() (all []setup) {
	for _, m := range r.o.Measures {
		for _, p := range m.under(r.o.Places) {
			for _, sink := range r.o.Sinks {
				for _, size := range r.o.Sizes {
					all = append(all, setup{measure: m, size: size, place: p, sink: sink})
				}
			}
		}
	}
	return all
}

// turn measures a device once; nil if it does not fit there or does not work.
func (r *runner) turn(ctx context.Context, s setup) (*Trial, error) {
	if s.fits() != nil || r.failed[s] {
		return nil, nil
	}
	t, err := r.trial(ctx, s)
	switch {
	case err == nil:
		return &t, nil
	case s.dev.Required || ctx.Err() != nil || errors.Is(err, ErrLeft):
		return nil, err
	}
	r.failed[s] = true
	fmt.Fprintf(r.o.Progress, "%v\n", err)
	if r.o.Failed != nil {
		r.o.Failed(Failure{s.measure, s.dev.Name, s.size, s.place, s.sink, err})
	}
	return nil, nil
}
