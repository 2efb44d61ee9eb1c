package alarm

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wait fails the test unless cond holds before long.
func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: " + what)
		}
	}
}

// inbox is a receiver: it keeps what it took, in the order of coming.
type inbox struct {
	*httptest.Server
	mu      sync.Mutex
	notices []Notice
	before  atomic.Pointer[http.HandlerFunc] // answers instead, until it is taken away
}

func newInbox(t *testing.T, behave http.HandlerFunc) *inbox {
	in := &inbox{}
	in.set(behave)
	in.Server = httptest.NewServer(in)
	t.Cleanup(func() { in.Config.Close(); in.Close() })
	return in
}

func (in *inbox) set(behave http.HandlerFunc) {
	if behave == nil {
		in.before.Store(nil)
		return
	}
	in.before.Store(&behave)
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := in.before.Load(); f != nil {
		(*f)(w, r)
		return
	}
	in.take(r)
}

func (in *inbox) take(r *http.Request) {
	var n Notice
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		panic(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.notices = append(in.notices, n)
}

// got is what came, without what came again, as "action object".
func (in *inbox) got() (out []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	seen := map[string]bool{}
	for _, n := range in.notices {
		if !seen[n.ID] {
			out = append(out, string(n.Action)+" "+n.Alarm.Object)
		}
		seen[n.ID] = true
	}
	return out
}

// ordered fails the test unless all came first in the order of their numbers.
func (in *inbox) ordered(t *testing.T) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	last, seen := uint64(0), map[string]bool{}
	for _, n := range in.notices {
		if !seen[n.ID] && n.Sequence <= last {
			t.Errorf("notice %d after %d", n.Sequence, last)
		}
		last, seen[n.ID] = max(last, n.Sequence), true
	}
}

func hook(name, url string) Receiver {
	return Receiver{Name: name, URL: url, Timeout: 10 * time.Second, RetryMax: 50 * time.Millisecond, FailingAfter: 100 * time.Millisecond}
}

// bad are receivers that do what receivers do. They give way to good ones in TestBadReceivers.
func bad(redirected *atomic.Int32) map[string]http.HandlerFunc {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected.Add(1) }))
	hijack := func(w http.ResponseWriter, text string) net.Conn {
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = buf.WriteString(text)
		_ = buf.Flush()
		return c
	}
	return map[string]http.HandlerFunc{
		"hangs": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the caller is gone
			<-r.Context().Done()
		},
		"500": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"404": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/secret", http.StatusTemporaryRedirect)
		},
		"closes":  func(w http.ResponseWriter, r *http.Request) { hijack(w, "").Close() },
		"half":    func(w http.ResponseWriter, r *http.Request) { hijack(w, "HTTP/1.1 200 OK\r\nConte").Close() },
		"garbage": func(w http.ResponseWriter, r *http.Request) { hijack(w, "SSH-2.0-OpenSSH_9.2\r\n").Close() },
		"endless head": func(w http.ResponseWriter, r *http.Request) {
			c := hijack(w, "HTTP/1.1 200 OK\r\n")
			defer c.Close()
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		},
		"endless error": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(503)
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"not much at a time": func(w http.ResponseWriter, r *http.Request) {
			c := hijack(w, "HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n")
			defer c.Close()
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
	}
}

