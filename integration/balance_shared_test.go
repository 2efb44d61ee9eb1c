package integration

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBalanceSharedPorts: two services lead to one port of a server. A client that uses one port of its own for both
// has the first connection undisturbed, and the second one as soon as the first has ended.
func TestBalanceSharedPorts(t *testing.T) {
	b := startFloodTown(t)
	const shared = "shared_ports = true\ncheck = { type = \"none\" }"
	first := service{name: "http", vip: "v4", protocol: "tcp", id: 7, port: 80, to: 8080, more: shared,
		servers: []string{"web1"}}
	second := first
	second.name, second.id, second.port = "alt", 8, 8888
	b.applyTo(t, vipDocument("v4", vip4, own4)+b.document(first)+b.document(second), "d", "h1")
	b.linesOf(t, "web1", vip4+":8080")

	dial := func(port string, limit time.Duration) (c net.Conn, err error) {
		d := net.Dialer{Timeout: limit, LocalAddr: &net.TCPAddr{IP: b.host("client").IPv4.AsSlice(), Port: 41_000},
			Control: func(_, _ string, raw syscall.RawConn) error {
				var err error
				return errors.Join(raw.Control(func(fd uintptr) {
					err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
				}), err)
			}}
		err = b.lab.Do(b.VM("client").Namespace, func() (err error) {
			c, err = d.Dial("tcp4", vip4+":"+port)
			return err
		})
		return c, err
	}
	one, err := dial("80", 5*time.Second)
	must(t, err)
	defer one.Close()
	talks := func(c net.Conn, line string) {
		t.Helper()
		must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		if who, err := say(c, line); err != nil || who != "web1" {
			t.Fatalf("%q was said: got an answer of %q (%v), want one of web1", line, who, err)
		}
	}
	talks(one, "first")
	before := b.drops("h1")["reply_collision"]
	if two, err := dial("8888", 1500*time.Millisecond); err == nil {
		two.Close()
		t.Fatal("a second connection of the same ports at the server: got one, want none while the first is there")
	}
	if got := b.drops("h1")["reply_collision"] - before; got == 0 {
		t.Error("SYNs of the second connection: none dropped as reply_collision, want at least 1")
	}
	talks(one, "again")
	must(t, one.Close())
	var two net.Conn
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if two, err = dial("8888", 2*time.Second); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a second connection after the first has ended: %v, want one", err)
		}
	}
	defer two.Close()
	talks(two, "second")
	if got := two.RemoteAddr().String(); !strings.HasSuffix(got, ":8888") {
		t.Errorf("the second connection is to %s, want port 8888", got)
	}
}
