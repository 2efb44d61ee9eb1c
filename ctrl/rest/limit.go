package rest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

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
