package failover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"penstock/integration/lab"
)

// A stream is one TCP connection of the kernels' stacks, with so many octets written every step: little enough to be
// never the network that limits it. What arrives is looked at with every read.
const (
	tcpPort   = 6002
	tcpStep   = time.Millisecond
	tcpOctets = 1000
	dialLimit = 5 * time.Second
)

type stream struct {
	client, server net.Conn
	arrivals       []arrival
	latest         atomic.Int64 // time of the last arrival
	end            int64
	cancel         context.CancelFunc
	tasks          sync.WaitGroup
}

func startStream(ctx context.Context, l *lab.Lab, from, to string, dst netip.Addr) (_ *stream, err error) {
	at := netip.AddrPortFrom(dst, tcpPort).String()
	var ln net.Listener
	if err := l.Do(to, func() (err error) { ln, err = net.Listen("tcp4", at); return err }); err != nil {
		return nil, fmt.Errorf("TCP in %s: %w", to, err)
	}
	defer ln.Close()
	s := &stream{}
	dial := func() (err error) {
		s.client, err = net.DialTimeout("tcp4", at, dialLimit)
		return err
	}
	if err := l.Do(from, dial); err != nil {
		return nil, fmt.Errorf("TCP from %s to %s: %w", from, to, err)
	}
	if s.server, err = ln.Accept(); err != nil {
		s.client.Close()
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.tasks.Go(func() { s.write(ctx) })
	s.tasks.Go(s.read)
	return s, nil
}

func (s *stream) write(ctx context.Context) {
	t := time.NewTicker(tcpStep)
	defer t.Stop()
	b := make([]byte, tcpOctets)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := s.client.Write(b); err != nil {
			return // the stall says it, or it has been stopped
		}
	}
}

func (s *stream) read() {
	b := make([]byte, 64<<10)
	for {
		n, err := s.server.Read(b)
		if err != nil {
			return
		}
		now := time.Now().UnixNano()
		s.arrivals = append(s.arrivals, arrival{now, n})
		s.latest.Store(now)
	}
}

// stop breaks the connection off.
func (s *stream) stop() error {
	s.end = time.Now().UnixNano()
	s.cancel()
	for _, c := range []net.Conn{s.client, s.server} {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // it is closed either way
		}
	}
	err := errors.Join(s.client.Close(), s.server.Close())
	s.tasks.Wait()
	return err
}
