package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"penstock/perf/e2e"
)

// draw draws the last run of a results file.
func draw(_ context.Context, args []string) error {
	f := flag.NewFlagSet("e2e plot", flag.ContinueOnError)
	results := f.String("results", "perf/results/e2e.csv", "`file` with results")
	svg := f.String("svg", "perf/results/e2e.svg", "`file` to write")
	if err := f.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	file, err := os.Open(*results)
	if err != nil {
		return err
	}
	defer file.Close()
	rows, err := e2e.ReadResults(file)
	if err != nil {
		return err
	}
	rows = e2e.Last(rows)
	return figure(*svg, rows, e2e.Named(rows), nil)
}

// figure writes a figure to a file.
func figure(path string, rows []e2e.Row, devices []e2e.Device, failures []e2e.Failure) error {
	var b bytes.Buffer
	if err := e2e.Figure(&b, rows, devices, failures); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
