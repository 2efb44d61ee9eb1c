package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/api"
	"penstock/ctrl/core"
	"penstock/ctrl/rest"
)

// peak runs f and returns how much the heap grew meanwhile, at the most.
func peak(f func()) int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := int64(m.HeapAlloc)
	var most atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), int64(m.HeapAlloc)-before))
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	<-done
	return most.Load()
}

// pattern is an endless text: head once, then body again and again.
type pattern struct{ head, body string }

func (p pattern) of(size int) string {
	n := max(0, size-len(p.head))/len(p.body) + 1
	var b strings.Builder
	b.Grow(len(p.head) + n*len(p.body))
	b.WriteString(p.head)
	for range n {
		b.WriteString(p.body)
	}
	return b.String()
}

// A request takes at most four times the memory of its body and a fixed amount (ctrl/rest/README.md), whatever its body
// is, and is answered in the form of all errors.
func TestMemory(t *testing.T) {
	const size = 16 << 20
	w := newWorld(t, func(a *api.Config, _ *core.Config) { a.MaxBody, a.MaxBulk = 2*size, 2*size })
	w.must("POST", "/v1/transactions", base)
	row := `{"tenant":"RED","segment":"web","mac":"02:00:00:00:02:01","switch_mac":"02:aa:00:00:00:01","switch_port":3`
	del := `{"op":"delete","kind":"vifs","key":"RED/x"},`
	bodies := map[string]pattern{
		"numbers":          {`{"operations":[`, `1,`},
		"nulls":            {`{"operations":[`, `null,`},
		"empty objects":    {`{"operations":[`, `{},`},
		"empty lists":      {`{"operations":[[`, `[],`},
		"unknown members":  {`{"operations":[`, `{"a":1},`},
		"deletes":          {`{"operations":[`, del},
		"escapes":          {`{"operations":["`, `\u0000`},
		"a long key":       {`{"operations":[{"op":"delete","kind":"vifs","key":"`, `x`},
		"a long operation": {`{"operations":[{"op":"`, `\n`},
		"a long member":    {`{"`, `y`},
		"a big value": {`{"operations":[{"op":"put","kind":"vifs","key":"RED/x","value":{"addresses":[`,
			`"10.0.0.1",`},
		"labels": {`{"operations":[{"op":"put","kind":"tenants","key":"X","value":{"labels":{"a":"a"`,
			`,"b":"c"`},
		"nested":              {``, `{"a":`},
		"nested lists":        {``, `[`},
		"a list":              {`[`, `1,`},
		"a huge number":       {`{"operations":[`, `9`},
		"spaces":              {`{"operations":[`, ` `},
		"wrong UTF-8":         {`{"operations":["`, "\xff"},
		"no JSON":             {``, `x`},
		"unknown top members": {`{`, `"a":1,`},
		"rows":                {``, row + "}\n"},
		"rows with a fault":   {``, row + `,"x":1}` + "\n"},
		"rows of addresses": {``,
			row + `,"addresses":["1::1","1::2","1::3","1::4","1::5","1::6","1::7","1::8"]}` + "\n"},
		"names without end": {`{"tenant":"`, `a`},
		"empty lines":       {``, "\n"},
		"lines of spaces":   {``, strings.Repeat(" ", 40) + "\n"},
		"lines of a digit":  {``, "1\n"},
		"lines of a brace":  {``, "{\n"},
		"long lines":        {``, `{"a":[` + strings.Repeat("1,", 30_000) + `1]}` + "\n"},
		"nested lines":      {``, strings.Repeat("[", 30_000) + "\n"},
		"members in a line": {``, `{"tenant":"` + strings.Repeat("é", 30_000) + `"}` + "\n"},
		"path rows":         {``, `{"a":"02:aa:00:00:00:01","b":"02:aa:00:00:00:03","vlans":[{"vid":1}]}` + "\n"},
	}
	urls := map[string][]string{
		"POST": {"/v1/transactions", "/v1/bulk/bindings?dry_run=1", "/v1/bulk/paths?dry_run=1",
			"/v1/alarms/1/acknowledge", "/v1/reload", "/v1/gateways/out/switch"},
		"PUT":   {"/v1/vifs/RED/x"},
		"PATCH": {"/v1/tenants/RED"},
	}
	for what, p := range bodies {
		body := p.of(size)
		for method, list := range urls {
			for _, url := range list {
				var status int
				var h http.Header
				var text string
				grew := peak(func() { status, h, text = w.post(method, url, body) })
				if most := int64(4*len(body) + rest.FixedMemory); grew > most {
					t.Errorf("%s %s with %s: %d MiB of body took %d MiB, want at most %d", method, url, what,
						len(body)>>20, grew>>20, most>>20)
				}
				envelope := strings.HasPrefix(text, fmt.Sprintf(`{"error":{"status":%d`, status))
				media := h.Get("Content-Type")
				if status >= 300 && !envelope || len(text) > 1<<20 || media != "application/json" {
					t.Errorf("%s %s with %s: status %d, type %q, want a result or an error in JSON: %.200s",
						method, url, what, status, media, text)
				}
				if testing.Verbose() {
					t.Logf("%-22s %-5s %-28s %4d MiB, status %d", what, method, url, grew>>20, status)
				}
			}
		}
	}
}

// post sends a body without a copy of it, and does not mind if the box answers before it has it all.
func (w *world) post(method, url, body string) (status int, h http.Header, text string) {
	w.t.Helper()
	c := w.raw()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: box\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", method, url,
			len(body))
		_, _ = io.WriteString(c, body)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.t.Fatalf("%s %s: no answer: %v", method, url, err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: the answer breaks off: %v", method, url, err)
	}
	c.Close()
	<-sent
	return resp.StatusCode, resp.Header, string(data)
}
