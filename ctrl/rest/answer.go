package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Reply writes v as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Errorf("the answer could not be encoded: %w", err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // a caller that has disconnected needs no answer
}

// ETag sets the revision of an answer.
func ETag(w http.ResponseWriter, revision uint64) {
	w.Header().Set("ETag", `"`+strconv.FormatUint(revision, 10)+`"`)
}

// Stream is an answer without an end: it ends with the caller or with the server.
type Stream struct {
	Ctx context.Context // done when the caller disconnects or the server ends
	w   http.ResponseWriter
	rc  *http.ResponseController
}

// Stream answers r with the head of a stream and calls send with the stream. Config.MaxStreams bounds the streams. A
// HEAD request gets the head alone.
func (s *Server) Stream(w http.ResponseWriter, r *http.Request, mediaType string, send func(*Stream) error) error {
	c := connOf(r)
	if r.Method != http.MethodHead {
		if c.reserved || !c.limiter.stream(c.peer) {
			return Problem(http.StatusServiceUnavailable, CodeBusy, "", "close one, or try again later",
				fmt.Sprintf("too many event streams are open already: there may be %d, of which half are for one user",
					c.limiter.b.Streams))
		}
		defer c.limiter.streamEnds(c.peer)
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	w.(*slowWriter).d.last = time.Time{}
	st := &Stream{w: w, rc: http.NewResponseController(w)}
	if err := st.rc.Flush(); err != nil {
		return nil // the caller is gone
	}
	var cancel context.CancelFunc
	st.Ctx, cancel = context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	return send(st)
}

// Send writes p to the caller at once. An error means that the caller has disconnected or does not read.
func (st *Stream) Send(p []byte) error {
	if _, err := st.w.Write(p); err != nil {
		return err
	}
	return st.rc.Flush()
}
