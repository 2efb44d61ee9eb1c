package dataplane

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/stats"
	"penstock/dataplane/xsk"
)

// The longest nap of a worker, in nanoseconds.
const (
	maxNap   = 10_000_000 // bounds the age of counters
	shortNap = 1_000_000  // while frames wait in a ring
)

// refusedRetry is the time in nanoseconds after which a faulty port without frames to send counts as sound again. (A
// port is faulty when the kernel refuses to send. A driver that stops completes all queued frames, and the box sends
// nothing out of a faulty port, so that no other event ends the fault.)
const refusedRetry = 1_000_000_000

// idle is the generation of a worker that sleeps: it uses no snapshot.
const idle = ^uint64(0)

// Counters of a worker, by offset into worker.loop.
const (
	loopTurns         = iota                                 // turns of the loop
	loopBusy                                                 // turns that moved at least one frame
	loopFrames                                               // frames received, handed over or injected
	loopSleeps                                               // naps in poll
	loopBusyNs                                               // nanoseconds spent in busy turns
	loopMaxGap                                               // the longest turn, nanoseconds
	loopGaps                                                 // histogram of all turns' lengths, see stats.GapBucket
	loopBusyGaps      = loopGaps + stats.GapBuckets          // of the busy turns' lengths
	loopPreemptedGaps = loopBusyGaps + stats.GapBuckets      // of turns longer than longGap: another thread had the CPU
	loopStoppedGaps   = loopPreemptedGaps + stats.GapBuckets // of these: the thread waited, mostly for the Go runtime
	loopLen           = loopStoppedGaps + stats.GapBuckets
)

// worker is one thread of the packet path. It owns one queue of every port (more, where a port has more queues than
// there are workers); all fields below the line belong to its thread.
type worker struct {
	*Pipeline
	eng  *Engine
	id   int
	gen  atomic.Uint64           // generation of the snapshot in use, or idle
	cmd  atomic.Pointer[command] // a command of control, executed between two turns
	nap  atomic.Bool             // sleeping, or about to
	wake int                     // eventfd that ends a nap

	injects *frame.Slots     // frames to send from a port
	inners  *frame.Slots     // frames of stations of a segment
	drain   keeper.Drain     // kept where there are gateway groups or paths
	from    []*frame.Handoff // from each other worker, nil from itself
	loop    *stats.Block
	news    *flow.News // of off-table flows, to control; nil unless control wants them; control's

	// -- the worker's own --
	keeper  *keeper.Keeper // of the first worker, nil of others
	refused []int64        // by port: since when the kernel refuses to send, 0 = it does not
	leave   uint32         // slots of each transmit ring to leave free now
	rx      []rxQueue
	tx      []*xsk.Socket    // by port: the socket to send from; nil = another worker sends, or the port is closed
	sent    []int            // by port: frames in the transmit ring and the completion ring
	to      []*frame.Handoff // the same rings as handoffs.rings, also without inner-flow hand-off
	batch   frame.Batch
	desc    [frame.BatchSize]frame.Desc
	addrs   [frame.BatchSize]uint64
	handed  [frame.BatchSize]frame.Handed
	polls   []unix.PollFd
	nanos   unix.Timespec

	switched switches
}

// rxQueue is a queue to receive from.
type rxQueue struct {
	*xsk.Socket
	port   uint16
	hungry bool // the fill ring has room, but no frame was free
}

// command runs fn on the worker's thread between two turns.
type command struct {
	fn   func(w *worker)
	done chan struct{}
}

// run is the worker's thread. The loop is the packet path.
func (w *worker) run() {
	runtime.LockOSThread()
	w.eng.tune(w)
	w.gen.Store(0)
	start := w.eng.start
	last := time.Since(start)
	published, busyUntil := last, last
	busy := false // the turn before moved a frame
	for !w.eng.stopping.Load() {
		if c := w.cmd.Load(); c != nil {
			c.fn(w)
			w.cmd.Store(nil)
			close(c.done)
		}
		now := time.Since(start)
		w.note(int64(now-last), busy)
		last, busy = now, false

		s := w.eng.snapshot.Load()
		w.gen.Store(s.Generation)
		w.SetTime(int64(now))

		if n := w.turn(int64(now), s); n > 0 {
			w.loop.Add(loopFrames, uint64(n))
			w.loop.Add(loopBusy, 1)
			w.loop.Add(loopBusyNs, uint64(time.Since(start)-now))
			busy = true
			busyUntil = now + w.eng.cfg.SpinTime
		} else if w.eng.cfg.Poll == PollInterrupt || w.eng.cfg.Poll == PollAdaptive && now > busyUntil {
			w.sleep()
			last = time.Since(start)
		}
		if now-published > time.Millisecond {
			published = now
			w.publish()
			w.switched.stale = true
		}
	}
	w.gen.Store(idle)
	w.publish()
}

