package integration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// ping sends n echo requests from a VM's own stack; extra arguments are those of ping(8).
func (f *fabric) ping(vm, addr string, n int, extra ...string) (string, error) {
	args := append([]string{"ping", "-n", "-i", "0.02", "-W", "1", "-c", fmt.Sprint(n)}, extra...)
	out, err := f.lab.Run(f.VM(vm).Namespace, append(args, addr)...)
	return string(out), err
}

func testPing(t *testing.T, f *fabric) {
	for _, tc := range []struct{ name, from, to string }{
		{"other switch", "red-vm1", "10.0.0.2"},
		{"back", "red-vm2", "10.0.0.1"},
		{"other tenant, same addresses", "blue-vm1", "10.0.0.2"},
		{"same box", "red-vm1", "10.0.0.3"},
		{"same switch", "red-vm1", "10.0.0.4"},
		{"same switch, back", "red-vm4", "10.0.0.3"},
		{"IPv6, other switch", "red-vm1", "fd00::2"},
		{"IPv6, same box", "red-vm3", "fd00::1"},
		{"IPv6, same switch", "red-vm4", "fd00::1"},
		{"IPv6, other tenant", "blue-vm2", "fd00::1"},
		{"second segment", "red-app1", "10.0.1.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, size := range []string{"0", "56", "1400"} {
				if out, err := f.ping(tc.from, tc.to, 3, "-s", size); err != nil ||
					!strings.Contains(out, " 0% packet loss") {
					t.Errorf("%s pings %s with %s octets: %v\n%s", tc.from, tc.to, size, err, out)
				}
			}
		})
	}
}

// listen opens a TCP listener in a VM's namespace.
func (f *fabric) listen(t *testing.T, vm string, addr netip.AddrPort) net.Listener {
	t.Helper()
	var ln net.Listener
	must(t, f.lab.Do(f.VM(vm).Namespace, func() (err error) { ln, err = net.Listen("tcp", addr.String()); return err }))
	t.Cleanup(func() { ln.Close() })
	return ln
}

// dial connects from a VM's namespace.
func (f *fabric) dial(vm string, addr netip.AddrPort, limit time.Duration) (conn net.Conn, err error) {
	err = f.lab.Do(f.VM(vm).Namespace, func() error {
		conn, err = net.DialTimeout("tcp", addr.String(), limit)
		return err
	})
	return conn, err
}

// exchange sends random octets from a client to a server that sends them back, and compares.
func (f *fabric) exchange(t *testing.T, client, server string, addr netip.Addr, octets int) {
	t.Helper()
	ap := netip.AddrPortFrom(addr, 7)
	ln := f.listen(t, server, ap)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn) // the client sees what is wrong
	}()
	conn, err := f.dial(client, ap, 3*time.Second)
	if err != nil {
		t.Errorf("%s connects to %s (%v): %v", client, server, addr, err)
		return
	}
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	data := make([]byte, octets)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(data) // never fails
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(data)
		sent <- errors.Join(err, conn.(*net.TCPConn).CloseWrite())
	}()
	back, err := io.ReadAll(conn)
	if err := errors.Join(<-sent, err); err != nil {
		t.Errorf("%s and %s: %v after %d of %d octets", client, server, err, len(back), octets)
		return
	}
	if sha256.Sum256(back) != sha256.Sum256(data) {
		t.Errorf("%s and %s: %d octets came back changed, of %d", client, server, len(back), octets)
	}
}

func testTCP(t *testing.T, f *fabric) {
	for _, tc := range []struct{ name, client, server, addr string }{
		{"other switch", "red-vm1", "red-vm2", "10.0.0.2"},
		{"same box", "red-vm1", "red-vm3", "10.0.0.3"},
		{"same switch", "red-vm4", "red-vm1", "10.0.0.1"},
		{"routed to other box", "red-vm1", "red-app2", "10.0.1.2"},
		{"routed in box", "red-vm1", "red-app1", "10.0.1.1"},
		{"IPv6, other switch", "blue-vm1", "blue-vm2", "fd00::2"},
		{"IPv6, routed", "red-app1", "red-vm2", "fd00::2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.exchange(t, tc.client, tc.server, netip.MustParseAddr(tc.addr), 2<<20)
		})
	}
}

