// Command e2e measures devices end to end on veth, with package e2e. `make bench-e2e` runs it.
//
//	e2e -penstock FILE -asavie FILE [-rounds 5] [-measure 3s] [-duts penstock,asavie,testpmd] [-results FILE]
//	e2e gaps -penstock FILE [-measure 20s] [-apart] [-nice -20] [-results FILE]
//
//	e2e plot [-results FILE] [-svg FILE]
//
// The second form measures the gaps of the worker's loop; `make bench-gaps` runs it. The third draws the last run of a
// results file once more.
//
// It prints a line for each trial to standard error and the tables to standard output, and appends a row for each
// trial of a whole round to the results file. Ctrl-C ends it and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"penstock/perf/e2e"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == e2e.HoldCommand {
		fmt.Fprintln(os.Stderr, e2e.Hold(os.Args[2:]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	measure, args := run, os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "gaps":
			measure, args = gaps, args[1:]
		case "plot":
			measure, args = draw, args[1:]
		}
	}
	if err := measure(ctx, args); err != nil {
		switch {
		case errors.Is(err, flag.ErrHelp):
			os.Exit(2)
		case ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, e2e.ErrLeft):
			fmt.Fprintln(os.Stderr, "interrupted; everything is removed")
			os.Exit(130)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type settings struct {
	penstock, asavie, commit, results *string
	duts, sizes, places, sinks        *string
	measures, svg                     *string
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("e2e", flag.ContinueOnError)
	s := settings{
		penstock: f.String("penstock", "bin/penstock", "the box's `program`"),
		asavie:   f.String("asavie", "bin/baseline-forwarder", "the baseline forwarder's `program`"),
		commit:   f.String("commit", "unknown", "`commit` that is measured, for the results"),
		results:  f.String("results", "", "`file` to append the results to, as CSV; empty: none"),
		svg:      f.String("svg", "", "`file` for a figure of the run; empty: none"),
		duts: f.String("duts", "all",
			"devices, in the order in which they take turns: "+
				strings.Join(names(), ", ")+"; all: those with one core"),
		measures: f.String("measures", "throughput,pdr,latency",
			"what is measured: throughput (under overload), pdr (at 0.5 % loss; "+
				"under shares of a core only), latency (with a core for the device, whatever the placements)"),
		sizes: f.String("sizes", "60", "`octets` of the frames, without FCS"),
		places: f.String("placements", "half,one-core",
			"what a device gets of its core and has to do there: half, unlimited, one-core, or a share from 0.5 to 1"),
		sinks: f.String("sink-napi", "inline",
			"who pays for the reception at the sink: inline (the device), threaded (the source's core), or both"),
	}
	o := e2e.Options{Progress: os.Stderr}
	f.IntVar(&o.Rounds, "rounds", 5, "rounds in which every device is measured once in every way")
	f.DurationVar(&o.Warmup, "warmup", time.Second, "load before each measurement")
	f.DurationVar(&o.Measure, "measure", 3*time.Second, "length of each measurement")
	f.Float64Var(&o.LatencyRate, "latency-rate", 30_000, "`frames` per second at which latency is measured")
	f.IntVar(&o.DeviceCPU, "device-cpu", 0, "`CPU` of the device")
	f.IntVar(&o.LoadCPU, "load-cpu", 1, "`CPU` of the source and of everything else here")
	if err := f.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces and AF_XDP need root: run it with sudo")
	}
	if err := s.options(&o); err != nil {
		return err
	}
	m, err := e2e.ThisMachine()
	if err != nil {
		return err
	}
	return rounds(ctx, o, &s, m)
}

func rounds(ctx context.Context, o e2e.Options, s *settings, m e2e.Machine) error {
	date := time.Now()
	var all []e2e.Row
	var failures []e2e.Failure
	o.Round = func(trials []e2e.Trial) error {
		rows := make([]e2e.Row, len(trials))
		for i, t := range trials {
			rows[i] = e2e.Row{Date: date, Commit: *s.commit, Machine: m, Trial: t}
		}
		all = append(all, rows...)
		if *s.results == "" {
			return nil
		}
		return e2e.Append(*s.results, rows)
	}
	o.Failed = func(f e2e.Failure) { failures = append(failures, f) }
	err := e2e.Run(ctx, o)
	if len(all) == 0 {
		return err
	}
	fmt.Printf("\n%s, %d cores, kernel %s, commit %s\n", m.CPU, m.Cores, m.Kernel, *s.commit)
	trials := make([]e2e.Trial, len(all))
	for i := range all {
		trials[i] = all[i].Trial
	}
	err = errors.Join(err, e2e.Report(os.Stdout, o.Devices, trials, failures))
	if *s.svg != "" {
		err = errors.Join(err, figure(*s.svg, all, o.Devices, failures))
	}
	return err
}

