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
		t.Fatalf("%d %v %s", status, h, text)
	}
	if status, _, _ = w.send("PUT", "/v1/tenants/RED", `{"id":7}`); status != 200 {
		t.Errorf("the same again: %d", status)
	}
	status, h, text = w.send("GET", "/v1/tenants/RED", "")
	if status != 200 || text != `{"name":"RED","id":7,"status":{"state":"live"}}`+"\n" || h.Get("ETag") != `"1"` {
		t.Errorf("%d %s", status, text)
	}
	if status, h, _ = w.send("PUT", "/v1/tenants/RED", text); status != 200 || h.Get("ETag") != `"1"` {
		t.Errorf("what was read cannot be written back: %d", status)
	}
	w.must("PATCH", "/v1/tenants/RED", `{"labels":{"owner":"ops"}}`)
	if e := w.refused("PUT", "/v1/tenants/BLUE", `{"id":8}`, "If-Match", `"1"`); e.Status != 412 || e.Code != core.CodeMismatch {
		t.Errorf("%+v", e)
	}
	if status, _, _ = w.send("PUT", "/v1/tenants/BLUE", `{"id":8}`, "If-Match", `"2"`); status != 201 {
		t.Errorf("%d", status)
	}
	if e := w.refused("PUT", "/v1/tenants/BLUE", `{"id":9}`, "If-Match", `x`); e.Field != "If-Match" || e.Status != 400 {
		t.Errorf("%+v", e)
	}
	text = w.must("DELETE", "/v1/tenants/BLUE?dry_run=true", "")
	if !strings.Contains(text, `"dry_run":true`) || !strings.Contains(text, `"before":{"name":"BLUE","id":8}`) {
		t.Error(text)
	}
	w.must("DELETE", "/v1/tenants/BLUE", "")
	if text = w.must("DELETE", "/v1/tenants/BLUE", ""); !strings.Contains(text, `"changes":[]`) {
		t.Errorf("a second delete: %s", text)
	}
	if status, _, text = w.send("HEAD", "/v1/tenants/RED", ""); status != 200 || text != "" {
		t.Errorf("HEAD: %d %q", status, text)
	}
	for _, url := range []string{"/v1/box", "/v1/ports", "/v1/ports/acc0", "/v1/stats/drops", "/healthz", "/readyz", "/v1/openapi.json", "/v1/revision"} {
		if text := w.must("GET", url, ""); !json.Valid([]byte(text)) {
			t.Errorf("%s: %s", url, text)
		}
	}
	w.info.notReady.Store(true)
	if e := w.refused("GET", "/readyz", ""); e.Status != 503 || e.Code != "not_ready" {
		t.Errorf("%+v", e)
	}
	w.must("POST", "/v1/reload", "")
	if e := w.refused("POST", "/v1/reload", ""); e.Code != "refused" || !strings.Contains(e.Message, "box.workers") {
		t.Errorf("%+v", e)
	}
}

func TestPaging(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	for i := range 25 {
		w.must("PUT", fmt.Sprintf("/v1/bindings/RED/db/02:00:00:00:09:%02x", i), `{"switch_mac":"02:aa:00:00:00:02","switch_port":3}`)
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
		{"/v1/segments?limit=10", 28, 3}, {"/v1/segments?limit=28", 28, 1}, {"/v1/segments?limit=7&tenant=RED", 2, 1}, {"/v1/segments?limit=13&tenant=BLUE", 26, 2},
		{"/v1/bindings?limit=10", 26, 3}, {"/v1/bindings?limit=5&tenant=RED&segment=db", 25, 5}, {"/v1/bindings?limit=100&switch=02:aa:00:00:00:01", 1, 1},
		{"/v1/bindings?limit=9&tenant=BLUE", 0, 1}, {"/v1/vifs?limit=10&port=acc0", 2, 1}, {"/v1/vifs?limit=10&segment=db", 1, 1},
		{"/v1/paths?limit=10&switch=02:aa:00:00:00:02", 1, 1}, {"/v1/paths?limit=10&switch=02:aa:00:00:00:07", 0, 1},
	} {
		keys, pages := collect(c.url)
		if len(keys) != c.items || pages != c.pages {
			t.Errorf("%s: %d items on %d pages, want %d on %d", c.url, len(keys), pages, c.items, c.pages)
		}
		for i := 1; i < len(keys); i++ {
			if keys[i] <= keys[i-1] && strings.Contains(c.url, "bindings") {
				t.Errorf("%s: %s comes behind %s", c.url, keys[i], keys[i-1])
			}
		}
	}
}

