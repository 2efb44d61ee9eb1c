package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/edge"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/neigh"
	"penstock/dataplane/overlay"
	"penstock/dataplane/parse"
	"penstock/dataplane/route"
	"penstock/dataplane/stats"
	"penstock/dataplane/uplink"
	"penstock/dataplane/xsk"
)

// Pipeline is the stages with one worker's state. It needs no AF_XDP: tests and benchmarks drive it over plain memory.
type Pipeline struct {
	Mem     []byte // the UMEM
	Pool    *frame.Pool
	Cache   *frame.Cache
	Verify  *frame.Verify // or nil
	Ports   stats.Ports
	Paths   *stats.Block
	VIFs    *stats.Block
	Members *stats.Block
	Overlay *overlay.State
	Route   *route.State
	Uplink  *uplink.State
	Edge    *edge.State
	FDB     *edge.FDB
	Punts   *frame.Slots

	// Flush is called with a port whose out queue is nearly full, and by the owner of the pipeline at the end of a turn.
	Flush func(port uint16)

	now        int64
	touched    uint64      // keeps the touching loads alive
	out        []xsk.Queue // by port
	extra      frame.Batch
	puntLimits [256]limit
	handoff    *split // nil unless frames are spread over workers
}

// NewPipeline returns a pipeline for the given number of ports over mem, whose free frames are in pool.
func NewPipeline(mem []byte, pool *frame.Pool, verify *frame.Verify, ports, vifs, paths int) *Pipeline {
	pl := &Pipeline{
		Mem: mem, Pool: pool, Cache: pool.NewCache(), Verify: verify,
		Ports: stats.NewPorts(ports), Paths: stats.NewBlock(paths * stats.PathStride), VIFs: stats.NewBlock(vifs * stats.VIFStride),
		Overlay: overlay.NewState(vifs), Route: &route.State{}, Edge: edge.NewState(), Punts: frame.NewSlots(256),
		Members: stats.NewBlock(stats.Members * stats.MemberStride), Uplink: &uplink.State{Shared: uplink.NewShared(ports)},
		out: make([]xsk.Queue, ports),
	}
	pl.Uplink.Members, pl.Uplink.Out = pl.Members, pl.out
	pl.Uplink.Clock = func() int64 { return pl.now }
	pl.Uplink.Elsewhere = pl.Overlay.Spread.Elsewhere
	pl.Overlay.Cache, pl.Overlay.Verify = pl.Cache, verify
	pl.Overlay.Ports, pl.Overlay.Paths, pl.Overlay.VIFs, pl.Overlay.Out = pl.Ports, pl.Paths, pl.VIFs, pl.out
	return pl
}

// SetTime sets the time of the turn in nanoseconds on a clock that never goes back.
func (pl *Pipeline) SetTime(now int64) {
	pl.now = now
	pl.Overlay.Now = now
	pl.Route.Now = now
	pl.Uplink.Now = now
	pl.Edge.Now = now
}

// Publish makes the counters visible to readers.
func (pl *Pipeline) Publish() {
	pl.Overlay.Count()
	pl.Ports.Publish()
	pl.Paths.Publish()
	pl.VIFs.Publish()
	pl.Members.Publish()
}

// Process takes a batch of frames received on port through the stages. On return every frame has gone to an out queue,
// a ring, or back to the pool.
func (pl *Pipeline) Process(port uint16, b *frame.Batch, s *fib.Snapshot) {
	// Touching the first line of every frame in a loop of its own makes those cache misses overlap.
	var octets, touched uint64
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		octets += uint64(p.Len)
		touched += uint64(pl.Mem[p.Off])
	}
	pl.touched += touched
	pl.Ports.Count(port, stats.RxPackets, uint64(b.N))
	pl.Ports.Count(port, stats.RxBytes, octets)
	pl.run(port, b, s)
}

func (pl *Pipeline) run(port uint16, b *frame.Batch, s *fib.Snapshot) {
	role := fib.RoleNone
	if int(port) < len(s.Ports) { // a snapshot from before the first one published has none
		role = s.Ports[port].Role
	}
	switch role {
	case fib.RoleAccess:
		pl.access(port, b, s)
	case fib.RoleFabric:
		pl.fabric(port, b, s)
	case fib.RoleUplink:
		pl.deliver(b, s, uplink.Ingress(pl.Mem, b, port, s, pl.Uplink))
	case fib.RoleDownlink, fib.RoleTrunk:
		pl.edge(b, s)
	default:
		pl.dropAll(b, drop.NoRole)
		pl.finish(b)
	}
}

// access is the way of a frame from a tenant.
func (pl *Pipeline) access(port uint16, b *frame.Batch, s *fib.Snapshot) {
	todo := overlay.Access(pl.Mem, b, port, s, pl.Overlay)
	if todo&(1<<frame.NextNeigh) != 0 {
		neigh.Answer(pl.Mem, b, s)
		todo |= 1<<frame.NextDeliver | 1<<frame.NextDrop
	}
	if todo&(1<<frame.NextRoute) != 0 {
		route.Route(pl.Mem, b, s, pl.Route)
		todo |= 1<<frame.NextDeliver | 1<<frame.NextEncap | 1<<frame.NextDrop
		if len(s.Groups) > 0 {
			todo |= 1 << frame.NextUplink
		}
	}
	pl.deliver(b, s, todo)
}