// turn processes the frames that have arrived, one batch from each source, and returns their number.
func (w *worker) turn(now int64, s *fib.Snapshot) (n int) {
	if w.keeper != nil {
		w.keep(now, s)
	}
	empty := true
	for i := range w.rx {
		got := w.receive(&w.rx[i], s)
		empty = empty && got < len(w.desc)
		n += got
	}
	if len(s.Groups)+len(s.Probes) > 0 {
		w.drain.Note(now, empty, w.eng.cfg.RingSize/frame.BatchSize)
	}
	for _, r := range w.from {
		if r != nil {
			n += w.takeHanded(r, s)
		}
	}
	for i := 0; i < frame.BatchSize; i++ {
		slot := w.injects.Peek()
		if slot == nil {
			break
		}
		w.Inject(slot.Port, slot.Data[:slot.Len])
		w.injects.Drop()
		n++
	}
	n += w.Stations(w.inners, &w.batch, s)
	n += w.Waited(s)
	w.flushAll()
	w.Punts.Wake()
	w.Resolve.Wake()
	for t, r := range w.to {
		if r != nil && r.Publish() {
			w.eng.workers[t].wakeUp()
		}
	}
	for p, sock := range w.tx {
		if sock != nil {
			w.complete(sock, uint16(p))
		}
	}
	return n
}

// receive processes a batch from a receive ring and refills the fill ring.
func (w *worker) receive(q *rxQueue, s *fib.Snapshot) int {
	n := q.Receive(w.desc[:])
	if n > 0 {
		b := &w.batch
		b.N = n
		for i, d := range w.desc[:n] {
			p := &b.Pkt[i]
			p.Off, p.Len, p.Port = uint32(d.Addr), uint16(d.Len), q.port
			w.Move(p.Off, frame.OwnerFill, frame.OwnerBatch)
		}
		w.Process(q.port, b, s)
	}
	if n > 0 || q.hungry || q.NeedWakeupRx() {
		w.refill(q)
	}
	return n
}

// refill keeps the fill ring full, so that the kernel always has frames to receive into.
func (w *worker) refill(q *rxQueue) {
	q.hungry = false
	for free := q.FillFree(); free > 0; {
		n := 0
		for n < min(free, len(w.addrs)) {
			a, ok := w.Cache.Get()
			if !ok {
				break
			}
			w.Move(a, frame.OwnerPool, frame.OwnerFill)
			w.addrs[n] = uint64(a)
			n++
		}
		if n == 0 {
			q.hungry = true
			break
		}
		q.Fill(w.addrs[:n])
		free -= n
	}
	// poll does this for a worker that sleeps. A worker with other busy ports does not sleep.
	if q.NeedWakeupRx() {
		_ = q.WakeRx() // the error is that of a link, whose events control handles
	}
}

// takeHanded processes, or sends, frames from another worker.
func (w *worker) takeHanded(r *frame.Handoff, s *fib.Snapshot) int {
	n := r.Take(w.handed[:])
	b := &w.batch
	for i := 0; i < n; {
		h := &w.handed[i]
		if h.Send {
			w.Move(h.Off, frame.OwnerHandoff, frame.OwnerBatch)
			w.send(h.Port, h.Off, h.Len)
			i++
			continue
		}
		b.N = 0
		port, middle := h.Port, h.Hop != 0
		for i < n && !w.handed[i].Send && w.handed[i].Port == port && (w.handed[i].Hop != 0) == middle {
			p := &b.Pkt[b.N]
			p.Off, p.Len, p.Port, p.Kind = w.handed[i].Off, w.handed[i].Len, port, w.handed[i].Hop
			w.Move(p.Off, frame.OwnerHandoff, frame.OwnerBatch)
			b.N++
			i++
		}
		if middle {
			w.resume(port, b, s)
		} else {
			w.Pipeline.run(port, b, s)
		}
	}
	return n
}

// flushAll moves the frames in all out queues to the transmit rings.
func (w *worker) flushAll() {
	for p := range w.Queues {
		if w.Queues[p].Len() > 0 {
			w.flush(uint16(p))
		}
	}
}

// flush moves the frames in the out queue of a port to its transmit ring, and discards frames that do not fit.
func (w *worker) flush(port uint16) {
	d := w.Queues[port].Take()
	sock := w.tx[port]
	if sock == nil {
		w.flushElsewhere(port, d)
		return
	}
	for i := range d {
		w.Move(uint32(d[i].Addr), frame.OwnerBatch, frame.OwnerTx)
	}
	n := sock.SendLeaving(d, w.leave)
	w.sent[port] += n
	for more := 1; n < len(d) && more > 0; n += more { // as long as the kernel takes frames and so makes room
		w.complete(sock, port)
		more = sock.SendLeaving(d[n:], w.leave)
		w.sent[port] += more
	}
	var octets uint64
	for i := range d[:n] {
		octets += uint64(d[i].Len)
	}
	w.Ports.Count(port, stats.TxPackets, uint64(n))
	w.Ports.Count(port, stats.TxBytes, octets)
	for _, x := range d[n:] {
		w.Move(uint32(x.Addr), frame.OwnerTx, frame.OwnerBatch)
		w.Discard(port, drop.TxRingFull, uint32(x.Addr), uint16(x.Len))
	}
}

