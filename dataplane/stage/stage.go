// Package stage defines what the stages of the packet path share: one signature, and one environment per worker.
//
// A stage is a method of its package's State, which embeds the worker's Env. dataplane/pipeline.go has the table of all
// stages, in their order.
package stage

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stats"
)

// Func runs a stage over a batch. The stage acts only on packets whose Next is one of the values that the stage takes,
// and sets their Next to the value for the stage that follows. Func returns the set of the Next values that the stage
// has set (Next.Bit): the pipeline does not run stages that no packet needs.
type Func func(b *frame.Batch) (todo uint32)

// Env is the environment of a worker's stages. The pipeline sets Snap and Port before each batch, and Now once per
// turn.
type Env struct {
	Mem  []byte        // the UMEM
	Snap *fib.Snapshot // the tables
	Port uint16        // the port that received the batch; Snap.Ports has it
	Now  int64         // time of the turn in nanoseconds, on a monotonic clock

	Pool   *frame.Pool
	Cache  *frame.Cache  // free frames of this worker
	Verify *frame.Verify // checks the ownership of frames; nil unless verify mode is on

	Ports   stats.Ports
	Paths   *stats.Block // stats.TrafficLen counters per path
	VIFs    *stats.Block // stats.RxTxLen counters per local VIF
	Members *stats.Block // stats.RxTxLen counters per gateway member

	Services *stats.Block // stats.ServiceLen counters per virtual service
	Servers  *stats.Block // stats.ServerLen counters per real server

	Queues []frame.Queue // frames on their way to the transmit rings, by port
	Spread Spread

	// Miss lets a packet wait for a binding that it needs, see Missed. It returns false if the packet does not wait:
	// the stage then drops or answers it. nil = no packet waits.
	Miss func(p *frame.Packet, m Missed) bool

	// Hits are packets at NextBalance whose flow is known already: a stage has read from the frame what the director's
	// quick way looks for. All of them went through the whole parser, or its equal.
	Hits Hits

	// Again are packets of the batch that pass the stages from the lookup on once more, when the batch is done, see
	// Repeat.
	Again frame.Batch

	// Copies are copies of packets of the batch that a stage has made. A stage that adds to Copies calls Emit with the
	// set of their Next values. Emit runs the stages that follow over Copies, and empties Copies.
	Copies frame.Batch
	Emit   func(todo uint32)
}

// Hits is a list of lookups in the flow table, of packets of one batch in their order.
type Hits struct {
	N    uint
	List [frame.BatchSize]flow.Hit
}

// Add appends the lookup of the flow of packet i, from a client's address, with both ports as in the packet. word is
// that of the virtual address and the protocol (flow.HitWord).
func (h *Hits) Add(i int, client, ports uint32, word uint64) {
	x := &h.List[h.N%frame.BatchSize]
	h.N++
	x.Pkt = uint8(i)
	x.Set(client, ports, word)
}

// Missed is what a packet needs and the bindings do not have.
type Missed struct {
	Kind   resolve.EventKind // MissMAC, MissIP4 or MissIP6
	Seg    uint32            // segment of Hi and Lo, dense index
	Hi, Lo uint64            // MAC or IPv4 address in Lo, or the halves of an IPv6 address
	Again  frame.Next        // the stage that the packet passes when it has waited
	Tell   bool              // the packet goes on, control is told all the same
}

// Unresolved lets p wait for what it needs. If it does not wait, it is dropped for why, or for drop.ResolveTimeout if
// it has waited.
func (e *Env) Unresolved(p *frame.Packet, m Missed, why drop.Reason) {
	switch {
	case e.Miss != nil && e.Miss(p, m):
	case p.Has(frame.FlagWaited):
		p.DropFor(drop.ResolveTimeout)
	default:
		p.DropFor(why)
	}
}

// Send puts the frame into the out queue of a port. If the queue is full, Send returns false and leaves the packet at
// NextTx: the pipeline flushes the queue and sends it.
func (e *Env) Send(p *frame.Packet, port uint16) bool {
	if !e.Queues[port].Put(p.Off, p.Len) {
		p.SendTo(port)
		return false
	}
	p.Next = frame.NextSent
	return true
}

// Repeat lets p, whose Next is that of a stage which may have run already, pass the stages from the lookup on when the
// batch is done. p is an answer of the box.
func (e *Env) Repeat(p *frame.Packet) {
	switch {
	case p.Next == frame.NextDrop:
	case e.Again.N == frame.BatchSize:
		p.DropFor(drop.ICMPLimit)
	default:
		e.Again.Pkt[e.Again.N&(frame.BatchSize-1)] = *p
		e.Again.N++
		p.Next = frame.NextSent
	}
}

// Copy copies p with its frame into the next packet of Copies, which must have room. It returns nil when there is no
// free frame.
func (e *Env) Copy(p *frame.Packet) *frame.Packet {
	addr, ok := e.Cache.Get()
	if !ok {
		return nil
	}
	e.Move(addr, frame.OwnerPool, frame.OwnerBatch)
	q := &e.Copies.Pkt[e.Copies.N]
	e.Copies.N++
	*q = *p
	q.Off = addr + frame.Headroom
	copy(q.Bytes(e.Mem), p.Bytes(e.Mem))
	e.Ports.Count(p.Port, stats.Copies, 1)
	return q
}

// Discard counts the frame of n octets at off, received on port, as discarded for reason r, and frees the frame. The
// packet path discards frames through Discard alone.
func (e *Env) Discard(port uint16, r drop.Reason, off uint32, n uint16) {
	e.Ports.Drop(port, r)
	e.Free(off)
}

// Unmade counts a frame of port that was not made because no frame was free. The frame counts as made (counter is
// stats.Copies or stats.Injected) and as discarded.
func (e *Env) Unmade(port uint16, counter int) {
	e.Ports.Count(port, counter, 1)
	e.Ports.Drop(port, drop.FloodNoFrame)
}

// Free returns the frame that holds octet off from the batch to the pool.
func (e *Env) Free(off uint32) {
	e.Move(off, frame.OwnerBatch, frame.OwnerPool)
	e.Cache.Put(e.Pool.Base(off))
}

// Move records a change of owner of the frame that holds octet off.
func (e *Env) Move(off uint32, from, to frame.Owner) {
	if e.Verify != nil {
		e.Verify.Move(off, from, to)
	}
}