// devices are all there are, in the order of the tables.
var devices = []struct {
	name string
	make func(name, box, asavie string) e2e.Device
}{
	{"penstock", func(name, box, _ string) e2e.Device { return e2e.Penstock(name, box, 1000) }},
	{"penstock-1M", func(name, box, _ string) e2e.Device { return e2e.Penstock(name, box, 1_000_000) }},
	{"asavie", func(_, _, asavie string) e2e.Device { return e2e.Asavie(asavie) }},
	{"testpmd", func(string, string, string) e2e.Device { return e2e.Testpmd() }},
	{"ovs", func(name, _, _ string) e2e.Device { return e2e.OVS(name, false) }},
	{"ovs-vxlan", func(name, _, _ string) e2e.Device { return e2e.OVS(name, true) }},
	{"kernel-route", func(string, string, string) e2e.Device { return e2e.KernelRoute() }},
	{"kernel-bridge", func(string, string, string) e2e.Device { return e2e.KernelBridge() }},
	{"xdp-redirect", func(string, string, string) e2e.Device { return e2e.XDPRedirect() }},
	{"penstock-balance", func(name, box, _ string) e2e.Device { return e2e.Balancer(name, box, false) }},
	{"penstock-balance-local", func(name, box, _ string) e2e.Device { return e2e.Balancer(name, box, true) }},
	{"nft-dnat", func(string, string, string) e2e.Device { return e2e.NftDNAT() }},
	{"xdp-balance", func(string, string, string) e2e.Device { return e2e.XDPBalance() }},
	{"penstock-busy", func(name, box, _ string) e2e.Device { return e2e.Busy(name, box) }},
	{"penstock-2q", func(name, box, _ string) e2e.Device { return e2e.TwoWorkers(name, box, false) }},
	{"penstock-handoff", func(name, box, _ string) e2e.Device { return e2e.TwoWorkers(name, box, true) }},
}

// single is how many of the devices have one core; "all" are these.
const single = 9

func names() (all []string) {
	for _, d := range devices {
		all = append(all, d.name)
	}
	return all
}

// options turns the settings into options.
func (s *settings) options(o *e2e.Options) (err error) {
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	// The device's directory is another one.
	box, err := filepath.Abs(*s.penstock)
	if err != nil {
		return err
	}
	asavie, err := filepath.Abs(*s.asavie)
	if err != nil {
		return err
	}
	wanted := strings.Split(*s.duts, ",")
	if *s.duts == "all" {
		wanted = names()[:single]
	}
	for _, name := range wanted {
		i := slices.Index(names(), name)
		if i < 0 {
			return fmt.Errorf("-duts: no device %q: there are %s", name, strings.Join(names(), ", "))
		}
		o.Devices = append(o.Devices, devices[i].make(name, box, asavie))
	}
	for _, size := range strings.Split(*s.sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-sizes: %q is no number", size)
		}
		o.Sizes = append(o.Sizes, n)
	}
	for _, name := range strings.Split(*s.places, ",") {
		p, err := e2e.ParsePlacement(name)
		if err != nil {
			return fmt.Errorf("-placements: %w", err)
		}
		o.Places = append(o.Places, p)
	}
	for _, name := range strings.Split(*s.measures, ",") {
		m, err := e2e.ParseMeasure(name)
		if err != nil {
			return fmt.Errorf("-measures: %w", err)
		}
		o.Measures = append(o.Measures, m)
	}
	for _, name := range strings.Split(*s.sinks, ",") {
		n, err := e2e.ParseSinkNAPI(name)
		if err != nil {
			return fmt.Errorf("-sink-napi: %w", err)
		}
		o.Sinks = append(o.Sinks, n)
	}
	return nil
}
