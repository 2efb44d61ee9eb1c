package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
)

func TestObjects(t *testing.T) {
	w := newWorld(t, nil)
	status, h, text := w.send("PUT", "/v1/tenants/RED", `{"id":7}`)
	if status != 201 || h.Get("ETag") != `"1"` || !strings.Contains(text, `"change":"create"`) {
		t.Fatalf("the first PUT: status %d, ETag %s, %s, want 201, \"1\" and a create", status, h.Get("ETag"), text)
	}
	if status, _, _ = w.send("PUT", "/v1/tenants/RED", `{"id":7}`); status != 200 {
		t.Errorf("the same PUT again: status %d, want 200", status)
	}
	status, h, text = w.send("GET", "/v1/tenants/RED", "")
	want := `{"name":"RED","id":7,"status":{"state":"live"}}` + "\n"
	if status != 200 || text != want || h.Get("ETag") != `"1"` {
		t.Errorf("GET: status %d, ETag %s, %s, want 200, \"1\", %s", status, h.Get("ETag"), text, want)
	}
	if status, h, _ = w.send("PUT", "/v1/tenants/RED", text); status != 200 || h.Get("ETag") != `"1"` {
		t.Errorf("a PUT of the text that GET returned: status %d, ETag %s, want 200, \"1\"", status, h.Get("ETag"))
	}
	w.must("PATCH", "/v1/tenants/RED", `{"labels":{"owner":"ops"}}`)
	w.isRefusal("a PUT with an old revision",
		w.refused("PUT", "/v1/tenants/BLUE", `{"id":8}`, "If-Match", `"1"`), 412, core.CodeMismatch)
	if status, _, _ = w.send("PUT", "/v1/tenants/BLUE", `{"id":8}`, "If-Match", `"2"`); status != 201 {
		t.Errorf("a PUT with the revision: status %d, want 201", status)
	}
	e := w.refused("PUT", "/v1/tenants/BLUE", `{"id":9}`, "If-Match", `x`)
	if e.Field != "If-Match" || e.Status != 400 {
		t.Errorf("a PUT with If-Match x: %+v, want status 400 and the field If-Match", e)
	}
	text = w.must("DELETE", "/v1/tenants/BLUE?dry_run=true", "")
	if !strings.Contains(text, `"dry_run":true`) || !strings.Contains(text, `"before":{"name":"BLUE","id":8}`) {
		t.Errorf("a dry DELETE: %s, want dry_run and the object before", text)
	}
	w.must("DELETE", "/v1/tenants/BLUE", "")
	if text = w.must("DELETE", "/v1/tenants/BLUE", ""); !strings.Contains(text, `"changes":[]`) {
		t.Errorf("a second DELETE: %s, want no changes", text)
	}
	if status, _, text = w.send("HEAD", "/v1/tenants/RED", ""); status != 200 || text != "" {
		t.Errorf("HEAD: status %d, body %q, want 200 and none", status, text)
	}
	for _, url := range []string{
		"/v1/box", "/v1/ports", "/v1/ports/acc0", "/v1/stats/drops",
		"/healthz", "/readyz", "/v1/openapi.json", "/v1/revision",
	} {
		if text := w.must("GET", url, ""); !json.Valid([]byte(text)) {
			t.Errorf("GET %s: %s, want JSON", url, text)
		}
	}
	w.info.notReady.Store(true)
	w.isRefusal("a box that is not ready", w.refused("GET", "/readyz", ""), 503, "not_ready")
	w.must("POST", "/v1/reload", "")
	w.isRefusal("a refused reload", w.refused("POST", "/v1/reload", ""), 422, "refused", "box.workers")
}

func TestPaging(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	for i := range 25 {
		w.must("PUT", fmt.Sprintf("/v1/bindings/RED/db/02:00:00:00:09:%02x", i),
			`{"switch_mac":"02:aa:00:00:00:02","switch_port":3}`)
		w.must("PUT", fmt.Sprintf("/v1/segments/BLUE/s%d", i), fmt.Sprintf(`{"id":%d}`, 10+i))
	}
	collect := func(url string) (keys []string, pages int) {
		after := ""
		for {
			var l struct {
				Items []struct{ Tenant, Name, Segment, MAC string }
				Next  string
			}
			if err := json.Unmarshal([]byte(w.must("GET", url+after, "")), &l); err != nil {
				t.Fatal(err)
			}
			pages++
			for _, i := range l.Items {
				keys = append(keys, i.Tenant+"/"+i.Segment+i.Name+i.MAC)
			}
			if l.Next == "" {
				return keys, pages
			}
			after = "&after=" + l.Next
		}
	}
	for _, c := range []struct {
		url          string
		items, pages int
	}{
		{"/v1/segments?limit=10", 28, 3},
		{"/v1/segments?limit=28", 28, 1},
		{"/v1/segments?limit=7&tenant=RED", 2, 1},
		{"/v1/segments?limit=13&tenant=BLUE", 26, 2},
		{"/v1/bindings?limit=10", 26, 3},
		{"/v1/bindings?limit=5&tenant=RED&segment=db", 25, 5},
		{"/v1/bindings?limit=100&switch=02:aa:00:00:00:01", 1, 1},
		{"/v1/bindings?limit=9&tenant=BLUE", 0, 1},
		{"/v1/vifs?limit=10&port=acc0", 2, 1},
		{"/v1/vifs?limit=10&segment=db", 1, 1},
		{"/v1/paths?limit=10&switch=02:aa:00:00:00:02", 1, 1},
		{"/v1/paths?limit=10&switch=02:aa:00:00:00:07", 0, 1},
	} {
		keys, pages := collect(c.url)
		if len(keys) != c.items || pages != c.pages {
			t.Errorf("%s: %d items on %d pages, want %d on %d", c.url, len(keys), pages, c.items, c.pages)
		}
		for i := 1; i < len(keys); i++ {
			if keys[i] <= keys[i-1] && strings.Contains(c.url, "bindings") {
				t.Errorf("%s: %s follows %s, want ascending keys", c.url, keys[i], keys[i-1])
			}
		}
	}
}

