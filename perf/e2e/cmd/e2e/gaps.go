package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"penstock/perf/e2e"
)

// gaps measures the gaps of the worker's loop.
func gaps(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("e2e gaps", flag.ContinueOnError)
	g := e2e.GapOptions{Progress: os.Stderr}
	f.StringVar(&g.Binary, "penstock", "bin/penstock", "the box's `program`")
	f.IntVar(&g.Bindings, "bindings", 1_000_000, "`number` of bindings in the table, and pushed each time")
	f.Float64Var(&g.Rate, "rate", 0, "frames per second; 0: as fast as the kernel takes them")
	f.DurationVar(&g.Warmup, "warmup", 3*time.Second, "load before each measurement")
	f.DurationVar(&g.Measure, "measure", 20*time.Second, "length of each measurement")
	f.BoolVar(&g.Apart, "apart", false, "keep the box's other threads off the worker's CPU")
	f.IntVar(&g.Nice, "nice", 0, "niceness of the worker (dataplane.nice)")
	f.IntVar(&g.FIFO, "fifo", 0, "real-time priority of the worker, as chrt --fifo sets it; 0: none")
	f.IntVar(&g.DeviceCPU, "device-cpu", 0, "`CPU` of the worker")
	f.IntVar(&g.LoadCPU, "load-cpu", 1, "`CPU` of the source, of what pushes, and of everything else here")
	results := f.String("results", "", "`file` to append the results to, as CSV; empty: none")
	commit := f.String("commit", "unknown", "`commit` that is measured, for the results")
	if err := f.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces and AF_XDP need root: run it with sudo")
	}
	m, err := e2e.ThisMachine()
	if err != nil {
		return err
	}
	if g.Self, err = os.Executable(); err != nil {
		return err
	}
	if g.Binary, err = filepath.Abs(g.Binary); err != nil {
		return err
	}
	g.Scenarios = e2e.Scenarios
	date := time.Now()
	all, err := e2e.MeasureGaps(ctx, g)
	if len(all) > 0 {
		fmt.Printf("\n%s, %d cores, kernel %s, commit %s\n", m.CPU, m.Cores, m.Kernel, *commit)
		err = errors.Join(err, e2e.ReportGaps(os.Stdout, &g, all))
	}
	if *results == "" || err != nil {
		return err
	}
	rows := make([]e2e.GapRow, len(all))
	for i, x := range all {
		rows[i] = e2e.GapRow{Date: date, Commit: *commit, Machine: m, Options: &g, Gaps: x}
	}
	return e2e.AppendGaps(*results, rows)
}
