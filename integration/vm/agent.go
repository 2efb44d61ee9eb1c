package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"penstock/integration/vm/inside"
)

// dialer connects to a port of the guest, from the namespace that leads there, for any requested address.
func (m *Machine) dialer(port int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = m.lab.Do(Wire, func() error {
			// A literal address: the socket is made on this thread.
			conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(inside.Address, strconv.Itoa(port)))
			return err
		})
		return conn, err
	}
}

// Control returns a client of the control socket of the box in the guest, with any host name.
func (m *Machine) Control() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: m.dialer(inside.SocketPort)}}
}

// request makes a request of the first process.
func (m *Machine) request(method, path string, query url.Values, body io.Reader, limit time.Duration,
	answer any) error {
	client := http.Client{Timeout: limit, Transport: &http.Transport{DialContext: m.dialer(inside.AgentPort),
		DisableKeepAlives: true}}
	req, err := http.NewRequest(method, "http://guest"+path+"?"+query.Encode(), body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("guest: %s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("guest: %s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(text))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// requestLimit bounds what the guest does at once.
const requestLimit = 30 * time.Second

// ping finds out whether the guest answers.
func (m *Machine) ping() error {
	return m.request("PUT", "/file", url.Values{"path": {"/run/ping"}}, nil, time.Second, nil)
}

func (m *Machine) command(path string, c inside.Command, limit time.Duration) (r inside.Result, err error) {
	body, err := json.Marshal(c)
	if err != nil {
		return r, err
	}
	err = m.request("POST", path, nil, bytes.NewReader(body), limit, &r)
	return r, err
}

// Run runs a program in the guest to its end, at most for the given time, and returns its output. An end other than
// with exit status 0 is an error.
func (m *Machine) Run(limit time.Duration, env []string, argv ...string) (string, error) {
	r, err := m.command("/run", inside.Command{Argv: argv, Env: env, Limit: limit}, limit+requestLimit)
	if err != nil {
		return "", err
	}
	if r.Error != "" {
		return r.Output, fmt.Errorf("guest: %v: %s: %s", argv, r.Error, r.Output)
	}
	return r.Output, nil
}

// IP runs busybox's ip: "link", "set", "eth1", "down".
func (m *Machine) IP(args ...string) error {
	_, err := m.Run(requestLimit, nil, append([]string{"/bin/ip"}, args...)...)
	return err
}

// Start starts a program in the guest and leaves it running under the given name, which may be used again.
func (m *Machine) Start(name string, argv ...string) error {
	_, err := m.command("/start", inside.Command{Name: name, Argv: argv}, requestLimit)
	return err
}

// Process returns the state and the output of a program that was started.
func (m *Machine) Process(name string) (r inside.Result, err error) {
	err = m.request("GET", "/process", url.Values{"name": {name}}, nil, requestLimit, &r)
	return r, err
}

// Signal sends a program that was started a signal.
func (m *Machine) Signal(name string, s syscall.Signal) error {
	return m.request("POST", "/signal", url.Values{"name": {name}, "signal": {strconv.Itoa(int(s))}}, nil, requestLimit,
		nil)
}

// Put writes a file in the guest.
func (m *Machine) Put(path string, data []byte) error {
	return m.request("PUT", "/file", url.Values{"path": {path}}, bytes.NewReader(data), requestLimit, nil)
}

// SetChannels sets the number of queues of an interface of the guest.
func (m *Machine) SetChannels(name string, n int) error {
	return m.request("POST", "/channels", url.Values{"interface": {name}, "combined": {strconv.Itoa(n)}}, nil,
		requestLimit,
		nil)
}
