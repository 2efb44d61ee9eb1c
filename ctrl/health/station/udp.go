package station

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// udpConn is a connected UDP socket. (That of gVisor's gonet does not wake up for ICMP errors.) One goroutine reads.
type udpConn struct {
	ep       tcpip.Endpoint
	wq       *waiter.Queue
	entry    waiter.Entry
	ready    chan struct{}
	own, to  net.Addr
	deadline atomic.Int64 // of reading, Unix nanoseconds; 0 = none
}

func newUDPConn(ep tcpip.Endpoint, wq *waiter.Queue, own, to net.Addr) *udpConn {
	c := &udpConn{ep: ep, wq: wq, own: own, to: to}
	c.entry, c.ready = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp)
	wq.EventRegister(&c.entry)
	return c
}

// Read implements net.Conn. It returns one datagram, or the error that an ICMP message has brought.
func (c *udpConn) Read(b []byte) (int, error) {
	var timer <-chan time.Time
	if at := c.deadline.Load(); at != 0 {
		t := time.NewTimer(time.Until(time.Unix(0, at)))
		defer t.Stop()
		timer = t.C
	}
	for {
		var buf bytes.Buffer
		_, err := c.ep.Read(&buf, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			return copy(b, buf.Bytes()), nil
		case *tcpip.ErrWouldBlock:
		case *tcpip.ErrClosedForReceive:
			return 0, io.EOF
		default:
			return 0, plain(err)
		}
		if err := c.ep.LastError(); err != nil {
			return 0, plain(err)
		}
		select {
		case <-timer:
			return 0, os.ErrDeadlineExceeded
		case <-c.ready:
		}
	}
}

// Write implements net.Conn: it sends a datagram.
func (c *udpConn) Write(b []byte) (int, error) {
	n, err := c.ep.Write(bytes.NewReader(b), tcpip.WriteOptions{})
	return int(n), plain(err)
}

// Close implements net.Conn.
func (c *udpConn) Close() error {
	c.wq.EventUnregister(&c.entry)
	c.ep.Close()
	return nil
}

// LocalAddr implements net.Conn.
func (c *udpConn) LocalAddr() net.Addr { return c.own }

// RemoteAddr implements net.Conn.
func (c *udpConn) RemoteAddr() net.Addr { return c.to }

// SetDeadline implements net.Conn. It holds for the next Read; writing never waits.
func (c *udpConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *udpConn) SetReadDeadline(t time.Time) error {
	at := int64(0)
	if !t.IsZero() {
		at = t.UnixNano()
	}
	c.deadline.Store(at)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *udpConn) SetWriteDeadline(time.Time) error { return nil }
