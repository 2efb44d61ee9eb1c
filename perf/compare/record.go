package compare

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/perf/benchfmt"

	"penstock/perf/csvfile"
	"penstock/perf/machine"
)

// Row is one benchmark's runs in results/pipeline.csv.
type Row struct {
	Date      time.Time
	Commit    string
	Machine   machine.Machine
	Benchmark string
	Runs      int
	Median    float64 // of the runs' median rounds where there are rounds, else of the runs; ns/op
	Fastest   float64 // round, or run; ns/op
	Bytes     float64 // B/op at most, NaN if not measured
	Allocs    float64 // allocs/op at most, NaN if not measured
}

var columns = []string{
	"date", "commit", "machine", "cores", "kernel", "benchmark",
	"runs", "median_ns", "fastest_ns", "bytes_per_op", "allocs_per_op",
}

func (r *Row) fields() []string {
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 5, 64)
	}
	return []string{
		r.Date.UTC().Format(time.RFC3339), r.Commit, r.Machine.CPU, strconv.Itoa(r.Machine.Cores), r.Machine.Kernel,
		r.Benchmark, strconv.Itoa(r.Runs), number(r.Median), number(r.Fastest), number(r.Bytes), number(r.Allocs),
	}
}

// Rows makes a row of each benchmark in what `go test -bench` has written, in its order. Benchmarks without a time are
// left out.
func Rows(text []byte, date time.Time, commit string, m machine.Machine) ([]Row, error) {
	var names []string
	times, fastest := map[string][]float64{}, map[string]float64{}
	bytesPer, allocs := map[string]float64{}, map[string]float64{}
	r := benchfmt.NewReader(bytes.NewReader(text), "benchmark output")
	for r.Scan() {
		rec, ok := r.Result().(*benchfmt.Result)
		if bad, is := r.Result().(*benchfmt.SyntaxError); is {
			return nil, fmt.Errorf("record: %w", bad)
		}
		if !ok {
			continue
		}
		name, values := string(rec.Name.Full()), map[string]float64{}
		for _, v := range rec.Values {
			if v.OrigUnit != "" {
				values[v.OrigUnit] = v.OrigValue
			} else {
				values[v.Unit] = v.Value
			}
		}
		typical, ok := values["ns/op"]
		if !ok {
			continue
		}
		least := typical
		if v, ok := values["median-ns/op"]; ok {
			typical, least = v, values["min-ns/op"]
		}
		if times[name] == nil {
			names = append(names, name)
			fastest[name], bytesPer[name], allocs[name] = math.Inf(1), math.NaN(), math.NaN()
		}
		times[name] = append(times[name], typical)
		fastest[name] = min(fastest[name], least)
		most(bytesPer, name, values, "B/op")
		most(allocs, name, values, "allocs/op")
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("record: no benchmark in the text")
	}
	rows := make([]Row, len(names))
	for i, name := range names {
		rows[i] = Row{
			date, commit, m, name, len(times[name]), median(times[name]),
			fastest[name], bytesPer[name], allocs[name],
		}
	}
	return rows, nil
}

func most(of map[string]float64, name string, values map[string]float64, unit string) {
	if v, ok := values[unit]; ok && !(of[name] >= v) {
		of[name] = v
	}
}

// Append adds rows to a file, see csvfile.Append.
func Append(path string, rows []Row) error {
	return csvfile.Append(path, columns, rows, (*Row).fields)
}