// flushElsewhere hands the frames for a port without a queue of this worker to the first worker, which sends them. It
// discards them if the port is closed.
func (w *worker) flushElsewhere(port uint16, d []frame.Desc) {
	for _, x := range d {
		switch {
		case w.id == 0 || !w.eng.portOpen[port].Load():
			w.Discard(port, drop.TxPortDown, uint32(x.Addr), uint16(x.Len))
		case !w.handTo(0, frame.Handed{Off: uint32(x.Addr), Len: uint16(x.Len), Port: port, Send: true}):
			w.Discard(port, drop.HandoffFull, uint32(x.Addr), uint16(x.Len))
		}
	}
}

func (w *worker) handTo(to int, h frame.Handed) bool {
	w.Move(h.Off, frame.OwnerBatch, frame.OwnerHandoff)
	if w.to[to].Put(h) {
		return true
	}
	w.Move(h.Off, frame.OwnerHandoff, frame.OwnerBatch)
	return false
}

// complete kicks the kernel to send and takes back the frames that were sent.
func (w *worker) complete(sock *xsk.Socket, port uint16) {
	if w.sent[port] == 0 {
		if since := w.refused[port]; since != 0 && w.Now-since > refusedRetry {
			w.setRefused(port, false)
		}
		return
	}
	err := sock.KickTx()
	if err != nil {
		w.Ports.Count(port, stats.TxErrors, 1)
	}
	if bad := err == xsk.ErrLinkDown || err == xsk.ErrGone; bad != (w.refused[port] != 0) {
		w.setRefused(port, bad)
	}
	for {
		n := sock.Reclaim(w.addrs[:])
		for _, a := range w.addrs[:n] {
			w.Move(uint32(a), frame.OwnerTx, frame.OwnerPool)
			w.Cache.Put(w.Pool.Base(uint32(a)))
		}
		w.sent[port] -= n
		if n < len(w.addrs) {
			return
		}
	}
}

// sleep waits in poll(2) for frames, hand-offs, injected frames or commands. The kernel's need-wakeup flags are
// honoured by poll itself.
func (w *worker) sleep() {
	w.switched.slept = true
	w.nap.Store(true)
	w.gen.Store(idle)
	if w.cmd.Load() == nil && !w.pending() && !w.eng.stopping.Load() {
		w.publish()
		w.loop.Add(loopSleeps, 1)
		for i := range w.polls {
			w.polls[i].Revents = 0
		}
		// After an error (EINTR) or a time-out the worker makes one turn.
		_, _ = unix.Ppoll(w.polls, w.napTime(), nil)
		if w.polls[0].Revents != 0 {
			var b [8]byte
			_, _ = unix.Read(w.wake, b[:])
		}
	}
	w.nap.Store(false)
	w.gen.Store(0) // not idle: the generation is unknown until the next turn loads the snapshot
}

// napTime returns the length of the next nap. It is short while frames wait in a transmit ring or a fill ring needs
// frames, since no event ends the nap when that changes. The nap ends at the Keeper's next timer at the latest.
func (w *worker) napTime() *unix.Timespec {
	nap := int64(maxNap)
	if w.Await.Waiting() {
		nap = shortNap
	}
	for _, n := range w.sent {
		if n > 0 {
			nap = shortNap
		}
	}
	for i := range w.rx {
		if w.rx[i].hungry {
			nap = shortNap
		}
	}
	if w.keeper != nil {
		nap = max(0, min(nap, w.keeper.Next()-int64(time.Since(w.eng.start))))
	}
	w.nanos = unix.NsecToTimespec(nap)
	return &w.nanos
}

// pending reports whether another thread has handed frames or news to this worker.
func (w *worker) pending() bool {
	for _, r := range w.from {
		if r != nil && r.Len() > 0 {
			return true
		}
	}
	return w.Balance.More || w.injects.Len() > 0 || w.inners.Len() > 0 || w.keeper != nil && w.keeper.News()
}

// wakeUp ends the worker's nap. Other threads call it.
func (w *worker) wakeUp() {
	if w.nap.Load() {
		one := [8]byte{1}
		_, _ = unix.Write(w.wake, one[:])
	}
}

// do runs fn on the worker's thread and waits for fn to return.
func (w *worker) do(fn func(w *worker)) {
	c := &command{fn, make(chan struct{})}
	for !w.cmd.CompareAndSwap(nil, c) {
		runtime.Gosched()
	}
	w.wakeUp()
	<-c.done
}

// on runs fn on the thread of w between two turns, or here before the workers run. The caller holds runMu.
func (e *Engine) on(w *worker, fn func(w *worker)) {
	if e.running {
		w.do(fn)
	} else {
		fn(w)
	}
}

func (w *worker) publish() {
	w.Pipeline.Publish()
	w.loop.Publish()
}

// rebuildPolls lists the descriptors that end a nap: the eventfd first, then the receive queues.
func (w *worker) rebuildPolls() {
	w.polls = append(w.polls[:0], unix.PollFd{Fd: int32(w.wake), Events: unix.POLLIN})
	for i := range w.rx {
		w.polls = append(w.polls, unix.PollFd{Fd: int32(w.rx[i].FD()), Events: unix.POLLIN})
	}
}
