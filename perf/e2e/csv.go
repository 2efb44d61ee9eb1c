package e2e

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
)

// column is a column of a results file whose rows are of type R. A new one goes to the end: rows that were written
// before it have nothing there, and keep what they were read into.
type column[R any] struct {
	name string
	text func(*R) string
	read func(*R, string) error
}

func text[R any](name string, field func(*R) *string) column[R] {
	return column[R]{
		name,
		func(r *R) string { return *field(r) },
		func(r *R, s string) error { *field(r) = s; return nil },
	}
}

func real[R any](name string, digits int, field func(*R) *float64) column[R] {
	return column[R]{
		name, func(r *R) string { return strconv.FormatFloat(*field(r), 'f', digits, 64) },
		func(r *R, s string) (err error) { *field(r), err = strconv.ParseFloat(s, 64); return err },
	}
}

func count[R any](name string, field func(*R) *uint64) column[R] {
	return column[R]{
		name, func(r *R) string { return strconv.FormatUint(*field(r), 10) },
		func(r *R, s string) (err error) { *field(r), err = strconv.ParseUint(s, 10, 64); return err },
	}
}

func number[R any](name string, field func(*R) *int) column[R] {
	return column[R]{
		name, func(r *R) string { return strconv.Itoa(*field(r)) },
		func(r *R, s string) (err error) { *field(r), err = strconv.Atoi(s); return err },
	}
}

func moment[R any](name string, field func(*R) *time.Time) column[R] {
	return column[R]{
		name, func(r *R) string { return field(r).UTC().Format(time.RFC3339) },
		func(r *R, s string) (err error) { *field(r), err = time.Parse(time.RFC3339, s); return err },
	}
}

// micro is a column of times, in microseconds with three digits behind the point.
func micro[R any](name string, field func(*R) *time.Duration) column[R] {
	return column[R]{
		name, func(r *R) string { return strconv.FormatFloat(float64(field(r).Nanoseconds())/1e3, 'f', 3, 64) },
		func(r *R, s string) error {
			us, err := strconv.ParseFloat(s, 64)
			*field(r) = time.Duration(math.Round(us * 1e3))
			return err
		},
	}
}

// constant is a column that is the same, or follows from others, in every row.
func constant[R any](name string, text func(*R) string) column[R] {
	return column[R]{name, text, func(*R, string) error { return nil }}
}

func header[R any](columns []column[R]) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// readRows reads a results file, also one that was written before the last columns came.
func readRows[R any](r io.Reader, columns []column[R], zero R) ([]R, error) {
	lines, err := readLines(r, header(columns))
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	var rows []R
	for n, line := range lines[1:] {
		row := zero
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
func readLines(r io.Reader, want []string) ([][]string, error) {
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("e2e: results: %w", err)
	}
	if len(lines) > 0 {
		if have := lines[0]; len(have) > len(want) || !slices.Equal(have, want[:len(have)]) {
			return nil, fmt.Errorf("e2e: results: other columns (%q): move the file away", have)
		}
	}
	return lines, nil
}

// appendRows adds rows to the results file at path, which it makes if there is none. If the file lacks the last columns
// it gets them, empty. It refuses a file with others.
func appendRows[R any](path string, columns []column[R], rows []R) (err error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("e2e: results: %w", err)
	}
	lines, err := readLines(bytes.NewReader(old), header(columns))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	whole := len(lines) > 0 && len(lines[0]) == len(columns)
	if !whole {
		for i := range lines {
			lines[i] = append(lines[i], make([]string, len(columns)-len(lines[i]))...)
		}
		lines = append([][]string{header(columns)}, lines[min(1, len(lines)):]...)
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
