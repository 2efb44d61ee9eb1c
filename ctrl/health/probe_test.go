package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// direct is the way to a server of the kernel's.
type direct struct{ tcp, udp string }

func (d direct) TCP(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", d.tcp)
}
func (d direct) UDP() (net.Conn, error)            { return net.Dial("udp", d.udp) }
func (d direct) Ping(ctx context.Context) error    { <-ctx.Done(); return ctx.Err() }
func (d direct) Resolve(ctx context.Context) error { return nil }

// serve runs a TCP server whose connections fn handles.
func serve(t *testing.T, fn func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fn(c)
			}()
		}
	}()
	return l.Addr().String()
}

// request reads the head of a request.
func request(c net.Conn) string {
	b := make([]byte, 4096)
	n, _ := c.Read(b)
	return string(b[:n])
}

func answer(text string) func(net.Conn) {
	return func(c net.Conn) { request(c); _, _ = io.WriteString(c, text) }
}

// endless writes text again and again, with a pause, until nobody reads.
func endless(first, text string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		request(c)
		_, err := io.WriteString(c, first)
		for err == nil {
			_, err = io.WriteString(c, text)
			time.Sleep(pause)
		}
	}
}

func plainServer(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestProbeTCP checks servers that behave, and servers that do not: each check ends in time, and says in plain words
// what is wrong ("" = nothing).
func TestProbeTCP(t *testing.T) {
	closed := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}()
	silent := func(net.Conn) { time.Sleep(2 * time.Second) }
	web := Check{Type: HTTP, Path: "/health?x=1", Host: "www.example.net", Status: "200-399"}
	body := web
	body.Body = "all is well"
	secure := web
	secure.Type = HTTPS
	verified := secure
	verified.Verify = true
	tcp := Check{Type: TCP}
	say := Check{Type: TCP, Send: "PING\r\n", Expect: "+PONG"}
	asked := ""
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(204)
	}))
	ts.TLS = &tls.Config{}
	ts.Config.ErrorLog = nil
	ts.StartTLS()
	t.Cleanup(ts.Close)
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tc := range []struct {
		name, address string
		check         Check
		want          string
	}{
		{"accepts", serve(t, silent), tcp, ""},
		{"refuses", closed, tcp, "connection refused"},
		{"answers", serve(t, answer("+PONG\r\n")), say, ""},
		{"answers otherwise", serve(t, answer("-ERR\r\n")), say, `the answer begins with "-ERR\r", want "+PONG"`},
		{"closes", serve(t, answer("+PO")), say, `the connection ends after "+PO", want "+PONG"`},
		{"drips an answer", serve(t, endless("+", "P", 300*time.Millisecond)), say, `the answer begins with "+PP`},
		{"says nothing", serve(t, silent), say, "no answer within 500ms"},
		{"binary answer", serve(t, answer("\x00\x01\x02")), say, `the answer begins with "\x00\x01\x02`},
		{"http", plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.Host + r.URL.String()
		}), web, ""},
		{"404", plainServer(t, http.NotFound), web, "status 404, want 200-399"},
		{"redirect", plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}), web, ""},
		{"body", plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 5000)+"all is well")
		}), body, ""},
		{"wrong body", plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "all is well")
		}), Check{Type: HTTP, Path: "/", Status: "200", Body: "fine"},
			`the body of 11 octets does not contain "fine"`},
		{"chunked body", serve(t, answer(ok+
			"Transfer-Encoding: chunked\r\n\r\n4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n")), body, ""},
		{"bad chunks", serve(t, answer(ok+"Transfer-Encoding: chunked\r\n\r\nzz\r\nall is well")), body, "the body: "},
		{"10 MiB body", plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 10 << 10 {
				_, _ = w.Write(make([]byte, 1024))
			}
		}), body, "the first 64 KiB of the body do not contain"},
		{"endless body", serve(t, endless(ok+"\r\n", "abc", time.Millisecond)), body, "no end of the body"},
		{"endless body, not wanted", serve(t, endless(ok+"\r\n", "abc", time.Millisecond)), web, ""},
		{"drips a header", serve(t, endless(ok, "X-A: b\r\n", 50*time.Millisecond)), web, "no response within 500ms"},
		{"endless header", serve(t, endless(ok, "X-A: "+strings.Repeat("b", 1000)+"\r\n", 0)), web, "more than 64 KiB"},
		{"no http", serve(t, answer("SSH-2.0-OpenSSH_9.2\r\n")), web, "no HTTP response: "},
		{"closes at once", serve(t, answer("")), web, "no HTTP response: the server closed the connection"},
		{"silent", serve(t, silent), web, "no response within 500ms"},
		{"interim", serve(t, answer("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+ok+
			"Content-Length: 0\r\n\r\n")), web, ""},
		{"only interim", serve(t, endless("", "HTTP/1.1 100 Continue\r\n\r\n", time.Millisecond)), web, "status 100"},
		{"https", ts.Listener.Addr().String(), secure, ""},
		{"https, certificate of nobody", ts.Listener.Addr().String(), verified, "TLS: "},
		{"https without TLS", plainServer(t, http.NotFound), secure, "TLS: "},
		{"https, silent", serve(t, silent), secure, "no end of the TLS handshake within 500ms"},
		{"https, garbage", serve(t, answer(strings.Repeat("\xff", 100))), secure, "TLS: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.check.Timeout = 500 * time.Millisecond
			at := time.Now()
			err := Probe(t.Context(), direct{tcp: tc.address}, &tc.check)
			if took := time.Since(at); took > 5*time.Second {
				t.Errorf("it took %v, want no longer than its timeout", took)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if tc.want == "" && text != "" || !strings.Contains(text, tc.want) || len(text) > 2*maxText {
				t.Errorf("the check says %q, want %q", text, tc.want)
			}
			if strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%q is not one line", text)
			}
		})
	}
	t.Cleanup(func() {
		if asked != "GET www.example.net/health?x=1" {
			t.Errorf("the server was asked %q, want path and host of the check", asked)
		}
	})
}

