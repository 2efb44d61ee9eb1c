package balance

import (
	"testing"

	"penstock/dataplane/fib"
)

// TestTableBehindServers: a table that still has a server which takes no new flows gives the next server of the table.
func TestTableBehindServers(t *testing.T) {
	svc := &fib.Service{Members: []uint32{4, 5, 6}, Table: []uint16{0, 1, 1, 2, 0}}
	s := &fib.Snapshot{Servers: make([]fib.Server, 7)}
	for i := range s.Servers {
		s.Servers[i] = fib.Server{MAC: uint64(100 + i), Accept: fib.AcceptAll}
	}
	for _, accept := range []fib.Accept{fib.AcceptNone, fib.AcceptTCP, fib.AcceptFlows} {
		s.Servers[5].Accept = accept
		for h, want := range []uint32{4, 6, 6, 6, 4} {
			if got, next, ok := byHash(s, svc, uint64(h), 0); got != want || !ok || next != (h == 1 || h == 2) {
				t.Errorf("hash %d, server 5 accepts %d: server %d (%v), next %v; want %d", h, accept, got, ok, next,
					want)
			}
		}
	}
	for i := range s.Servers {
		s.Servers[i].Accept = fib.AcceptNone
	}
	if _, _, ok := byHash(s, svc, 0, 0); ok {
		t.Error("a server was chosen of those that take none, want none")
	}
}
