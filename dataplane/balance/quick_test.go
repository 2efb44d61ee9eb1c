package balance_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
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
		if rng.IntN(10) == 0 { // paths come and go
			n := 1 + rng.IntN(4)
			for _, w := range []*world{a, b} {
				w.paths(n)
			}
		}
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
			x, y := byFlow(a.from(p)), byFlow(b.from(p))
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

// byFlow puts frames into the order of their flows. Of one flow they stay in their order.
func byFlow(list [][]byte) [][]byte {
	flow := func(f []byte) string {
		p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
		if ip := p.Layer(layers.LayerTypeIPv4); ip != nil && ip.(*layers.IPv4).Protocol == 143 {
			p = gopacket.NewPacket(ip.LayerPayload(), layers.LayerTypeEthernet, gopacket.Default)
		}
		if p.NetworkLayer() == nil || p.TransportLayer() == nil {
			return ""
		}
		return fmt.Sprint(p.LinkLayer().LinkFlow(), p.TransportLayer().LayerType(), p.NetworkLayer().NetworkFlow(),
			p.TransportLayer().TransportFlow())
	}
	slices.SortStableFunc(list, func(x, y []byte) int { return strings.Compare(flow(x), flow(y)) })
	return list
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
	for i := range 16 {
		s += fmt.Sprintln("path", i, w.Paths.Traffic(i*stats.TrafficLen), "VIF", w.VIFs.RxTx(i))
	}
	s += entries(w)
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

// entries returns the flows in the table, without their age.
func entries(w *world) string {
	var list []string
	buf := make([]flow.Flow, 64)
	for from := uint32(0); ; {
		next, n := w.Balance.Flows.Read(from, buf)
		for _, f := range buf[:n] {
			f.Age = 0
			list = append(list, fmt.Sprintf("%+v\n", f))
		}
		if from = next; next == 0 {
			break
		}
	}
	slices.Sort(list)
	return strings.Join(list, "")
}

// paths gives the box n paths to the servers that are not here, of different MTUs and weights.
func (w *world) paths(n int) {
	s := *w.snap
	s.Switches = slices.Clone(s.Switches)
	var list []fib.Path
	for i := range n {
		path := s.Switches[0].Paths[0]
		path.VID, path.Seed, path.Stat = uint16(101+i), uint32(i), uint32(i)
		path.MTU, path.Weight = uint16(1600-500*(i&1)), uint16(1+n&1*i)
		list = append(list, path)
	}
	s.Switches[0].SetPaths(list)
	w.snap = &s
}

// TestQuickToldFlow: a flow of which another director has told counts as this box's own from its next packet on.
func TestQuickToldFlow(t *testing.T) {
	w := quickWorld(t)
	client := [2]uint64{0, uint64(ip4("10.10.1.10"))}
	k := flow.Key{Client: client, VIP: ref(vip4), ClientPort: 1000, Port: 80, Proto: tcp}
	var p flow.Probe
	w.Balance.Flows.Prepare(&p, &k)
	if !w.Balance.Flows.Restore(&p, ref(1), flow.Established, true, 5) || !strings.Contains(entries(w), "Told:true") {
		t.Fatalf("the flow was not restored as told: %s", entries(w))
	}
	w.receive(acc, packet{sport: 1000, dport: 80, flags: ack}.frame(t))
	w.one(fab)
	if got := entries(w); !strings.Contains(got, "Told:false") {
		t.Errorf("after a packet the flow is %swant Told:false", got)
	}
}

// TestQuickFragmentFirst: no datagram overtakes a fragment of its flow that came before.
func TestQuickFragmentFirst(t *testing.T) {
	w := quickWorld(t)
	udp := packet{sport: 1000, dport: 80, proto: layers.IPProtocolUDP, data: make([]byte, 1200)}
	for range 2 {
		w.receive(acc, udp.frame(t))
	}
	parts := fragments(udp.frame(t), 800, 77, 0)
	w.receive(acc, parts[0])
	for p := range w.sent {
		w.from(p)
	}
	udp.data = []byte("behind")
	w.receive(acc, parts[1], udp.frame(t))
	got := append(w.from(near), w.from(fab)...)
	if len(got) != 2 || !bytes.Contains(got[1], udp.data) {
		t.Errorf("%d frames came out (drops %v), want the datagram behind the fragment: %x", len(got), w.drops(), got)
	}
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
