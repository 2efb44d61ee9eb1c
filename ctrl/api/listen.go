package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listenUnix opens the socket at path. A socket left behind by a process that is gone is replaced; one on which
// somebody listens, or a file of another kind, is an error.
func listenUnix(path string, mode os.FileMode, owner, group int) (*net.UnixListener, error) {
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("control socket %s: a file that is not a socket is there: move it away, or configure another path", path)
		}
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("control socket %s: another process listens on it: end it, or configure another path", path)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("control socket %s: cannot tell whether it is in use: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("control socket: remove the stale one: %w", err)
		}
	}
	// Between bind and chmod nobody but the owner may connect.
	old := unix.Umask(0o177)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	if os.Geteuid() == 0 {
		err = os.Chown(path, owner, group)
	} else if group >= 0 {
		err = os.Chown(path, -1, group)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return ln, nil
}

// limitListener bounds the connections at a time; one too many is told so and closed.
type limitListener struct {
	net.Listener
	sem    chan struct{}
	refuse func(net.Conn)
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.sem <- struct{}{}:
			return &limitConn{Conn: c, release: sync.OnceFunc(func() { <-l.sem })}, nil
		default:
			l.refuse(c)
		}
	}
}

// How many of those that are refused are heard out, and for how long at most: who is answered before it has asked, or cut
// off while it writes, may never read why. The rest are answered at once.
const (
	maxRefused  = 16
	refuseLimit = time.Second
)

// refuser returns a function that tells a connection that there are too many, and closes it, at once or soon.
func refuser() func(net.Conn) {
	const body = `{"error":{"status":503,"code":"busy","message":"too many connections","hint":"close some, or try again later"}}` + "\n"
	answer := fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	sem := make(chan struct{}, maxRefused)
	return func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(refuseLimit))
		select {
		case sem <- struct{}{}:
		default:
			_, _ = io.WriteString(c, answer)
			c.Close()
			return
		}
		go func() {
			defer func() { c.Close(); <-sem }()
			var first [1]byte
			_, _ = c.Read(first[:])
			_, err := io.WriteString(c, answer)
			if half, ok := c.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
				_, _ = io.Copy(io.Discard, c) // until it has understood and closes, or its time is over
			}
		}()
	}
}

type limitConn struct {
	net.Conn
	release func()
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// peer is who is at the other end of a connection, and what they may do.
type peer struct {
	uid, gid uint32
	pid      int32
	read     bool
	write    bool
	err      error
}

type peerKey struct{}

func peerOf(r *http.Request) *peer {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	if p == nil {
		p = &peer{err: errors.New("no credentials")}
	}
	return p
}

// peer asks the kernel who connected: the credentials are those of the moment of connect(2) and cannot be forged.
func (s *Server) peer(c net.Conn, readOnly bool) *peer {
	p := &peer{}
	lc, _ := c.(*limitConn)
	uc, ok := lc.Conn.(syscall.Conn)
	if !ok {
		p.err = errors.New("not a Unix socket")
		return p
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		p.err = err
		return p
	}
	var groups []uint32
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, p.err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); p.err == nil {
			p.uid, p.gid, p.pid = cred.Uid, cred.Gid, cred.Pid
			groups, p.err = peerGroups(fd)
		}
	})
	if p.err = errors.Join(p.err, err); p.err != nil {
		return p
	}
	writer := p.uid == 0 || int(p.uid) == s.cfg.Owner || int(p.uid) == os.Geteuid() ||
		s.cfg.Group >= 0 && (int(p.gid) == s.cfg.Group || slices.Contains(groups, uint32(s.cfg.Group)))
	p.write = writer && !readOnly
	p.read = writer || s.cfg.ReadOnly
	return p
}

// bucket is a token bucket.
type bucket struct {
	rate, burst float64 // tokens a second, and at most

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// take takes a token, or says how long it is until there is one.
func (b *bucket) take() (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.last.IsZero() {
		b.tokens = b.burst
	} else {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	}
	b.last = now
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}

// deadlines bounds how long a body or an answer may stand still, and a body as a whole.
type deadlines struct {
	rc   *http.ResponseController
	idle time.Duration
	end  time.Time // of the body
}

func (d *deadlines) next(bound time.Time) time.Time {
	t := time.Now().Add(d.idle)
	if !bound.IsZero() && bound.Before(t) {
		return bound
	}
	return t
}

// slowBody is a request's body with deadlines.
type slowBody struct {
	io.ReadCloser
	d *deadlines
}

func (b *slowBody) Read(p []byte) (int, error) {
	// Every layer below is a Unix socket, where setting a deadline cannot fail.
	_ = b.d.rc.SetReadDeadline(b.d.next(b.d.end))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.d.rc.SetReadDeadline(time.Time{}) // else the watch for the caller's going away would run into it
	}
	return n, err
}

// slowWriter is an answer with deadlines.
type slowWriter struct {
	http.ResponseWriter
	d      *deadlines
	status int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	_ = w.d.rc.SetWriteDeadline(w.d.next(time.Time{}))
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *slowWriter) WriteHeader(status int) {
	_ = w.d.rc.SetWriteDeadline(w.d.next(time.Time{}))
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// parseRevision reads an If-Match header: "123" in quotes, bare, or * for any.
func parseRevision(h string) (*uint64, error) {
	h = strings.TrimSpace(h)
	if h == "" || h == "*" {
		return nil, nil
	}
	u, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(h, "W/"), `"`), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a revision", h)
	}
	return &u, nil
}
