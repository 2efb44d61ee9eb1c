package xsk_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// TestSecondBind: a queue has one owner, and the error says so.
func TestSecondBind(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p, other := newPool(t, 64), newPool(t, 64)
	s, err := p.Open(config(a, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []*pool{p, other} {
		s2, err := from.Open(config(a, 0))
		if err == nil {
			s2.Close()
			t.Fatal("bound twice")
		}
		var o *xsk.OpenError
		if !errors.Is(err, unix.EBUSY) || !errors.As(err, &o) || o.Ifindex != a.Index || o.Queue != 0 ||
			!strings.Contains(err.Error(), "ss -f xdp -p") {
			t.Errorf("second bind: %v", err)
		}
	}
	if err := p.Umem.Close(); err == nil || !strings.Contains(err.Error(), "1 sockets") {
		t.Errorf("close UMEM with an open socket: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	// The queue is free again, though the kernel may take a moment.
	for range 20 {
		s, err := other.Open(config(a, 0))
		// The kernel of a busy machine takes longer than Open waits.
		for began := time.Now(); errors.Is(err, unix.EBUSY) && time.Since(began) < 30*time.Second; {
			s, err = other.Open(config(a, 0))
		}
		if err != nil {
			t.Fatalf("after the first socket closed: %v", err)
		}
		s.Close()
	}
}

// TestSentinel: a queue is busy while a socket has it, and free after the socket is closed or the interface is gone, in
// whatever network namespace the waiting thread is.
func TestSentinel(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 64)
	for _, leave := range []func(s *xsk.Socket){
		func(s *xsk.Socket) { s.Close() },
		func(*xsk.Socket) { xsktest.Delete(t, "a") },
	} {
		s, err := p.Open(config(a, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		watch, err := xsk.NewSentinel(a.Index, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Wait(20 * time.Millisecond); !errors.Is(err, unix.EBUSY) {
			t.Errorf("in use: %v", err)
		}
		leave(s)
		elsewhere := make(chan error)
		go func() { elsewhere <- watch.Wait(10 * time.Second) }()
		if err := <-elsewhere; err != nil {
			t.Errorf("not in use any more: %v", err)
		}
		if err := watch.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 64)
	for _, c := range []struct {
		what  string
		want  error
		spoil func(*xsk.SocketConfig)
	}{
		{"no such interface", unix.ENODEV, func(c *xsk.SocketConfig) { c.Ifindex = 9999 }},
		{"no such queue", unix.EINVAL, func(c *xsk.SocketConfig) { c.Queue = 7 }},
		{"zero-copy on veth", unix.EOPNOTSUPP, func(c *xsk.SocketConfig) { c.Mode = xsk.ModeZeroCopy }},
	} {
		conf := config(a, 0)
		c.spoil(&conf)
		s, err := p.Open(conf)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", c.what)
			continue
		}
		var o *xsk.OpenError
		if !errors.Is(err, c.want) || !errors.As(err, &o) || o.Remedy == "" {
			t.Errorf("%s: error %v, want %v as an OpenError with a remedy", c.what, err, c.want)
		}
		t.Logf("%s: %v", c.what, err)
	}
	if n := p.Umem.Close(); n != nil {
		t.Errorf("failed opens left something behind: %v", n)
	}
}

// TestWithoutCapabilities: the error names what is missing.
func TestWithoutCapabilities(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 64)
	xsktest.WithoutCapabilities(t, func() {
		s, err := p.Open(config(a, 0))
		if err == nil {
			s.Close()
			t.Fatal("no error")
		}
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Error(err)
		}
	})
}

// TestClosedSocket: ring operations after Close do nothing, rather than touch what is unmapped.
func TestClosedSocket(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 64)
	s, err := p.Open(config(a, 0))
	if err != nil {
		t.Fatal(err)
	}
	s.Fill([]uint64{0, 2048})
	s.Close()
	var d [4]xsk.Desc
	var f [4]uint64
	n := s.Receive(d[:]) + s.Send(d[:]) + s.Fill(f[:]) + s.Reclaim(f[:]) + s.TxFree() + s.FillFree()
	if n != 0 || s.TxPending() || s.FD() != -1 {
		t.Error("a closed socket still does something")
	}
	if err := s.KickTx(); !errors.Is(err, xsk.ErrClosed) {
		t.Errorf("KickTx: %v", err)
	}
	if err := s.WakeRx(); !errors.Is(err, xsk.ErrClosed) {
		t.Errorf("WakeRx: %v", err)
	}
	var got []uint64
	s.Drain(func(a uint64) { got = append(got, a) })
	if len(got) != 2 || got[0] != 0 || got[1] != 2048 || s.Held() != 0 {
		t.Errorf("drained %v, %d still held", got, s.Held())
	}
}

// TestLinkDown sets an interface down under traffic and up again: the kernel's answer is typed, nothing is lost for
// good, traffic goes on.
func TestLinkDown(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	p := newPool(t, 2048)
	pb, pc := openPort(t, p, b, 1, steer.Auto), openPort(t, p, c, 1, steer.Auto)
	left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)

	// run sends n frames from left to right and reports how the kicks ended.
	run := func(first uint64, n int) (last error) {
		for i := range n {
			// The sender's own interface may be without carrier.
			_ = left.TrySend(xsktest.Frame(first+uint64(i), 60))
			if _, err := forward(pb, pc, 0); err != nil {
				last = err
			}
		}
		return errors.Join(last, settle(pb, pc))
	}
	for round := range uint64(3) {
		if err := run(round*1000, 100); err != nil {
			t.Fatal(err)
		}
		xsktest.Down(t, c.Name)
		err := run(round*1000+100, 100)
		if !errors.Is(err, xsk.ErrLinkDown) || !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("own interface down: KickTx says %v", err)
		}
		xsktest.Up(t, c.Name)
		xsktest.Up(t, d.Name)
		for right.Receive(20*time.Millisecond) != nil {
		}
		// What waited in the ring goes out, then new frames do.
		if err := run(round*1000+500, 100); err != nil {
			t.Errorf("up again: %v", err)
		}
		var last uint64
		for f := right.Receive(100 * time.Millisecond); f != nil; f = right.Receive(20 * time.Millisecond) {
			last, _ = xsktest.Seq(f)
		}
		if last != round*1000+599 {
			t.Errorf("up again: last frame received is %d, want %d", last, round*1000+599)
		}

		// The far end down: no carrier. The kernel discards, says EBUSY one by one, and completes.
		xsktest.Down(t, d.Name)
		if err := run(round*1000+600, 100); err != nil {
			t.Errorf("no carrier: %v", err)
		}
		for pc.reclaim(0) > 0 {
		}
		if pc.send(0, 0, 100, 60); pc.sock[0].TxPending() {
			t.Error("no carrier: one KickTx does not dispose of a batch")
		}
		xsktest.Up(t, d.Name)
		for right.Receive(20*time.Millisecond) != nil {
		}
		if err := run(round*1000+700, 100); err != nil {
			t.Errorf("carrier is back: %v", err)
		}
		if got := receivePackets(t, right, 100); len(got) != 100 {
			t.Errorf("carrier is back: %d frames of 100", len(got))
		}
		for pc.reclaim(0) > 0 {
		}
	}
	pb.close()
	pc.close()
	p.whole(t)
}

