package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/rest"
)

// box is a server that identifies callers by the address of their end of the connection.
type box struct {
	t       *testing.T
	path    string
	server  *rest.Server
	release chan struct{} // ends requests to /wait
	n       atomic.Int64
}

func newBox(t *testing.T, c rest.Config) *box {
	t.Helper()
	b := &box{t: t, path: filepath.Join(t.TempDir(), "s"), release: make(chan struct{})}
	c.Name = "the test's server"
	ok := func(w http.ResponseWriter, r *http.Request) error {
		_, err := rest.ReadBody(r)
		if err == nil {
			rest.Reply(w, http.StatusOK, map[string]string{"ok": "yes"})
		}
		return err
	}
	c.Routes = []rest.Route{
		{Method: "GET", Pattern: "/ok", Do: func(w http.ResponseWriter, r *http.Request) error {
			rest.Reply(w, http.StatusOK, map[string]string{"ok": "yes"})
			return nil
		}},
		{Method: "GET", Pattern: "/wait", Do: func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-b.release:
			case <-r.Context().Done():
			}
			return nil
		}},
		{Method: "GET", Pattern: "/endless", Do: func(w http.ResponseWriter, r *http.Request) error {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return nil
				}
			}
		}},
		{Method: "GET", Pattern: "/stream", Do: func(w http.ResponseWriter, r *http.Request) error {
			return b.server.Stream(w, r, "text/plain", func(st *rest.Stream) error { <-st.Ctx.Done(); return nil })
		}},
		{Method: "POST", Pattern: "/body", Write: true, Do: ok},
	}
	b.server = rest.New(c)
	ln, err := net.Listen("unix", b.path)
	if err != nil {
		t.Fatal(err)
	}
	b.server.Add(ln, func(c net.Conn) *rest.Peer {
		name, _, _ := strings.Cut(strings.TrimPrefix(c.RemoteAddr().String(), "@"), "/")
		return &rest.Peer{Name: name, Read: true, Write: name != "reader", Privileged: name == "root"}
	})
	served := make(chan error, 1)
	go func() { served <- b.server.Serve() }()
	t.Cleanup(func() {
		close(b.release)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b
}

// dial connects as a caller.
func (b *box) dial(name string) net.Conn {
	b.t.Helper()
	local := &net.UnixAddr{Name: fmt.Sprintf("@%s/%s/%d", name, b.path, b.n.Add(1)), Net: "unix"}
	c, err := net.DialUnix("unix", local, &net.UnixAddr{Name: b.path, Net: "unix"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// request makes a request on a connection of its own.
func (b *box) request(name, path string) (status int, e rest.EnvelopeError) {
	b.t.Helper()
	c := b.dial(name)
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: box\r\n\r\n", path)
	return b.answer(c)
}

func (b *box) answer(c net.Conn) (status int, e rest.EnvelopeError) {
	b.t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, e
	}
	if resp.StatusCode >= 300 {
		var env rest.Envelope
		if err := json.NewDecoder(resp.Body).Decode(&env); err != nil {
			b.t.Errorf("status %d and no error in JSON: %v", resp.StatusCode, err)
		}
		e = env.Error
	}
	return resp.StatusCode, e
}

// served fails unless a caller is answered within a time that does not depend on the holders of connections.
func (b *box) served(what, name string) {
	b.t.Helper()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, e := b.request(name, "/ok")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: %s gets %d (%s), want 200", what, name, status, e.Message)
		}
	}
}

// One caller holds all the connections that the limits allow, in every possible way; another caller and the operator
// are still served.
func TestNobodyIsLockedOut(t *testing.T) {
	for what, text := range map[string]string{
		"silent connections":    "",
		"heads that drip":       "GET /ok HTTP/1.1\r\nHost:",
		"idle connections":      "GET /ok HTTP/1.1\r\nHost: box\r\n\r\n",
		"streams":               "GET /stream HTTP/1.1\r\nHost: box\r\n\r\n",
		"answers not read":      "GET /endless HTTP/1.1\r\nHost: box\r\n\r\n",
		"requests that wait":    "GET /wait HTTP/1.1\r\nHost: box\r\n\r\n",
		"bodies that drip":      "POST /body HTTP/1.1\r\nHost: box\r\nContent-Length: 50\r\n\r\n{",
		"large bodies promised": "POST /body HTTP/1.1\r\nHost: box\r\nContent-Length: 10000000\r\n\r\n{",
	} {
		for _, holder := range []string{"reader", "writer", "root"} {
			t.Run(strings.ReplaceAll(what, " ", "-")+"/"+holder, func(t *testing.T) {
				t.Parallel()
				b := newBox(t, rest.Config{MaxConns: 16, MaxBody: 1 << 30})
				for range 40 {
					_, _ = io.WriteString(b.dial(holder), text)
				}
				if holder != "root" { // root may take all but the reserve
					b.served(what, "alice")
				}
				b.served(what, "root")
				if n := b.server.Counters().Connections; n > 16 {
					t.Errorf("%d connections are open, want at most 16", n)
				}
			})
		}
	}
}

// Streams have a share of the connections. One caller may use half of the part that is not reserved for the operator.
func TestStreamShare(t *testing.T) {
	b := newBox(t, rest.Config{MaxConns: 64, MaxStreams: 1000})
	open := func(name string, tries int) (n int) {
		for range tries {
			c := b.dial(name)
			fmt.Fprint(c, "GET /stream HTTP/1.1\r\nHost: box\r\n\r\n")
			switch status, e := b.answer(c); {
			case status == http.StatusOK:
				n++
			case status != http.StatusServiceUnavailable || e.Code != rest.CodeBusy:
				t.Errorf("a stream too many: status %d, %+v, want 503", status, e)
			}
		}
		return n
	}
	for _, c := range []struct {
		name        string
		tries, want int
	}{{"reader", 12, 6}, {"alice", 10, 6}, {"bob", 3, 0}, {"root", 10, 4}, {"root", 2, 0}} {
		if n := open(c.name, c.tries); n != c.want {
			t.Errorf("%s has %d streams of %d, want %d", c.name, n, c.tries, c.want)
		}
	}
	if n := b.server.Counters().Streams; n != 16 {
		t.Errorf("%d streams are counted, want 16", n)
	}
}

// On a connection of the reserve there is one request, and no stream.
func TestReserve(t *testing.T) {
	b := newBox(t, rest.Config{MaxConns: 8})
	for range 7 {
		c := b.dial("root")
		fmt.Fprint(c, "GET /wait HTTP/1.1\r\nHost: box\r\n\r\n")
		if status, e := b.answer(c); status != http.StatusOK {
			t.Fatalf("status %d, %+v, want 200", status, e)
		}
	}
	if status, e := b.request("root", "/stream"); status != http.StatusServiceUnavailable {
		t.Errorf("a stream on the reserve: status %d, %+v, want 503", status, e)
	}
	// The server frees the connection of the stream a moment after the answer.
	var text []byte
	var err error
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		c := b.dial("root")
		fmt.Fprint(c, "GET /ok HTTP/1.1\r\nHost: box\r\n\r\n")
		text, err = io.ReadAll(c)
		if !strings.HasPrefix(string(text), "HTTP/1.1 503") || time.Now().After(end) {
			break
		}
	}
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 200") {
		t.Errorf("the answer is %q (%v), want 200 and the end of the connection", text, err)
	}
	if status, e := b.request("alice", "/ok"); status != http.StatusServiceUnavailable || !strings.Contains(e.Message,
		"too many connections") {
		t.Errorf("alice: status %d, %+v, want 503: too many connections", status, e)
	}
}

