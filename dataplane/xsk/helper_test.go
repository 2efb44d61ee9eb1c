package xsk_test

import (
	"errors"
	"testing"
	"time"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

func TestMain(m *testing.M) { xsktest.Main(m) }

// pool is the frames that belong to the test, and the UMEM they lie in.
type pool struct {
	*xsk.Umem
	free  []uint64
	total int
}

func newPool(t testing.TB, frames int) *pool {
	t.Helper()
	u, err := xsk.NewUmem(xsk.UmemConfig{Frames: frames, FrameSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	p := &pool{Umem: u, total: frames}
	for i := range frames {
		p.free = append(p.free, uint64(i)*2048)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// whole fails the test unless every frame is in the pool, exactly once.
func (p *pool) whole(t testing.TB) {
	t.Helper()
	seen := map[uint64]bool{}
	for _, a := range p.free {
		if a%2048 != 0 || seen[a] {
			t.Errorf("frame %#x is in the pool twice or is none", a)
		}
		seen[a] = true
	}
	if len(seen) != p.total {
		t.Errorf("%d frames in the pool, want all %d", len(seen), p.total)
	}
}

func (p *pool) bytes(d xsk.Desc) []byte { return p.Mem()[d.Addr:][:d.Len:d.Len] }

// port is an interface with its XDP program and sockets, one for each queue.
type port struct {
	t    testing.TB
	pool *pool
	end  xsktest.End
	prog *steer.Program
	sock []*xsk.Socket
}

func config(e xsktest.End, queue int) xsk.SocketConfig {
	return xsk.SocketConfig{
		Ifindex: e.Index, Queue: queue, RxSize: 256, TxSize: 256, FillSize: 256, CompSize: 256,
		Mode: xsk.ModeAuto, NeedWakeup: true,
	}
}

func openPort(t testing.TB, p *pool, e xsktest.End, queues int, mode steer.Mode) *port {
	t.Helper()
	return openPortIn(t, p, e, queues, mode, xsk.ModeAuto)
}

func openPortIn(t testing.TB, p *pool, e xsktest.End, queues int, mode steer.Mode, socket xsk.Mode) *port {
	t.Helper()
	prog, err := steer.Attach(steer.Options{Ifindex: e.Index, Queues: queues, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	o := &port{t: t, pool: p, end: e, prog: prog}
	t.Cleanup(o.close)
	for q := range queues {
		c := config(e, q)
		c.Mode = socket
		if prog.Mode() == steer.Generic {
			c.Mode = xsk.ModeGeneric
		}
		s, err := p.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		o.sock = append(o.sock, s)
		o.refill(q)
		if err := prog.Register(q, s.FD()); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// close closes everything and takes the frames back.
func (o *port) close() {
	if err := o.prog.Close(); err != nil {
		o.t.Error(err)
	}
	for _, s := range o.sock {
		if err := s.Close(); err != nil {
			o.t.Error(err)
		}
		s.Drain(func(a uint64) { o.pool.free = append(o.pool.free, a) })
	}
}

// refill gives the fill ring what it takes, but leaves a fair share for other ports.
func (o *port) refill(q int) {
	s := o.sock[q]
	n := min(s.FillFree(), len(o.pool.free), 256-o.filled(q))
	if n <= 0 {
		return
	}
	at := len(o.pool.free) - n
	if got := s.Fill(o.pool.free[at:]); got != n {
		o.t.Fatalf("Fill took %d of %d with room for all", got, n)
	}
	o.pool.free = o.pool.free[:at]
	if err := s.WakeRx(); err != nil && !errors.Is(err, xsk.ErrLinkDown) && !errors.Is(err, xsk.ErrGone) {
		o.t.Fatal(err)
	}
}

func (o *port) filled(q int) int { return 256 - o.sock[q].FillFree() }

func (o *port) reclaim(q int) int {
	var addrs [64]uint64
	n := o.sock[q].Reclaim(addrs[:])
	o.pool.free = append(o.pool.free, addrs[:n]...)
	return n
}

// send queues frames with the given sequence numbers and kicks.
func (o *port) send(q int, first uint64, n, size int) {
	o.t.Helper()
	for i := range n {
		for len(o.pool.free) == 0 || o.sock[q].TxFree() == 0 {
			if err := o.sock[q].KickTx(); err != nil {
				o.t.Fatal(err)
			}
			o.reclaim(q)
		}
		a := o.pool.free[len(o.pool.free)-1]
		o.pool.free = o.pool.free[:len(o.pool.free)-1]
		d := xsk.Desc{Addr: a + 256, Len: uint32(size)}
		copy(o.pool.bytes(d), xsktest.Frame(first+uint64(i), size))
		if o.sock[q].Send([]xsk.Desc{d}) != 1 {
			o.t.Fatal("Send took nothing with room in the ring")
		}
	}
	if err := o.sock[q].KickTx(); err != nil {
		o.t.Fatal(err)
	}
}

// receive collects the sequence numbers of n test frames, or fewer if no more come within a second.
func (o *port) receive(q, n int) (seqs []uint64) {
	o.t.Helper()
	var d [64]xsk.Desc
	for idle := time.Now(); len(seqs) < n && time.Since(idle) < time.Second; {
		got := o.sock[q].Receive(d[:min(64, n-len(seqs))])
		for _, d := range d[:got] {
			idle = time.Now()
			seq, ok := xsktest.Seq(o.pool.bytes(d))
			if !ok {
				o.t.Fatalf("received %x", o.pool.bytes(d))
			}
			seqs = append(seqs, seq)
			o.pool.free = append(o.pool.free, d.Addr&^2047)
		}
		o.refill(q)
	}
	return seqs
}

// forward moves up to 64 frames from one port to the other without copying, and reclaims what was sent before.
func forward(from, to *port, q int) (moved int, err error) {
	to.reclaim(q)
	var d [64]xsk.Desc
	n := from.sock[q].Receive(d[:])
	sent := to.sock[q].Send(d[:n])
	for _, d := range d[sent:n] {
		from.pool.free = append(from.pool.free, d.Addr&^2047)
	}
	err = to.sock[q].KickTx()
	from.refill(q)
	return sent, err
}

// settle forwards until nothing has come for 20 ms: the kernel may deliver later than it was asked to.
func settle(from, to *port) (last error) {
	for idle := time.Now(); time.Since(idle) < 20*time.Millisecond; {
		n, err := forward(from, to, 0)
		if err != nil {
			last = err
		}
		if n > 0 {
			idle = time.Now()
		}
	}
	return last
}

func expectInOrder(t testing.TB, what string, got []uint64, first uint64, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%s: %d frames, want %d", what, len(got), n)
	}
	for i, s := range got {
		if s != first+uint64(i) {
			t.Fatalf("%s: frame %d has number %d, want %d", what, i, s, first+uint64(i))
		}
	}
}
