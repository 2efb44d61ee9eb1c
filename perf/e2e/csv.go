package e2e

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"
)

// Columns of the results file: a row for each trial. Rates are frames per second, loss and CPU shares from 0 to 1.
var columns = []string{
	"date", "commit", "machine", "cores", "kernel", "driver", "mode", "dut", "size", "quota", "round", "seconds",
	"rx_pps", "sent_pps", "loss", "sent", "received", "other", "cpu", "load1",
}

// Append adds trials to the results file at path, which it makes if there is none. It refuses a file with other columns.
func Append(path string, date time.Time, commit string, m Machine, trials []Trial) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("e2e: results: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := csv.NewWriter(f)
	switch have, err := csv.NewReader(f).Read(); {
	case errors.Is(err, io.EOF):
		if err := w.Write(columns); err != nil {
			return fmt.Errorf("e2e: results: %w", err)
		}
	case err != nil:
		return fmt.Errorf("e2e: results: %s: %w", path, err)
	case !slices.Equal(have, columns):
		return fmt.Errorf("e2e: results: %s has other columns (%q): move it away", path, have)
	}
	number := func(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
	for i := range trials {
		t := &trials[i]
		if err := w.Write([]string{
			date.UTC().Format(time.RFC3339), commit, m.CPU, strconv.Itoa(m.Cores), m.Kernel, "veth", t.Mode,
			t.Device, strconv.Itoa(t.Size), t.Quota.Name, strconv.Itoa(t.Round), number(t.Seconds, 3),
			number(t.Rate, 0), number(t.SentRate, 0), number(t.Loss(), 6),
			strconv.FormatUint(t.Sent, 10), strconv.FormatUint(t.Received, 10), strconv.FormatUint(t.Other, 10), number(t.CPU, 3), number(t.Load1, 2),
		}); err != nil {
			return fmt.Errorf("e2e: results: %w", err)
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("e2e: results: %w", err)
	}
	return nil
}
