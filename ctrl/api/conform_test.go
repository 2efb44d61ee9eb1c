package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// exchange sends one request as it is written and returns the whole answer: the octets up to the end of the connection
// belong to it.
func (w *world) exchange(method, url, body string, header ...string) (status int, h http.Header, text string) {
	w.t.Helper()
	c := w.raw()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: box\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s",
		method, url, len(body), strings.Join(header, ""), body)
	rd := bufio.NewReader(c)
	resp, err := http.ReadResponse(rd, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("%s %s %q: no answer: %v", method, url, header, err)
	}
	data, err := io.ReadAll(resp.Body)
	rest, err2 := io.ReadAll(rd)
	if err != nil || err2 != nil {
		w.t.Fatalf("%s %s %q: the answer does not end: %v, %v", method, url, header, err, err2)
	}
	return resp.StatusCode, resp.Header, string(data) + string(rest)
}

// operation is one method of one URL of the document.
type operation struct {
	method, path, url, body string
	doc                     any
}

func (o *operation) takes(header string) bool {
	params, _ := dig(o.doc, "parameters").([]any)
	return slices.ContainsFunc(params, func(p any) bool { return dig(p, "name") == header })
}

// operations are all operations of the document, with the examples put in.
func operations(t *testing.T, w *world) (ops []operation, methods map[string][]string) {
	doc := decode(t, w.must("GET", "/v1/openapi.json", "")).(map[string]any)
	methods = map[string][]string{}
	paths := doc["paths"].(map[string]any)
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		url := p
		params, _ := dig(paths[p], "parameters").([]any)
		for _, prm := range params {
			url = strings.ReplaceAll(url, "{"+dig(prm, "name").(string)+"}", dig(prm, "example").(string))
		}
		for _, m := range []string{"get", "put", "patch", "post", "delete"} {
			op := dig(paths[p], m)
			if op == nil {
				continue
			}
			o := operation{method: strings.ToUpper(m), path: p, url: url, doc: op}
			if p == "/v1/bindings" && m == "delete" {
				o.url += "?tenant=RED"
			}
			if ex := dig(op, "requestBody", "content", "application/json", "example"); ex != nil {
				text, _ := json.Marshal(ex)
				o.body = string(text)
			} else if ex, ok := dig(op, "requestBody", "content", "application/x-ndjson", "example").(string); ok {
				o.body = ex
			}
			if methods[url] = append(methods[url], o.method); m == "get" {
				methods[url] = append(methods[url], "HEAD")
			}
			ops = append(ops, o)
		}
		slices.Sort(methods[url])
	}
	return ops, methods
}

// isEnvelope fails the test unless an answer is an error envelope of the wanted status and field.
func isEnvelope(t *testing.T, what string, status int, h http.Header, text string, wantStatus int, wantField string) {
	t.Helper()
	var e rest.Envelope
	if status != wantStatus || h.Get("Content-Type") != "application/json" {
		t.Errorf("%s: status %d, type %q, want %d in JSON: %.200s", what, status, h.Get("Content-Type"),
			wantStatus, text)
		return
	}
	err := json.Unmarshal([]byte(text), &e)
	if err != nil || e.Error.Status != status || e.Error.Code == "" || e.Error.Message == "" ||
		e.Error.Field != wantField {
		t.Errorf("%s: the answer is %.300s (%v), want an error of status %d about field %q", what, text, err, status,
			wantField)
	}
}

// conformWorld has what the examples of the document need: an object of every kind, an alarm, a gateway group.
func conformWorld(t *testing.T) *world {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	for _, kind := range model.Kinds {
		o := kind.Info().Example
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		w.must("PUT", "/v1/"+string(kind)+"/"+o.Key(), string(text))
	}
	w.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: "port fab0", Text: "x"})
	if err := w.alarms.Flush(); err != nil { // its event is published now, not while a test counts events
		t.Fatal(err)
	}
	return w
}

// nowhere is no route, some of it in a form that net/http would answer by itself.
var nowhere = []string{"/", "/v1", "/v1/", "/v1/none", "/v1/box/", "//v1/box", "//", "/v1//box", "/v1/x/../box",
	"/v1/%2e%2e/v1/box", "*", "http://box"}

