// Command failover measures for how long traffic is blocked when a gateway fails, through the box and through
// keepalived (package failover). `make bench-failover` and `make bench-failover-stress` run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"penstock/perf/failover"
	"penstock/perf/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(64)
	default:
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// threads that may run Go code: the sender is not to wait until another goroutine has had its turn.
const threads = 8

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "stress" {
		return stress(ctx, args[1:])
	}
	f := flag.NewFlagSet("failover", flag.ContinueOnError)
	o := failover.Options{Progress: os.Stderr}
	f.StringVar(&o.Binary, "penstock", "bin/penstock", "the box's `program`")
	f.IntVar(&o.Runs, "runs", 10, "`number` of runs of every fault with every device")
	f.IntVar(&o.Rate, "rate", 10_000, "datagrams per second")
	f.IntVar(&o.Bindings, "bindings", 1_000_000, "`number` of bindings that are pushed")
	f.BoolVar(&o.All, "all", false, "also the faults that tell little of a device, or take it long")
	devices := f.String("devices", "box:10ms,box:100ms,keepalived:10ms,keepalived:100ms,keepalived:1s",
		"`list` of devices with the interval of their probes or advertisements")
	faults := f.String("faults", "all", "`list` of faults")
	results := f.String("results", "", "`file` to append the results to, as CSV; empty: none")
	commit := f.String("commit", "unknown", "`commit` that is measured, for the results")
	if err := parse(f, args); err != nil {
		return err
	}
	var err error
	if o.Devices, err = failover.ParseDevices(*devices); err != nil {
		return err
	}
	if o.Faults, err = failover.ParseFaults(*faults); err != nil {
		return err
	}
	if o.Binary, err = filepath.Abs(o.Binary); err != nil {
		return err
	}
	m, err := machine.This()
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(runtime.NumCPU(), threads))
	began := time.Now()
	all, err := failover.Measure(ctx, o)
	if len(all) > 0 {
		fmt.Printf("\n%s, %d cores, kernel %s, commit %s, %v\n",
			m.CPU, m.Cores, m.Kernel, *commit, time.Since(began).Round(time.Second))
		err = errors.Join(err, failover.Report(os.Stdout, &o, all))
	}
	if *results == "" || len(all) == 0 {
		return err
	}
	rows := make([]failover.Row, len(all))
	for i, r := range all {
		rows[i] = failover.Row{Date: began, Commit: *commit, Machine: m, Result: r}
	}
	return errors.Join(err, failover.Append(*results, rows))
}

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces and AF_XDP need root: run it with sudo")
	}
	return nil
}
