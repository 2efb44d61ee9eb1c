package dataplane

import (
	"penstock/dataplane/await"
	"penstock/dataplane/balance"
	"penstock/dataplane/drop"
	"penstock/dataplane/edge"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/neigh"
	"penstock/dataplane/overlay"
	"penstock/dataplane/punt"
	"penstock/dataplane/resolve"
	"penstock/dataplane/route"
	"penstock/dataplane/stage"
	"penstock/dataplane/stats"
	"penstock/dataplane/uplink"
)

// Pipeline is the stages with one worker's state. It needs no AF_XDP: tests and benchmarks run it over plain memory.
type Pipeline struct {
	stage.Env
	Overlay *overlay.State
	Neigh   *neigh.State
	Route   *route.State
	Balance *balance.State
	Uplink  *uplink.State
	Edge    *edge.State
	Punts   *punt.Ring
	Resolve *resolve.Ring
	Await   *await.State
	Flows   Flows

	// Flush sends the frames in the out queue of a port. The pipeline calls it when the queue is full, the owner of the
	// pipeline calls it at the end of a turn.
	Flush func(port uint16)

	chains   [fib.Roles][]row // by role
	inner    []row            // for frames that control injects as a station of a segment
	handed   []row            // for frames that other workers hand over in the middle
	again    [32][]row        // for packets that have waited for a binding, by Next
	waited   frame.Batch      // fragments and packets that wait no longer
	onward   func(uint16, *frame.Batch)
	resolved func(uint16, *frame.Batch)
	rest     []row     // the stages after the one that runs
	touched  uint64    // sum of the prefetching loads, so that the compiler keeps them
	seen     seen      // the flow table, for readers
	handoff  *handoffs // nil unless frames are spread over workers
}

// Flows are the limits of the flow table, which Direct makes.
type Flows struct {
	Limit   int    // flows at most
	NewRate uint32 // new flows per second that it takes, 0 = no limit
}

// row is a stage in a chain.
type row struct {
	name  string
	takes uint32 // the Next values of the packets that it acts on
	run   stage.Func
}

// makeChains makes the packet path: by role of the port that received a batch, the stages in their order. A stage runs
// only if a packet of the batch is at a Next value that the stage takes.
func (pl *Pipeline) makeChains() {
	const (
		parsed  = 1 << frame.NextParsed
		neigh   = 1 << frame.NextNeigh
		route   = 1 << frame.NextRoute
		lookup  = 1 << frame.NextLookup
		flood   = 1 << frame.NextFlood
		deliver = 1 << frame.NextDeliver
		encap   = 1 << frame.NextEncap
		uplink  = 1 << frame.NextUplink
		refuse  = 1 << frame.NextRefuse
		balance = 1 << frame.NextBalance
	)
	onward := []row{ // the common stages for packets from tenants, from the fabric and from outside
		{"lookup", lookup, pl.Overlay.Resolve},
		{"balance", balance, pl.Balance.Balance},
		{"egress", uplink, pl.Uplink.Egress},
		{"deliver", deliver, pl.Overlay.Deliver},
		{"flood", flood, pl.Overlay.Flood},
		{"encapsulate", encap, pl.Overlay.Encapsulate},
		{"refuse", refuse, pl.Uplink.Refuse},
	}
	pl.chains[fib.RoleNone] = []row{{"no role", parsed, pl.noRole}}
	pl.chains[fib.RoleAccess] = append([]row{
		{"access", parsed, pl.Overlay.Access},
		{"neighbor", neigh, pl.Neigh.Answer},
		{"route", route, pl.Route.Route},
	}, onward...)
	pl.chains[fib.RoleFabric] = append([]row{
		{"fabric", parsed, pl.Overlay.Fabric},
		{"box address", neigh, pl.Neigh.Box},
	}, onward...)
	pl.chains[fib.RoleUplink] = append([]row{
		{"ingress", parsed, pl.Uplink.Ingress},
	}, onward...)
	pl.handed = append([]row{{"handed over", parsed, pl.Balance.Resume}}, onward...)
	pl.inner = append([]row{{"station", parsed, pl.Overlay.Station}}, onward...)
	pl.again[frame.NextNeigh], pl.again[frame.NextRoute] = pl.chains[fib.RoleAccess][1:], pl.chains[fib.RoleAccess][2:]
	pl.again[frame.NextLookup] = onward
	pl.again[frame.NextInward] = append([]row{{"inward", 1 << frame.NextInward, pl.Uplink.Inward}}, onward...)
	pl.chains[fib.RoleDownlink] = []row{{"edge", parsed, pl.Edge.Forward}}
	pl.chains[fib.RoleTrunk] = pl.chains[fib.RoleDownlink]
}