// HEAD is what GET is without the body, on every route; a method that a route does not have is refused with those it
// has; what is no route is refused in JSON.
func TestMethods(t *testing.T) {
	w := conformWorld(t)
	before := w.must("GET", "/v1/revision", "")
	_, methods := operations(t, w)
	urls := slices.Sorted(maps.Keys(methods))
	for _, url := range urls {
		for _, m := range []string{"HEAD", "GET", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "FOO"} {
			if slices.Contains(methods[url], m) {
				continue
			}
			status, h, text := w.exchange(m, url, "")
			if allow := h.Get("Allow"); allow != strings.Join(methods[url], ", ") {
				t.Errorf("%s %s: Allow is %q, want %v", m, url, allow, methods[url])
			}
			if m != "HEAD" {
				isEnvelope(t, m+" "+url, status, h, text, 405, "")
			} else if status != 405 || text != "" {
				t.Errorf("HEAD %s: status %d and %d octets of body, want 405 and none", url, status, len(text))
			}
		}
		if !slices.Contains(methods[url], "HEAD") {
			continue
		}
		// An endless stream too has an answer to HEAD.
		status, h, text := w.exchange("HEAD", url, "")
		get := url
		if url == "/v1/events" {
			get += "?follow=false"
		}
		wantStatus, want, _ := w.exchange("GET", get, "")
		if text != "" {
			t.Errorf("HEAD %s: %d octets of body, want none: %.60q", url, len(text), text)
		}
		if status != wantStatus || h.Get("Content-Type") != want.Get("Content-Type") ||
			h.Get("ETag") != want.Get("ETag") {
			t.Errorf("HEAD %s: status %d, type %q, ETag %s; want those of GET: %d, %q, %s", url,
				status, h.Get("Content-Type"), h.Get("ETag"),
				wantStatus, want.Get("Content-Type"), want.Get("ETag"))
		}
	}
	for _, url := range nowhere {
		for _, m := range []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "FOO"} {
			status, h, text := w.exchange(m, url, "")
			isEnvelope(t, m+" "+url, status, h, text, 404, "")
		}
	}
	status, h, text := w.exchange("CONNECT", "box:80", "")
	isEnvelope(t, "CONNECT", status, h, text, 404, "")
	if after := w.must("GET", "/v1/revision", ""); after != before {
		t.Errorf("refused methods changed something: %s, before %s", after, before)
	}
	if len(urls) < 30 {
		t.Errorf("%d URLs were tried, want at least 30", len(urls))
	}
}