// fabric is the way of a frame from the edge switch.
func (pl *Pipeline) fabric(port uint16, b *frame.Batch, s *fib.Snapshot) {
	todo := overlay.Fabric(pl.Mem, b, port, s, pl.Overlay)
	if todo&(1<<frame.NextNeigh) != 0 {
		for i := range b.N {
			if p := &b.Pkt[i]; p.Next == frame.NextNeigh {
				neigh.Box(pl.Mem, p, &s.Ports[port])
				todo |= p.Next.Bit()
			}
		}
	}
	pl.deliver(b, s, todo)
}

// deliver is what both ways have in common: lookup, delivery or encapsulation, copies of broadcasts. todo says which
// stages have something to do; where nearly all frames take the same way, most have not.
func (pl *Pipeline) deliver(b *frame.Batch, s *fib.Snapshot, todo uint32) {
	if todo&(1<<frame.NextLookup) != 0 {
		todo |= overlay.Resolve(b, s, pl.Overlay)
	}
	if todo&(1<<frame.NextUplink) != 0 {
		todo |= uplink.Egress(pl.Mem, b, s, pl.Uplink)
	}
	if todo&(1<<frame.NextDeliver) != 0 {
		todo |= overlay.Deliver(pl.Mem, b, s, pl.Overlay)
	}
	if todo&(1<<frame.NextFlood) != 0 {
		pl.flood(b, s)
		todo |= 1<<frame.NextEncap | 1<<frame.NextDrop | 1<<frame.NextTx
	}
	if todo&(1<<frame.NextEncap) != 0 {
		todo |= overlay.Encapsulate(pl.Mem, b, s, pl.Overlay)
	}
	if todo&(1<<frame.NextRefuse) != 0 {
		todo |= uplink.Refuse(pl.Mem, b, s, pl.Uplink)
	}
	if todo&^passed != 0 {
		pl.finish(b)
	}
}

// passed is the stages that leave no frame behind: a batch that knew no others has been sent whole.
const passed = 1<<frame.NextRoute | 1<<frame.NextLookup | 1<<frame.NextDeliver | 1<<frame.NextEncap | 1<<frame.NextUplink |
	1<<frame.NextRefuse | 1<<frame.NextSent

// edge is the way of a frame through the box as edge switch.
func (pl *Pipeline) edge(b *frame.Batch, s *fib.Snapshot) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		parse.Edge(pl.Mem, &b.Pkt[i])
	}
	edge.Forward(pl.Mem, b, s, pl.FDB, pl.Edge)
	for i := range pl.Edge.Clones {
		c := &pl.Edge.Clones[i]
		q := &pl.extra.Pkt[pl.extra.N]
		if !pl.Overlay.Clone(pl.Mem, &c.Src, q) {
			pl.Ports.Count(c.Src.Port, stats.Copies, 1)
			pl.Ports.Drop(c.Src.Port, drop.FloodNoFrame)
			continue
		}
		q.SendTo(c.Out)
		if pl.extra.N++; pl.extra.N == frame.BatchSize {
			pl.finish(&pl.extra)
			pl.extra.N = 0
		}
	}
	pl.Edge.Clones = pl.Edge.Clones[:0]
	pl.finishExtra()
	pl.finish(b)
}

func (pl *Pipeline) flood(b *frame.Batch, s *fib.Snapshot) {
	for more := true; more; {
		more = overlay.Flood(pl.Mem, b, s, pl.Overlay, &pl.extra)
		overlay.Encapsulate(pl.Mem, &pl.extra, s, pl.Overlay)
		pl.finishExtra()
	}
}

func (pl *Pipeline) finishExtra() {
	if pl.extra.N > 0 {
		pl.finish(&pl.extra)
		pl.extra.N = 0
	}
}

// finish moves every frame of the batch to where its packet's Next says.
func (pl *Pipeline) finish(b *frame.Batch) {
	for i := range b.N {
		p := &b.Pkt[i]
		switch p.Next {
		case frame.NextSent:
		case frame.NextTx:
			pl.send(p.Out, p.Off, p.Len)
		case frame.NextPunt:
			pl.punt(p)
		case frame.NextTaken:
			pl.Ports.Count(p.Port, stats.Punted, 1)
			pl.free(p.Off)
		case frame.NextHandoff:
			pl.handoff.pass(pl, p)
		case frame.NextDrop:
			pl.Ports.Drop(p.Port, p.Drop)
			pl.free(p.Off)
		default: // no stage wanted it
			pl.Ports.Drop(p.Port, drop.NoRole)
			pl.free(p.Off)
		}
	}
}

func (pl *Pipeline) send(port uint16, off uint32, n uint16) {
	if !pl.out[port].Put(off, n) {
		pl.Flush(port)
		pl.out[port].Put(off, n)
	}
}

// Out returns the frames waiting for a port and empties the queue; valid until the next Process. For tests and
// benchmarks; workers flush into transmit rings.
func (pl *Pipeline) Out(port uint16) []xsk.Desc { return pl.out[port].Take() }

// Free returns the frame that holds octet off to the pool.
func (pl *Pipeline) Free(off uint32) { pl.free(off) }

func (pl *Pipeline) free(off uint32) {
	pl.move(off, frame.OwnerBatch, frame.OwnerPool)
	pl.Cache.Put(pl.Pool.Base(off))
}

func (pl *Pipeline) move(off uint32, from, to frame.Owner) {
	if pl.Verify != nil {
		pl.Verify.Move(off, from, to)
	}
}

func (pl *Pipeline) dropAll(b *frame.Batch, r drop.Reason) {
	for i := range b.N {
		b.Pkt[i].DropFor(r)
	}
}
