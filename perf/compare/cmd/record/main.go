// Command record appends benchmarks' figures to a CSV file, with commit, machine and kernel. `make bench` runs it.
//
//	record -commit COMMIT -in results/new.txt -out results/pipeline.csv
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"penstock/perf/compare"
	"penstock/perf/machine"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	in := flag.String("in", "perf/results/new.txt", "`file` that go test -bench has written")
	out := flag.String("out", "perf/results/pipeline.csv", "`file` to append to")
	commit := flag.String("commit", "unknown", "`commit` that was measured")
	flag.Parse()
	text, err := os.ReadFile(*in)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	m, err := machine.This()
	if err != nil {
		return err
	}
	rows, err := compare.Rows(text, time.Now(), *commit, m)
	if err != nil {
		return err
	}
	return compare.Append(*out, rows)
}
