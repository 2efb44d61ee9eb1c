package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"penstock/perf/failover"
	"penstock/perf/machine"
)

// stress looks for switches without a fault.
func stress(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("failover stress", flag.ContinueOnError)
	o := failover.StressOptions{Progress: os.Stderr}
	f.StringVar(&o.Binary, "penstock", "bin/penstock", "the box's `program`")
	f.DurationVar(&o.Duration, "duration", 20*time.Minute, "of the stress")
	f.DurationVar(&o.Interval, "interval", 10*time.Millisecond, "between two probes of a gateway")
	f.IntVar(&o.Hogs, "hogs", 0, "`number` of spinning processes; 0: one for each CPU")
	f.IntVar(&o.Bindings, "bindings", 1_000_000, "`number` of bindings in a push")
	f.IntVar(&o.GOGC, "gogc", 10, "GOGC of the box")
	f.IntVar(&o.Rate, "rate", 10_000, "datagrams per second")
	peers := f.String("peers", "keepalived:10ms,keepalived:100ms",
		"`list` of devices that are under the same stress; empty: none")
	commit := f.String("commit", "unknown", "`commit` that is tested, for the report")
	if err := parse(f, args); err != nil {
		return err
	}
	var err error
	if *peers != "" {
		if o.Peers, err = failover.ParseDevices(*peers); err != nil {
			return err
		}
	}
	if o.Binary, err = filepath.Abs(o.Binary); err != nil {
		return err
	}
	m, err := machine.This()
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(runtime.NumCPU(), threads))
	res, err := failover.Stress(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s, %d cores, kernel %s, commit %s\n", m.CPU, m.Cores, m.Kernel, *commit)
	res.Report(os.Stdout, &o)
	return res.Err()
}