// TestDelete deletes and remakes interfaces under traffic, the one that registered the UMEM among them. Every frame
// comes back each time, and the sockets opened anew share what is left.
func TestDelete(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	p := newPool(t, 2048)
	pb, pc := openPort(t, p, b, 1, steer.Auto), openPort(t, p, c, 1, steer.Auto)
	for round := range uint64(6) {
		left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)
		for i := range uint64(100) {
			left.Send(xsktest.Frame(i, 60))
			if _, err := forward(pb, pc, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := settle(pb, pc); err != nil {
			t.Fatal(err)
		}
		if got := receivePackets(t, right, 100); len(got) != 100 {
			t.Fatalf("round %d: %d frames of 100 forwarded", round, len(got))
		}
		// Leave some in every ring: received, not sent, not completed.
		for i := range uint64(50) {
			left.Send(xsktest.Frame(i, 60))
			right.Send(xsktest.Frame(i, 60))
		}
		pb.send(0, 0, 20, 60)
		pc.send(0, 0, 20, 60)
		for _, o := range []*port{pb, pc} {
			ad := p.free[len(p.free)-1]
			p.free = p.free[:len(p.free)-1]
			o.sock[0].Send([]xsk.Desc{{Addr: ad + 256, Len: 60}}) // never kicked
		}

		// The port that registered the UMEM goes, the other, or both.
		gone := map[uint64][]*port{0: {pb}, 1: {pc}, 2: {pb, pc}}[round%3]
		for _, o := range gone {
			xsktest.Delete(t, o.end.Name)
			if err := o.sock[0].KickTx(); !errors.Is(err, xsk.ErrGone) || !errors.Is(err, unix.ENXIO) {
				t.Errorf("interface deleted: KickTx says %v", err)
			}
		}
		kept := len(p.free)
		for _, o := range gone {
			held := o.sock[0].Held()
			o.close()
			if len(p.free)-kept != held {
				t.Errorf("drained %d frames of %d", len(p.free)-kept, held)
			}
			if o == pb {
				a, b = xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
				pb = openPort(t, p, b, 1, steer.Auto)
			} else {
				c, d = xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
				pc = openPort(t, p, c, 1, steer.Auto)
			}
			kept = len(p.free)
		}
		// Empty what the other port still has, so that the next round starts clean.
		for _, o := range []*port{pb, pc} {
			_ = o.sock[0].KickTx()
			for o.reclaim(0) > 0 {
			}
			var ds [64]xsk.Desc
			for n := o.sock[0].Receive(ds[:]); n > 0; n = o.sock[0].Receive(ds[:]) {
				for _, d := range ds[:n] {
					p.free = append(p.free, d.Addr&^2047)
				}
			}
			o.refill(0)
		}
	}
	pb.close()
	pc.close()
	p.whole(t)
}

// TestDeleteWithFullRing: frames that found the rx ring full are neither there nor in the fill ring any more; they
// too come back.
func TestDeleteWithFullRing(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 1024)
	c := config(a, 0)
	c.RxSize, c.FillSize = 64, 512
	prog, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	s, err := p.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	n := s.Fill(p.free)
	p.free = p.free[n:]
	if n != 512 {
		t.Errorf("fill ring of 512 took %d", n)
	}
	if err := prog.Register(0, s.FD()); err != nil {
		t.Fatal(err)
	}
	peer := xsktest.Packet(t, b)
	for i := range uint64(300) {
		peer.Send(xsktest.Frame(i, 60))
	}
	st, err := s.Stats()
	if err != nil || st.RxRingFull == 0 {
		t.Errorf("300 frames into a ring of 64: %+v, %v", st, err)
	}
	xsktest.Delete(t, "a")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Drain(func(a uint64) { p.free = append(p.free, a) })
	p.whole(t)
}

// TestKilled: when the process dies, whatever the way, neither program nor socket remains. The child is this test
// binary, and works in the same namespace.
func TestKilled(t *testing.T) {
	if name := os.Getenv("XSK_TEST_CHILD"); name != "" {
		child(t, name)
		return
	}
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "XSK_TEST_CHILD="+a.Name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var buf [64]byte
	n, _ := out.Read(buf[:])
	if string(buf[:n]) != "ready\n" {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("child says %q", buf[:n])
	}
	if xsktest.XDP(t, a.Name) == 0 {
		t.Error("the child attached nothing")
	}
	cmd.Process.Kill()
	cmd.Wait()
	for until := time.Now().Add(2 * time.Second); xsktest.XDP(t, a.Name) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the program outlives the process")
		}
	}
	p := newPool(t, 1024)
	openPort(t, p, a, 1, steer.Native).close() // the queue is free as well
}

func child(t *testing.T, name string) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	openPort(t, newPool(t, 1024), xsktest.End{Name: name, Index: ifi.Index}, 1, steer.Native)
	os.Stdout.WriteString("ready\n")
	time.Sleep(time.Minute)
}
