package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/health/station"
)

// Limits of what a check reads, in octets. Where a server sends more, the check does with what came before.
const (
	maxHead = 64 << 10
	maxBody = 64 << 10
	maxText = 160 // of an error
)

// Dialer is the way to one server.
type Dialer interface {
	TCP(ctx context.Context) (net.Conn, error)
	UDP() (net.Conn, error)
	Ping(ctx context.Context) error
	Resolve(ctx context.Context) error
}

// errLate is a step of a check that did not end in time.
type errLate struct {
	what string
	in   time.Duration
}

func (e *errLate) Error() string { return "no " + e.what + " within " + e.in.String() }

// Probe checks a server once. ctx ends no later than the check's timeout; nil means that the server is well. Errors
// say in plain words what was expected and what came.
func Probe(ctx context.Context, d Dialer, c *Check) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	late := func(err error, what string) error {
		if isTimeout(err) {
			return &errLate{what, c.Timeout}
		}
		return errors.New(clip(err.Error()))
	}
	var what string
	var err error
	switch c.Type {
	case None:
		return nil
	case ICMP:
		what, err = "echo reply", d.Ping(ctx)
	case ARP:
		what, err = "answer to ARP", d.Resolve(ctx)
	case UDP:
		what, err = probeUDP(ctx, d, c)
	default:
		what, err = probeTCP(ctx, d, c)
	}
	if err != nil {
		return late(err, what)
	}
	return nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &t) && t.Timeout()
}

// clip makes a text fit for one line of an operator.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '.'
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

func probeTCP(ctx context.Context, d Dialer, c *Check) (what string, err error) {
	conn, err := d.TCP(ctx)
	if err != nil {
		return "answer to the connection", err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return "answer", err
	}
	if c.Type == HTTPS {
		s := tls.Client(conn, &tls.Config{ServerName: name(c.Host), InsecureSkipVerify: !c.Verify})
		if err := s.HandshakeContext(ctx); err != nil {
			return "end of the TLS handshake", words("TLS", err)
		}
		conn = s
	}
	if c.Type == HTTP || c.Type == HTTPS {
		return probeHTTP(conn, c)
	}
	if c.Send != "" {
		if _, err := io.WriteString(conn, c.Send); err != nil {
			return "room for what is sent", words("sending", err)
		}
	}
	if c.Expect == "" {
		return "", nil
	}
	got := make([]byte, len(c.Expect))
	n, err := io.ReadFull(conn, got)
	got = got[:n]
	if !strings.HasPrefix(c.Expect, string(got)) {
		return "", unexpected(got, c.Expect)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("the connection ends after %s, want %s", quote(got), quote([]byte(c.Expect)))
	}
	return "answer", words("the answer", err)
}

// words says what an error of a connection belongs to. Time-outs stay as they are.
func words(what string, err error) error {
	switch {
	case err == nil || isTimeout(err):
		return err
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s: the server closed the connection", what)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func quote(b []byte) string {
	const most = 32
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + "…"
	}
	return strconv.Quote(string(b))
}

func unexpected(got []byte, want string) error {
	return fmt.Errorf("the answer begins with %s, want %s", quote(got), quote([]byte(want)))
}

func name(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// head reads from r until the response's header is over: a header has a limit that the body does not share.
type head struct {
	r    io.Reader
	left int
}

var errHead = errors.New("more than 64 KiB before the end of the header")

func (h *head) Read(b []byte) (int, error) {
	if h.left <= 0 {
		return 0, errHead
	}
	n, err := h.r.Read(b[:min(len(b), h.left)])
	h.left -= n
	return n, err
}

func probeHTTP(conn net.Conn, c *Check) (what string, err error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: penstock\r\nAccept: */*\r\n"+
		"Connection: close\r\n\r\n", c.Path, c.Host); err != nil {
		return "room for the request", words("sending", err)
	}
	h := &head{conn, maxHead}
	r := bufio.NewReader(h)
	resp, err := http.ReadResponse(r, nil)
	for n := 0; err == nil && resp.StatusCode/100 == 1 && n < 5; n++ { // interim responses (RFC 9110, 15.2)
		resp, err = http.ReadResponse(r, nil)
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		return "response", words("no HTTP response", err)
	}
	if !accepted(c.Status, resp.StatusCode) {
		return "", fmt.Errorf("status %d, want %s", resp.StatusCode, c.Status)
	}
	if c.Body == "" {
		return "", nil
	}
	h.left = maxHead + 2*maxBody // chunks have lines of their own
	return searchBody(resp.Body, c.Body)
}

// searchBody looks for want in the first maxBody octets, as they come.
func searchBody(r io.Reader, want string) (what string, err error) {
	var body []byte
	b := make([]byte, 4096)
	for len(body) < maxBody {
		n, err := r.Read(b[:min(len(b), maxBody-len(body))])
		from := max(0, len(body)-len(want))
		body = append(body, b[:n]...)
		if bytes.Contains(body[from:], []byte(want)) {
			return "", nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return "", fmt.Errorf("the body of %d octets does not contain %s", len(body), quote([]byte(want)))
		case err != nil:
			return "end of the body with " + quote([]byte(want)), words("the body", err)
		}
	}
	return "", fmt.Errorf("the first 64 KiB of the body do not contain %s", quote([]byte(want)))
}

// accepted reports whether a list of codes and ranges has the code.
func accepted(list string, code int) bool {
	for part := range strings.SplitSeq(list, ",") {
		a, b, ranged := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(a)
		last := first
		if ranged && err == nil {
			last, err = strconv.Atoi(b)
		}
		if err == nil && first <= code && code <= last {
			return true
		}
	}
	return false
}

func probeUDP(ctx context.Context, d Dialer, c *Check) (what string, err error) {
	conn, err := d.UDP()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(c.Send)); err != nil {
		return "", plainUDP(err)
	}
	b := make([]byte, 2048)
	n, err := conn.Read(b)
	switch {
	case err != nil && isTimeout(err) && c.Expect == "":
		return "", nil // nothing came, so nothing says that it does not listen
	case err != nil:
		return "answer", plainUDP(err)
	case !strings.HasPrefix(string(b[:n]), c.Expect):
		return "", unexpected(b[:n], c.Expect)
	}
	return "", nil
}

// plainUDP: a refusal of UDP is an ICMP error.
func plainUDP(err error) error {
	if errors.Is(err, station.ErrRefused) || strings.Contains(err.Error(), "refused") {
		return errors.New("port unreachable: nothing listens there")
	}
	var op *net.OpError
	if errors.As(err, &op) && !isTimeout(err) {
		return op.Err
	}
	return err
}
