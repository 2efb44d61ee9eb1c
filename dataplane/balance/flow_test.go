package balance_test

import (
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/maglev"
)

// retable builds the tables of service i anew, after its servers have changed.
func (w *world) retable(i uint32) {
	svc := &w.snap.Services[i]
	svc.Members, svc.Weights = nil, nil
	var names []maglev.Server
	for n := range w.snap.Servers {
		if sv := &w.snap.Servers[n]; sv.Service == i && sv.Accept == fib.AcceptAll {
			svc.Members, svc.Weights = append(svc.Members, uint32(n)), append(svc.Weights, 1)
			names = append(names, maglev.Server{Name: string(rune('a' + n)), Weight: 1})
		}
	}
	svc.Table = maglev.Build(&key, names, 251)
}

// server returns the entry of the server with this MAC.
func (w *world) server(mac uint64) *fib.Server {
	for i := range w.snap.Servers {
		if sv := &w.snap.Servers[i]; sv.MAC == mac {
			return sv
		}
	}
	w.t.Fatalf("no server has MAC %012x", mac)
	return nil
}

// TestFlowKeepsItsServer: a flow stays with its server while the table changes, unless the server does not take it.
func TestFlowKeepsItsServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		proto  layers.IPProtocol
		begin  []uint8 // flags of the packets before the change
		accept fib.Accept
		then   uint8
		moves  bool
	}{
		{"draining, TCP", layers.IPProtocolTCP, []uint8{syn, ack}, fib.AcceptFlows, ack, false},
		{"draining, TCP, FIN", layers.IPProtocolTCP, []uint8{syn, ack}, fib.AcceptFlows, fin | ack, false},
		{"draining, half-open", layers.IPProtocolTCP, []uint8{syn}, fib.AcceptFlows, ack, false},
		{"draining, SYN again", layers.IPProtocolTCP, []uint8{syn}, fib.AcceptFlows, syn, false},
		{"draining, a connection anew", layers.IPProtocolTCP, []uint8{syn, ack}, fib.AcceptFlows, syn, true},
		{"draining for long, TCP", layers.IPProtocolTCP, []uint8{syn, ack}, fib.AcceptTCP, ack, false},
		{"draining, UDP", layers.IPProtocolUDP, []uint8{0, 0}, fib.AcceptFlows, 0, false},
		{"draining for long, UDP", layers.IPProtocolUDP, []uint8{0, 0}, fib.AcceptTCP, 0, true},
		{"down, TCP", layers.IPProtocolTCP, []uint8{syn, ack}, fib.AcceptNone, ack, true},
		{"down, SYN", layers.IPProtocolTCP, []uint8{syn, ack}, fib.AcceptNone, syn, true},
		{"down, UDP", layers.IPProtocolUDP, []uint8{0, 0}, fib.AcceptNone, 0, true},
		{"closing, data", layers.IPProtocolTCP, []uint8{syn, ack, fin | ack}, fib.AcceptFlows, ack, false},
		{"closing, SYN", layers.IPProtocolTCP, []uint8{syn, ack, fin | ack}, fib.AcceptFlows, syn, true},
		{"closed, SYN", layers.IPProtocolTCP, []uint8{syn, ack, rst}, fib.AcceptFlows, syn, true},
		{"closed, data", layers.IPProtocolTCP, []uint8{syn, ack, rst}, fib.AcceptFlows, ack, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			svc := w.serve(vip4, fib.Service{Proto: uint8(tt.proto), Port: 80}, web1, web2, web3)
			p := packet{sport: 1000, dport: 80, proto: tt.proto}
			var first uint64
			for i, flags := range tt.begin {
				p.flags = flags
				if got := w.to(p); got == 0 || i > 0 && got != first {
					t.Fatalf("packet %d went to %012x, want %012x like the first (drops %v)", i, got, first, w.drops())
				} else {
					first = got
				}
			}
			w.server(first).Accept = tt.accept
			w.retable(svc)
			p.flags = tt.then
			got := w.to(p)
			if (got != first) != tt.moves || got == 0 {
				t.Fatalf("went from %012x to %012x, want a move: %v", first, got, tt.moves)
			}
			w.server(first).Accept = fib.AcceptAll
			w.retable(svc)
			p.flags &^= syn
			if again := w.to(p); again != got {
				t.Errorf("the next packet went to %012x, want %012x, where the flow is now", again, got)
			}
		})
	}
}

// TestWithoutEntry: a packet that is no SYN and has no entry goes where the table says, as does one of a stale Ref.
func TestWithoutEntry(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{Proto: tcp, Port: 80}, web1, web2, web3)
	for sport := range uint16(50) {
		p := packet{sport: 1000 + sport, dport: 80, flags: ack}
		h := maglev.Hash4(&key, ip4("10.10.1.10"), p.sport, ip4("10.10.1.100"), 80, tcp)
		svc := &w.snap.Services[0]
		want := w.snap.Servers[svc.Members[maglev.Pick(svc.Table, h)]].MAC
		if got := w.to(p); got != want {
			t.Fatalf("port %d went to %012x, want %012x by the table", p.sport, got, want)
		}
	}
	for i := range w.snap.Servers {
		w.snap.Servers[i].Ref += 1 << fib.RefBits // new owners
	}
	w.snap.Servers[0].Accept = fib.AcceptNone
	w.retable(0)
	for sport := range uint16(50) {
		if got := w.to(packet{sport: 1000 + sport, dport: 80, flags: ack}); got == web1MAC || got == 0 {
			t.Fatalf("port %d went to %012x, want another server than %012x, whose index has a new owner",
				1000+sport, got, web1MAC)
		}
	}
}
