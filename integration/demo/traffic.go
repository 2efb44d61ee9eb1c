package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"penstock/integration/lab"
)

// stream is the TCP connections between two VMs of a tenant, over their kernels' stacks, with the server's data paced
// to leave the machine room for everything else. There are several because a connection keeps to one path. The server's
// first line names its VM: that is how a crossing between tenants with equal addresses would show.
type stream struct {
	Tenant   string
	From, To *lab.VM
	octets   atomic.Uint64
	greeting string
	stop     func()
	wg       sync.WaitGroup
	mu       sync.Mutex
	err      error
}

const (
	port        = 5001
	paceStep    = 10 * time.Millisecond
	connections = 6 // of a tenant: both paths get some, but for one try in a thousand or so
)

// address returns the first IPv4 address of a VM.
func address(vm *lab.VM) netip.Addr {
	for _, p := range vm.Addresses {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// startStream connects from to to and keeps data flowing at rate octets per second in all until stop.
func startStream(l *lab.Lab, from, to *lab.VM, rate int) (*stream, error) {
	s := &stream{Tenant: from.Tenant, From: from, To: to}
	ctx, cancel := context.WithCancel(context.Background())
	at := netip.AddrPortFrom(address(to), port)
	var ln net.Listener
	if err := l.Do(to.Namespace, func() (err error) {
		ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", at.String())
		return err
	}); err != nil {
		cancel()
		return nil, fmt.Errorf("listen in %s: %w", to.Name, err)
	}
	for range connections {
		s.wg.Go(func() { s.serve(ctx, ln, to.Name, rate/connections) })
	}
	var conns []net.Conn
	s.stop = func() {
		cancel()
		_ = ln.Close()
		for _, c := range conns {
			_ = c.Close()
		}
		s.wg.Wait()
	}
	for range connections {
		var conn net.Conn
		if err := l.Do(from.Namespace, func() (err error) {
			conn, err = net.DialTimeout("tcp4", at.String(), 5*time.Second)
			return err
		}); err != nil {
			s.stop()
			return nil, fmt.Errorf("connect from %s to %s (%v): %w", from.Name, to.Name, at, err)
		}
		conns = append(conns, conn)
		r := bufio.NewReaderSize(conn, 64<<10)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		line, err := r.ReadString('\n')
		if err != nil {
			s.stop()
			return nil, fmt.Errorf("first line from %s: %w", to.Name, err)
		}
		_ = conn.SetReadDeadline(time.Time{})
		if line = strings.TrimSpace(line); s.greeting == "" || line != to.Name { // one wrong answer is enough
			s.greeting = line
		}
		s.wg.Go(func() { s.read(ctx, r) })
	}
	return s, nil
}

func (s *stream) serve(ctx context.Context, ln net.Listener, name string, rate int) {
	conn, err := ln.Accept()
	if err != nil {
		s.fail(ctx, err)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintf(conn, "%s\n", name); err != nil {
		s.fail(ctx, err)
		return
	}
	chunk := make([]byte, max(1, rate/int(time.Second/paceStep)))
	tick := time.NewTicker(paceStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := conn.Write(chunk); err != nil {
				s.fail(ctx, err)
				return
			}
		}
	}
}

func (s *stream) read(ctx context.Context, r io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		s.octets.Add(uint64(n))
		if err != nil {
			s.fail(ctx, err)
			return
		}
	}
}

func (s *stream) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
	}
}

// failed returns what broke the stream, if anything has.
func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// pinger runs ping in a VM for as long as the demo lasts and reads what it prints.
type pinger struct {
	Tenant   string
	From, To *lab.VM
	cmd      *lab.Process
}

// pings is what a pinger has seen so far.
type pings struct {
	Sent, Received int
	LastMs         float64
	Gap            time.Duration // the longest time between two answers
}

const pingEvery = 100 * time.Millisecond

func startPing(l *lab.Lab, from, to *lab.VM, every time.Duration) (*pinger, error) {
	if _, err := exec.LookPath("ping"); err != nil {
		return nil, fmt.Errorf("ping is not installed (Debian: iputils-ping): %w", err)
	}
	p := &pinger{Tenant: from.Tenant, From: from, To: to}
	var err error
	p.cmd, err = l.Start(from.Namespace, "ping-"+from.Name, "ping", "-n", "-D", "-i",
		strconv.FormatFloat(every.Seconds(), 'f', 2, 64), "-W", "1", address(to).String())
	return p, err
}

// read parses ping's output: the highest sequence number and the number of answers.
func (p *pinger) read() pings {
	var r pings
	last := 0.0 // when the last answer came, in seconds
	for line := range strings.Lines(p.cmd.Log()) {
		seq, rest, ok := cutField(line, "icmp_seq=")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(seq)
		if err != nil {
			continue
		}
		r.Sent = max(r.Sent, n)
		if ms, _, ok := cutField(rest, "time="); ok && strings.Contains(line, "bytes from") {
			r.Received++
			if stamp, _, ok := cutField(line, "["); ok {
				at, _ := strconv.ParseFloat(strings.TrimSuffix(stamp, "]"), 64)
				if last > 0 {
					r.Gap = max(r.Gap, time.Duration((at-last)*float64(time.Second)))
				}
				last = at
			}
			r.LastMs, _ = strconv.ParseFloat(ms, 64)
		}
	}
	return r
}

// finish ends ping the way Ctrl-C does and returns its own count.
func (p *pinger) finish() (pings, error) {
	r := p.read()
	if err := p.cmd.Signal(syscall.SIGINT); err != nil {
		return r, err
	}
	_ = p.cmd.Wait(3 * time.Second) // ping exits with 1 when an answer is missing; the count shows it
	for line := range strings.Lines(p.cmd.Log()) {
		var sent, got int
		if n, _ := fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &got); n == 2 {
			r.Sent, r.Received = sent, got
			return r, nil
		}
	}
	return r, errors.New("ping printed no summary")
}

// cutField returns the word behind name in line, and the rest of the line.
func cutField(line, name string) (word, rest string, ok bool) {
	_, after, ok := strings.Cut(line, name)
	if !ok {
		return "", "", false
	}
	word, rest, _ = strings.Cut(after, " ")
	return word, rest, true
}
