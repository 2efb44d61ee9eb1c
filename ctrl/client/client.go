// Package client sends requests to the control socket of a box, for the command line, the tests and any other Go
// program on the machine.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
	"penstock/ctrl/status"
)

// DefaultSocket is where a box listens unless it is configured otherwise.
const DefaultSocket = "/run/penstock/control.sock"

// Error is a request that the box refused. Nothing was changed.
type Error struct{ rest.EnvelopeError }

// Error returns field, message and hint of the first fault, and the number of further faults.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	if n := len(e.Problems); n > 1 {
		s += fmt.Sprintf(", and %d more faults", n-1)
	}
	return s
}

// Is reports whether err is a refusal with that code, as "revision_mismatch".
func Is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// ErrNotRunning is wrapped by errors of a socket on which no process listens.
var ErrNotRunning = errors.New("no box answers on it: is penstock running?")

// ErrPermission is wrapped by errors of a socket that the user may not connect to.
var ErrPermission = errors.New(
	"permission denied: become a member of the socket's group, or set readers_any in the configuration")

// Client of one box. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// New makes a client of the box whose control socket is at path; "" is DefaultSocket. If the user may not connect to it
// and the box lets every user read, the client uses the read-only socket beside it.
func New(path string) *Client {
	if path == "" {
		path = DefaultSocket
	}
	c := &Client{socket: path}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableCompression: true, MaxIdleConns: 4}}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if errors.Is(err, syscall.EACCES) {
		ext := filepath.Ext(c.socket)
		if ro, e := d.DialContext(ctx, "unix", strings.TrimSuffix(c.socket, ext)+"-ro"+ext); e == nil {
			return ro, nil
		}
	}
	switch {
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("control socket %s: %w", c.socket, ErrPermission)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("control socket %s: %w", c.socket, ErrNotRunning)
	}
	return conn, err
}

// WriteOptions of any write.
type WriteOptions struct {
	DryRun  bool
	IfMatch *uint64 // the revision that the caller has read; nil = any
}

func (o WriteOptions) query() url.Values {
	q := url.Values{}
	if o.DryRun {
		q.Set("dry_run", "true")
	}
	return q
}

