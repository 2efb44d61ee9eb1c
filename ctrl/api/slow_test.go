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
		b.WriteString(bindingLine(segment, model.MAC(0x020000050000+i), port))
	}
	w.must("POST", "/v1/bulk/bindings", b.String())
}

// TestExportNotRead: a reader that takes an export octet by octet blocks no write, and is cut off, with a line in the
// log.
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
			t.Fatal("a reader of single octets is served after 20 s, want it cut off")
		}
	}
	s := text.String()
	if !strings.Contains(s, "reads too slowly was cut off") || !strings.Contains(s, "path=/v1/bulk/bindings") {
		t.Errorf("the log has %q, want a line about the slow reader", s)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	head := strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(head, skipHead(rd))), nil)
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

// TestExportRevisions: the trailer of an export shows whether the table changed during the export.
func TestExportRevisions(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	w.push("web", 30_000, 9)
	var all bytes.Buffer
	atOnce, err := w.client.Export(t.Context(), model.KindBinding, &all)
	if rows := bytes.Count(all.Bytes(), []byte{'\n'}); err != nil || !atOnce || rows != 30_001 {
		t.Errorf("export: of one revision %v, %d rows, %v, want true and 30001", atOnce, rows, err)
	}
	first := true
	atOnce, err = w.client.Export(t.Context(), model.KindBinding, writerFunc(func(p []byte) (int, error) {
		if first { // the box waits for this reader, behind some chunks
			w.push("db", 10, 3)
			first = false
		}
		return len(p), nil
	}))
	if err != nil || atOnce {
		t.Errorf("export with a push in the middle: of one revision %v, %v, want false", atOnce, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestLargePages: a page that gets too large ends early and names the next one.
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