// testUDP sends datagrams of all sizes there and back, whole and in fragments.
func testUDP(t *testing.T, f *fabric) {
	for _, tc := range []struct{ name, client, server, addr string }{
		{"other switch", "red-vm1", "red-vm2", "10.0.0.2"},
		{"same box", "red-vm1", "red-vm3", "10.0.0.3"},
		{"routed", "red-vm1", "red-app2", "10.0.1.2"},
		{"IPv6, other switch", "red-vm1", "red-vm2", "fd00::2"},
		{"IPv6, routed", "red-app1", "red-vm4", "fd00::4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := netip.AddrPortFrom(netip.MustParseAddr(tc.addr), 7)
			var server net.PacketConn
			var client net.Conn
			must(t, f.lab.Do(f.VM(tc.server).Namespace, func() (err error) {
				server, err = net.ListenPacket("udp", addr.String())
				return err
			}))
			defer server.Close()
			must(t, f.lab.Do(f.VM(tc.client).Namespace, func() (err error) {
				client, err = net.Dial("udp", addr.String())
				return err
			}))
			defer client.Close()
			go func() {
				buf := make([]byte, 65536)
				for {
					n, from, err := server.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = server.WriteTo(buf[:n], from) // the client sees what is missing
				}
			}()
			rng := rand.New(rand.NewPCG(3, 4))
			buf := make([]byte, 65536)
			for _, size := range []int{0, 1, 17, 18, 19, 512, 1451, 1452, 1472, 1473, 4000, 20000} {
				data := make([]byte, size)
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
				must(t, client.SetReadDeadline(time.Now().Add(2*time.Second)))
				if _, err := client.Write(data); err != nil {
					t.Fatal(err)
				}
				n, err := client.Read(buf)
				if err != nil || !bytes.Equal(buf[:n], data) {
					t.Errorf("%d octets: %d come back, %v", size, n, err)
				}
			}
		})
	}
}

// testIsolation has the same address answer in both tenants, and expects every client to reach the one of its own.
func testIsolation(t *testing.T, f *fabric) {
	addr := netip.MustParseAddrPort("10.0.0.2:79")
	for _, server := range []string{"red-vm2", "blue-vm2"} {
		ln := f.listen(t, server, addr)
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(conn, server)
				conn.Close()
			}
		}()
	}
	for client, server := range map[string]string{"red-vm1": "red-vm2", "blue-vm1": "blue-vm2", "red-vm4": "red-vm2"} {
		for range 5 {
			conn, err := f.dial(client, addr, 3*time.Second)
			if err != nil {
				t.Fatalf("%s: got %v, want a connection", client, err)
			}
			name, err := io.ReadAll(conn)
			conn.Close()
			if err != nil || string(name) != server {
				t.Errorf("%s reaches %q, want %s (%v)", client, name, server, err)
			}
		}
	}
	// Blue has no VM of this address, red has.
	if out, err := f.ping("blue-vm1", "10.0.0.4", 2); err == nil {
		t.Errorf("blue reaches an address of red's:\n%s", out)
	}
	if out, err := f.ping("blue-vm1", "10.0.1.2", 2); err == nil {
		t.Errorf("blue reaches a segment of red's:\n%s", out)
	}
}

func testRouter(t *testing.T, f *fabric) {
	for _, tc := range []struct{ name, from, to, ttl string }{
		{"router", "red-vm1", "10.0.0.254", "ttl=64"},
		{"router of the other subnet", "red-vm1", "10.0.1.254", "ttl=64"},
		{"IPv6 router", "red-vm2", "fd00::fe", "ttl=64"},
		{"other subnet, other box", "red-vm1", "10.0.1.2", "ttl=63"},
		{"other subnet, same box", "red-vm1", "10.0.1.1", "ttl=63"},
		{"back", "red-app2", "10.0.0.1", "ttl=63"},
		{"same switch", "red-app1", "10.0.0.4", "ttl=63"},
		{"IPv6, other box", "red-vm1", "fd00:1::2", "ttl=63"},
		{"IPv6, same box", "red-app1", "fd00::3", "ttl=63"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := f.ping(tc.from, tc.to, 3)
			if err != nil || !strings.Contains(out, tc.ttl) || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("%s pings %s, want %s: %v\n%s", tc.from, tc.to, tc.ttl, err, out)
			}
		})
	}
}

// testTraceroute expects the virtual router to report that a packet's time was exceeded.
func testTraceroute(t *testing.T, f *fabric) {
	for _, tc := range []struct{ from, to, want string }{
		{"red-vm1", "10.0.1.2", "From 10.0.0.254"},
		{"red-app2", "10.0.0.1", "From 10.0.1.254"},
		{"red-vm1", "fd00:1::2", "From fd00::fe"},
	} {
		out, err := f.ping(tc.from, tc.to, 2, "-t", "1")
		if err == nil || !strings.Contains(out, tc.want) || !strings.Contains(strings.ToLower(out), "time") {
			t.Errorf("%s to %s with TTL 1: want %q\n%s", tc.from, tc.to, tc.want, out)
		}
		if out, err := f.ping(tc.from, tc.to, 2, "-t", "2"); err != nil {
			t.Errorf("%s to %s with TTL 2:\n%s", tc.from, tc.to, out)
		}
	}
}

func testUnreachable(t *testing.T, f *fabric) {
	for _, tc := range []struct{ name, from, to, want string }{
		{"no route", "red-vm1", "192.0.2.1", "From 10.0.0.254"},
		{"no such host", "red-vm1", "10.0.1.77", "From 10.0.0.254"},
		{"no route, IPv6", "red-vm1", "2001:db8::1", "From fd00::fe"},
		{"no such host, IPv6", "red-vm1", "fd00:1::77", "From fd00::fe"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := f.ping(tc.from, tc.to, 2)
			if err == nil || !strings.Contains(out, tc.want) || !strings.Contains(strings.ToLower(out), "unreachable") {
				t.Errorf("%s pings %s: want %q … unreachable\n%s", tc.from, tc.to, tc.want, out)
			}
		})
	}
}
