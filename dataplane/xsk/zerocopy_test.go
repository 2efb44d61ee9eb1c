package xsk_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// These tests need interfaces that have zero-copy mode; `make test-vm` runs them in a guest, on virtio-net.

func openZeroCopy(t testing.TB, p *pool, e xsktest.End) *port {
	t.Helper()
	o := openPortIn(t, p, e, 1, steer.Native, xsk.ModeZeroCopy)
	if o.sock[0].Mode() != xsk.ModeZeroCopy {
		t.Fatalf("socket is in %v mode", o.sock[0].Mode())
	}
	return o
}

func TestZeroCopyReceiveAndSend(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	p := newPool(t, 2048)
	o := openZeroCopy(t, p, a)
	peer := xsktest.Packet(t, b)
	for i, size := range []int{60, 22, 1514, 200} {
		for j := range 10 {
			first := uint64(i)*1000 + uint64(j)*100
			for k := range uint64(100) {
				peer.Send(xsktest.Frame(first+k, size))
			}
			expectInOrder(t, fmt.Sprintf("received of %d octets", size), o.receive(0, 100), first, 100)
			o.send(0, first, 100, size)
			expectInOrder(t, fmt.Sprintf("sent of %d octets", size), receivePackets(t, peer, 100), first, 100)
			for o.reclaim(0) > 0 {
			}
		}
	}
	o.close()
	p.whole(t)
}

// TestZeroCopyForward has two ports share a UMEM; frames leave from where they were received, until every ring has
// wrapped many times.
func TestZeroCopyForward(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	c, d := xsktest.Wire(t, "c", "d")
	p := newPool(t, 4096)
	pb, pc := openZeroCopy(t, p, b), openZeroCopy(t, p, c)
	if pb.sock[0].SharesWith() != 0 || pc.sock[0].SharesWith() != b.Index {
		t.Errorf("the sockets share with %d and %d", pb.sock[0].SharesWith(), pc.sock[0].SharesWith())
	}
	left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)
	const burst, bursts = 100, 100
	for i := range uint64(bursts) {
		from, to, in, out := left, right, pb, pc
		if i%2 == 1 {
			from, to, in, out = right, left, pc, pb
		}
		for j := range uint64(burst) {
			from.Send(xsktest.Frame(i*burst+j, 60+int(i+j)%1400))
		}
		moved := 0
		for until := time.Now().Add(2 * time.Second); moved < burst && time.Now().Before(until); {
			n, err := forward(in, out, 0)
			if err != nil {
				t.Fatal(err)
			}
			moved += n
		}
		expectInOrder(t, fmt.Sprintf("burst %d", i), receivePackets(t, to, burst), i*burst, burst)
	}
	for _, o := range []*port{pb, pc} {
		st, err := o.sock[0].Stats()
		if err != nil {
			t.Fatal(err)
		}
		if st.RxDropped|st.RxInvalidDescs|st.TxInvalidDescs|st.RxRingFull != 0 {
			t.Errorf("%s: statistics %+v, want no drops and no invalid descriptors", o.end.Name, st)
		}
		o.close()
	}
	p.whole(t)
}

// TestZeroCopyMixed forwards between a port that copies and one that does not.
func TestZeroCopyMixed(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	p := newPool(t, 2048)
	pc := openPort(t, p, c, 1, steer.Auto) // first: the memory is registered for copying, and then once more
	pb := openZeroCopy(t, p, b)
	left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)
	for i, way := range []struct {
		from, to *xsktest.PacketSocket
		in, out  *port
	}{{left, right, pb, pc}, {right, left, pc, pb}} {
		first := uint64(i) * 1000
		for j := range uint64(100) {
			way.from.Send(xsktest.Frame(first+j, 200))
		}
		for moved, until := 0, time.Now().Add(2*time.Second); moved < 100 && time.Now().Before(until); {
			n, err := forward(way.in, way.out, 0)
			if err != nil {
				t.Fatal(err)
			}
			moved += n
		}
		expectInOrder(t, "forwarded", receivePackets(t, way.to, 100), first, 100)
	}
	pb.close()
	pc.close()
	p.whole(t)
}

// TestZeroCopyCompletionRingFull: transmission waits for Reclaim, without error and without loss.
func TestZeroCopyCompletionRingFull(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	p := newPool(t, 2048)
	o := openZeroCopy(t, p, a)
	peer := xsktest.Packet(t, b)
	o.send(0, 0, 200, 60)
	expectInOrder(t, "sent", receivePackets(t, peer, 200), 0, 200)
	o.send(0, 200, 200, 60) // 256 completions fit
	expectInOrder(t, "sent", receivePackets(t, peer, 56), 200, 56)
	if f := peer.Receive(50 * time.Millisecond); f != nil {
		t.Error("more frames sent than completions fit")
	}
	if !o.sock[0].TxPending() {
		t.Error("nothing pending with 400 frames sent and 256 completions unread")
	}
	for o.reclaim(0) > 0 {
	}
	if err := o.sock[0].KickTx(); err != nil {
		t.Error(err)
	}
	expectInOrder(t, "sent after Reclaim", receivePackets(t, peer, 144), 256, 144)
	o.close()
	p.whole(t)
}