// Do sends a request and hands the answer's body to the caller, who closes it. body may be nil. Refusals are *Error.
func (c *Client) Do(ctx context.Context, method, path string, q url.Values, o WriteOptions,
	body io.Reader) (*http.Response, error) {
	u := "http://box" + path
	if len(q) > 0 {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		u += sep + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if o.IfMatch != nil {
		req.Header.Set("If-Match", `"`+strconv.FormatUint(*o.IfMatch, 10)+`"`)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // the text of a url.Error repeats the URL
			err = ue.Err
		}
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var e rest.Envelope
	if err := json.Unmarshal(text, &e); err != nil || e.Error.Message == "" {
		return nil, fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	}
	return nil, &Error{e.Error}
}

// call sends v as JSON (nil: no body) and decodes the answer into out (nil: discarded).
func (c *Client) call(ctx context.Context, method, path string, q url.Values, o WriteOptions, v, out any) error {
	var body io.Reader
	if v != nil {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	resp, err := c.Do(ctx, method, path, q, o, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Get reads the JSON at path ("/v1/box", "/v1/vifs?tenant=RED") into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodGet, path, nil, WriteOptions{}, nil, out)
}

// Object reads one object into out.
func (c *Client) Object(ctx context.Context, kind model.Kind, key string, out any) error {
	return c.Get(ctx, objectPath(kind, key), out)
}

func objectPath(kind model.Kind, key string) string {
	return "/v1/" + string(kind) + "/" + (&url.URL{Path: key}).EscapedPath()
}

// Each calls fn for every object of a collection, page by page. q may hold filters.
func (c *Client) Each(ctx context.Context, kind model.Kind, q url.Values, fn func(json.RawMessage) error) error {
	p := url.Values{"limit": {"5000"}}
	for k, v := range q {
		p[k] = v
	}
	for {
		var l api.List
		if err := c.call(ctx, http.MethodGet, "/v1/"+string(kind), p, WriteOptions{}, nil, &l); err != nil {
			return err
		}
		for _, it := range l.Items {
			if err := fn(it); err != nil {
				return err
			}
		}
		if l.Next == "" {
			return nil
		}
		p.Set("after", l.Next)
	}
}

// Put creates or replaces an object.
func (c *Client) Put(ctx context.Context, kind model.Kind, key string, value any,
	o WriteOptions) (r core.Result, err error) {
	err = c.call(ctx, http.MethodPut, objectPath(kind, key), o.query(), o, value, &r)
	return r, err
}

// Patch applies a JSON merge patch (RFC 7396) to an object.
func (c *Client) Patch(ctx context.Context, kind model.Kind, key string, patch any,
	o WriteOptions) (r core.Result, err error) {
	err = c.call(ctx, http.MethodPatch, objectPath(kind, key), o.query(), o, patch, &r)
	return r, err
}

// Delete removes an object; an absent object is no error.
func (c *Client) Delete(ctx context.Context, kind model.Kind, key string, o WriteOptions) (r core.Result, err error) {
	err = c.call(ctx, http.MethodDelete, objectPath(kind, key), o.query(), o, nil, &r)
	return r, err
}

// ReleaseBinding ends the hold of a binding whose VIF moved too often.
func (c *Client) ReleaseBinding(ctx context.Context, key model.BindingKey) error {
	path := objectPath(model.KindBinding, key.String()) + "/hold"
	return c.call(ctx, http.MethodDelete, path, nil, WriteOptions{}, nil, nil)
}

// DeleteBindings removes the bindings that match the filter.
func (c *Client) DeleteBindings(ctx context.Context, f core.BindingFilter,
	o WriteOptions) (r core.BulkResult, err error) {
	q := o.query()
	for k, v := range map[string]string{"tenant": f.Tenant, "segment": f.Segment} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.Switch != 0 {
		q.Set("switch", f.Switch.String())
	}
	err = c.call(ctx, http.MethodDelete, "/v1/bindings", q, o, nil, &r)
	return r, err
}

// Transaction applies operations whole or not at all.
func (c *Client) Transaction(ctx context.Context, ops []core.Op, o WriteOptions) (r core.Result, err error) {
	if ops == nil {
		ops = []core.Op{}
	}
	err = c.call(ctx, http.MethodPost, "/v1/transactions", o.query(), o, map[string]any{"operations": ops}, &r)
	return r, err
}

// Revision returns the revision of the tables and the number of the newest event.
func (c *Client) Revision(ctx context.Context) (r api.Revision, err error) {
	return r, c.Get(ctx, "/v1/revision", &r)
}

// Acknowledge acknowledges an alarm, and returns the alarm.
func (c *Client) Acknowledge(ctx context.Context, id uint64, comment string) (a alarm.Alarm, err error) {
	body := map[string]string{}
	if comment != "" {
		body["comment"] = comment
	}
	err = c.call(ctx, http.MethodPost, fmt.Sprintf("/v1/alarms/%d/acknowledge", id), nil, WriteOptions{}, body, &a)
	return a, err
}

// GatewayOptions of a command to a gateway group.
type GatewayOptions struct {
	Member       string `json:"member,omitempty"`
	ExpectActive string `json:"expect_active,omitempty"` // do nothing if another member is active
	Force        bool   `json:"force,omitempty"`         // disable: also the last one
}

// SwitchGateway makes a member of a gateway group the active one; without Member the first
// other member that is up.
func (c *Client) SwitchGateway(ctx context.Context, group string, o GatewayOptions) (status.GatewayGroup, error) {
	return c.gateway(ctx, group, "switch", o)
}

// DisableGateway takes a member out of service.
func (c *Client) DisableGateway(ctx context.Context, group string, o GatewayOptions) (status.GatewayGroup, error) {
	return c.gateway(ctx, group, "disable", o)
}

// EnableGateway puts a member back into service.
func (c *Client) EnableGateway(ctx context.Context, group string, o GatewayOptions) (status.GatewayGroup, error) {
	return c.gateway(ctx, group, "enable", o)
}

func (c *Client) gateway(ctx context.Context, group, action string,
	o GatewayOptions) (g status.GatewayGroup, err error) {
	path := "/v1/gateways/" + url.PathEscape(group) + "/" + action
	return g, c.call(ctx, http.MethodPost, path, nil, WriteOptions{}, o, &g)
}

// Backup writes an archive of what the box has stored to w. After an error w holds a part of it only.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.Do(ctx, http.MethodPost, "/v1/backup", nil, WriteOptions{}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// Reload makes the box read its configuration file again.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/reload", nil, WriteOptions{}, nil, nil)
}
