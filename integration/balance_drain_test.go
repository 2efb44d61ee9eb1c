package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is the clients of a web service: some that keep their connections, and some that make new ones.
type crowd struct {
	b      *balancer
	url    string
	stop   atomic.Bool
	wg     sync.WaitGroup
	failed atomic.Int64
	asked  atomic.Int64

	mu      sync.Mutex
	first   error
	answers []answer
	kept    map[string]int // kept connections, by server
}

// answer is who answered a new connection that was begun at a time.
type answer struct {
	at  time.Time
	who string
}

// gather starts kept connections that each ask every 50 ms, and so many new ones a second.
func (b *balancer) gather(url string, kept, perSecond int) *crowd {
	c := &crowd{b: b, url: url, kept: map[string]int{}}
	for range kept {
		c.wg.Go(c.keeper)
	}
	const workers = 8
	for i := range workers {
		c.wg.Go(func() {
			every := time.Second * workers / time.Duration(perSecond)
			next := time.Now().Add(every * time.Duration(i) / workers)
			for client := b.client("client", false); !c.stop.Load(); {
				time.Sleep(time.Until(next))
				next = next.Add(every)
				began := time.Now()
				who, err := fetch(client, url)
				c.count(err)
				c.mu.Lock()
				c.answers = append(c.answers, answer{began, who})
				c.mu.Unlock()
			}
		})
	}
	return c
}

// keeper is a client that keeps its connection. If another server answers, the connection was moved.
func (c *crowd) keeper() {
	client := c.b.client("client", true)
	defer client.CloseIdleConnections()
	before := ""
	for !c.stop.Load() {
		who, err := fetch(client, c.url)
		if err == nil && before != "" && who != before {
			err = fmt.Errorf("a kept connection to %s was answered by %s", before, who)
		}
		if before == "" {
			c.mu.Lock()
			c.kept[who]++
			c.mu.Unlock()
		}
		c.count(err)
		before = who
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *crowd) count(err error) {
	c.asked.Add(1)
	if err == nil {
		return
	}
	c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil {
		c.first = err
	}
}

// end ends the clients, and expects that no request failed.
func (c *crowd) end(t *testing.T) {
	t.Helper()
	c.stop.Store(true)
	c.wg.Wait()
	t.Logf("%d requests, %d failed; kept connections %v", c.asked.Load(), c.failed.Load(), c.kept)
	if n := c.failed.Load(); n != 0 {
		t.Errorf("failed requests: got %d of %d, want 0; the first: %v", n, c.asked.Load(), c.first)
	}
}

// by counts the answers to new connections that were begun in a span of time, by server.
func (c *crowd) by(from, to time.Time) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := map[string]int{}
	for _, a := range c.answers {
		if !a.at.Before(from) && a.at.Before(to) {
			got[a.who]++
		}
	}
	return got
}

// set changes the state of a server, as "http-v4/web2", on all boxes.
func (b *balancer) set(t *testing.T, server, state string) {
	t.Helper()
	service, name, _ := strings.Cut(server, "/")
	args := []string{"service", "set", "red/" + service, name, "state=" + state}
	if state == "draining" {
		args = []string{"service", "drain", "red/" + service, name}
	}
	for _, n := range b.Boxes {
		out, err := exec.Command(program, append(args, "-s", n.Socket)...).CombinedOutput()
		if err != nil {
			t.Fatalf("penstock %s on %s: %v\n%s", strings.Join(args, " "), n.Name, err, out)
		}
	}
}

