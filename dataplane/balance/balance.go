// Package balance is the director's stage: it takes the packets to the virtual addresses that this box serves, selects
// a real server for each flow, and sends the packet on to that server (PROTOCOL.md#balancer).
//
// The files in the order of a packet:
//
//	balance.go    passes over a batch
//	quick.go      packets of established flows, in one pass
//	plan.go       what is equal for all packets of such flows
//	classify.go   virtual address, kind of packet, virtual service
//	spread.go     hand-over to the worker of the flow
//	fragment.go   notes of fragments, and those that wait for the first
//	decide.go     flow table: the server of a flow
//	schedule.go   the server of a new flow
//	quic.go       servers by QUIC connection ID
//	rewrite.go    to the server
//	error.go      ICMP errors about packets of a flow
//	answer.go     resets, ICMP errors and echo replies of the box itself
//
// The stage makes several passes over a batch, as package route does: the first finds service and flow of each packet.
// The second prefetches the flow table. The last decides and rewrites, packet by packet, since the insertion of a flow
// may move other entries of the table.
package balance

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/stage"
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Counters Counters

	// Flows is the worker's flow table. Without it the hash alone decides: a box has none before it directs a virtual
	// address.
	Flows *flow.Table
	// Affinity gives the worker of each flow, which has its entry, also where frames are not spread by flow.
	Affinity stage.Spread

	// Fragments are the worker's notes of fragments, and those that wait. Without them all fragments are dropped.
	Fragments *Waiting
	// TooBig answers or drops p, which is larger than the MTU of the way to its server.
	TooBig func(p *frame.Packet, mtu uint16, why drop.Reason)

	// More says that Turn has more to do at once: the worker should not sleep.
	More bool

	work   [frame.BatchSize]work // of the batch
	probes [frame.BatchSize]flow.Probe
	plan   planned
	long   bool   // tests: all packets go the long way
	turns  Turns  // by service index: where rr is
	each   uint64 // datagrams that were scheduled alone, and searches of lc
}

// Counters counts what the director has done, except drops.
type Counters struct {
	Resets       uint64 // TCP resets sent: no service, or no server
	Unreachable  uint64 // ICMP "port unreachable" sent: no service, or no server
	TimeExceeded uint64 // ICMP "time exceeded" sent
	EchoReplies  uint64 // echo requests answered
	Held         uint64 // fragments that waited for the first one of their packet
}

// New returns the state of a worker with environment env.
func New(env *stage.Env) *State { return &State{Env: env, plan: newPlanned()} }

// work is a packet of the batch for which a server is to be found.
type work struct {
	pkt        uint8
	kind       kind
	proto      uint8
	v6         bool
	vip        uint32
	service    uint32
	client     [2]uint64 // address, as flow.Key has it
	clientPort uint16
	port       uint16  // of the service, as the client sends it
	server     fib.Ref // of a later fragment
}

// Balance sends the packets at NextBalance to real servers: to NextDeliver, NextEncap, or out of a port. A packet may
// also become the box's answer to the client, go to control (health checks), to another worker, or wait for the first
// fragment of its packet (NextHeld). All other packets are dropped.
//
// It is a stage (stage.Func).
func (st *State) Balance(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	n := min(uint(b.N), frame.BatchSize)
	if st.Flows != nil && !st.long {
		left := 0
		if todo, left = st.quick(mem, b, s); left == 0 {
			return todo
		}
	}
	st.Hits.N = 0
	k := uint(0)
	for i := range b.Pkt[:n] {
		p := &b.Pkt[i]
		if p.Next != frame.NextBalance {
			continue
		}
		w := &st.work[k%frame.BatchSize]
		if st.classify(mem, p, s, w) {
			w.pkt = uint8(i)
			k++
			continue
		}
		todo |= p.Next.Bit()
	}
	return todo | st.schedule(mem, b, s, min(k, frame.BatchSize))
}

// schedule finds the servers of the first n packets in st.work, and sends the packets there.
func (st *State) schedule(mem []byte, b *frame.Batch, s *fib.Snapshot, n uint) (todo uint32) {
	list := st.work[:n]
	if t := st.Flows; t != nil {
		for i := range list {
			t.Prepare(&st.probes[i%frame.BatchSize], list[i].key(s))
		}
		t.Touch(st.probes[:n])
	}
	for i := range list {
		w := &list[i]
		p := &b.Pkt[w.pkt%frame.BatchSize]
		st.forward(mem, p, s, w, &st.probes[i%frame.BatchSize])
		todo |= p.Next.Bit()
	}
	return todo
}

// forward sends p on to the server of its flow, or refuses it.
func (st *State) forward(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, probe *flow.Probe) {
	server, why := uint32(0), drop.TTLExceeded
	if hops(mem, p) > 1 {
		server, why = st.decide(mem, p, s, w, probe)
	}
	if p.Has(frame.FlagFragment) && w.kind == whole {
		st.noteServer(mem, p, s, w, server, why)
	}
	if why != drop.None {
		st.refuse(mem, p, s, w, why)
		return
	}
	st.send(mem, p, s, w, server)
}

// Close gives back the memory of the flow table.
func (st *State) Close() error {
	t := st.Flows
	if st.Flows = nil; t == nil {
		return nil
	}
	return t.Close()
}

// Turn begins a turn of the worker: it forgets flows and drops fragments whose time is up, in bounded time.
func (st *State) Turn(now int64) {
	if st.Flows != nil {
		st.More = st.Flows.Turn(now)
	}
	st.expire(now)
}