// A caller that sends or reads too slowly is cut off and counted, even if it makes steady progress.
func TestSlowCallers(t *testing.T) {
	b := newBox(t, rest.Config{IdleTimeout: 300 * time.Millisecond, AnswerTimeout: time.Second})
	drip := b.dial("alice")
	fmt.Fprint(drip, "POST /body HTTP/1.1\r\nHost: box\r\nContent-Length: 100000\r\n\r\n")
	go func() {
		for range 1000 { // each octet comes well within IdleTimeout
			if _, err := drip.Write([]byte(" ")); err != nil {
				return
			}
			time.Sleep(30 * time.Millisecond)
		}
	}()
	if status, e := b.answer(drip); status != http.StatusRequestTimeout || e.Code != rest.CodeTimeout {
		t.Errorf("a body that drips: status %d, %+v, want 408", status, e)
	}
	if n := b.server.Counters().SlowBodies; n != 1 {
		t.Errorf("%d slow bodies are counted, want 1", n)
	}
	read := func(every time.Duration, octets int) {
		c := b.dial("alice")
		defer c.Close()
		fmt.Fprint(c, "GET /endless HTTP/1.1\r\nHost: box\r\n\r\n")
		before := b.server.Counters().SlowReaders
		buf := make([]byte, octets)
		for end := time.Now().Add(20 * time.Second); b.server.Counters().SlowReaders == before; time.Sleep(every) {
			_, _ = c.Read(buf)
			if time.Now().After(end) {
				t.Errorf("a caller that reads %d octets every %v is not cut off, want it cut off", octets, every)
				return
			}
		}
	}
	read(50*time.Millisecond, 1)
	read(time.Millisecond, 64<<10)
}

// The last seat is for the operator.
func TestSeats(t *testing.T) {
	b := newBox(t, rest.Config{MaxBody: 1 << 30})
	const head = "POST /body HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n"
	hold := func(name string) (status int, e rest.EnvelopeError) {
		c := b.dial(name)
		fmt.Fprint(c, head)
		return b.answer(c)
	}
	want := func(name string, want int) {
		t.Helper()
		if status, e := hold(name); status != want {
			t.Errorf("%s: status %d, %+v, want %d", name, status, e, want)
		}
	}
	for range 3 {
		want("writer", 100)
	}
	want("writer", 503)
	want("root", 100)
	want("root", 503)
}