// testBalanceDrain drains a server under load, takes it away and adds another one: no request fails.
func testBalanceDrain(t *testing.T, b *balancer) {
	s := httpService("v4", 7)
	b.apply(t, b.document(s))
	c := b.gather("http://"+vip4+"/", 64, 200)
	began := time.Now()
	time.Sleep(time.Second)
	b.set(t, "http-v4/web2", "draining")
	drained := time.Now().Add(100 * time.Millisecond)
	time.Sleep(1500 * time.Millisecond)

	s.servers = append(s.servers, "web4")
	b.apply(t, b.document(s)) // which enables web2 again
	b.set(t, "http-v4/web2", "draining")
	added := time.Now().Add(100 * time.Millisecond)
	time.Sleep(time.Second)
	end := time.Now()
	c.end(t)

	got := c.by(began, drained.Add(-100*time.Millisecond))
	if got["web1"] == 0 || got["web2"] == 0 || got["web3"] == 0 {
		t.Errorf("new connections before: got %v, want all three servers", got)
	}
	got = c.by(drained, added.Add(-400*time.Millisecond))
	if got["web2"] != 0 || got["web1"] == 0 || got["web3"] == 0 {
		t.Errorf("new connections from 100 ms after the drain: got %v, want web1 and web3 alone", got)
	}
	if got := c.by(added, end); got["web4"] == 0 || got["web2"] != 0 {
		t.Errorf("new connections with web4: got %v, want web4 among them and not web2", got)
	}
	if c.kept["web2"] == 0 {
		t.Errorf("kept connections: got %v, want some of web2", c.kept)
	}
	// What its clients closed goes on for two minutes at most, in which nothing is open any more: it can go.
	var v struct {
		Status struct {
			Flows *int   `json:"flows"`
			State string `json:"state"`
		} `json:"status"`
	}
	b.get("d", "/v1/servers/red/http-v4/web2", &v)
	if v.Status.Flows == nil || *v.Status.Flows == 0 || v.Status.State != "draining" {
		t.Errorf("status of web2: got %+v, want it draining with the flows that end", v.Status)
	}
	again := b.gather("http://"+vip4+"/", 16, 100)
	time.Sleep(300 * time.Millisecond)
	b.remove(t, "servers/red/http-v4/web2")
	time.Sleep(500 * time.Millisecond)
	again.end(t)
	b.remove(t, "servers/red/http-v4/web4")
}

// names starts a server of datagrams in a guest: it answers with its name.
func (b *balancer) names(t *testing.T, vm string, addr netip.AddrPort) {
	t.Helper()
	var c net.PacketConn
	must(t, b.lab.Do(b.VM(vm).Namespace, func() (err error) {
		c, err = net.ListenPacket("udp", addr.String())
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(append([]byte(vm+" "), buf[:n]...), from) // the client misses it
		}
	}()
}

// query asks a server of datagrams from a socket, and returns its name.
func query(c *net.UDPConn, n int) (string, error) {
	if _, err := fmt.Fprintf(c, "%d", n); err != nil {
		return "", err
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 2048)
	for {
		k, err := c.Read(buf)
		if err != nil {
			return "", err
		}
		if who, rest, _ := strings.Cut(string(buf[:k]), " "); rest == fmt.Sprint(n) {
			return who, nil
		}
	}
}

// socket opens a datagram socket in a namespace, from a fixed port to an address.
func (b *balancer) socket(t *testing.T, namespace, from, to string) (c *net.UDPConn) {
	t.Helper()
	must(t, b.lab.Do(namespace, func() error {
		conn, err := (&net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))}).Dial("udp", to)
		if err == nil {
			c = conn.(*net.UDPConn)
		}
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

// testBalanceDrainUDP asks all the time from one port. A server that is disabled has the next query elsewhere; one that
// drains keeps the flow for 30 s at most.
func testBalanceDrainUDP(t *testing.T, b *balancer) {
	s := service{name: "dns", vip: "v4", protocol: "udp", id: 9, port: 53, to: 5300, more: `check = { type = "none" }`,
		servers: []string{"web1", "web2", "web3"}}
	for _, vm := range s.servers {
		b.names(t, vm, netip.MustParseAddrPort(vip4+":5300"))
	}
	b.apply(t, b.document(s))
	c := b.socket(t, "client", "10.10.1.10:40053", vip4+":53")
	n := 0
	ask := func() string {
		t.Helper()
		n++
		who, err := query(c, n)
		if err != nil {
			t.Fatalf("query %d: got %v, want an answer", n, err)
		}
		return who
	}
	first := ask()
	for range 10 {
		if who := ask(); who != first {
			t.Fatalf("query %d: got %s, want %s, whose flow it is", n, who, first)
		}
	}
	b.set(t, "dns/"+first, "disabled")
	second := ask()
	if second == first {
		t.Errorf("the query after %s was disabled: got %s, want another server", first, second)
	}
	b.set(t, "dns/"+first, "enabled")
	b.set(t, "dns/"+second, "draining")
	began := time.Now()
	for moved := time.Duration(0); ; time.Sleep(50 * time.Millisecond) {
		who, age := ask(), time.Since(began)
		if who != second && moved == 0 {
			moved = age
			t.Logf("the flow of %s went to %s after %v of draining", second, who, age.Round(time.Millisecond))
		}
		if who == second && moved != 0 {
			t.Fatalf("query %d: got %s again after %v", n, who, age)
		}
		if moved != 0 {
			break
		}
		if age > 31*time.Second {
			t.Fatalf("after %v of draining: got %s, want another server from 30 s on", age, who)
		}
	}
	b.removeService(t, s.name, s.servers...)
}
