package balance_test

import (
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/maglev"
)

// byTable is the server that the table gives a flow of service 0 from 10.10.1.10.
func (w *world) byTable(sport, port uint16, proto uint8) uint64 {
	svc := &w.snap.Services[0]
	h := maglev.Hash4(&key, ip4("10.10.1.10"), sport, ip4("10.10.1.100"), port, proto)
	return w.snap.Servers[svc.Members[maglev.Pick(svc.Table, h)]].MAC
}

// TestSchedulers: rr and lc give new connections to the servers in turn. A later packet of a connection that has no
// entry, as after a restart, goes where the table says: on all directors to the same server.
func TestSchedulers(t *testing.T) {
	for _, scheduler := range []fib.Scheduler{fib.SchedRR, fib.SchedLC} {
		w := newWorld(t)
		w.serve(vip4, fib.Service{Proto: tcp, Port: 80, Scheduler: scheduler}, web1, web2, web3)
		got := map[uint64]int{}
		server := map[uint16]uint64{}
		for sport := range uint16(30) {
			p := packet{sport: 1000 + sport, dport: 80, flags: syn}
			server[p.sport] = w.to(p)
			got[server[p.sport]]++
		}
		for mac, n := range got {
			if n != 10 {
				t.Errorf("scheduler %d: server %012x got %d of 30 connections, want 10", scheduler, mac, n)
			}
		}
		for sport, want := range server {
			if mac := w.to(packet{sport: sport, dport: 80, flags: ack}); mac != want {
				t.Errorf("scheduler %d: port %d went to %012x, want %012x as before", scheduler, sport, mac, want)
			}
		}
		for sport := range uint16(30) {
			p := packet{sport: 2000 + sport, dport: 80, flags: ack}
			want := w.byTable(p.sport, 80, tcp)
			for range 2 {
				if mac := w.to(p); mac != want {
					t.Fatalf("scheduler %d: port %d without entry went to %012x, want %012x by the table", scheduler,
						p.sport, mac, want)
				}
			}
		}
	}
}

// TestGuardKeepsConnections: a connection that the guard let go by the table stays at its server without the guard.
func TestGuardKeepsConnections(t *testing.T) {
	for _, scheduler := range []fib.Scheduler{fib.SchedMaglev, fib.SchedRR, fib.SchedLC} {
		w := newWorld(t)
		w.serve(vip4, fib.Service{Proto: tcp, Port: 80, Scheduler: scheduler}, web1, web2, web3)
		w.Balance.Flows.SetRate(1)
		server := map[uint16]uint64{}
		for sport := range uint16(30) {
			p := packet{sport: 1000 + sport, dport: 80, flags: syn}
			server[p.sport] = w.to(p)
		}
		w.Balance.Flows.SetRate(0)
		w.tick(2e9)
		for sport, want := range server {
			if mac := w.to(packet{sport: sport, dport: 80, flags: ack}); mac != want {
				t.Errorf("scheduler %d: port %d went to %012x, want %012x as its SYN", scheduler, sport, mac, want)
			}
		}
	}
}

// TestRRWeights: rr gives servers connections by their weights, and spreads those of a heavy server.
func TestRRWeights(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{Proto: udp, Port: 53, Scheduler: fib.SchedRR},
		target{web1MAC, locWeb1, 5300, 4, fib.AcceptAll}, target{web2MAC, locFar, 5300, 1, fib.AcceptAll},
		target{web3MAC, locFar, 5300, 2, fib.AcceptAll})
	got, run, longest := map[uint64]int{}, 0, 0
	for sport := range uint16(70) {
		mac := w.to(packet{sport: 1000 + sport, dport: 53, proto: layers.IPProtocolUDP})
		got[mac]++
		if run++; mac != web1MAC {
			run = 0
		}
		longest = max(longest, run)
	}
	if got[web1MAC] != 40 || got[web2MAC] != 10 || got[web3MAC] != 20 || longest > 3 {
		t.Errorf("flows by server %v, %d one after the other at the heavy one; want 40, 10, 20, and at most 3",
			got, longest)
	}
}
