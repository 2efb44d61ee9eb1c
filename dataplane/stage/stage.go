// Package stage is what the stages of the packet path share: one signature, and one environment per worker.
//
// A stage is a method of its package's State, which embeds the worker's Env. The table of all stages, in their order, is
// in dataplane/pipeline.go.
package stage

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// Func runs a stage over a batch. It acts only on packets whose Next is one that the stage takes, sets their Next to
// what follows, and returns the set of the Next values that it has set (Next.Bit): stages that no packet needs are not run.
type Func func(b *frame.Batch) (todo uint32)

// Env is what a worker's stages work with. The pipeline sets Snap and Port before each batch, and Now once per turn.
type Env struct {
	Mem  []byte        // the UMEM
	Snap *fib.Snapshot // the tables
	Port uint16        // the port that the batch came by; the snapshot has it
	Now  int64         // time of the turn in nanoseconds, on a clock that never goes back

	Pool   *frame.Pool
	Cache  *frame.Cache  // free frames of this worker
	Verify *frame.Verify // follows the owners of frames; nil unless verify mode is on

	Ports   stats.Ports
	Paths   *stats.Block // stats.PathStride counters per path
	VIFs    *stats.Block // stats.VIFStride counters per local VIF
	Members *stats.Block // stats.MemberStride counters per gateway member

	Queues []frame.Queue // frames on their way to the transmit rings, by port
	Spread Spread

	// Copies are packets that a stage has made of packets of the batch. A stage that fills it calls Emit with the set of
	// their Next values: Emit takes the copies through the stages that follow, and empties it.
	Copies frame.Batch
	Emit   func(todo uint32)
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

// Discard counts the frame of n octets at off, which belongs to port, as discarded for reason r, and frees it. Every frame
// that the packet path discards goes through here.
func (e *Env) Discard(port uint16, r drop.Reason, off uint32, n uint16) {
	e.Ports.Drop(port, r)
	e.Free(off)
}

// Unmade counts a frame of port that could not be made for want of a free frame: as made (counter is stats.Copies or
// stats.Injected) and discarded.
func (e *Env) Unmade(port uint16, counter int) {
	e.Ports.Count(port, counter, 1)
	e.Ports.Drop(port, drop.FloodNoFrame)
}

// Free returns the frame that holds octet off from the batch to the pool.
func (e *Env) Free(off uint32) {
	e.Move(off, frame.OwnerBatch, frame.OwnerPool)
	e.Cache.Put(e.Pool.Base(off))
}

// Move notes a change of owner of the frame that holds octet off.
func (e *Env) Move(off uint32, from, to frame.Owner) {
	if e.Verify != nil {
		e.Verify.Move(off, from, to)
	}
}
