package rest

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// minRate is the least average rate of a body after IdleTimeout, in octets a second.
const minRate = 4096

// deadlines bounds the time without progress of a body or an answer, and the duration of both.
type deadlines struct {
	rc   *http.ResponseController
	idle time.Duration
	log  *slog.Logger
	r    *http.Request

	start    time.Time // of the body's reading
	received int64     // octets of the body
	end      time.Time // of the body
	last     time.Time // of the answer; zero = no deadline
	cut      *counters
}

// counters of a Server.
type counters struct{ slowBodies, slowReaders atomic.Uint64 }

func (d *deadlines) next(bounds ...time.Time) time.Time {
	t := time.Now().Add(d.idle)
	for _, b := range bounds {
		if !b.IsZero() && b.Before(t) {
			t = b
		}
	}
	return t
}

// overdue counts and logs a caller who was cut off.
func (d *deadlines) overdue(err error, n *atomic.Uint64, what string) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		n.Add(1)
		p := PeerOf(d.r)
		d.log.Warn(what, "method", d.r.Method, "path", d.r.URL.Path, "caller", p.Name, "pid", p.PID)
	}
}

// slowBody is a request's body with deadlines.
type slowBody struct {
	io.ReadCloser
	d     *deadlines
	ended bool // the whole body was read
}

// bodyError is an error of reading a body: a fault of the caller, or a caller that has disconnected.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (b *slowBody) Read(p []byte) (int, error) {
	d := b.d
	if d.start.IsZero() {
		d.start = time.Now()
	}
	rate := d.start.Add(d.idle + time.Duration(d.received)*(time.Second/minRate))
	// Errors are ignored: the layer below may not support deadlines.
	_ = d.rc.SetReadDeadline(d.next(d.end, rate))
	n, err := b.ReadCloser.Read(p)
	d.received += int64(n)
	if err != nil {
		// else the server's read that detects a disconnect would run into the deadline
		_ = d.rc.SetReadDeadline(time.Time{})
		if b.ended = err == io.EOF; !b.ended {
			d.overdue(err, &d.cut.slowBodies, "a caller who sends too slowly was cut off")
			err = &bodyError{err}
		}
	}
	return n, err
}

// slowWriter is an answer with deadlines. It leaves the body of an answer to HEAD out.
type slowWriter struct {
	http.ResponseWriter
	d      *deadlines
	status int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.d.r.Method == http.MethodHead {
		return len(p), nil
	}
	_ = w.d.rc.SetWriteDeadline(w.d.next(w.d.last))
	n, err := w.ResponseWriter.Write(p)
	if err != nil {
		w.d.overdue(err, &w.d.cut.slowReaders, "a caller who reads too slowly was cut off")
	}
	return n, err
}

func (w *slowWriter) WriteHeader(status int) {
	_ = w.d.rc.SetWriteDeadline(w.d.next(w.d.last))
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// FlushError serves http.ResponseController.
func (w *slowWriter) FlushError() error {
	_ = w.d.rc.SetWriteDeadline(w.d.next(w.d.last))
	err := w.d.rc.Flush()
	if err != nil {
		w.d.overdue(err, &w.d.cut.slowReaders, "a caller who reads too slowly was cut off")
	}
	return err
}

// Unwrap serves http.ResponseController.
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
