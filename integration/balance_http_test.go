package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// httpService is three web servers behind a virtual address.
func httpService(vip string, id int) service {
	return service{name: "http-" + vip, vip: vip, protocol: "tcp", id: id, port: httpPort, to: backPort,
		more: `check = { type = "none" }`, servers: []string{"web1", "web2", "web3"}}
}

// client is an HTTP client in a namespace; every connection is counted.
func (b *balancer) client(namespace string, keep bool) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: !keep, MaxConnsPerHost: 1, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = b.lab.Do(namespace, func() error {
				c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}}
}

// fetch gets a page and returns its body.
func fetch(c *http.Client, url string) (string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return strings.TrimSpace(string(body)), err
}

// spread fetches a page over n new connections, and counts who answered.
func (b *balancer) spread(t *testing.T, namespace, url string, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	const at = 8
	for range at {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := b.client(namespace, false)
			for range n / at {
				who, err := fetch(c, url)
				mu.Lock()
				if err != nil {
					t.Errorf("%s from %s: got %v, want status 200", url, namespace, err)
				}
				got[who]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return got
}

// expectThirds wants all of three servers, each with a third, within 30 % for a few hundred connections.
func expectThirds(t *testing.T, got map[string]int, n int) {
	t.Helper()
	for _, s := range []string{"web1", "web2", "web3"} {
		if k := got[s]; k < n*7/30 || k > n*13/30 {
			t.Errorf("answers by server: got %v, want about a third of %d from each of three", got, n)
			return
		}
	}
}

// testBalanceHTTP has a real client's requests answered by real servers, whose answers go past the director.
func testBalanceHTTP(t *testing.T, b *balancer) {
	b.apply(t, b.document(httpService("v4", 7)))
	url := "http://" + vip4 + "/"
	wrong := b.watch(t, "client", "tcp src port 8080")
	before, asked := b.port("d", "fab0"), b.sent(t, "client")
	n := 240
	got := b.spread(t, "client", url, n)
	expectThirds(t, got, n)

	const wrk = 2 * time.Second
	out, err := b.lab.Run("client", "wrk", "-t1", "-c64", "-d2s", url)
	must(t, err)
	rate := regexp.MustCompile(`Requests/sec: +([0-9.]+)`).FindSubmatch(out)
	if rate == nil || strings.Contains(string(out), "Socket errors") || strings.Contains(string(out), "Non-2xx") {
		t.Errorf("wrk for %v: got this, want no errors\n%s", wrk, out)
	} else {
		t.Logf("wrk, 64 connections: %s requests a second", rate[1])
	}
	if n := wrong(); n != 0 {
		t.Errorf("packets from port %d at the client: got %d, want 0", backPort, n)
	}
	for _, s := range []string{"web1", "web2", "web3"} {
		lines := b.accessLog(t, s)
		for _, l := range lines {
			if !strings.HasPrefix(l, "10.10.1.10 ") || !strings.Contains(l, `" 200 `) {
				t.Fatalf("access log of %s: got %q, want the client's address and status 200", s, l)
			}
		}
		t.Logf("%s: %d requests", s, len(lines))
	}
	if got := b.neighbor(t, "client", vip4); got != vipMAC4.String() {
		t.Errorf("the client's neighbour %s: got %s, want %s", vip4, got, vipMAC4)
	}
	// The director receives what the client sends, and nothing else: no answer passes it.
	after := b.port("d", "fab0")
	rx, tx, sent := after.RxPackets-before.RxPackets, after.TxPackets-before.TxPackets, b.sent(t, "client")-asked
	t.Logf("the client sent %d packets; the director received %d frames and sent %d", sent, rx, tx)
	const few = 40
	if sent < 1000 || rx+few < sent || rx > sent+few || tx > sent+few {
		t.Errorf("frames of the director: got %d in and %d out, want the %d packets of the client, within %d", rx, tx,
			sent, few)
	}
}

// sent is how many packets have left a guest.
func (b *balancer) sent(t *testing.T, vm string) uint64 {
	t.Helper()
	out, err := b.lab.Run(b.VM(vm).Namespace, "ip", "-s", "-j", "link", "show", "dev", "eth0")
	must(t, err)
	var l []struct {
		Stats struct {
			TX struct{ Packets uint64 }
		} `json:"stats64"`
	}
	must(t, json.Unmarshal(out, &l))
	return l[0].Stats.TX.Packets
}

// testBalanceHTTP6 is the same over IPv6.
func testBalanceHTTP6(t *testing.T, b *balancer) {
	b.apply(t, b.document(httpService("v6", 8)))
	wrong := b.watch(t, "client", "ip6 and tcp src port 8080")
	n := 240
	expectThirds(t, b.spread(t, "client", "http://["+vip6+"]/", n), n)
	if n := wrong(); n != 0 {
		t.Errorf("packets from port %d at the client: got %d, want 0", backPort, n)
	}
}

// testBalanceOutside has a client behind the gateway of another box.
func testBalanceOutside(t *testing.T, b *balancer) {
	b.reachesOutside(t)
	wrong := b.watch(t, outsideNS, "tcp src port 8080")
	n := 240
	expectThirds(t, b.spread(t, outsideNS, "http://"+vip4+"/", n), n)
	if n := wrong(); n != 0 {
		t.Errorf("packets from port %d at the client outside: got %d, want 0", backPort, n)
	}
}

// reachesOutside waits until the client outside has an answer: the group's gateway is up, and the way back is known.
func (b *balancer) reachesOutside(t *testing.T) {
	t.Helper()
	var last error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, last = fetch(b.client(outsideNS, false), "http://"+vip4+"/"); last == nil {
			return
		}
	}
	t.Fatalf("from outside to %s: got %v, want an answer", vip4, last)
}
