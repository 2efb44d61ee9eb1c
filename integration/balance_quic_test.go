package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	quicALPN  = "penstock-test"
	quicBytes = 20 << 20
)

// quicIDs are the servers' IDs in connection IDs.
var quicIDs = map[string]string{"web1": "01aa", "web2": "02bb", "web3": "03cc"}

// plaintextIDs makes connection IDs in which the server's ID stands behind the first octet, in the clear.
type plaintextIDs struct{ id []byte }

func (g plaintextIDs) ConnectionIDLen() int { return 8 }

func (g plaintextIDs) GenerateConnectionID() (quic.ConnectionID, error) {
	b := make([]byte, g.ConnectionIDLen())
	if _, err := rand.Read(b); err != nil {
		return quic.ConnectionID{}, err
	}
	copy(b[1:], g.id)
	return quic.ConnectionIDFromBytes(b), nil
}

func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{NextProtos: []string{quicALPN},
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}, nil
}

// quicServer answers every stream with its name, a newline and quicBytes octets. Accepted counts its connections.
func (b *balancer) quicServer(t *testing.T, vm string, accepted *atomic.Int64) {
	t.Helper()
	id, err := hex.DecodeString(quicIDs[vm])
	must(t, err)
	conf, err := selfSigned()
	must(t, err)
	var conn net.PacketConn
	must(t, b.lab.Do(b.VM(vm).Namespace, func() (err error) {
		conn, err = net.ListenPacket("udp", vip4+":8443")
		return err
	}))
	tr := &quic.Transport{Conn: conn, ConnectionIDGenerator: plaintextIDs{id}}
	ln, err := tr.Listen(conf, &quic.Config{MaxIdleTimeout: 20 * time.Second})
	must(t, err)
	t.Cleanup(func() { ln.Close(); tr.Close(); conn.Close() })
	go func() {
		for {
			c, err := ln.Accept(context.Background())
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go func() {
						defer s.Close()
						if _, err := fmt.Fprintf(s, "%s\n", vm); err == nil {
							_, _ = io.CopyN(s, zeros{}, quicBytes) // the client sees what is missing
						}
					}()
				}
			}()
		}
	}()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// relay is a socket whose packets leave by another one that can be changed, as behind a NAT that forgets.
type relay struct {
	net.PacketConn // what quic-go uses: reads are of the present socket
	now            atomic.Pointer[net.UDPConn]
}

func (r *relay) WriteTo(p []byte, to net.Addr) (int, error) { return r.now.Load().WriteTo(p, to) }

func (r *relay) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		c := r.now.Load()
		n, from, err := c.ReadFrom(p)
		if err != nil && r.now.Load() != c { // it was closed, for there is another one
			continue
		}
		return n, from, err
	}
}

func (r *relay) LocalAddr() net.Addr               { return r.now.Load().LocalAddr() }
func (r *relay) SetReadDeadline(d time.Time) error { return r.now.Load().SetReadDeadline(d) }
func (r *relay) Close() error                      { return r.now.Load().Close() }

// change lets packets leave from another address and port.
func (r *relay) change(b *balancer, t *testing.T, from string) {
	t.Helper()
	var c *net.UDPConn
	must(t, b.lab.Do("client", func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)))
		return err
	}))
	if old := r.now.Swap(c); old != nil {
		old.Close()
	}
}

// testBalanceQUIC downloads while the client's port, and then its address, change: the connection goes on at its
// server.
func testBalanceQUIC(t *testing.T, b *balancer) {
	var accepted atomic.Int64
	doc := b.document(service{name: "quic", vip: "v4", protocol: "udp", id: 11, port: 443, to: 8443,
		more: "hash = \"quic\"\ncheck = { type = \"none\" }"})
	for _, vm := range []string{"web1", "web2", "web3"} {
		b.quicServer(t, vm, &accepted)
		doc += fmt.Sprintf("[[servers]]\ntenant = \"red\"\nservice = \"quic\"\nname = %q\naddress = %q\nport = 8443\n"+
			"quic_id = %q\n", vm, b.host(vm).IPv4, quicIDs[vm])
	}
	b.apply(t, doc)
	r := &relay{}
	r.change(b, t, "10.10.1.10:40443")
	tr := &quic.Transport{Conn: r}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(vip4+":443")),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{quicALPN}},
		&quic.Config{KeepAlivePeriod: time.Second})
	must(t, err)
	first := ""
	download := func(change func()) string {
		t.Helper()
		s, err := c.OpenStreamSync(ctx)
		must(t, err)
		must(t, s.Close())
		got, name := 0, []byte(nil)
		buf := make([]byte, 64<<10)
		for changed := false; ; {
			n, err := s.Read(buf)
			if i := strings.IndexByte(string(buf[:n]), '\n'); got == 0 && i >= 0 {
				name = append(name, buf[:i]...)
			}
			got += n
			if !changed && got > quicBytes/2 && change != nil {
				changed = true
				change()
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("after %d of %d octets: got %v, want them all", got, quicBytes, err)
			}
		}
		if want := quicBytes + len(name) + 1; got != want {
			t.Errorf("download: got %d octets, want %d", got, want)
		}
		return string(name)
	}
	first = download(func() { r.change(b, t, "10.10.1.10:40444") })
	b.set(t, "quic/"+first, "draining")
	if second := download(func() { r.change(b, t, "10.10.1.12:40445") }); second != first {
		t.Errorf("the second stream, of a draining server: got %s, want %s, whose connection it is", second, first)
	}
	if n := accepted.Load(); n != 1 {
		t.Errorf("handshakes: got %d, want 1", n)
	}
	must(t, c.CloseWithError(0, ""))
	b.removeService(t, "quic", "web1", "web2", "web3")
}
