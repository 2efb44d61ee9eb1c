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
			t.Fatal("waited in vain for: " + what)
		}
	}
}

// inbox is a receiver: it keeps the accepted notices, in the order of arrival.
type inbox struct {
	*httptest.Server
	mu      sync.Mutex
	notices []Notice
	before  atomic.Pointer[http.HandlerFunc] // answers instead, until it is removed
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

// got returns the accepted notices without repetitions, as "action object".
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

// ordered fails the test unless the notices arrived in the order of their numbers, repetitions apart.
func (in *inbox) ordered(t *testing.T) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	last, seen := uint64(0), map[string]bool{}
	for _, n := range in.notices {
		if !seen[n.ID] && n.Sequence <= last {
			t.Errorf("notice %d arrived after %d, want their order", n.Sequence, last)
		}
		last, seen[n.ID] = max(last, n.Sequence), true
	}
}

func hook(name, url string) Receiver {
	return Receiver{Name: name, URL: url, Timeout: 10 * time.Second, RetryMax: 50 * time.Millisecond,
		FailingAfter: 100 * time.Millisecond}
}

// bad are receivers that misbehave. TestBadReceivers replaces them by good ones.
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
			_, _ = io.Copy(io.Discard, r.Body) // or the server would not detect that the caller disconnected
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

// Receivers that misbehave delay only themselves, take no memory, and get all notices in order once they are repaired.
func TestBadReceivers(t *testing.T) {
	b, _ := newBoard(t, "", nil)
	good := newInbox(t, nil)
	inboxes := map[string]*inbox{"good": good}
	list := []Receiver{hook("good", good.URL), hook("nowhere", "http://127.0.0.1:1/"),
		hook("unresolvable", "http://no.such.host.invalid/")}
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
		t.Errorf("the heap has grown by %d octets, want less", grown)
	}
	for _, st := range b.Receivers() {
		switch {
		case st.Name == "good" && (st.Waiting > 20 || st.State == "retrying"):
			t.Errorf("good receiver: %+v, want it up to date", st)
		case st.Name != "good" && (st.State != "retrying" || st.LastError == "" || st.Failures == 0 ||
			st.Waiting < len(want) || st.Delivered != 0 || st.Oldest == nil || st.Since == nil):
			t.Errorf("bad receiver: %+v, want it retrying, with all notices waiting", st)
		case st.Name == "redirect" &&
			(!strings.Contains(st.LastError, "redirects are not followed") || strings.Contains(st.LastError, "secret")):
			t.Errorf("receiver that redirects: %+v, want an error without the secret", st)
		}
	}
	if redirected.Load() != 0 {
		t.Error("a redirect was followed, want an error")
	}
	for name, in := range inboxes {
		in.set(nil)
		wait(t, name+" mends", func() bool { return len(ports(in)) == len(want) })
		if got := ports(in); !slices.Equal(got, want) {
			t.Errorf("%s got %d notices, want all in order", name, len(got))
		}
		in.ordered(t)
	}
	wait(t, "the alarms about those that mended are cleared", func() bool { return failing() == 2 })
}

// An answer of 200 with an endless body is a success, and the body is not read.
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
		t.Errorf("receiver %+v, want 20 delivered and no failures", st)
	}
}

// Token, signature and the configured certificates.
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
	if h.Get("Authorization") != "Bearer t0ken" || h.Get("Content-Type") != "application/json" ||
		h.Get("User-Agent") != "penstock/test" {
		t.Errorf("headers %v, want the token, the media type and the agent", h)
	}
	var at int64
	if _, err := fmt.Sscanf(h.Get(HeaderSignature), "t=%d,", &at); err != nil ||
		h.Get(HeaderSignature) != Sign("s3cret", time.Unix(at, 0), []byte(bodies[0])) {
		t.Errorf("signature %q of %s: %v", h.Get(HeaderSignature), bodies[0], err)
	}
	// A vector made with: printf '100.body' | openssl dgst -sha256 -hmac key
	if got := Sign("key", time.Unix(100, 0),
		[]byte("body")); got != "t=100,v1=28fb9cb9d486bb963831e203359d157778d7fb678298de093a541da9486c39fa" {
		t.Errorf("signature %s, want that of openssl", got)
	}
	file("token", "") // changed while the box runs
	b.Raise(down("up1"))
	wait(t, "an empty token is named", lastError("token_file"))
	file("token", "new")
	wait(t, "delivery with the new token", func() bool { return count() == 2 })
	if headers[1].Get("Authorization") != "Bearer new" {
		t.Errorf("headers %v, want the new token", headers[1])
	}
}

// Receivers are added, changed and removed by a reload; a receiver gets the severities from its lowest up.
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
	wait(t, "a notice to the urgent receiver", func() bool { return len(urgent.got()) == 1 })
	wait(t, "an alarm about the other", func() bool { return len(b.Active()) == 4 })
	b.SetReceivers([]Receiver{a, u}) // another URL: the waiting notices go there
	wait(t, "what waited arrives", func() bool { return len(all.got()) == 4 })
	if got := all.got(); !slices.Equal(got, []string{"raise port up0", "raise gateway_group out", "raise webhook all",
		"clear webhook all"}) {
		t.Errorf("notices %q, want the waiting ones and those about the webhook", got)
	}
	b.SetReceivers([]Receiver{away, u})
	b.Raise(down("up1"))
	wait(t, "the alarm about it is back", func() bool { return b.IsActive(WebhookFailing, "webhook all") })
	b.SetReceivers([]Receiver{u}) // removed, with its waiting notices and its alarm
	if b.IsActive(WebhookFailing, "webhook all") || len(b.Receivers()) != 1 {
		t.Errorf("active alarms %+v, receivers %+v, want no alarm of the removed one", b.Active(), b.Receivers())
	}
	b.SetReceivers([]Receiver{a, u})
	b.Raise(down("up2"))
	wait(t, "the new notice to a new receiver", func() bool { return len(all.got()) == 5 })
	if got := all.got()[4]; got != "raise port up2" || len(urgent.got()) != 1 {
		t.Errorf("new receiver got %q, want raise port up2; urgent one got %q, want one notice", got, urgent.got())
	}
}

// The spool is bounded: the oldest notices are discarded and counted, and one alarm is raised.
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
		t.Errorf("receiver %+v, want 10 waiting and the others dropped", st)
	}
	lost := 0
	for _, a := range b.Active() {
		if a.Kind == WebhookLost && a.Count == 1 && a.Object == "webhook a" {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("%d alarms of lost notices, want 1", lost)
	}
	in.set(nil)
	wait(t, "the newest arrive", func() bool { return len(in.got()) >= 10 })
	if got := in.got(); got[len(got)-1] != fmt.Sprintf("raise port %d", n-1) {
		t.Errorf("notices %q, want the newest as the last", got)
	}
	in.ordered(t)
}

// While a disk refuses writes, an alarm is active and delivery continues.
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
		t.Errorf("notices %q, want both ports and the spool", got)
	}
	wait(t, "events without the disk", func() bool { return len(published(t, events)) == 3 })
}
