package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// Bulk streams NDJSON from r into a table: kind is model.KindBinding or model.KindPath.
func (c *Client) Bulk(ctx context.Context, kind model.Kind, r io.Reader, mode core.BulkMode,
	o WriteOptions) (res core.BulkResult, err error) {
	q := o.query()
	q.Set("mode", string(mode))
	resp, err := c.Do(ctx, http.MethodPost, "/v1/bulk/"+string(kind), q, o, r)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	return res, json.NewDecoder(resp.Body).Decode(&res)
}

// Export writes a table to w as NDJSON, in the form that Bulk sends. atOnce reports whether all rows are of one
// revision; if not, the table was changed meanwhile, and each row is as it was when it was read. After an error w holds
// a part of the table only.
func (c *Client) Export(ctx context.Context, kind model.Kind, w io.Writer) (atOnce bool, err error) {
	resp, err := c.Do(ctx, http.MethodGet, "/v1/bulk/"+string(kind), nil, WriteOptions{}, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(w, resp.Body); err != nil {
		return false, err
	}
	return strings.Trim(resp.Header.Get("ETag"), `"`) == resp.Trailer.Get("Revision-End"), nil
}

// Event is one line of the event stream.
type Event struct {
	Seq  uint64          `json:"seq"`
	Time time.Time       `json:"time"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data,omitempty"`
}

// WatchOptions of Watch.
type WatchOptions struct {
	Since  *uint64  // resume behind this number; nil = from now on; 0 = all that are kept
	Types  []string // only these; nil = all
	Once   bool     // end with the newest event, do not wait for more
	Resume bool     // when the stream breaks off, connect again and resume behind the last event
}

// Watch calls fn for every event until ctx is done, fn returns an error (which is returned), or the stream ends.
func (c *Client) Watch(ctx context.Context, o WatchOptions, fn func(Event) error) error {
	wait := 100 * time.Millisecond
	first := true
	for {
		err := c.watch(ctx, &o, func(e Event) error {
			wait = 100 * time.Millisecond
			return fn(e)
		})
		var stop *stopped
		if errors.As(err, &stop) {
			return stop.err
		}
		var refused *Error
		if ctx.Err() != nil || !o.Resume || o.Once || errors.As(err, &refused) && refused.Status < 500 {
			return err
		}
		if first && (errors.Is(err, ErrNotRunning) || errors.Is(err, ErrPermission)) {
			return err // the first connection failed: no stream to resume
		}
		first = false
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// stopped carries the error of the caller's function.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

func (c *Client) watch(ctx context.Context, o *WatchOptions, fn func(Event) error) error {
	if o.Since == nil && o.Resume { // so that no event between two connections is lost
		rev, err := c.Revision(ctx)
		if err != nil {
			return err
		}
		o.Since = &rev.Events
	}
	q := url.Values{}
	if o.Since != nil {
		q.Set("since", strconv.FormatUint(*o.Since, 10))
	}
	if len(o.Types) > 0 {
		q.Set("type", strings.Join(o.Types, ","))
	}
	if o.Once {
		q.Set("follow", "false")
	}
	resp, err := c.Do(ctx, http.MethodGet, "/v1/events", q, WriteOptions{}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if len(sc.Bytes()) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			return fmt.Errorf("event stream: %w", err)
		}
		o.Since = &e.Seq
		if err := fn(e); err != nil {
			return &stopped{err}
		}
	}
	return sc.Err()
}