// TestZeroCopyWakeups: the driver sends when kicked, and sets the flag of the tx ring for that. It takes frames from
// the fill ring by itself, unless it found the ring empty: then it sets the flag of the fill ring.
func TestZeroCopyWakeups(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	p := newPool(t, 2048)
	prog, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1, Mode: steer.Native})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	c := config(a, 0)
	c.Mode = xsk.ModeZeroCopy
	s, err := p.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		s.Close()
		s.Drain(func(uint64) {})
	}()
	if err := prog.Register(0, s.FD()); err != nil {
		t.Fatal(err)
	}
	peer := xsktest.Packet(t, b)

	var d [256]xsk.Desc
	for i := range d[:10] {
		d[i] = xsk.Desc{Addr: uint64(1000+i)*2048 + 300, Len: 60}
		copy(p.bytes(d[i]), xsktest.Frame(uint64(i), 60))
	}
	if n := s.Send(d[:10]); n != 10 {
		t.Fatalf("Send took %d", n)
	}
	if !s.NeedWakeupTx() {
		t.Error("the driver does not ask to be kicked") // as well it may, if it looks by itself; virtio-net does not
	}
	if err := s.KickTx(); err != nil {
		t.Fatal(err)
	}
	expectInOrder(t, "sent", receivePackets(t, peer, 10), 0, 10)

	// Nothing has been filled yet: the driver has looked once, in vain.
	if !s.NeedWakeupRx() {
		t.Error("with an empty fill ring the driver does not ask for a wakeup")
	}
	peer.Send(xsktest.Frame(1, 60))
	if n := waitReceive(s, d[:], 50*time.Millisecond); n != 0 {
		t.Errorf("%d frames received without a frame to receive into", n)
	}
	for round := range uint64(3) {
		addrs := make([]uint64, 100)
		for i := range addrs {
			addrs[i] = uint64(i) * 2048
		}
		if n := s.Fill(addrs); n != 100 {
			t.Fatalf("Fill took %d", n)
		}
		if err := s.WakeRx(); err != nil {
			t.Fatal(err)
		}
		// What waits comes first: as many as there are frames, and no more. The rest waits again, with the sender.
		for i := range uint64(110) {
			peer.Send(xsktest.Frame(round*1000+i, 60))
		}
		got := 0
		for got < 100 {
			n := waitReceive(s, d[:], time.Second)
			if n == 0 {
				break
			}
			got += n
		}
		if got != 100 {
			t.Errorf("round %d: %d frames received into 100", round, got)
		}
		if !s.NeedWakeupRx() {
			t.Errorf("round %d: the fill ring has run empty, and the driver does not ask for a wakeup", round)
		}
	}
}

func waitReceive(s *xsk.Socket, d []xsk.Desc, limit time.Duration) int {
	for until := time.Now().Add(limit); ; {
		if n := s.Receive(d); n > 0 || time.Now().After(until) {
			return n
		}
	}
}

// TestZeroCopyLinkDown sets an interface down under traffic and up again. Frames that wait go out then.
func TestZeroCopyLinkDown(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	p := newPool(t, 2048)
	o := openZeroCopy(t, p, a)
	peer := xsktest.Packet(t, b)
	for round := range uint64(5) {
		o.send(0, round*1000, 100, 60)
		expectInOrder(t, "sent", receivePackets(t, peer, 100), round*1000, 100)
		for o.reclaim(0) > 0 {
		}
		xsktest.Down(t, a.Name)
		d := xsk.Desc{Addr: p.free[len(p.free)-1] + 256, Len: 60}
		p.free = p.free[:len(p.free)-1]
		copy(p.bytes(d), xsktest.Frame(round*1000+500, 60))
		o.sock[0].Send([]xsk.Desc{d})
		if err := o.sock[0].KickTx(); !errors.Is(err, xsk.ErrLinkDown) || !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("interface down: KickTx says %v", err)
		}
		if err := o.sock[0].WakeRx(); err != nil && !errors.Is(err, xsk.ErrLinkDown) {
			t.Errorf("interface down: WakeRx says %v", err)
		}
		xsktest.Up(t, a.Name)
		if err := o.sock[0].KickTx(); err != nil {
			t.Errorf("up again: %v", err)
		}
		expectInOrder(t, "what waited", receivePackets(t, peer, 1), round*1000+500, 1)
		for i := range uint64(100) {
			peer.Send(xsktest.Frame(round*1000+i, 200))
		}
		expectInOrder(t, "received", o.receive(0, 100), round*1000, 100)
		for o.reclaim(0) > 0 {
		}
	}
	o.close()
	p.whole(t)
}

