package balance_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// TestQuickWay sends the same random packets through two boxes, of which one has no quick way: all that comes out, and
// all counters, must be the same.
func TestQuickWay(t *testing.T) {
	for seed := range uint64(30) {
		quickWay(t, seed, 60)
	}
}

func FuzzQuickWay(f *testing.F) {
	f.Add(uint64(946))
	f.Fuzz(func(t *testing.T, seed uint64) { quickWay(t, seed, 20) })
}

func quickWay(t *testing.T, seed uint64, rounds int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	a, b := quickWorld(t), quickWorld(t)
	b.Balance.SetLong()
	for round := range rounds {
		if rng.IntN(4) == 0 {
			n := rng.IntN(len(a.snap.Servers))
			accept := fib.Accept(rng.IntN(4))
			svc := a.snap.Servers[n].Service
			for _, w := range []*world{a, b} {
				w.snap.Servers[n].Accept = accept
				w.retable(svc)
			}
		}
		list := make([][]byte, 1+rng.IntN(20))
		for i := range list {
			list[i] = randomRequest(t, rng)
		}
		port := acc
		if rng.IntN(3) == 0 {
			port = fab
			for i := range list {
				list[i] = fromFar(t, list[i])
			}
		}
		for _, w := range []*world{a, b} {
			w.receive(port, list...)
			w.Publish()
		}
		for p := range 4 {
			x, y := a.from(p), b.from(p)
			if len(x) != len(y) {
				t.Fatalf("seed %d, round %d: port %d sent %d frames, without quick way %d (drops %v and %v)", seed,
					round, p, len(x), len(y), a.drops(), b.drops())
			}
			for i := range x {
				if !bytes.Equal(x[i], y[i]) {
					t.Fatalf("seed %d, round %d: port %d sent\n%x, without quick way\n%x", seed, round, p, x[i], y[i])
				}
			}
		}
		if x, y := counts(a), counts(b); x != y {
			t.Fatalf("seed %d, round %d: counted\n%s, without quick way\n%s", seed, round, x, y)
		}
		gap := rng.Int64N(2e9)
		if rng.IntN(20) == 0 {
			gap = 40e9
		}
		a.tick(gap)
		b.tick(gap)
	}
}

// quickWorld has services of all sorts: one port, a range, of TCP and UDP, of both families, one of them without flows.
func quickWorld(t *testing.T) *world {
	w := newWorld(t)
	near := target{web1MAC, locWeb1, 8080, 1, fib.AcceptAll}
	same := target{web2MAC, locFar, 0, 1, fib.AcceptAll}
	w.serve(vip4, fib.Service{Proto: tcp, Port: 80, Reject: true}, near, web2, web3)
	w.serve(vip4, fib.Service{Proto: udp, Port: 80}, near, same)
	w.serve(vip4, fib.Service{Proto: tcp, Port: 8000, PortEnd: 8009}, near, web2)
	w.serve(vip4, fib.Service{Proto: udp, Port: 53, OnePacket: true}, near, web2)
	w.serve(vip6, fib.Service{Proto: tcp, Port: 80}, near, web2)
	return w
}

func randomRequest(t *testing.T, rng *rand.Rand) []byte {
	p := packet{
		sport: uint16(1000 + rng.IntN(5)), dport: []uint16{80, 80, 80, 8003, 53, 99}[rng.IntN(6)],
		flags: []uint8{syn, ack, ack, ack, ack, fin | ack, rst, syn | ack}[rng.IntN(8)],
		ttl:   []uint8{64, 64, 64, 2, 1}[rng.IntN(5)], data: make([]byte, rng.IntN(100)),
	}
	if rng.IntN(3) == 0 {
		p.proto = layers.IPProtocolUDP
	}
	if rng.IntN(6) == 0 {
		p.from, p.to = "fd00:10::10", "fd00:10::100"
	}
	f := p.frame(t)
	switch rng.IntN(10) {
	case 0:
		f[len(f)-1-rng.IntN(20)] ^= 1 << rng.IntN(8)
	case 1:
		f = append(f, 0, 0, 0)
	}
	return f
}

// counts returns all counters that a packet may change. It leaves out the number of entries: when an expired entry is
// found by the scan depends on its place, which is random.
func counts(w *world) string {
	s := fmt.Sprintln(w.drops())
	for i := range w.snap.Services {
		s += fmt.Sprintln("service", i, w.Services.Service(i))
	}
	for i := range w.snap.Servers {
		s += fmt.Sprintln("server", i, w.Servers.Server(i))
	}
	for p := range 4 {
		s += fmt.Sprintln("port", p, w.Ports.Of(p, stats.Punted), w.Ports.Of(p, stats.TxPackets))
	}
	return s
}

// fromFar is the frame as another box sends it, of the client farClient there.
func fromFar(t *testing.T, f []byte) []byte {
	t.Helper()
	wire.PutMAC(f[wire.MACLen:], farClient)
	return build(t, &layers.Ethernet{DstMAC: hw(boxMAC), SrcMAC: hw(switchA), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: 143, SrcIP: net.IP{10, 7, 0, 1},
			DstIP: net.IP{10, 2, 0, 100}},
		gopacket.Payload(f))
}
