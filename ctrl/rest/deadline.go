package rest

import (
	"io"
	"net/http"
	"time"
)

// deadlines bounds how long a body or an answer may stand still, and a body as a whole.
type deadlines struct {
	rc   *http.ResponseController
	idle time.Duration
	end  time.Time // of the body
}

func (d *deadlines) next(bound time.Time) time.Time {
	t := time.Now().Add(d.idle)
	if !bound.IsZero() && bound.Before(t) {
		return bound
	}
	return t
}

// slowBody is a request's body with deadlines.
type slowBody struct {
	io.ReadCloser
	d *deadlines
}

func (b *slowBody) Read(p []byte) (int, error) {
	// Every layer below is a Unix socket, where setting a deadline cannot fail.
	_ = b.d.rc.SetReadDeadline(b.d.next(b.d.end))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.d.rc.SetReadDeadline(time.Time{}) // else the watch for the caller's going away would run into it
	}
	return n, err
}

// slowWriter is an answer with deadlines.
type slowWriter struct {
	http.ResponseWriter
	d      *deadlines
	status int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	_ = w.d.rc.SetWriteDeadline(w.d.next(time.Time{}))
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *slowWriter) WriteHeader(status int) {
	_ = w.d.rc.SetWriteDeadline(w.d.next(time.Time{}))
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
