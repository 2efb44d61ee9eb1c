package gen

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"penstock/dataplane/xsk"
	"penstock/perf/gen/pace"
)

// sender is the sending half of a worker.
type sender struct {
	w     *worker
	d     *direction
	sock  *xsk.Socket
	first uint64   // where its frames begin in the UMEM
	free  []uint64 // chunks that the kernel does not have; last in, first out keeps them in the cache
	room  uint64   // by how much a frame's place in its chunk may vary

	// Of the run under way.
	active   bool
	lane     *lane
	pacer    *pace.Pacer
	deadline int64
	settling int64  // since; 0 = it sends
	next     uint64 // frames made: the lane's number of the next one
	completed,
	unsigned uint64
	byStream []uint64
	// old are chunks that the kernel has had since an earlier run: their completion is no frame of this one.
	old map[uint64]struct{}
	usage
}

// usage is where a sending thread's time went, in ns.
type usage struct {
	from, until int64 // first question for what is due, and last frame sent
	kernel      int64 // in system calls that send
	blocked     int64 // frames were due, and the kernel had all
	down        int64 // the link was down
	own         int64 // making frames
	receiving   int64 // taking and judging frames, of a thread that does both
	cpu         int64 // that the thread had a CPU
	slept       int64 // voluntarily
	since       int64 // blocked, since; 0 = it is not
}

func newSender(w *worker, first uint64) *sender {
	s := &sender{w: w, first: first}
	// Frames that all begin at the start of a chunk compete for the same few sets of the cache.
	s.room = min((w.chunk-uint64(w.port.Program.MaxLen()))/64, 32)
	for i := range uint64(txRing) {
		s.free = append(s.free, first+i*w.chunk)
	}
	return s
}

// place is where in a chunk the frame lies.
func (s *sender) place(chunk uint64) uint64 {
	if s.room == 0 {
		return chunk
	}
	return chunk + chunk/s.w.chunk%s.room*64
}

// prepare binds the sender to the direction's next run.
func (s *sender) prepare(d *direction) {
	s.d, s.lane, s.sock, s.active = d, &d.lanes[s.w.number], s.w.queues[0].sock, true
	s.settling, s.next, s.completed, s.unsigned = 0, 0, 0, 0
	s.byStream = make([]uint64, d.streams)
	s.usage = usage{}
	s.old = nil
	if len(s.free) == txRing {
		return
	}
	s.old = make(map[uint64]struct{})
	for i := range uint64(txRing) {
		s.old[s.first+i*s.w.chunk] = struct{}{}
	}
	for _, chunk := range s.free {
		delete(s.old, chunk)
	}
}

// begin starts the schedule of a run.
func (s *sender) begin(rate float64, total uint64, start, deadline int64) (err error) {
	d := s.d
	s.deadline, s.from, s.until = deadline, start, start
	s.pacer, err = pace.New(rate/float64(d.threads), share(total, uint64(s.w.number), d.threads), s.w.e.cfg.Burst,
		start)
	return err
}

// turn sends the frames that are due and returns the time until the next ones are, in ns. When all frames are sent, or
// the time is up, the sender is no longer active.
func (s *sender) turn(r *running) (wait int64, err error) {
	now := s.w.e.clock.now()
	if r.stop.Load() || s.settling > 0 || s.pacer.Done() || now >= s.deadline {
		return s.settle(r, now)
	}
	due := s.pacer.Due(now)
	s.reclaim()
	n := min(due, len(s.free), s.sock.TxFree())
	switch {
	case due > 0 && n == 0:
		if s.since == 0 {
			s.since = now
		}
	case s.since > 0:
		s.blocked += now - s.since
		s.since = 0
	}
	// Frames that are due and find all chunks with the driver: some drivers give them back only when kicked.
	stuck := due > 0 && len(s.free) < txRing
	if n == 0 && !stuck && !s.sock.TxPending() {
		if due > 0 {
			return 0, nil
		}
		return s.pacer.Next(), nil
	}
	made := now
	if n > 0 {
		s.make(n, now)
		s.pacer.Sent(n)
		made = s.w.e.clock.now()
		s.until = made
		s.own += made - now
	}
	err = s.sock.KickTx()
	took := s.w.e.clock.now() - made
	if errors.Is(err, xsk.ErrLinkDown) { // frames wait until it is up again
		s.down += took + nap
		return early + nap, nil
	}
	if s.since == 0 { // else it counts as blocked
		s.kernel += took
	}
	if err != nil {
		return 0, fmt.Errorf("port %s: send: %w", s.w.port.Interface, err)
	}
	return 0, nil
}

// make makes n frames and queues them. There are frames and room.
func (s *sender) make(n int, now int64) {
	d, mem, descs := s.d, s.w.umem.Mem(), &s.w.descs
	stamp := now&^1 | d.side
	seq := d.base + s.next*d.threads + uint64(s.w.number)
	left := len(s.free) - n
	for i, chunk := range s.free[left:] {
		at := s.place(chunk)
		size := d.program.Make(seq, stamp, mem[at:chunk+s.w.chunk])
		descs[i&(batch-1)] = xsk.Desc{Addr: at, Len: uint32(size)}
		if d.streams > 1 {
			s.byStream[d.program.Stream(seq)]++
		}
		if d.unsigned && !d.program.Signed(seq) {
			s.unsigned++
		}
		seq += d.threads
	}
	s.free = s.free[:left]
	s.next += uint64(n)
	s.lane.unsigned.Store(s.unsigned)
	s.lane.offered.Store(s.next) // before the kernel has them
	s.sock.Send(descs[:n])
}

func (s *sender) reclaim() {
	for {
		n := s.sock.Reclaim(s.w.addrs[:])
		if n == 0 {
			return
		}
		s.free = append(s.free, s.w.addrs[:n]...)
		s.completed += uint64(n) - s.forget(s.w.addrs[:n])
		s.lane.sent.Store(s.completed)
		if n < len(s.w.addrs) {
			return
		}
	}
}

// forget counts the chunks that are of an earlier run's frames. From now on they are this run's.
func (s *sender) forget(chunks []uint64) (n uint64) {
	if len(s.old) == 0 {
		return 0
	}
	for _, chunk := range chunks {
		if _, ok := s.old[chunk]; ok {
			delete(s.old, chunk)
			n++
		}
	}
	return n
}

// settle waits for the frames that the kernel still has, and ends sending when all are back or it is too late. An
// interface that is down or gone keeps them: the report says so.
func (s *sender) settle(r *running, now int64) (wait int64, err error) {
	if s.settling == 0 {
		s.settling = now
	}
	s.reclaim()
	if len(s.free) < txRing && now < s.settling+settleLimit {
		if err = s.sock.KickTx(); err == nil || errors.Is(err, xsk.ErrLinkDown) {
			return early + nap/2, nil
		}
		err = fmt.Errorf("port %s: send: %w", s.w.port.Interface, err)
	}
	s.end(r)
	return 0, err
}

// end notes that the sender is done.
func (s *sender) end(r *running) {
	if s.since > 0 {
		s.blocked += s.w.e.clock.now() - s.since
		s.since = 0
	}
	s.cpu += threadCPU()
	s.active = false
	r.senders.Done()
}

// threadCPU is how long the calling thread has had a CPU, in ns.
func threadCPU() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
