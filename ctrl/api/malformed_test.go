package api_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raws sends octets unchanged, closes its sending side, and returns the answer.
func (w *world) raws(text string) (status int, h http.Header, body string) {
	w.t.Helper()
	c := w.raw()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, text) // the box may have answered and closed before the end of it
	_ = c.CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.t.Fatalf("%.80q: no answer: %v", text, err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%.80q: the answer breaks off: %v", text, err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// TestMalformedBodies: every route that reads a body refuses a malformed one with status 400, and nothing is changed.
func TestMalformedBodies(t *testing.T) {
	w := conformWorld(t)
	ops, _ := operations(t, w)
	before := w.must("GET", "/v1/revision", "")
	chunked := map[string]string{
		"no hexadecimal length":  "zz\r\n{}\r\n0\r\n\r\n",
		"a negative length":      "-1\r\n{}\r\n0\r\n\r\n",
		"an empty length":        "\r\n{}\r\n0\r\n\r\n",
		"a huge length":          "fffffffffffffffff\r\n{}",
		"a chunk without an end": "2\r\n{}xx\r\n0\r\n\r\n",
		"no last chunk":          "2\r\n{}\r\n",
		"an endless length line": strings.Repeat("0", 10_000) + "1\r\n{\r\n0\r\n\r\n",
		"a bad trailer":          "2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
		"cut off in the length":  "2",
		"cut off in a chunk":     "20\r\n{",
	}
	tried := 0
	for _, o := range ops {
		if o.body == "" && o.method != "PATCH" {
			continue // takes no body
		}
		tried++
		for what, body := range chunked {
			head := " HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n"
			status, h, text := w.raws(o.method + " " + o.url + head + body)
			isEnvelope(t, o.method+" "+o.path+", "+what, status, h, text, 400, "")
		}
		head := " HTTP/1.1\r\nHost: box\r\nContent-Length: 50\r\n\r\n{"
		status, h, text := w.raws(o.method + " " + o.url + head)
		isEnvelope(t, o.method+" "+o.path+", shorter than it says", status, h, text, 400, "")
	}
	if after := w.must("GET", "/v1/revision", ""); after != before {
		t.Errorf("malformed bodies changed something: %s, before %s", after, before)
	}
	if tried < 15 {
		t.Errorf("%d routes with a body were tried, want at least 15", tried)
	}
}

// TestMalformedHeads: requests that net/http refuses before a handler runs are answered with an error in JSON too.
func TestMalformedHeads(t *testing.T) {
	w := newWorld(t, nil)
	for what, c := range map[string]struct {
		text   string
		status int
	}{
		"no HTTP":                  {"hello\r\n\r\n", 400},
		"TLS":                      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"no host":                  {"GET /v1/box HTTP/1.1\r\n\r\n", 400},
		"two hosts":                {"GET /v1/box HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"a bad header name":        {"GET /v1/box HTTP/1.1\r\nHost: box\r\nA b: c\r\n\r\n", 400},
		"a bad header value":       {"GET /v1/box HTTP/1.1\r\nHost: box\r\nA: \x01\r\n\r\n", 400},
		"a bad escape in the path": {"GET /v1/%zz HTTP/1.1\r\nHost: box\r\n\r\n", 400},
		"a bad method":             {"G,T /v1/box HTTP/1.1\r\nHost: box\r\n\r\n", 400},
		"a bad length":             {"PUT /v1/tenants/X HTTP/1.1\r\nHost: box\r\nContent-Length: -4\r\n\r\n", 400},
		"two lengths": {"PUT /v1/tenants/X HTTP/1.1\r\nHost: box\r\n" +
			"Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400},
		"an unknown coding": {"PUT /v1/tenants/X HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		"a head that is too long": {"GET /v1/box HTTP/1.1\r\nHost: box\r\nA: " +
			strings.Repeat("x", 40_000) + "\r\n\r\n", 431},
		"HTTP/2 without an upgrade": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404},
		"HTTP/3.0":                  {"GET /v1/box HTTP/3.0\r\nHost: box\r\n\r\n", 505},
	} {
		status, h, text := w.raws(c.text)
		isEnvelope(t, what, status, h, text, c.status, "")
	}
}
