package xsk_test

import (
	"testing"
	"time"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// TestSharing watches by way of whom each socket comes to the UMEM, while interfaces come and go.
func TestSharing(t *testing.T) {
	xsktest.Namespace(t)
	p := newPool(t, 64)
	veth := func(a, b string) xsktest.End {
		e, _ := xsktest.Veth(t, a, b, xsktest.VethConfig{})
		return e
	}
	open := func(e xsktest.End, needWakeup bool) *xsk.Socket {
		t.Helper()
		c := config(e, 0)
		c.NeedWakeup = needWakeup
		s, err := p.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	expect := func(what string, s *xsk.Socket, want int) {
		t.Helper()
		if got := s.SharesWith(); got != want {
			t.Errorf("%s: shares with interface index %d, want %d", what, got, want)
		}
	}
	a, c, e := veth("a", "b"), veth("c", "d"), veth("e", "f")
	first := open(a, true)
	expect("first", first, 0)
	second := open(c, true)
	expect("second", second, a.Index)
	expect("of another kind", open(e, false), 0)
	// The first one's interface goes; its socket stays, bound to nothing.
	xsktest.Delete(t, "a")
	a2 := veth("a", "b")
	third := open(a2, true)
	expect("first one's interface gone", third, c.Index)
	first.Close()
	// All of the kind lose their interfaces: the memory is registered anew.
	xsktest.Delete(t, "a")
	xsktest.Delete(t, "c")
	a3, c2 := veth("a", "b"), veth("c", "d")
	expect("all gone", open(c2, true), 0)
	expect("after all were gone", open(a3, true), c2.Index)
}

// TestMixedRegistrations forwards between sockets that could not share: the addresses are the same all the same.
func TestMixedRegistrations(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	p := newPool(t, 1024)
	pb := openPort(t, p, b, 1, steer.Auto)
	conf := config(c, 0)
	conf.NeedWakeup = false
	s, err := p.Open(conf)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := steer.Attach(steer.Options{Ifindex: c.Index, Queues: 1})
	if err != nil {
		t.Fatal(err)
	}
	pc := &port{t: t, pool: p, end: c, prog: prog, sock: []*xsk.Socket{s}}
	t.Cleanup(pc.close)
	if s.SharesWith() != 0 {
		t.Fatal("the sockets share, and the test tests nothing")
	}
	left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)
	for i := range uint64(100) {
		left.Send(xsktest.Frame(i, 200))
	}
	for moved, until := 0, time.Now().Add(time.Second); moved < 100 && time.Now().Before(until); {
		n, err := forward(pb, pc, 0)
		if err != nil {
			t.Fatal(err)
		}
		moved += n
	}
	expectInOrder(t, "forwarded", receivePackets(t, right, 100), 0, 100)
	pb.close()
	pc.close()
	p.whole(t)
}

// TestLongestFrame: a frame of 2048 octets takes 2048 − 256 in; one more is dropped and counted.
func TestLongestFrame(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{MTU: 3000})
	p := newPool(t, 1024)
	o := openPort(t, p, a, 1, steer.Auto)
	peer := xsktest.Packet(t, b)
	const longest = 2048 - 256
	peer.Send(xsktest.Frame(1, longest))
	expectInOrder(t, "longest", o.receive(0, 1), 1, 1)
	peer.Send(xsktest.Frame(2, longest+1))
	peer.Send(xsktest.Frame(3, 60))
	expectInOrder(t, "after one too long", o.receive(0, 1), 3, 1)
	if st, err := o.sock[0].Stats(); err != nil || st.RxDropped != 1 {
		t.Errorf("%+v, %v: want one dropped", st, err)
	}
	// From the start of its memory a frame may be 2048 long.
	addr := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	d := xsk.Desc{Addr: addr, Len: 2048}
	copy(p.bytes(d), xsktest.Frame(4, 2048))
	o.sock[0].Send([]xsk.Desc{d})
	if err := o.sock[0].KickTx(); err != nil {
		t.Fatal(err)
	}
	expectInOrder(t, "sent", receivePackets(t, peer, 1), 4, 1)
	o.close()
	p.whole(t)
}