func TestStreams(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	var lines strings.Builder
	for i := range 3000 {
		lines.WriteString(bindingLine("web", model.MAC(0x020000050000+i), 9))
	}
	text := w.must("POST", "/v1/bulk/bindings?mode=replace&dry_run=1", lines.String())
	if !strings.Contains(text, `"created":3000`) || !strings.Contains(text, `"deleted":1`) {
		t.Errorf("a dry push: %s, want 3000 created and 1 deleted", text)
	}
	w.must("POST", "/v1/bulk/bindings?mode=replace", lines.String())
	if got := w.must("GET", "/v1/bulk/bindings", ""); got != lines.String() {
		t.Errorf("the export differs from the pushed lines: %d octets, want %d", len(got), lines.Len())
	}
	const vlans = `"vlans":[{"vid":10,"weight":1},{"vid":20,"weight":5}]`
	if got := w.must("GET", "/v1/bulk/paths", ""); !strings.Contains(got, vlans) {
		t.Errorf("the export of paths: %s, want %s in it", got, vlans)
	}
	if text := w.must("DELETE", "/v1/bindings?tenant=RED&segment=web", ""); !strings.Contains(text, `"deleted":3000`) {
		t.Errorf("the deletion of a segment's bindings: %s, want 3000 deleted", text)
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t, nil)
	w.must("PUT", "/v1/tenants/A", `{"id":5}`)
	w.must("PUT", "/v1/tenants/B", `{"id":6}`)
	text := w.must("GET", "/v1/events?since=0&follow=false", "")
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, `"keys":["A"]`) {
		t.Errorf("all events: %s, want 2 lines with that of tenant A", text)
	}
	text = w.must("GET", "/v1/events?since=1&follow=0", "")
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, `{"seq":2,`) {
		t.Errorf("events behind 1: %s, want one line, of event 2", text)
	}
	w.events.Publish(event.Port{Port: "acc0", State: event.PortDown})
	text = w.must("GET", "/v1/events?since=0&follow=false&type=port", "")
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, `"state":"down"`) {
		t.Errorf("events of ports: %s, want one line, of a port that is down", text)
	}
	_, h, text := w.send("GET", "/v1/events?follow=false", "", "Accept", "text/event-stream", "Last-Event-ID", "2")
	if h.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(text, "id: 3\nevent: port\ndata: {") {
		t.Errorf("server-sent events: type %q, %s, want event 3, of a port", h.Get("Content-Type"), text)
	}
	got := make(chan client.Event, 10)
	done := make(chan error, 1)
	since := uint64(3)
	go func() {
		done <- w.client.Watch(t.Context(), client.WatchOptions{Since: &since},
			func(e client.Event) error { got <- e; return nil })
	}()
	w.must("PUT", "/v1/tenants/C", `{"id":9}`)
	select {
	case e := <-got:
		if e.Seq != 4 || e.Type != "change" {
			t.Errorf("the watcher gets event %d of type %s, want 4 of type change", e.Seq, e.Type)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no event for 5 s, want the change of tenant C")
	}
	w.server.Shutdown(t.Context())
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the stream is open 5 s after the server's end, want it closed")
	}
}