// Receivers that misbehave hold up nobody but themselves, cost no memory, and get everything in order once they mend.
func TestBadReceivers(t *testing.T) {
	b, _ := newBoard(t, "", nil)
	good := newInbox(t, nil)
	inboxes := map[string]*inbox{"good": good}
	list := []Receiver{hook("good", good.URL), hook("nowhere", "http://127.0.0.1:1/"), hook("unresolvable", "http://no.such.host.invalid/")}
	var redirected atomic.Int32
	for name, f := range bad(&redirected) {
		in := newInbox(t, f)
		inboxes[name] = in
		r := hook(name, in.URL)
		r.Timeout = 500 * time.Millisecond
		list = append(list, r)
	}
	b.SetReceivers(list)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var want []string
	for i := range 60 {
		port := fmt.Sprint("p", i)
		b.Raise(down(port))
		b.Clear(PortDown, "port "+port)
		want = append(want, "raise port "+port, "clear port "+port)
	}
	ports := func(in *inbox) []string {
		return slices.DeleteFunc(in.got(), func(s string) bool { return !strings.Contains(s, " port ") })
	}
	wait(t, "the good receiver has everything", func() bool { return len(ports(good)) == len(want) })
	failing := func() int {
		n := 0
		for _, a := range b.Active() {
			if a.Kind == WebhookFailing && strings.Contains(a.Text, "has taken no notice since") {
				n++
			}
		}
		return n
	}
	wait(t, "alarms about the bad ones", func() bool { return failing() == len(list)-1 })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap has grown by %d octets", grown)
	}
	for _, st := range b.Receivers() {
		switch {
		case st.Name == "good" && (st.Waiting > 20 || st.State == "retrying"):
			t.Errorf("%+v", st)
		case st.Name != "good" && (st.State != "retrying" || st.LastError == "" || st.Failures == 0 || st.Waiting < len(want) || st.Delivered != 0 || st.Oldest == nil || st.Since == nil):
			t.Errorf("%+v", st)
		case st.Name == "redirect" && (!strings.Contains(st.LastError, "redirects are not followed") || strings.Contains(st.LastError, "secret")):
			t.Errorf("%+v", st)
		}
	}
	if redirected.Load() != 0 {
		t.Error("a redirect was followed")
	}
	for name, in := range inboxes {
		in.set(nil)
		wait(t, name+" mends", func() bool { return len(ports(in)) == len(want) })
		if got := ports(in); !slices.Equal(got, want) {
			t.Errorf("%s got %d notices, not in order", name, len(got))
		}
		in.ordered(t)
	}
	wait(t, "the alarms about those that mended are cleared", func() bool { return failing() == 2 })
}

// An answer of 200 whose body has no end counts, and the body is not read.
func TestEndlessBody(t *testing.T) {
	b, _ := newBoard(t, "", nil)
	in := newInbox(t, nil)
	in.set(func(w http.ResponseWriter, r *http.Request) {
		in.take(r)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	b.SetReceivers([]Receiver{hook("a", in.URL)})
	for i := range 20 {
		b.Raise(down(fmt.Sprint(i)))
	}
	wait(t, "all notices", func() bool { return len(in.got()) == 20 && b.Receivers()[0].Waiting == 0 })
	if st := b.Receivers()[0]; st.Delivered != 20 || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
}

// Token, signature and the box's own idea of whom to trust.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var mu sync.Mutex
	var headers []http.Header
	var bodies []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		headers, bodies = append(headers, r.Header), append(bodies, string(text))
	}))
	srv.Config.ErrorLog = nil
	defer srv.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	b, _ := newBoard(t, "", nil)
	r := hook("a", srv.URL)
	r.TokenFile, r.SecretFile = file("token", "t0ken\n"), file("secret", "s3cret\n")
	b.SetReceivers([]Receiver{r})
	b.Raise(down("up0"))
	lastError := func(part string) func() bool {
		return func() bool { return strings.Contains(b.Receivers()[0].LastError, part) }
	}
	wait(t, "a stranger's certificate is refused", lastError("certificate"))
	r.CAFile = file("ca", "not PEM")
	b.SetReceivers([]Receiver{r})
	wait(t, "a bad file of certificates is named", lastError("holds no certificate"))
	file("ca", ca)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(bodies) }
	wait(t, "delivery", func() bool { return count() == 1 })
	h := headers[0]
	if h.Get("Authorization") != "Bearer t0ken" || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "penstock/test" {
		t.Errorf("%v", h)
	}
	var at int64
	if _, err := fmt.Sscanf(h.Get(HeaderSignature), "t=%d,", &at); err != nil || h.Get(HeaderSignature) != Sign("s3cret", time.Unix(at, 0), []byte(bodies[0])) {
		t.Errorf("signature %q of %s: %v", h.Get(HeaderSignature), bodies[0], err)
	}
	// A vector made with: printf '100.body' | openssl dgst -sha256 -hmac key
	if got := Sign("key", time.Unix(100, 0), []byte("body")); got != "t=100,v1=28fb9cb9d486bb963831e203359d157778d7fb678298de093a541da9486c39fa" {
		t.Errorf("%s", got)
	}
	file("token", "") // changed while the box runs
	b.Raise(down("up1"))
	wait(t, "an empty token is named", lastError("token_file"))
	file("token", "new")
	wait(t, "delivery with the new token", func() bool { return count() == 2 })
	if headers[1].Get("Authorization") != "Bearer new" {
		t.Errorf("%v", headers[1])
	}
}

