// Command compare runs the benchmarks of a revision and of the work tree in turns, with package compare.
// `make bench-compare REV=…` runs it.
//
//	compare -rev REV [-bench REGEXP] [-packages perf] [-rounds 10] [-benchtime 500ms] [-out DIR]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"penstock/perf/compare"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	o := compare.Options{Progress: os.Stderr}
	f.StringVar(&o.Rev, "rev", "", "`revision` to compare the work tree with")
	f.StringVar(&o.Bench, "bench", ".", "`regexp` of the benchmarks")
	f.StringVar(&o.Time, "benchtime", "500ms", "`time` or number of runs (100x) of each benchmark in a round")
	f.IntVar(&o.Rounds, "rounds", 10, "rounds in which each side runs all benchmarks once")
	packages := f.String("packages", "perf", "`directories` of the packages, separated by commas")
	out := f.String("out", "bin/compare", "`directory` for the output of all rounds")
	if err := f.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.Packages = strings.Split(*packages, ",")
	var err error
	if o.Tree, err = os.Getwd(); err != nil {
		return err
	}
	res, err := compare.Run(ctx, o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	old, new := filepath.Join(*out, "old.txt"), filepath.Join(*out, "new.txt")
	if err := errors.Join(os.WriteFile(old, res.Old, 0o644), os.WriteFile(new, res.New, 0o644)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "benchstat", res.Commit+"="+old, "work tree="+new)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("benchstat: %w", err)
	}
	fmt.Println()
	return compare.Report(os.Stdout, res.Noise)
}
