package alarm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/readfile"
)

// Headers of requests.
const (
	// HeaderSignature is "t=UNIX-SECONDS,v1=HEX": HMAC-SHA256, under the key in secret_file, of the seconds in decimal,
	// a dot, and the body. A receiver that also checks the time refuses a replayed notice.
	HeaderSignature = "Penstock-Signature"
)

// Limits of the octets that the box reads from a receiver or a file.
const (
	maxAnswer = 4096     // octets of a body that are read; behind more, the connection is closed
	maxHead   = 16 << 10 // octets of an answer's head
	maxSecret = 4096     // octets of a token or key
	maxCA     = 1 << 20
)

// statusError is an answer that is no success.
type statusError struct {
	status     string
	location   string        // of a redirect: scheme and host
	retryAfter time.Duration // requested by the receiver
}

func (e *statusError) Error() string {
	if e.location != "" {
		return fmt.Sprintf("it answers %s, to %s: redirects are not followed, configure the right url", e.status,
			e.location)
	}
	return "it answers " + e.status
}

// poster makes the requests to one receiver. One goroutine uses it.
type poster struct {
	r     Receiver
	agent string

	client    *http.Client
	transport *http.Transport
	ca        string // content of CAFile that the transport trusts
}

// send posts a notice. Only a status of 2xx is a success. Redirects are not followed: a POST may become a GET, and the
// token would go to a host that the receiver names.
func (p *poster) send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, p.r.Timeout)
	defer cancel()
	if err := p.prepare(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.r.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", p.agent)
	if p.r.TokenFile != "" {
		token, err := secret("token_file", p.r.TokenFile)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if p.r.SecretFile != "" {
		key, err := secret("secret_file", p.r.SecretFile)
		if err != nil {
			return err
		}
		req.Header.Set(HeaderSignature, Sign(key, time.Now(), body))
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		// A connection whose answer was read to its end serves the next notice too; after a longer answer it is closed.
		_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
		return nil
	}
	se := &statusError{status: resp.Status}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		se.retryAfter = time.Duration(min(n, 86400)) * time.Second
	}
	if u, err := resp.Location(); err == nil {
		se.location = u.Scheme + "://" + u.Host
	}
	return se
}

// plain returns an error of a request without the URL, which may hold a secret.
func plain(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if ue.Timeout() {
			return errors.New("it did not answer in time")
		}
		err = ue.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it closed the connection without an answer")
	}
	return err
}

// prepare makes the client, and replaces it when the file of certificates has changed.
func (p *poster) prepare() error {
	var pool *x509.CertPool
	if p.r.CAFile != "" {
		text, err := readLimited("ca_file", p.r.CAFile, maxCA)
		if err != nil {
			return err
		}
		if p.client != nil && string(text) == p.ca {
			return nil
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return fmt.Errorf("ca_file %s holds no certificate in PEM", p.r.CAFile)
		}
		p.close()
		p.client, p.ca = nil, string(text)
	}
	if p.client != nil {
		return nil
	}
	p.transport = &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: p.r.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    p.r.Timeout,
		ResponseHeaderTimeout:  p.r.Timeout,
		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true,
		MaxIdleConns:           1,
		MaxConnsPerHost:        1,
		IdleConnTimeout:        30 * time.Second,
	}
	p.client = &http.Client{
		Transport:     p.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func (p *poster) close() {
	if p.transport != nil {
		p.transport.CloseIdleConnections()
	}
}

// secret reads a token or key, for every request, so that the file can be changed without a reload.
func secret(what, path string) (string, error) {
	text, err := readLimited(what, path, maxSecret)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(text))
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("%s %s is empty, or holds more than one line of printable ASCII", what, path)
	}
	return s, nil
}

func readLimited(what, path string, most int64) ([]byte, error) {
	text, err := readfile.Regular(path, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}

// Sign returns the value of HeaderSignature.
func Sign(key string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}