// Receivers come, change and go with a reload; severities are for those who want them.
func TestSetReceivers(t *testing.T) {
	b, _ := newBoard(t, "", nil)
	all, urgent := newInbox(t, nil), newInbox(t, nil)
	a, u := hook("all", all.URL), hook("urgent", urgent.URL)
	u.Severity = Critical
	away := a
	away.URL = "http://127.0.0.1:1/"
	b.Raise(down("before"))
	b.SetReceivers([]Receiver{away, u})
	b.Raise(down("up0"))
	b.Raise(Report{Kind: GatewayAllDown, Object: "gateway_group out", Text: "x"})
	wait(t, "the urgent one is told", func() bool { return len(urgent.got()) == 1 })
	wait(t, "an alarm about the other", func() bool { return len(b.Active()) == 4 })
	b.SetReceivers([]Receiver{a, u}) // moved: what waits for it goes there
	wait(t, "what waited arrives", func() bool { return len(all.got()) == 4 })
	if got := all.got(); !slices.Equal(got, []string{"raise port up0", "raise gateway_group out", "raise webhook all", "clear webhook all"}) {
		t.Errorf("%q", got)
	}
	b.SetReceivers([]Receiver{away, u})
	b.Raise(down("up1"))
	wait(t, "the alarm about it is back", func() bool { return b.IsActive(WebhookFailing, "webhook all") })
	b.SetReceivers([]Receiver{u}) // gone, and what waited for it, and the alarm about it
	if b.IsActive(WebhookFailing, "webhook all") || len(b.Receivers()) != 1 {
		t.Errorf("%+v %+v", b.Active(), b.Receivers())
	}
	b.SetReceivers([]Receiver{a, u})
	b.Raise(down("up2"))
	wait(t, "a new one is told what is new", func() bool { return len(all.got()) == 5 })
	if got := all.got()[4]; got != "raise port up2" || len(urgent.got()) != 1 {
		t.Errorf("%q, %q", got, urgent.got())
	}
}

// The spool is bounded: the oldest give way, are counted, and one alarm says so.
func TestSpoolFull(t *testing.T) {
	b, _ := newBoard(t, "", func(c *Config) { c.Spool = 10 })
	in := newInbox(t, nil)
	in.set(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	r := hook("a", in.URL)
	r.FailingAfter = time.Hour
	b.SetReceivers([]Receiver{r})
	const n = 100
	for i := range n {
		b.Raise(down(fmt.Sprint(i)))
	}
	st := b.Receivers()[0]
	if st.Waiting != 10 || st.Dropped != n+1-10 { // the alarm about it is one more
		t.Errorf("%+v", st)
	}
	lost := 0
	for _, a := range b.Active() {
		if a.Kind == WebhookLost && a.Count == 1 && a.Object == "webhook a" {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("%d alarms about it", lost)
	}
	in.set(nil)
	wait(t, "the newest arrive", func() bool { return len(in.got()) >= 10 })
	if got := in.got(); got[len(got)-1] != fmt.Sprintf("raise port %d", n-1) {
		t.Errorf("%q", got)
	}
	in.ordered(t)
}

// A disk that refuses costs durability and says so; delivery goes on.
func TestDiskRefuses(t *testing.T) {
	b, events := newBoard(t, "", func(c *Config) { c.FlushRetry = 10 * time.Millisecond })
	in := newInbox(t, nil)
	b.SetReceivers([]Receiver{hook("a", in.URL)})
	b.Raise(down("up0"))
	wait(t, "delivery from the disk", func() bool { return len(in.got()) == 1 && b.Receivers()[0].Waiting == 0 })
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := b.spool.Close(); err != nil { // from now on every write fails
		t.Fatal(err)
	}
	b.Raise(down("up1"))
	wait(t, "delivery without the disk", func() bool { return len(in.got()) == 3 })
	if got := in.got(); !slices.Equal(got, []string{"raise port up0", "raise port up1", "raise spool"}) {
		t.Errorf("%q", got)
	}
	wait(t, "events without the disk", func() bool { return len(told(t, events)) == 3 })
}
