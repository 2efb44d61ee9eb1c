package rest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a Limiter.
type Bounds struct {
	Conns   int // connections at a time
	Reserve int // of these for privileged callers
	Streams int // endless answers at a time
	// Share is how many connections one caller who is not privileged may have, by name; nil = all but the reserve.
	Share func(*Peer) int
}

// Limiter is a listener that bounds the connections at a time, as a whole and per caller. When the limit is reached,
// the connection that has waited longest without a request is closed; if all are busy, the new one gets an error and is
// closed. Its State is to be set as http.Server.ConnState.
type Limiter struct {
	net.Listener
	identify Identify
	b        Bounds
	refuse   func(net.Conn, string)

	refused atomic.Uint64
	evicted atomic.Uint64

	mu      sync.Mutex
	conns   map[*limitConn]bool
	callers map[string]int // connections by name
	streams int
	streamy map[string]int // streams by name
}

// reserveAge is how long a connection of the reserve is kept before another privileged one may replace it.
const reserveAge = 5 * time.Second

// newAge is how long a connection may take to its first octet before another one may replace it.
const newAge = time.Second

// Limit bounds the connections of ln. identify must not block on the caller.
func Limit(ln net.Listener, b Bounds, identify Identify) *Limiter {
	return &Limiter{Listener: ln, identify: identify, b: b, refuse: refuser(),
		conns: map[*limitConn]bool{}, callers: map[string]int{}, streamy: map[string]int{}}
}

// limitConn is a counted connection.
type limitConn struct {
	net.Conn
	l        *Limiter
	peer     *Peer
	reserved bool // taken from the reserve
	accepted time.Time
	waits    time.Time // since when it waits for a request; zero while one is served
}

// Accept returns the next connection for which there is room.
func (l *Limiter) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		lc := &limitConn{Conn: c, l: l, peer: l.identify(c), accepted: time.Now()}
		lc.waits = lc.accepted.Add(newAge)
		victim, why := l.take(lc)
		if victim != nil {
			l.evicted.Add(1)
			victim.Close()
		}
		if why == "" {
			return lc, nil
		}
		l.refused.Add(1)
		l.refuse(c, why)
	}
}

// take counts a connection. It may return another one to be closed for it, or the reason of a refusal.
func (l *Limiter) take(c *limitConn) (victim *limitConn, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	general := l.b.Conns - l.b.Reserve
	if !c.peer.Privileged && l.b.Share != nil && l.callers[c.peer.Name] >= l.b.Share(c.peer) {
		if victim = l.oldest(c.peer.Name); victim == nil {
			return nil, "too many connections of " + c.peer.Name
		}
	} else if len(l.conns) >= general {
		if victim = l.oldest(""); victim == nil {
			if !c.peer.Privileged {
				return nil, "too many connections"
			}
			c.reserved = true
			if len(l.conns) >= l.b.Conns {
				if victim = l.longest(); victim == nil {
					return nil, "too many connections"
				}
			}
		}
	}
	if victim != nil {
		l.drop(victim)
	}
	l.conns[c] = true
	l.callers[c.peer.Name]++
	return victim, ""
}

// oldest returns the connection that has waited longest for a request, of one caller or ("") of any; nil if none waits.
func (l *Limiter) oldest(name string) (old *limitConn) {
	now := time.Now()
	for c := range l.conns {
		if (name == "" || c.peer.Name == name) && !c.waits.IsZero() && c.waits.Before(now) &&
			(old == nil || c.waits.Before(old.waits)) {
			old = c
		}
	}
	return old
}

// longest returns the oldest connection of the reserve if it is older than reserveAge, else nil.
func (l *Limiter) longest() (old *limitConn) {
	now := time.Now()
	for c := range l.conns {
		if c.reserved && now.Sub(c.accepted) > reserveAge && (old == nil || c.accepted.Before(old.accepted)) {
			old = c
		}
	}
	return old
}

func (l *Limiter) drop(c *limitConn) {
	if l.conns[c] {
		delete(l.conns, c)
		if l.callers[c.peer.Name]--; l.callers[c.peer.Name] == 0 {
			delete(l.callers, c.peer.Name)
		}
	}
}

// State records which connections wait for a request.
func (l *Limiter) State(c net.Conn, state http.ConnState) {
	lc, ok := c.(*limitConn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateActive:
		lc.waits = time.Time{}
	case http.StateIdle:
		lc.waits = time.Now()
	}
}

// stream counts an endless answer to a caller; false if there are too many.
func (l *Limiter) stream(p *Peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := l.b.Streams
	if !p.Privileged { // a quarter is for the privileged, and half of the rest for one caller
		most = max(1, most-most/4)
		if l.streamy[p.Name] >= max(1, most/2) {
			return false
		}
	}
	if l.streams >= most {
		return false
	}
	l.streams++
	l.streamy[p.Name]++
	return true
}

func (l *Limiter) streamEnds(p *Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
	if l.streamy[p.Name]--; l.streamy[p.Name] == 0 {
		delete(l.streamy, p.Name)
	}
}

// Close ends the connection.
func (c *limitConn) Close() error {
	c.l.mu.Lock()
	c.l.drop(c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// Write sends the output of net/http, and converts its plain-text errors into the form of all errors.
func (c *limitConn) Write(p []byte) (int, error) {
	if out := rewritePlain(p); out != nil {
		if _, err := c.Conn.Write(out); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// How many refused connections are read to the end of their request, and for how long at most: a client that is
// answered before its request, or cut off while it writes, may never read the reason. The other ones are answered at
// once.
const (
	maxRefused  = 16
	refuseLimit = time.Second
)

// refuser returns a function that answers a connection with the reason of its refusal and closes it, at once or soon.
func refuser() func(net.Conn, string) {
	sem := make(chan struct{}, maxRefused)
	return func(c net.Conn, why string) {
		e := Problem(http.StatusServiceUnavailable, CodeBusy, "", "close some, or try again later", why)
		answer := rawAnswer(e, "")
		_ = c.SetDeadline(time.Now().Add(refuseLimit))
		select {
		case sem <- struct{}{}:
		default:
			_, _ = c.Write(answer)
			c.Close()
			return
		}
		go func() {
			defer func() { c.Close(); <-sem }()
			var first [1]byte
			_, _ = c.Read(first[:])
			_, err := c.Write(answer)
			if half, ok := c.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
				_, _ = io.Copy(io.Discard, c) // until the client closes, or the time is over
			}
		}()
	}
}

// bucket is a token bucket.
type bucket struct {
	rate, burst float64 // tokens a second, and at most

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// take takes a token, or returns the time until there is one.
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

// Seats bounds the requests of one sort that are under way at a time. The last seat is for privileged callers.
type Seats struct {
	what  string
	taken chan struct{}
}

// NewSeats makes n seats; what names their use in errors: "bulk pushes".
func NewSeats(what string, n int) *Seats { return &Seats{what, make(chan struct{}, n)} }

// Take takes a seat for the request, and returns the function that gives it back; or an error.
func (s *Seats) Take(r *http.Request) (leave func(), err error) {
	n := cap(s.taken)
	if n == 1 || len(s.taken) < n-1 || PeerOf(r).Privileged {
		select {
		case s.taken <- struct{}{}:
			return func() { <-s.taken }, nil
		default:
		}
	}
	return nil, Problem(http.StatusServiceUnavailable, CodeBusy, "", "wait for one of them to end",
		fmt.Sprintf("%d %s are under way already", len(s.taken), s.what))
}
