// Package csvfile appends measurements to files of results that grow from run to run.
package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Append adds a line for each row to a file. If the file is missing or empty, Append first writes the names of the
// columns. A file with other columns is refused and stays unchanged.
func Append[R any](path string, columns []string, rows []R, fields func(*R) []string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("results: %w", err)
	}
	var all [][]string
	if len(old) == 0 {
		all = append(all, columns)
	} else if have, err := csv.NewReader(bytes.NewReader(old)).Read(); err != nil || !slices.Equal(have, columns) {
		return fmt.Errorf("results: %s has other columns: move it away", path)
	}
	for i := range rows {
		all = append(all, fields(&rows[i]))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return errors.Join(csv.NewWriter(f).WriteAll(all), f.Close())
}

// Read returns a file's lines, the columns' names first.
func Read(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	lines, err := csv.NewReader(f).ReadAll()
	return lines, errors.Join(err, f.Close())
}