// TestZeroCopyGone takes the interface away under load, with frames in every ring: all come back, and it works again
// when it is back.
func TestZeroCopyGone(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	p := newPool(t, 2048)
	for round := range 4 {
		o := openZeroCopy(t, p, a)
		peer := xsktest.Packet(t, b)
		for i := range uint64(50) {
			peer.Send(xsktest.Frame(i, 60))
		}
		o.send(0, 0, 20, 60)
		free := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		o.sock[0].Send([]xsk.Desc{{Addr: free + 256, Len: 60}}) // never kicked
		stop := flood(peer)
		a = xsktest.TakeAway(t, a)
		stop()
		if err := o.sock[0].KickTx(); !errors.Is(err, xsk.ErrGone) {
			t.Errorf("round %d: interface gone: KickTx says %v", round, err)
		}
		o.close()
		p.whole(t)
		for peer.Receive(50*time.Millisecond) != nil {
		}
	}
	o := openZeroCopy(t, p, a)
	peer := xsktest.Packet(t, b)
	for peer.Receive(50*time.Millisecond) != nil {
	}
	o.send(0, 0, 100, 60)
	expectInOrder(t, "sent", receivePackets(t, peer, 100), 0, 100)
	o.close()
	p.whole(t)
}

// TestZeroCopyClosed: once Close has returned, the driver writes to no frame any more, however much arrives and however
// busy the kernel is with interfaces: it puts the buffers down under the lock that all changes of interfaces take.
func TestZeroCopyClosed(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Wire(t, "a", "b")
	defer changeInterfaces(t)()
	p := newPool(t, 2048)
	peer := xsktest.Packet(t, b)
	stop := flood(peer)
	defer stop()
	for round := range 6 {
		o := openZeroCopy(t, p, a)
		if got := len(o.receiveAny(200, 2*time.Second)); got == 0 {
			t.Errorf("round %d: nothing was received", round)
		}
		began := time.Now()
		o.close()
		took := time.Since(began)
		p.whole(t)
		mem := p.Mem()
		for i := range mem {
			mem[i] = 0xa5
		}
		time.Sleep(100 * time.Millisecond)
		for i, v := range mem {
			if v != 0xa5 {
				t.Fatalf("round %d: frame %d was written to after Close, which took %v", round, i/2048, took)
			}
		}
	}
}

// changeInterfaces makes and deletes interfaces, many at a time, until stop is called.
func changeInterfaces(t testing.TB) (stop func()) {
	var done atomic.Bool
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			runtime.LockOSThread() // not unlocked: the thread, in a namespace of its own, ends with the goroutine
			ns, err := netns.New()
			if err != nil {
				t.Error(err)
				return
			}
			defer ns.Close()
			for n := 0; !done.Load(); n++ {
				attrs := netlink.NewLinkAttrs()
				attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = fmt.Sprintf("x%d", i), 64, 64
				v := netlink.NewVeth(attrs)
				v.PeerName = "y" + attrs.Name
				if err := netlink.LinkAdd(v); err != nil {
					t.Error(err)
					return
				}
				if err := netlink.LinkDel(v); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() {
		done.Store(true)
		wg.Wait()
	}
}

// receiveAny takes n frames of whatever content.
func (o *port) receiveAny(n int, limit time.Duration) (got []xsk.Desc) {
	o.t.Helper()
	for until := time.Now().Add(limit); len(got) < n && time.Now().Before(until); {
		var d [64]xsk.Desc
		for _, d := range d[:o.sock[0].Receive(d[:])] {
			got = append(got, d)
			o.pool.free = append(o.pool.free, d.Addr&^2047)
		}
		o.refill(0)
	}
	return got
}

// TestZeroCopyReopened: a queue has one owner, and is free again when that has closed.
func TestZeroCopyReopened(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Wire(t, "a", "b")
	p, other := newPool(t, 1024), newPool(t, 1024)
	o := openZeroCopy(t, p, a)
	c := config(a, 0)
	c.Mode = xsk.ModeZeroCopy
	if s, err := other.Open(c); err == nil {
		s.Close()
		t.Fatal("bound twice")
	} else if !errors.Is(err, unix.EBUSY) {
		t.Errorf("second bind: %v", err)
	}
	o.close()
	for i := range 20 {
		q := []*pool{p, other}[i%2]
		openZeroCopy(t, q, a).close()
		q.whole(t)
	}
}

// TestZeroCopyModes: on demand only where something is known against it; never where the driver has it not.
func TestZeroCopyModes(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Wire(t, "a", "b")
	p := newPool(t, 1024)
	o := openPort(t, p, a, 1, steer.Auto)
	if m, why := o.sock[0].Mode(), o.sock[0].Fallback(); m != xsk.ModeCopy || why == nil {
		t.Errorf("auto: mode %v, because of %v; the driver is a module", m, why)
	} else {
		t.Log(why)
	}
	o.close()
	p.whole(t)
}