// TestProbeUDP: silence fails only where an answer is expected; an ICMP error always does.
func TestProbeUDP(t *testing.T) {
	server := func(answer string) string {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() {
			b := make([]byte, 2048)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				if answer != "" {
					_, _ = c.WriteTo([]byte(fmt.Sprintf(answer, b[:n])), from)
				}
			}
		}()
		return c.LocalAddr().String()
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := c.LocalAddr().String()
	_ = c.Close()
	for _, tc := range []struct{ name, address, send, expect, want string }{
		{"silent", server(""), "x", "", ""},
		{"silent, an answer expected", server(""), "x", "y", "no answer within 200ms"},
		{"answers", server("re: %s"), "abc", "re: abc", ""},
		{"answers otherwise", server("no: %s"), "abc", "re:", `the answer begins with "no: abc", want "re:"`},
		{"answers, nothing expected", server("no: %s"), "", "", ""},
		{"nothing listens", closed, "x", "", "port unreachable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := Check{Type: UDP, Timeout: 200 * time.Millisecond, Send: tc.send, Expect: tc.expect}
			text := ""
			if err := Probe(t.Context(), direct{udp: tc.address}, &k); err != nil {
				text = err.Error()
			}
			if tc.want == "" && text != "" || !strings.Contains(text, tc.want) {
				t.Errorf("the check says %q, want %q", text, tc.want)
			}
		})
	}
}

// TestProbeLeavesNothing: checks of a server that hangs leave neither goroutines nor memory behind.
func TestProbeLeavesNothing(t *testing.T) {
	address := serve(t, endless("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16), 0))
	c := Check{Type: HTTP, Path: "/", Status: "200", Body: "y", Timeout: 50 * time.Millisecond}
	before := runtime.NumGoroutine()
	for range 100 {
		if err := Probe(t.Context(), direct{tcp: address}, &c); err == nil {
			t.Fatal("the body has what it does not have")
		}
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+3 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before+3 {
		t.Errorf("%d goroutines after 100 checks, %d before", n, before)
	}
}

// TestProbeOthers: echo and ARP name what did not come; no check is no fault.
func TestProbeOthers(t *testing.T) {
	for _, tc := range []struct {
		kind Type
		want string
	}{{None, ""}, {ARP, ""}, {ICMP, "no echo reply within 20ms"}} {
		c := Check{Type: tc.kind, Timeout: 20 * time.Millisecond}
		err := Probe(t.Context(), direct{}, &c)
		if text := fmt.Sprint(err); tc.want == "" && err != nil || tc.want != "" && text != tc.want {
			t.Errorf("type %d says %v, want %q", tc.kind, err, tc.want)
		}
		var late *errLate
		if tc.want != "" && !errors.As(err, &late) {
			t.Errorf("%v is not known as late", err)
		}
	}
}

// TestAccepted reads lists of status codes.
func TestAccepted(t *testing.T) {
	for _, tc := range []struct {
		list string
		code int
		want bool
	}{
		{"200-399", 200, true}, {"200-399", 399, true}, {"200-399", 400, false}, {"200, 204,500-501", 204, true},
		{"200, 204,500-501", 500, true}, {"200, 204,500-501", 205, false}, {"", 200, false}, {"x", 200, false},
	} {
		if got := accepted(tc.list, tc.code); got != tc.want {
			t.Errorf("%q accepts %d: %v, want %v", tc.list, tc.code, got, tc.want)
		}
	}
}
