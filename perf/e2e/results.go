package e2e

import (
	"io"
	"strconv"
	"time"
)

// Row is a trial in the results file.
type Row struct {
	Date    time.Time // when the run began
	Commit  string
	Machine Machine
	Trial
}

// columns of the results file. Rates are frames per second, loss and CPU shares from 0 to 1.
var columns = []column[Row]{
	moment("date", func(r *Row) *time.Time { return &r.Date }),
	text("commit", func(r *Row) *string { return &r.Commit }),
	text("machine", func(r *Row) *string { return &r.Machine.CPU }),
	number("cores", func(r *Row) *int { return &r.Machine.Cores }),
	text("kernel", func(r *Row) *string { return &r.Machine.Kernel }),
	constant("driver", func(*Row) string { return "veth" }),
	text("mode", func(r *Row) *string { return &r.Mode }),
	text("dut", func(r *Row) *string { return &r.Device }),
	number("size", func(r *Row) *int { return &r.Size }),
	{
		"quota", func(r *Row) string { return r.Place.Name },
		func(r *Row, s string) (err error) { r.Place, err = ParsePlacement(s); return err },
	},
	number("round", func(r *Row) *int { return &r.Round }),
	real("seconds", 3, func(r *Row) *float64 { return &r.Seconds }),
	real("rx_pps", 0, func(r *Row) *float64 { return &r.Rate }),
	real("sent_pps", 0, func(r *Row) *float64 { return &r.SentRate }),
	constant("loss", func(r *Row) string { return strconv.FormatFloat(r.Loss(), 'f', 6, 64) }),
	count("sent", func(r *Row) *uint64 { return &r.Sent }),
	count("received", func(r *Row) *uint64 { return &r.Received }),
	count("other", func(r *Row) *uint64 { return &r.Other }),
	real("cpu", 3, func(r *Row) *float64 { return &r.CPU }),
	real("load1", 2, func(r *Row) *float64 { return &r.Load1 }),
	{
		"sink_napi", func(r *Row) string { return string(r.Sink) },
		func(r *Row, s string) (err error) { r.Sink, err = ParseSinkNAPI(s); return err },
	},
	count("door_drops", func(r *Row) *uint64 { return &r.DoorDrops }),
	count("sink_drops", func(r *Row) *uint64 { return &r.SinkDrops }),
	{
		"measure", func(r *Row) string { return string(r.Measure) },
		func(r *Row, s string) (err error) { r.Measure, err = ParseMeasure(s); return err },
	},
	real("pdr_upper_pps", 0, func(r *Row) *float64 { return &r.PDRUpper }),
	{
		"source_limited", func(r *Row) string { return strconv.FormatBool(r.SourceLimited) },
		func(r *Row, s string) (err error) { r.SourceLimited, err = strconv.ParseBool(s); return err },
	},
	micro("p50_us", func(r *Row) *time.Duration { return &r.Delay.P50 }),
	micro("p99_us", func(r *Row) *time.Duration { return &r.Delay.P99 }),
	micro("p999_us", func(r *Row) *time.Duration { return &r.Delay.P999 }),
	micro("max_us", func(r *Row) *time.Duration { return &r.Delay.Max }),
	count("delays", func(r *Row) *uint64 { return &r.Delay.Frames }),
}

// ReadResults reads a results file, also one that was written before the last columns came.
func ReadResults(r io.Reader) ([]Row, error) {
	return readRows(r, columns, Row{Trial: Trial{Sink: SinkInline, Measure: Throughput}}) // before there was a choice
}

// Append adds rows to the results file at path, which it makes if there is none. If the file lacks the last columns it
// gets them, empty. It refuses a file with others.
func Append(path string, rows []Row) error { return appendRows(path, columns, rows) }