// A precondition is honoured or refused, on every route: none is ignored by a write, and none changes a read.
func TestConditions(t *testing.T) {
	w := conformWorld(t)
	ops, _ := operations(t, w)
	revision := func() string {
		_, h, _ := w.exchange("GET", "/v1/revision", "")
		return h.Get("ETag")
	}
	line := func(name, value string) string { return name + ": " + value + "\r\n" }
	for _, o := range ops {
		what := o.method + " " + o.path
		if o.method == "GET" {
			url := o.url
			if o.path == "/v1/events" {
				url += "?follow=false"
			}
			want, _, _ := w.exchange("GET", url, "")
			for _, h := range []string{line("If-Match", ""), line("If-Match", `"999"`), line("If-None-Match", "*"),
				line("If-None-Match", revision())} {
				if status, _, text := w.exchange("GET", url, "", h); status != want {
					t.Errorf("%s with %q: status %d, want %d: %.200s", what, h, status, want, text)
				}
			}
			continue
		}
		revised, object := o.takes("If-Match"), strings.Contains(o.path, "{") && o.takes("If-Match")
		one := o.method != "POST" && strings.Count(o.path, "/") > 2 && !strings.HasSuffix(o.path, "/hold")
		if object != one || o.takes("If-None-Match") != (object &&
			o.method == "PUT") {
			t.Errorf("%s: the document names If-Match %v, If-None-Match %v", what, revised, o.takes("If-None-Match"))
		}
		now := revision()
		try := func(status int, field string, headers ...string) {
			t.Helper()
			got, h, text := w.exchange(o.method, o.url, o.body, headers...)
			isEnvelope(t, fmt.Sprintf("%s with %q", what, headers), got, h, text, status, field)
			if r := revision(); r != now {
				t.Errorf("%s with %q was refused and changed something: revision %s, before %s", what, headers, r, now)
			}
		}
		for _, bad := range []string{"", "x", `"x"`, `"1", "2"`, `"-1"`, `"1`} {
			if bad != `"1` { // one quote is read as if there were two
				try(400, "If-Match", line("If-Match", bad))
			}
			try(400, "If-None-Match", line("If-None-Match", bad))
		}
		try(400, "If-Match", line("If-Match", now), line("If-Match", now))
		try(400, "If-None-Match", line("If-None-Match", now))
		try(400, "Content-Range", line("Content-Range", "bytes 0-1/2"))
		if !revised {
			try(400, "If-Match", line("If-Match", now))
			try(400, "If-Match", line("If-Match", "*"))
			try(400, "If-None-Match", line("If-None-Match", "*"))
			continue
		}
		try(412, "", line("If-Match", `"999999"`))
		if o.method != "PUT" || !object {
			try(400, "If-None-Match", line("If-None-Match", "*"))
		}
		if !object {
			continue
		}
		_, _, text := w.exchange("GET", o.url, "")
		if exists := !strings.HasPrefix(text, `{"error"`); !exists {
			t.Fatalf("%s: %s does not exist", what, o.url)
		}
		if o.method == "PUT" {
			try(412, "key", line("If-None-Match", "*"))
			try(400, "If-Match", line("If-Match", "*"), line("If-None-Match", "*"))
		}
		for _, value := range []string{"*", now} {
			status, _, text := w.exchange(o.method, o.url+"?dry_run=true", o.body, line("If-Match", value))
			if status == 412 || status == 400 {
				t.Errorf("%s of an object that exists with If-Match %s: status %d, want neither 400 nor 412: %.200s",
					what, value, status, text)
			}
		}
	}
	// What does not exist.
	const body = `{"id":99}`
	for _, m := range []string{"PUT", "PATCH", "DELETE"} {
		b := body
		if m == "DELETE" {
			b = ""
		}
		status, h, text := w.exchange(m, "/v1/tenants/NEW", b, line("If-Match", "*"))
		isEnvelope(t, m+" of what does not exist with If-Match *", status, h, text, 412, "key")
	}
	status, _, text := w.exchange("PUT", "/v1/tenants/NEW", body, line("If-None-Match", "*"),
		line("If-Match", revision()))
	if status != 201 {
		t.Errorf("PUT of what does not exist with If-None-Match *: status %d, want 201: %s", status, text)
	}
	status, h, text := w.exchange("PUT", "/v1/tenants/NEW", body, line("If-None-Match", "*"))
	isEnvelope(t, "the same PUT again", status, h, text, 412, "key")
}

// No route ignores a parameter that it does not know, or one that is given twice.
func TestUnknownParameters(t *testing.T) {
	w := conformWorld(t)
	ops, _ := operations(t, w)
	before := w.must("GET", "/v1/revision", "")
	for _, o := range ops {
		sep := "?"
		if strings.Contains(o.url, "?") {
			sep = "&"
		}
		status, h, text := w.exchange(o.method, o.url+sep+"nonsense=1", o.body)
		isEnvelope(t, o.method+" "+o.path+" with an unknown parameter", status, h, text, 400, "nonsense")
		if o.takes("dry_run") {
			status, h, text = w.exchange(o.method, o.url+sep+"dry_run=1&dry_run=0", o.body)
			isEnvelope(t, o.method+" "+o.path+" with a parameter twice", status, h, text, 400, "dry_run")
		}
		status, h, text = w.exchange(o.method, o.url+sep+"x=%zz", o.body)
		isEnvelope(t, o.method+" "+o.path+" with a wrong escape", status, h, text, 400, "")
	}
	if after := w.must("GET", "/v1/revision", ""); after != before {
		t.Errorf("refused parameters changed something: %s, before %s", after, before)
	}
}