// passed is the set of Next values after which no frame is left: if a batch had no other values, all its frames are
// sent.
const passed = 1<<frame.NextParsed | 1<<frame.NextRoute | 1<<frame.NextLookup | 1<<frame.NextDeliver |
	1<<frame.NextEncap | 1<<frame.NextInward | 1<<frame.NextUplink | 1<<frame.NextRefuse | 1<<frame.NextSent |
	1<<frame.NextBalance | 1<<frame.NextHeld

// NewPipeline returns a pipeline for the given number of ports. pool has the free frames of mem.
func NewPipeline(mem []byte, pool *frame.Pool, verify *frame.Verify, ports, vifs, paths int) *Pipeline {
	pl := &Pipeline{
		Env: stage.Env{
			Mem: mem, Pool: pool, Cache: pool.NewCache(), Verify: verify,
			Ports: stats.NewPorts(ports), Paths: stats.NewBlock(paths * stats.TrafficLen),
			VIFs: stats.NewBlock(vifs * stats.RxTxLen), Members: stats.NewBlock(stats.Members * stats.RxTxLen),
			Services: stats.NewBlock(stats.Services * stats.ServiceLen),
			Servers:  stats.NewBlock(stats.Servers * stats.ServerLen),
			Queues:   make([]frame.Queue, ports),
		},
		Punts:   punt.NewRing(ports),
		Resolve: resolve.NewRing(),
		Flows:   Flows{Limit: 1 << 16},
	}
	env := &pl.Env
	env.Emit = pl.emit
	pl.Overlay = overlay.NewState(env)
	pl.Overlay.Messages = pl.Resolve
	pl.Await = await.New(env, pl.Resolve)
	env.Miss = pl.Await.Miss
	pl.Neigh = &neigh.State{Env: env}
	pl.Route = &route.State{Env: env}
	pl.Uplink = &uplink.State{Env: env, Shared: keeper.NewShared(ports), Clock: func() int64 { return pl.Now }}
	pl.Edge = &edge.State{Env: env}
	pl.Overlay.Outward = pl.Uplink.Forward
	pl.Balance = balance.New(env)
	pl.Balance.TooBig = pl.Overlay.TooBig
	pl.onward, pl.resolved = pl.goOn, pl.goAgain
	pl.makeChains()
	return pl
}

// SetTime sets the time of the turn in nanoseconds on a monotonic clock. It forgets flows and drops fragments whose
// time is up, within bounds.
func (pl *Pipeline) SetTime(now int64) {
	pl.Now = now
	pl.Balance.Turn(now)
}

// Publish makes the counters visible to readers.
func (pl *Pipeline) Publish() {
	pl.Overlay.Count()
	pl.Balance.Count()
	pl.Ports.Publish()
	pl.Paths.Publish()
	pl.VIFs.Publish()
	pl.Members.Publish()
	pl.Services.Publish()
	pl.Servers.Publish()
	if pl.Balance.Flows != nil {
		pl.Balance.Flows.Stats.Publish()
	}
}

// Process runs the stages over a batch of frames received on port. On return every frame is in an out queue, in a ring,
// or in the pool.
func (pl *Pipeline) Process(port uint16, b *frame.Batch, s *fib.Snapshot) {
	// Loading the first line of every frame in a loop of its own makes those cache misses overlap.
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
	pl.Port, pl.Snap = port, s
	role := fib.RoleNone
	if int(port) < len(s.Ports) { // the initial snapshot has no ports
		role = s.Ports[port].Role
	}
	pl.walk(pl.chains[role], b, 1<<frame.NextParsed)
	pl.repeat()
	if pl.Balance.Awaited() {
		pl.release()
	}
}

