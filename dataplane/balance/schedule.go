package balance

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/maglev"
	"penstock/dataplane/wire"
)

// turn is the state of rr in a service: the round, and the next member in it.
type turn struct {
	round uint32
	at    uint32
}

// least is the number of servers that lc compares for a new flow: of more servers it takes others each time.
const least = 64

// choose selects a server for the packet in w, as if its flow were new. off says that it is another server than the
// table gives all directors, or that it does not come from the table. alone: no entry will remember the server, so that
// the hash must decide.
func (st *State) choose(
	mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, svc *fib.Service, alone bool,
) (server uint32, off bool, why drop.Reason) {
	v := &s.VIPs[w.vip]
	if !w.host(v) {
		return 0, false, drop.RouterSource
	}
	if len(svc.Members) == 0 {
		return 0, false, drop.NoServer
	}
	client := sender(mem, p, s)
	if !alone {
		ok := false
		switch svc.Scheduler {
		case fib.SchedRR:
			server, ok = st.roundRobin(s, w.service, svc, client)
		case fib.SchedLC:
			server, ok = st.leastConnections(s, svc, client)
		}
		if ok {
			return server, true, drop.None
		}
	}
	server, off, ok := byHash(s, svc, w.hash(s, svc), client)
	if !ok {
		return 0, false, drop.Hairpin
	}
	return server, off || svc.Scheduler != fib.SchedMaglev && !alone, drop.None
}

// hash is the hash that selects the server of a flow (PROTOCOL.md#balancer).
func (w *work) hash(s *fib.Snapshot, svc *fib.Service) uint64 {
	v, clientPort, port := &s.VIPs[w.vip], w.clientPort, w.port
	if svc.Hash == fib.HashClient {
		clientPort, port = 0, 0
	}
	if w.v6 {
		return maglev.Hash6(&s.BalanceKey, w.client, clientPort, v.IP6, port, w.proto)
	}
	return maglev.Hash4(&s.BalanceKey, uint32(w.client[1]), clientPort, v.IP4, port, w.proto)
}

// byHash returns the server that the table gives for a hash. If that is the client itself, it returns the next server
// in the table that is not, and next is true. ok is false if there is no other.
func byHash(s *fib.Snapshot, svc *fib.Service, h, client uint64) (server uint32, next, ok bool) {
	n := uint64(len(svc.Table))
	if n == 0 {
		return 0, false, false
	}
	at := h % n
	if server, ok = member(s, svc, uint32(svc.Table[at]), client); ok {
		return server, false, true
	}
	if !others(s, svc, client) {
		return 0, false, false
	}
	for range svc.Table {
		if at++; at == n {
			at = 0
		}
		if server, ok = member(s, svc, uint32(svc.Table[at]), client); ok {
			return server, true, true
		}
	}
	return 0, false, false
}

// member returns the server at position i of the service's members, unless it is the client itself, or takes no new
// flows any more: where the tables of many services change, they follow their servers in steps.
func member(s *fib.Snapshot, svc *fib.Service, i uint32, client uint64) (server uint32, ok bool) {
	if uint(i) >= uint(len(svc.Members)) {
		return 0, false
	}
	server = svc.Members[i]
	if uint(server) >= uint(len(s.Servers)) {
		return 0, false
	}
	x := &s.Servers[server]
	return server, x.MAC != client && x.Accept == fib.AcceptAll
}

// others reports whether a member of the service is not the client itself.
func others(s *fib.Snapshot, svc *fib.Service, client uint64) bool {
	for i := range svc.Members {
		if _, ok := member(s, svc, uint32(i), client); ok {
			return true
		}
	}
	return false
}

