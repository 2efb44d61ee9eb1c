package e2e

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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

// column is a column of the results file. A new one goes to the end: rows that were written before it have nothing
// there, and read keeps the zero value.
type column struct {
	name string
	text func(*Row) string
	read func(*Row, string) error
}

func text(name string, field func(*Row) *string) column {
	return column{name, func(r *Row) string { return *field(r) }, func(r *Row, s string) error { *field(r) = s; return nil }}
}

func real(name string, digits int, field func(*Row) *float64) column {
	return column{
		name, func(r *Row) string { return strconv.FormatFloat(*field(r), 'f', digits, 64) },
		func(r *Row, s string) (err error) { *field(r), err = strconv.ParseFloat(s, 64); return err },
	}
}

func count(name string, field func(*Row) *uint64) column {
	return column{
		name, func(r *Row) string { return strconv.FormatUint(*field(r), 10) },
		func(r *Row, s string) (err error) { *field(r), err = strconv.ParseUint(s, 10, 64); return err },
	}
}

func number(name string, field func(*Row) *int) column {
	return column{
		name, func(r *Row) string { return strconv.Itoa(*field(r)) },
		func(r *Row, s string) (err error) { *field(r), err = strconv.Atoi(s); return err },
	}
}

// constant is a column that is the same, or follows from others, in every row.
func constant(name string, text func(*Row) string) column {
	return column{name, text, func(*Row, string) error { return nil }}
}

// columns of the results file. Rates are frames per second, loss and CPU shares from 0 to 1.
var columns = []column{
	{
		"date", func(r *Row) string { return r.Date.UTC().Format(time.RFC3339) },
		func(r *Row, s string) (err error) { r.Date, err = time.Parse(time.RFC3339, s); return err },
	},
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
}

func header() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// ReadResults reads a results file, also one that was written before the last columns came.
func ReadResults(r io.Reader) ([]Row, error) {
	lines, err := readLines(r)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	var rows []Row
	for n, line := range lines[1:] {
		row := Row{Trial: Trial{Sink: SinkInline}} // before there was a choice
		for i, s := range line {
			if s == "" {
				continue // written before there was such a column
			}
			if err := columns[i].read(&row, s); err != nil {
				return nil, fmt.Errorf("e2e: results: row %d, column %s: %w", n+1, columns[i].name, err)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// readLines reads header and rows as they stand there. The header must be that of this or an earlier version.
func readLines(r io.Reader) ([][]string, error) {
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("e2e: results: %w", err)
	}
	if len(lines) > 0 {
		if have, want := lines[0], header(); len(have) > len(want) || !slices.Equal(have, want[:len(have)]) {
			return nil, fmt.Errorf("e2e: results: other columns (%q): move the file away", have)
		}
	}
	return lines, nil
}

// Append adds rows to the results file at path, which it makes if there is none. If the file lacks the last columns it
// gets them, empty. It refuses a file with others.
func Append(path string, rows []Row) (err error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("e2e: results: %w", err)
	}
	lines, err := readLines(bytes.NewReader(old))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	whole := len(lines) > 0 && len(lines[0]) == len(columns)
	if !whole {
		for i := range lines {
			lines[i] = append(lines[i], make([]string, len(columns)-len(lines[i]))...)
		}
		lines = append([][]string{header()}, lines[min(1, len(lines)):]...)
	} else {
		lines = nil
	}
	for i := range rows {
		line := make([]string, len(columns))
		for k, c := range columns {
			line[k] = c.text(&rows[i])
		}
		lines = append(lines, line)
	}
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(lines); err != nil {
		return fmt.Errorf("e2e: results: %w", err)
	}
	if whole {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return fmt.Errorf("e2e: results: %w", err)
		}
		if _, err = f.Write(b.Bytes()); err != nil {
			err = fmt.Errorf("e2e: results: %w", err)
		}
		return errors.Join(err, f.Close())
	}
	// In one step: a run that is killed here must not take the old rows with it.
	if err := os.WriteFile(path+".new", b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("e2e: results: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("e2e: results: %w", err)
	}
	return nil
}
