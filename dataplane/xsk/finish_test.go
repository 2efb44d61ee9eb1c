package xsk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// slowWay returns an end of a veth pair whose far end leads into a queue of 1 kB/s. The kernel takes the frames and
// holds them in the queue. release empties the queue.
func slowWay(t *testing.T) (near xsktest.End, release func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	near, far := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	slow, _ := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	must(netlink.LinkAdd(bridge))
	for _, index := range []int{far.Index, slow.Index} {
		l, err := netlink.LinkByIndex(index)
		must(err)
		must(netlink.LinkSetMaster(l, bridge))
	}
	must(netlink.LinkSetUp(bridge))
	queue := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: slow.Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT,
		},
		Rate: 1000, Limit: 1 << 20, Buffer: netlink.Xmittime(1000, 2000),
	}
	must(netlink.QdiscAdd(queue))
	return near, func() { must(netlink.QdiscDel(queue)) }
}

// sendSlowly opens a socket on the slow way, sends frames 0 to 15, of which the kernel takes all, and leaves frames 16
// to 19 in the tx ring and 20 to 23 in the fill ring. It returns how many are still being sent.
func sendSlowly(t *testing.T, p *pool, near xsktest.End) (s *xsk.Socket, sent int) {
	t.Helper()
	c := config(near, 0)
	c.Mode = xsk.ModeCopy
	s, err := p.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	send := func(first, n int) {
		for i := first; i < first+n; i++ {
			d := xsk.Desc{Addr: uint64(i)*2048 + 256, Len: 1000}
			copy(p.bytes(d), xsktest.Frame(uint64(i), 1000))
			if s.Send([]xsk.Desc{d}) != 1 {
				t.Fatalf("frame %d is not taken", i)
			}
		}
	}
	send(0, 16)
	for deadline := time.Now().Add(5 * time.Second); s.TxPending(); {
		if err := s.KickTx(); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	send(16, 4)
	s.Fill([]uint64{20 * 2048, 21 * 2048, 22 * 2048, 23 * 2048})
	var addrs [64]uint64
	s.Reclaim(addrs[:])
	if sent = s.Sent() - 4; sent < 4 {
		t.Skipf("only %d frames wait behind the far end: this kernel completes them before they are sent", sent)
	}
	return s, sent
}

// TestCloseWaitsForWhatIsSent: if a driver sends out of the frames themselves, Close returns when the driver has sent
// them, and Drain hands out every frame.
func TestCloseWaitsForWhatIsSent(t *testing.T) {
	xsktest.Namespace(t)
	near, release := slowWay(t)
	p := newPool(t, 64)
	s, sent := sendSlowly(t, p, near)
	held := s.Held()
	s.SendsFromFrames(time.Minute)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v while %d frames were being sent", err, sent)
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	n := 0
	s.Drain(func(uint64) { n++ })
	if n != held || s.Held() != 0 {
		t.Errorf("%d frames drained, %d still held, want %d and 0", n, s.Held(), held)
	}
}

// TestCloseKeepsWhatIsBeingSent: frames that the driver has not sent in time are never handed out again, and the error
// counts them; all others are handed out.
func TestCloseKeepsWhatIsBeingSent(t *testing.T) {
	xsktest.Namespace(t)
	near, release := slowWay(t)
	defer release()
	p := newPool(t, 64)
	s, sent := sendSlowly(t, p, near)
	held := s.Held()
	s.SendsFromFrames(20 * time.Millisecond)
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "frames have not been sent within 20ms") {
		t.Errorf("close: %v, want an error that counts %d frames", err, sent)
	}
	free := map[uint64]bool{}
	s.Drain(func(a uint64) { free[a] = true })
	lost := s.Held()
	if lost == 0 || lost > sent || len(free) != held-lost {
		t.Errorf("%d frames drained, %d kept, want %d in all and at most %d kept", len(free), lost, held, sent)
	}
	for i := uint64(16); i < 24; i++ { // not taken by the kernel
		if !free[i*2048] {
			t.Errorf("frame %d is not handed out", i)
		}
	}
	n := 0
	s.Drain(func(uint64) { n++ })
	if n != 0 {
		t.Errorf("a second Drain hands out %d frames, want 0", n)
	}
}

// TestCloseOfACopy: where the kernel has copied what it sends, every frame is free at once.
func TestCloseOfACopy(t *testing.T) {
	xsktest.Namespace(t)
	near, release := slowWay(t)
	defer release()
	p := newPool(t, 64)
	s, sent := sendSlowly(t, p, near)
	held := s.Held()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	n := 0
	s.Drain(func(uint64) { n++ })
	if n != held {
		t.Errorf("%d frames drained, %d of them still being sent from copies, want %d", n, sent, held)
	}
}

// TestCloseOnVirtio: virtio-net in copy mode sends out of the frames, and has sent all that is under way soon after a
// burst.
func TestCloseOnVirtio(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Wire(t, "a", "b")
	for range 20 {
		p := newPool(t, 256)
		c := config(a, 0)
		c.Mode = xsk.ModeCopy
		s, err := p.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Refers() {
			t.Fatal("the driver is taken for one that sends copies")
		}
		for i := range uint64(128) {
			d := xsk.Desc{Addr: p.free[0] + 256, Len: 1000}
			copy(p.bytes(d), xsktest.Frame(i, 1000))
			s.Send([]xsk.Desc{d})
			p.free = p.free[1:]
		}
		if err := s.KickTx(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close with %d frames under way: %v", s.Sent(), err)
		}
		s.Drain(func(a uint64) { p.free = append(p.free, a) })
		p.whole(t)
	}
}