// roundRobin takes the servers in turn: in round r of as many rounds as the largest weight, a server of weight w takes
// a flow if ⌈r·w/wmax⌉ > ⌈(r−1)·w/wmax⌉, so that the flows of a heavy server are spread over the rounds.
func (st *State) roundRobin(s *fib.Snapshot, service uint32, svc *fib.Service, client uint64) (uint32, bool) {
	if uint(service) >= uint(len(st.turns)) || len(svc.Weights) < len(svc.Members) {
		return 0, false
	}
	t := &st.turns[service]
	most := uint32(1)
	for _, w := range svc.Weights {
		most = max(most, uint32(w))
	}
	n := uint32(len(svc.Members))
	for range 2*n + 1 { // the first member of the largest weight ends the search
		if t.at >= n {
			t.at = 0
			t.round++
		}
		if t.round >= most {
			t.round = 0
		}
		i, w := t.at, uint64(svc.Weights[t.at])
		t.at++
		r, m := uint64(t.round), uint64(most)
		if ((r+1)*w+m-1)/m > (r*w+m-1)/m {
			if server, ok := member(s, svc, i, client); ok {
				return server, true
			}
		}
	}
	return 0, false
}

// leastConnections takes the server that has the fewest live flows of this worker for its weight.
func (st *State) leastConnections(s *fib.Snapshot, svc *fib.Service, client uint64) (best uint32, found bool) {
	n := uint64(len(svc.Members))
	if st.Flows == nil || len(svc.Weights) < len(svc.Members) {
		return 0, false
	}
	st.each++
	at := st.each * least % n
	var flows, weight uint64
	for range min(n, least) {
		if server, ok := member(s, svc, uint32(at), client); ok {
			f, w := uint64(st.Flows.Live(s.Servers[server].Ref))+1, max(uint64(svc.Weights[at]), 1)
			if !found || f*weight < flows*w {
				best, flows, weight, found = server, f, w, true
			}
		}
		if at++; at == n {
			at = 0
		}
	}
	return best, found
}

// each1 selects a server for a datagram of a service without flows: the datagrams of one client go to all servers.
func (st *State) each1(
	mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, svc *fib.Service,
) (server uint32, why drop.Reason) {
	v := &s.VIPs[w.vip]
	if !w.host(v) {
		return 0, drop.RouterSource
	}
	if len(svc.Members) == 0 {
		return 0, drop.NoServer
	}
	client := sender(mem, p, s)
	if svc.Scheduler != fib.SchedMaglev {
		if server, ok := st.roundRobin(s, w.service, svc, client); ok {
			return server, drop.None
		}
	}
	st.each++
	server, _, ok := byHash(s, svc, st.each*0x9e3779b97f4a7c15>>20, client)
	if !ok {
		return 0, drop.Hairpin
	}
	return server, drop.None
}

// sender returns the MAC of the client, also if the tenant's router forwarded p: 0 for a client outside.
func sender(mem []byte, p *frame.Packet, s *fib.Snapshot) uint64 {
	if p.Flags&frame.FlagFromUplink != 0 {
		return 0
	}
	if r := s.RouterOf(p.Seg); r == nil || p.SrcMAC != r.MAC {
		return p.SrcMAC
	}
	to, ok := icmp.ReturnTo(mem, p, s)
	if !ok {
		return 0
	}
	return to.MAC
}

// hops returns the TTL or hop limit of p.
func hops(mem []byte, p *frame.Packet) uint8 {
	if p.Flags&frame.FlagIPv6 != 0 {
		return wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:]).HopLimit()
	}
	return wire.IPv4((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:]).TTL()
}

// Turns are the states of rr, by service index.
type Turns []turn

// GrownTurns returns memory for the states of so many services, nil if there is enough. Grow takes it over: the packet
// path does not allocate.
func (st *State) GrownTurns(services int) *Turns {
	if services <= len(st.turns) {
		return nil
	}
	t := make(Turns, max(services, 2*len(st.turns)))
	return &t
}

// Grow takes over the memory that GrownTurns has made.
func (st *State) Grow(to *Turns) {
	if to != nil && len(*to) > len(st.turns) {
		copy(*to, st.turns)
		st.turns = *to
	}
}
