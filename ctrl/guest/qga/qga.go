// Package qga is a client of the QEMU guest agent on a Unix socket: the host's end of the guest's channel
// org.qemu.guest_agent.0, or the socket of an agent that listens itself.
//
// Traps. The agent serves one client at a time: a second one connects and gets no answer. Requests are strictly serial.
// The agent may hold answers for an earlier client, so a connection starts with guest-sync-delimited (sync.go). File
// handles outlive the connection, so WriteFile always closes its own. An agent in unix-listen mode stops to listen when
// its client goes before it has read the answer, so Close waits for an outstanding one.
//
// The agent belongs to the tenant, and is not trusted: an answer has at most MaxAnswer octets, every step has a limit
// of time that octets do not extend, and lines above freeLine are read by bigReaders clients at a time.
//
// References: QEMU, qga/qapi-schema.json ("QEMU Guest Agent Protocol Reference").
package qga

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// The limits of what an agent sends, in octets.
const (
	MaxAnswer = 1 << 20 // one answer
	MaxOutput = 1 << 19 // a program's output
)

// Limits are those of time. Zero takes the default.
type Limits struct {
	Silence time.Duration // for an answer to a command; default 5 s
	Run     time.Duration // for a program in the guest; default 10 s
}

// connect is the limit of a connection: a full backlog is a busy agent.
const connect = time.Second

// freeLine is up to which length answers are read without regard to other clients.
const freeLine = 64 << 10

// bigReaders is how many clients read an answer longer than freeLine at the same time.
const bigReaders = 16

// Conn is a connection to an agent. One goroutine uses it.
type Conn struct {
	c      *net.UnixConn
	buf    []byte // read and not used yet
	owed   bool   // an answer is outstanding
	broken error  // the stream is out of step
	limits Limits
	stop   func() bool // of the context
}

// bigLines has a token for each client that reads a long answer.
var bigLines = make(chan struct{}, bigReaders)

// lastID makes the IDs of synchronisations differ within the process.
var lastID atomic.Uint32

// Dial connects to the agent at a socket and synchronises with it. The end of ctx ends what waits on the connection.
func Dial(ctx context.Context, path string, l Limits) (*Conn, error) {
	if l.Silence <= 0 {
		l.Silence = 5 * time.Second
	}
	if l.Run <= 0 {
		l.Run = 10 * time.Second
	}
	d := net.Dialer{Timeout: connect}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, dialError(path, err)
	}
	q := &Conn{c: c.(*net.UnixConn), limits: l}
	q.stop = context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	if err := q.sync(ctx); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

func dialError(path string, err error) error {
	e := &Error{Command: "connect", Fault: Absent, Text: fmt.Sprintf("%s: %v", path, err)}
	switch {
	case errors.Is(err, syscall.ENOENT):
		e.Text = fmt.Sprintf("there is no socket %s", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Text = fmt.Sprintf("nothing listens on %s", path)
	case errors.Is(err, fs.ErrPermission):
		e.Fault, e.Text = Forbidden, fmt.Sprintf("the box may not open %s: %v", path, err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, context.DeadlineExceeded):
		e.Fault, e.Text = Silent, fmt.Sprintf("%s takes no more connections", path)
	}
	return e
}

// Close closes the connection. If the answer to a command is outstanding, Close waits for it up to 5 s; half a second
// if the context has ended.
func (q *Conn) Close() {
	limit := q.limits.Silence
	if !q.stop() { // ctx has ended, which has set a deadline, or is setting it now
		limit = min(limit, 500*time.Millisecond)
	}
	if q.owed {
		q.drain(limit)
	}
	q.c.Close()
}

// drain reads up to the end of the outstanding answer.
func (q *Conn) drain(limit time.Duration) {
	end := time.Now().Add(limit)
	var b [4096]byte
	for n := 0; n <= MaxAnswer && time.Now().Before(end); {
		q.c.SetReadDeadline(end)
		m, err := q.c.Read(b[:])
		if bytes.IndexByte(b[:m], '\n') >= 0 || err != nil {
			return
		}
		n += m
	}
}

// request is what is sent to the agent.
type request struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// call sends a command and decodes what it returns into out, unless that is nil.
func (q *Conn) call(ctx context.Context, command string, args, out any) error {
	if q.broken != nil {
		return q.broken
	}
	if err := q.send(ctx, command, args); err != nil {
		return q.fail(err)
	}
	line, err := q.line(ctx, command)
	if err != nil {
		return q.fail(err)
	}
	ret, err := parse(command, line)
	if err != nil {
		if !refused(err) {
			return q.fail(err)
		}
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(ret, out); err != nil {
		return q.fail(&Error{Command: command, Fault: Nonsense, Text: fmt.Sprintf("its answer does not have the "+
			"form of this command's: %v", err)})
	}
	return nil
}

func (q *Conn) fail(err error) error {
	q.broken = err
	return err
}

func (q *Conn) send(ctx context.Context, command string, args any) error {
	text, err := json.Marshal(request{command, args})
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return q.write(ctx, command, append(text, '\n'))
}

// write sends octets within the limit.
func (q *Conn) write(ctx context.Context, command string, text []byte) error {
	if err := q.deadline(ctx); err != nil {
		return err
	}
	q.owed = true
	if _, err := q.c.Write(text); err != nil {
		return q.ioError(ctx, command, 0, err)
	}
	return nil
}

// deadline starts the limit of a step.
func (q *Conn) deadline(ctx context.Context) error {
	q.c.SetDeadline(time.Now().Add(q.limits.Silence))
	return ctx.Err() // its end sets a deadline that has passed, before or after this one
}

// ioError says what a failed read or write means; got is how many octets of the answer have come.
func (q *Conn) ioError(ctx context.Context, command string, got int, err error) error {
	var to net.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &to) && to.Timeout() && got > 0:
		return &Error{Command: command, Fault: Nonsense,
			Text: fmt.Sprintf("the answer is not complete after %v", q.limits.Silence)}
	case errors.As(err, &to) && to.Timeout():
		return &Error{Command: command, Fault: Silent, Text: fmt.Sprintf("no answer for %v", q.limits.Silence)}
	}
	q.owed = false
	return &Error{Command: command, Fault: Absent, Text: "the agent closed the connection"}
}
