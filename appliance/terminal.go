package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// fits reports whether w is a terminal of at least so many columns and lines. A terminal of unknown size fits.
func fits(w any, columns, lines int) bool {
	if !isTerminal(w) {
		return false
	}
	size, err := unix.IoctlGetWinsize(int(w.(*os.File).Fd()), unix.TIOCGWINSZ)
	return err != nil || size.Col == 0 || int(size.Col) >= columns && int(size.Row) >= lines
}

// cut shortens a line to the width of w, if w is a terminal of known size: a line that wraps cannot be overwritten.
func cut(w any, line string) string {
	if !isTerminal(w) {
		return line
	}
	size, err := unix.IoctlGetWinsize(int(w.(*os.File).Fd()), unix.TIOCGWINSZ)
	if r := []rune(line); err == nil && size.Col > 1 && len(r) >= int(size.Col) {
		return string(r[:size.Col-1])
	}
	return line
}

// progress counts the octets read from r and prints the count to out, on one line, until stop.
func progress(r io.Reader, out io.Writer, every time.Duration) (counted io.Reader, stop func()) {
	c := &countingReader{r: r}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		drawn := false
		for {
			select {
			case <-ended:
				if drawn {
					fmt.Fprint(out, "\r\x1b[K")
				}
				return
			case <-tick.C:
				drawn = true
				fmt.Fprintf(out, "\r\x1b[K%.1f MB sent", float64(c.n.Load())/1e6)
			}
		}
	}()
	return c, func() { close(ended); <-done }
}

type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