// raw opens a connection of its own.
func (w *world) raw() *net.UnixConn {
	w.t.Helper()
	c, err := net.Dial("unix", w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

// TestHostile: bodies that are too large, cut off, endless or stand still, and heads that never end, affect no other
// caller.
func TestHostile(t *testing.T) {
	w := newWorld(t, func(a *api.Config, _ *core.Config) {
		a.MaxBody, a.MaxBulk = 10_000, 100_000
		a.IdleTimeout, a.HeaderTimeout = 300*time.Millisecond, 300*time.Millisecond
		a.WriteRate, a.WriteBurst = 1e6, 1e6
	})
	w.must("POST", "/v1/transactions", base)
	before := w.must("GET", "/v1/revision", "")
	var wg sync.WaitGroup
	attack := func(f func()) { wg.Go(f) }
	head := func(path string, length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: box\r\nContent-Length: %d\r\n\r\n", path, length)
	}
	answer := func(c net.Conn, status int, code string) {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("no answer: %v, want status %d, code %s", err, status, code)
			return
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(text), `"code":"`+code+`"`) {
			t.Errorf("status %d, %s, want %d, code %s", resp.StatusCode, text, status, code)
		}
	}
	good := bindingLine("web", 0x020000000201, 3)
	attack(func() { // too large
		e := w.refused("POST", "/v1/transactions", strings.Repeat(" ", 20_000))
		w.isRefusal("a body that is too large", e, 413, "too_large", "10000")
	})
	attack(func() { // a stream too large
		e := w.refused("POST", "/v1/bulk/bindings", strings.Repeat(good, 2000))
		w.isRefusal("a stream that is too large", e, 413, "too_large")
	})
	attack(func() { // cut off: the caller ends its side
		c := w.raw()
		fmt.Fprint(c, head("/v1/transactions", 5000)+`{"operations":[`)
		c.CloseWrite()
		answer(c, 400, "truncated")
	})
	attack(func() { // a stream cut off behind a whole line
		c := w.raw()
		fmt.Fprint(c, head("/v1/bulk/bindings?mode=replace", 5000)+good)
		c.CloseWrite()
		answer(c, 400, "truncated")
	})
	attack(func() { // stands still
		c := w.raw()
		fmt.Fprint(c, head("/v1/transactions", 5000)+`{"oper`)
		answer(c, 408, "timeout")
	})
	attack(func() { // a stream stands still, chunked
		c := w.raw()
		fmt.Fprint(c, "POST /v1/bulk/bindings?mode=replace HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n")
		fmt.Fprintf(c, "%x\r\n%s\r\n", len(good), good)
		answer(c, 408, "timeout")
	})
	attack(func() { // gone in the middle
		c := w.raw()
		fmt.Fprint(c, head("/v1/bulk/bindings?mode=replace", 5000)+good)
		c.Close()
	})
	attack(func() { // a head that never ends
		c := w.raw()
		fmt.Fprint(c, "GET /v1/box HTTP/1.1\r\nX-A: ")
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("a connection without the end of a head: %v, want it closed within 10 s", err)
		}
	})
	attack(func() { // no HTTP
		c := w.raw()
		c.Write([]byte("\x16\x03\x01 hello\r\n\r\n"))
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if text, err := io.ReadAll(c); err != nil || !strings.Contains(string(text), "400") {
			t.Errorf("octets that are no HTTP: %q, %v, want status 400", text, err)
		}
	})
	attack(func() { // an answer that is not read
		c := w.raw()
		for range 200 {
			if _, err := fmt.Fprint(c, "GET /v1/openapi.json HTTP/1.1\r\nHost: box\r\n\r\n"); err != nil {
				return
			}
		}
		time.Sleep(time.Second)
	})
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				if i < 5 {
					t.Errorf("%d requests of other callers were served, want at least 5", i)
				}
				return
			default:
			}
			started := time.Now()
			w.must("GET", "/v1/vifs", "")
			w.must("PUT", "/v1/tenants/RED", `{"id":7}`)
			if d := time.Since(started); d > 2*time.Second {
				t.Errorf("other callers waited %v, want at most 2 s", d)
			}
		}
	})
	wg.Wait()
	close(stop)
	others.Wait()
	if after := w.must("GET", "/v1/revision", ""); after != before {
		t.Errorf("refused requests changed the revision: %s, want %s", after, before)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(a *api.Config, _ *core.Config) {
		a.MaxConns, a.MaxStreams, a.WriteRate, a.WriteBurst = 4, 1, 0.5, 3
	})
	for i := range 3 {
		w.must("PUT", fmt.Sprintf("/v1/tenants/t%d", i), fmt.Sprintf(`{"id":%d}`, 10+i))
	}
	status, h, text := w.send("PUT", "/v1/tenants/x", `{"id":99}`)
	if status != 429 || h.Get("Retry-After") == "" || !strings.Contains(text, "bulk streams") {
		t.Errorf("a write above the rate: status %d, Retry-After %q, %s, want 429, a time and the bulk streams", status,
			h.Get("Retry-After"), text)
	}
	w.must("GET", "/v1/tenants", "") // reads are not limited
	stream := w.raw()
	fmt.Fprint(stream, "GET /v1/events HTTP/1.1\r\nHost: box\r\n\r\n")
	bufio.NewReader(stream).ReadString('\n')
	w.isRefusal("a second stream", w.refused("GET", "/v1/events", ""), 503, "busy")
	var held []net.Conn
	deadline := time.Now().Add(5 * time.Second)
	for {
		for range 3 { // anew: after a second without an octet a connection gives way
			held = append(held, w.raw())
		}
		status, _, text := w.send("GET", "/v1/tenants", "")
		if status == 503 && strings.Contains(text, "too many connections") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a fifth connection is served, want it refused")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range held {
		c.Close()
	}
	for deadline = time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if status, _, _ := w.send("GET", "/v1/tenants", ""); status == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("after the end of three connections a new one is refused, want it served")
		}
	}
}
