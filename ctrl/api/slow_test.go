package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"penstock/ctrl/api"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// logText is a log that is read while it is written.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// push stores n bindings in a segment, with a port.
func (w *world) push(segment string, n, port int) {
	w.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"tenant":"RED","segment":"%s","mac":"%s","switch_mac":"02:aa:00:00:00:01","switch_port":%d}`+"\n",
			segment, model.MAC(0x020000050000+i), port)
	}
	w.must("POST", "/v1/bulk/bindings", b.String())
}

// Who reads an export octet by octet holds nothing that a write needs, and is cut off, with a line in the log.
func TestExportNotRead(t *testing.T) {
	text := &logText{}
	w := newWorld(t, func(a *api.Config, _ *core.Config) {
		a.IdleTimeout, a.Log = 500*time.Millisecond, slog.New(slog.NewTextHandler(text, nil))
	})
	w.must("POST", "/v1/transactions", base)
	w.push("web", 30_000, 9)
	c := w.raw()
	fmt.Fprint(c, "GET /v1/bulk/bindings HTTP/1.1\r\nHost: box\r\n\r\n")
	rd := bufio.NewReaderSize(c, 16)
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; w.server.Counters().SlowReaders == 0; i++ {
		_, _ = rd.ReadByte()
		w.push("db", 100, 1+i%200) // ends only if the reader holds nothing
		if time.Now().After(deadline) {
			t.Fatal("who reads an export octet by octet is not cut off")
		}
	}
	if s := text.String(); !strings.Contains(s, "reads too slowly was cut off") || !strings.Contains(s,
		"path=/v1/bulk/bindings") {
		t.Errorf("the log says %q, want a line about the slow reader", s)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), skipHead(rd))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("an export that was cut off ends as if it were whole")
	}
}

// skipHead is what follows the head of an answer of which some octets were read.
func skipHead(rd *bufio.Reader) io.Reader {
	for {
		line, err := rd.ReadString('\n')
		if err != nil || line == "\r\n" {
			return rd
		}
	}
}

// The trailer of an export says whether something was changed meanwhile.
func TestExportRevisions(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	w.push("web", 30_000, 9)
	var all bytes.Buffer
	if atOnce, err := w.client.Export(t.Context(), model.KindBinding, &all); err != nil || !atOnce ||
		bytes.Count(all.Bytes(), []byte{'\n'}) != 30_001 {
		t.Errorf("export: of one moment %v, %d rows, %v, want true and 30001", atOnce, bytes.Count(all.Bytes(),
			[]byte{'\n'}), err)
	}
	first := true
	atOnce, err := w.client.Export(t.Context(), model.KindBinding, writerFunc(func(p []byte) (int, error) {
		if first { // the box waits for this reader, behind some chunks
			w.push("db", 10, 3)
			first = false
		}
		return len(p), nil
	}))
	if err != nil || atOnce {
		t.Errorf("export with a push in the middle: of one moment %v, %v, want false", atOnce, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A page ends where it gets too large, and says where to go on.
func TestLargePages(t *testing.T) {
	w := newWorld(t, nil)
	var vlans []string
	for i := range 64 {
		vlans = append(vlans, fmt.Sprintf(`{"vid":%d,"weight":100}`, 1000+i))
	}
	var lines strings.Builder
	const paths = 8000
	for i := range paths {
		fmt.Fprintf(&lines, `{"a":"02:aa:00:00:00:01","b":"%s","vlans":[%s]}`+"\n", model.MAC(0x02bb00000000+i),
			strings.Join(vlans, ","))
	}
	w.must("POST", "/v1/bulk/paths", lines.String())
	n, pages := 0, 0
	for after := ""; ; pages++ {
		text := w.must("GET", "/v1/paths?limit=10000"+after, "")
		if len(text) > 9<<20 {
			t.Errorf("a page of %d octets, want at most some 8 MiB", len(text))
		}
		l := decode(t, text)
		n += len(dig(l, "items").([]any))
		next, _ := dig(l, "next").(string)
		if next == "" {
			break
		}
		after = "&after=" + next
	}
	if n != paths || pages == 0 {
		t.Errorf("%d paths on %d pages and one, want %d and at least one", n, pages, paths)
	}
}