// resume processes a batch of frames, received on port, that other workers have handed over in the middle of the packet
// path. Kind of a packet is its hop.
func (pl *Pipeline) resume(port uint16, b *frame.Batch, s *fib.Snapshot) {
	pl.Port, pl.Snap = port, s
	pl.walk(pl.handed, b, 1<<frame.NextParsed)
	pl.repeat()
	if pl.Balance.Awaited() {
		pl.release()
	}
}

// release processes the fragments that wait no longer, since the first one of their packet has come.
func (pl *Pipeline) release() {
	pl.Balance.Release(&pl.waited, pl.onward)
}

// walk runs the stages of a chain over a batch, and then finishes every packet. todo is the set of the packets' Next
// values: walk skips stages without packets, which are most stages for nearly all batches.
func (pl *Pipeline) walk(chain []row, b *frame.Batch, todo uint32) {
	for i := range chain {
		if r := &chain[i]; todo&r.takes != 0 {
			pl.rest = chain[i+1:]
			todo |= r.run(b)
		}
	}
	if todo&^passed != 0 {
		pl.finish(b)
	}
}

// repeat lets the answers that a late stage has made pass the common stages.
func (pl *Pipeline) repeat() {
	if pl.Again.N == 0 {
		return
	}
	todo := uint32(0)
	for i := range pl.Again.N {
		todo |= pl.Again.Pkt[i].Next.Bit()
	}
	pl.walk(pl.handed[1:], &pl.Again, todo)
	pl.Again.N = 0
}

// emit runs the stages that follow the present one over the copies that the present stage has made.
func (pl *Pipeline) emit(todo uint32) {
	if pl.Copies.N > 0 {
		rest := pl.rest
		pl.walk(rest, &pl.Copies, todo)
		pl.Copies.N, pl.rest = 0, rest
	}
}

// goOn lets fragments go on that waited.
func (pl *Pipeline) goOn(port uint16, b *frame.Batch) {
	pl.Port = port
	pl.walk(pl.handed[1:], b, 1<<frame.NextBalance|1<<frame.NextDrop)
	pl.repeat()
}

// Waited lets packets go on that have waited for a binding, and returns their number.
func (pl *Pipeline) Waited(s *fib.Snapshot) int {
	if !pl.Await.Waiting() {
		return 0
	}
	pl.Snap = s
	return pl.Await.Turn(&pl.waited, pl.resolved)
}

// goAgain runs the stages over packets of one port that have waited, from the stage on that missed the binding.
func (pl *Pipeline) goAgain(port uint16, b *frame.Batch) {
	pl.Port = port
	todo, next := uint32(0), frame.NextLookup
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if todo |= p.Next.Bit(); p.Next != frame.NextDrop {
			next = p.Next
		}
	}
	pl.Overlay.Requeue(b)
	pl.walk(pl.again[next], b, todo)
	pl.repeat()
	if pl.Balance.Awaited() {
		pl.release()
	}
}

// noRole drops the frames of a port without tables.
func (pl *Pipeline) noRole(b *frame.Batch) uint32 {
	for i := range b.N {
		b.Pkt[i].DropFor(drop.NoRole)
	}
	return 1 << frame.NextDrop
}

// finish carries out the final Next value of every packet of the batch.
func (pl *Pipeline) finish(b *frame.Batch) {
	for i := range b.N {
		p := &b.Pkt[i]
		switch p.Next {
		case frame.NextSent, frame.NextHeld:
		case frame.NextTx:
			pl.send(p.Out, p.Off, p.Len)
		case frame.NextPunt:
			pl.punt(p)
		case frame.NextTaken:
			pl.Ports.Count(p.Port, stats.Punted, 1)
			pl.Free(p.Off)
		case frame.NextHandoff:
			pl.handoff.pass(pl, p)
		case frame.NextDrop:
			pl.Discard(p.Port, p.Drop, p.Off, p.Len)
		default: // no stage of the chain takes this value
			pl.Discard(p.Port, drop.NoRole, p.Off, p.Len)
		}
	}
}

func (pl *Pipeline) send(port uint16, off uint32, n uint16) {
	if !pl.Queues[port].Put(off, n) {
		pl.Flush(port)
		pl.Queues[port].Put(off, n)
	}
}

// Out empties the out queue of a port and returns its frames, which are valid until the next Process. Tests and
// benchmarks use it; workers flush into transmit rings.
func (pl *Pipeline) Out(port uint16) []frame.Desc { return pl.Queues[port].Take() }