func TestStreams(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, `{"tenant":"RED","segment":"web","mac":"%s","switch_mac":"02:aa:00:00:00:01","switch_port":9}`+"\n", model.MAC(0x020000050000+i))
	}
	if text := w.must("POST", "/v1/bulk/bindings?mode=replace&dry_run=1", lines.String()); !strings.Contains(text, `"created":3000`) || !strings.Contains(text, `"deleted":1`) {
		t.Error(text)
	}
	w.must("POST", "/v1/bulk/bindings?mode=replace", lines.String())
	if got := w.must("GET", "/v1/bulk/bindings", ""); got != lines.String() {
		t.Errorf("the export differs from what was pushed: %d octets, want %d", len(got), lines.Len())
	}
	if got := w.must("GET", "/v1/bulk/paths", ""); !strings.Contains(got, `"vlans":[{"vid":10,"weight":1},{"vid":20,"weight":5}]`) {
		t.Error(got)
	}
	if text := w.must("DELETE", "/v1/bindings?tenant=RED&segment=web", ""); !strings.Contains(text, `"deleted":3000`) {
		t.Error(text)
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t, nil)
	w.must("PUT", "/v1/tenants/A", `{"id":5}`)
	w.must("PUT", "/v1/tenants/B", `{"id":6}`)
	if text := w.must("GET", "/v1/events?since=0&follow=false", ""); strings.Count(text, "\n") != 2 || !strings.Contains(text, `"keys":["A"]`) {
		t.Errorf("%s", text)
	}
	if text := w.must("GET", "/v1/events?since=1&follow=0", ""); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, `{"seq":2,`) {
		t.Errorf("%s", text)
	}
	w.events.Publish(event.Port{Port: "acc0", State: event.PortDown})
	if text := w.must("GET", "/v1/events?since=0&follow=false&type=port", ""); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"state":"down"`) {
		t.Errorf("%s", text)
	}
	_, h, text := w.send("GET", "/v1/events?follow=false", "", "Accept", "text/event-stream", "Last-Event-ID", "2")
	if h.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(text, "id: 3\nevent: port\ndata: {") {
		t.Errorf("%v %s", h, text)
	}
	got := make(chan client.Event, 10)
	done := make(chan error, 1)
	since := uint64(3)
	go func() {
		done <- w.client.Watch(t.Context(), client.WatchOptions{Since: &since}, func(e client.Event) error { got <- e; return nil })
	}()
	w.must("PUT", "/v1/tenants/C", `{"id":9}`)
	select {
	case e := <-got:
		if e.Seq != 4 || e.Type != "change" {
			t.Errorf("%+v", e)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no event")
	}
	w.server.Shutdown(t.Context())
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the stream outlives the server")
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

// Bodies that are too large, cut off, endless or stand still, and heads that never end, harm nobody else.
func TestHostile(t *testing.T) {
	w := newWorld(t, func(a *api.Config, _ *core.Config) {
		a.MaxBody, a.MaxBulk, a.IdleTimeout, a.HeaderTimeout = 10_000, 100_000, 300*time.Millisecond, 300*time.Millisecond
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
			t.Errorf("want %d %s: %v", status, code, err)
			return
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(text), `"code":"`+code+`"`) {
			t.Errorf("%d %s, want %d %s", resp.StatusCode, text, status, code)
		}
	}
	good := `{"tenant":"RED","segment":"web","mac":"02:00:00:00:02:01","switch_mac":"02:aa:00:00:00:01","switch_port":3}` + "\n"
	attack(func() { // too large
		if e := w.refused("POST", "/v1/transactions", strings.Repeat(" ", 20_000)); e.Status != 413 || e.Code != "too_large" || !strings.Contains(e.Message, "10000") {
			t.Errorf("%+v", e)
		}
	})
	attack(func() { // a stream too large
		if e := w.refused("POST", "/v1/bulk/bindings", strings.Repeat(good, 2000)); e.Status != 413 || e.Code != "too_large" {
			t.Errorf("%+v", e)
		}
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
		fmt.Fprintf(c, "POST /v1/bulk/bindings?mode=replace HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(good), good)
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
			t.Errorf("the connection is not closed: %v", err)
		}
	})
	attack(func() { // no HTTP
		c := w.raw()
		c.Write([]byte("\x16\x03\x01 hello\r\n\r\n"))
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if text, err := io.ReadAll(c); err != nil || !strings.Contains(string(text), "400") {
			t.Errorf("%q %v", text, err)
		}
	})
	attack(func() { // an answer that nobody reads
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
					t.Errorf("only %d requests of others got through", i)
				}
				return
			default:
			}
			started := time.Now()
			w.must("GET", "/v1/vifs", "")
			w.must("PUT", "/v1/tenants/RED", `{"id":7}`)
			if d := time.Since(started); d > 2*time.Second {
				t.Errorf("others had to wait %v", d)
			}
		}
	})
	wg.Wait()
	close(stop)
	others.Wait()
	if after := w.must("GET", "/v1/revision", ""); after != before {
		t.Errorf("something was changed: %s, before %s", after, before)
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
		t.Errorf("%d %v %s", status, h, text)
	}
	w.must("GET", "/v1/tenants", "") // reads go on
	stream := w.raw()
	fmt.Fprint(stream, "GET /v1/events HTTP/1.1\r\nHost: box\r\n\r\n")
	bufio.NewReader(stream).ReadString('\n')
	if e := w.refused("GET", "/v1/events", ""); e.Status != 503 || e.Code != "busy" {
		t.Errorf("%+v", e)
	}
	var held []net.Conn
	for range 3 {
		held = append(held, w.raw())
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		status, _, text := w.send("GET", "/v1/tenants", "")
		if status == 503 && strings.Contains(text, "too many connections") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the number of connections is not limited")
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
			t.Fatal("connections that ended are still counted")
		}
	}
}

// TestMain lets the test binary be a caller of another user.
// Who may do what: root and the group write, others read if they may, and nobody else gets in.
