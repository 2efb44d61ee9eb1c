package qga

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// agent is an agent of a test: it takes requests and has fn answer them; "" is no answer. done has the commands of each
// connection that ended.
type agent struct {
	path string
	done chan []string
}

func newAgent(t *testing.T, fn func(command string, args json.RawMessage) string) *agent {
	t.Helper()
	a := &agent{filepath.Join(t.TempDir(), "qga"), make(chan []string, 16)}
	ln, err := net.Listen("unix", a.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			var commands []string
			for in := bufio.NewScanner(c); in.Scan(); {
				var r struct {
					Execute   string
					Arguments json.RawMessage
				}
				if err := json.Unmarshal(bytes.TrimPrefix(in.Bytes(), []byte{sentinel}), &r); err != nil {
					break
				}
				commands = append(commands, r.Execute)
				answer := fn(r.Execute, r.Arguments)
				if r.Execute == syncCommand && answer == "" {
					var id struct{ ID int64 }
					json.Unmarshal(r.Arguments, &id)
					answer = fmt.Sprintf("\xff{\"return\":%d}", id.ID)
				}
				if answer != "" {
					c.Write([]byte(answer + "\n"))
				}
			}
			c.Close()
			a.done <- commands
		}
	}()
	return a
}

func (a *agent) dial(t *testing.T) *Conn {
	t.Helper()
	q, err := Dial(context.Background(), a.path, Limits{Silence: time.Second, Run: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// TestSync: what was meant for an earlier client is thrown away.
func TestSync(t *testing.T) {
	for name, before := range map[string]string{
		"nothing":                  "",
		"an answer":                "{\"return\":{}}\n",
		"half an answer":           "{\"return\":{\"pi",
		"the answer to other sync": "\xff{\"return\":12}\n",
		"two of them":              "\xff{\"return\":12}\n\xff{\"return\":13}\n",
		"an error":                 "\xff{\"error\":{\"class\":\"GenericError\",\"desc\":\"x\"}}\n",
		"sentinels and lines":      "\n\xff\n\xff\xff\n\n",
		"much":                     strings.Repeat("x", 1<<19),
	} {
		a := newAgent(t, func(command string, args json.RawMessage) string {
			switch command {
			case syncCommand:
				var id struct{ ID int64 }
				json.Unmarshal(args, &id)
				return before + fmt.Sprintf("\xff{\"return\":%d}", id.ID)
			}
			return `{"return":{"version":"7.2","supported_commands":[{"name":"guest-exec","enabled":false}]}}`
		})
		q, err := Dial(context.Background(), a.path, Limits{})
		if err != nil {
			t.Errorf("after %s: %v, want a connection", name, err)
			continue
		}
		i, err := q.Info(context.Background())
		if err != nil || i.Version != "7.2" {
			t.Errorf("after %s: guest-info is %+v, %v, want version 7.2", name, i, err)
		}
		q.Close()
	}
}

// TestDialError: what is wrong with a socket.
func TestDialError(t *testing.T) {
	for _, tc := range []struct {
		err   error
		fault Fault
		text  string
	}{
		{syscall.ENOENT, Absent, "connect: there is no socket /s"},
		{syscall.ECONNREFUSED, Absent, "connect: nothing listens on /s"},
		{syscall.EACCES, Forbidden, "connect: the box may not open /s: "},
		{syscall.EAGAIN, Silent, "connect: /s takes no more connections"},
		{syscall.EPROTOTYPE, Absent, "connect: /s: "},
	} {
		err := dialError("/s", &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", tc.err)})
		e, _ := errors.AsType[*Error](err)
		if e == nil || e.Fault != tc.fault || !strings.HasPrefix(err.Error(), tc.text) {
			t.Errorf("%v: got %v, want %q", tc.err, err, tc.text)
		}
	}
}

// TestCheck: blocked commands go before those that are not known.
func TestCheck(t *testing.T) {
	i := &Info{Version: "2.4", commands: map[string]bool{"a": true, "b": false, "c": false}}
	for _, tc := range []struct {
		ask   []string
		fault Fault
		text  string
	}{
		{[]string{"a"}, 0, ""},
		{[]string{"a", "b", "c"}, Blocked, "b, c: the guest's agent blocks it"},
		{[]string{"b", "d"}, Blocked, "b: the guest's agent blocks it"},
		{[]string{"a", "d"}, Unknown, "d: the guest's agent (version 2.4) does not have it"},
	} {
		err := i.Check(tc.ask...)
		e, _ := errors.AsType[*Error](err)
		if (err == nil) != (tc.text == "") || err != nil && (e.Fault != tc.fault || err.Error() != tc.text) {
			t.Errorf("%q: got %v, want %q", tc.ask, err, tc.text)
		}
	}
}

// TestWriteFile: the file is opened, written in pieces, flushed, and closed whatever fails.
func TestWriteFile(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 7000)
	for _, fails := range []string{"", "guest-file-write", "guest-file-flush"} {
		var got []byte
		a := newAgent(t, func(command string, args json.RawMessage) string {
			if command == fails {
				return `{"error":{"class":"GenericError","desc":"no space"}}`
			}
			switch command {
			case syncCommand:
				return ""
			case "guest-file-open":
				return `{"return":1000}`
			case "guest-file-write":
				var w struct {
					Handle int64
					Buf    string `json:"buf-b64"`
				}
				json.Unmarshal(args, &w)
				b, err := base64.StdEncoding.DecodeString(w.Buf)
				if err != nil || w.Handle != 1000 {
					return `{"error":{"class":"GenericError","desc":"bad"}}`
				}
				got = append(got, b...)
				return fmt.Sprintf(`{"return":{"count":%d,"eof":false}}`, len(b))
			}
			return `{"return":{}}`
		})
		q := a.dial(t)
		err := q.WriteFile(context.Background(), "/etc/x", content)
		q.Close()
		commands := <-a.done
		if (err == nil) != (fails == "") || err != nil && err.Error() != fails+": no space" {
			t.Errorf("%q fails: got error %v", fails, err)
		}
		if commands[len(commands)-1] != "guest-file-close" {
			t.Errorf("%q fails: the commands were %q, want guest-file-close at the end", fails, commands)
		}
		if fails == "" && !bytes.Equal(got, content) {
			t.Errorf("%d octets were written, want %d, the same", len(got), len(content))
		}
	}
}

// TestCloseDrains: a connection whose answer is outstanding is closed after the answer, and no later than its limit.
func TestCloseDrains(t *testing.T) {
	for _, late := range []bool{true, false} {
		answered := make(chan time.Time, 1)
		a := newAgent(t, func(command string, _ json.RawMessage) string {
			if command != "guest-info" {
				return ""
			}
			if late {
				time.Sleep(1300 * time.Millisecond)
				answered <- time.Now()
				return `{"return":{}}`
			}
			return ""
		})
		q := a.dial(t)
		if _, err := q.Info(context.Background()); err == nil || !strings.Contains(err.Error(), "info: no answer") {
			t.Errorf("got %v, want no answer", err)
		}
		if _, err := q.Interfaces(context.Background()); err == nil || !strings.Contains(err.Error(), "guest-info") {
			t.Errorf("another command on a connection out of step: got %v, want the first error", err)
		}
		q.Close()
		if late {
			select {
			case at := <-answered:
				if time.Since(at) > time.Second {
					t.Error("the connection was closed long after the answer, want at once")
				}
			default:
				t.Error("the connection was closed before the answer came")
			}
		}
	}
}

// TestContext: the end of the context ends what waits.
func TestContext(t *testing.T) {
	a := newAgent(t, func(command string, _ json.RawMessage) string { return "" })
	ctx, cancel := context.WithCancel(context.Background())
	q, err := Dial(ctx, a.path, Limits{Silence: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	if _, err := q.Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context has ended", err)
	}
	q.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v, want much less than the limit of a minute", took)
	}
}

// FuzzAnswers: whatever an agent sends, each call returns in time with a value or an error of the agent's.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`{"return":{"pid":1}}`, `{"return":{"exited":true,"exitcode":0,"out-data":"aGk="}}`,
		`{"error":{"class":"CommandNotFound","desc":"Command guest-exec has been disabled"}}`, "{", "\xff\xff{}\n[]",
		`{"return":[{"name":"lo","ip-addresses":[{"ip-address":"::ffff:1.2.3.4%x","prefix":-1}]}]}`,
		`{"return":{"version":"\u0000","supported_commands":[{"name":1}]}}`, `{"return":null}`, `{"error":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		mine, theirs := pair(t)
		defer theirs.Close()
		q := &Conn{c: mine, limits: Limits{Silence: 20 * time.Millisecond, Run: 20 * time.Millisecond},
			stop: func() bool { return true }}
		go func() {
			b := make([]byte, 4096)
			for {
				if _, err := theirs.Read(b); err != nil {
					return
				}
				if _, err := theirs.Write(append(slices.Clone(text), '\n')); err != nil {
					return
				}
			}
		}()
		ctx := context.Background()
		calls := []func() error{
			func() error {
				if bytes.IndexByte(text, sentinel) < 0 { // it would wait for one
					return nil
				}
				return q.sync(ctx)
			},
			func() error { _, err := q.Info(ctx); return err },
			func() error { _, err := q.Interfaces(ctx); return err },
			func() error { _, err := q.Exec(ctx, "/bin/sh", "-c", "true"); return err },
			func() error { return q.WriteFile(ctx, "/etc/x", []byte("x")) },
		}
		for i, call := range calls {
			q.broken, q.buf = nil, q.buf[:0]
			if err := call(); err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Errorf("call %d: got %T %v, want an *Error", i, err, err)
				}
				if s := err.Error(); strings.ContainsAny(s, "\n\x00\x1b") {
					t.Errorf("call %d: the error is %q, want no control characters", i, s)
				}
			}
		}
		q.Close()
	})
}

// pair returns two connected sockets.
func pair(t *testing.T) (*net.UnixConn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", "")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn), s
}
