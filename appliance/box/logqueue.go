package box

import (
	"bytes"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// logQueue writes log lines to an output that may block, such as a pipe without a reader. It accepts lines without
// waiting, and counts the lines that found no room.
type logQueue struct {
	to    io.Writer
	lines chan logLine
	lost  atomic.Uint64
	warn  *slog.Logger // to the same place, of lines that were lost
}

// logLine is a line, or a request for a signal when all lines before it are written.
type logLine struct {
	text []byte
	done chan struct{}
}

// logRoom is the limit of waiting lines.
const logRoom = 4096

func newLogQueue(to io.Writer, warn *slog.Logger) *logQueue {
	q := &logQueue{to: to, lines: make(chan logLine, logRoom), warn: warn}
	go q.run()
	return q
}

// Write implements io.Writer. It never fails and never waits.
func (q *logQueue) Write(line []byte) (int, error) {
	select {
	case q.lines <- logLine{text: bytes.Clone(line)}:
	default:
		q.lost.Add(1)
	}
	return len(line), nil
}

func (q *logQueue) run() {
	for l := range q.lines {
		if l.done != nil {
			close(l.done)
			continue
		}
		_, _ = q.to.Write(l.text) // there is no other place to complain
		if n := q.lost.Swap(0); n > 0 {
			q.warn.Warn("log lines were lost: what reads standard error is too slow", "lines", n)
		}
	}
}

// flush waits until all lines are written, at most for the given time.
func (q *logQueue) flush(within time.Duration) {
	end := time.After(within)
	done := make(chan struct{})
	select {
	case q.lines <- logLine{done: done}:
	case <-end:
		return
	}
	select {
	case <-done:
	case <-end:
	}
}
