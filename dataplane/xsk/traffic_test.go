package xsk_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

// receivePackets collects sequence numbers at a packet socket.
func receivePackets(t testing.TB, s *xsktest.PacketSocket, n int) (seqs []uint64) {
	t.Helper()
	for len(seqs) < n {
		f := s.Receive(time.Second)
		if f == nil {
			break
		}
		seq, ok := xsktest.Seq(f)
		if !ok {
			t.Fatalf("received %x", f)
		}
		seqs = append(seqs, seq)
	}
	return seqs
}

func TestReceiveAndSend(t *testing.T) {
	for _, mode := range []steer.Mode{steer.Native, steer.Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			xsktest.Namespace(t)
			a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
			p := newPool(t, 1024)
			o := openPort(t, p, a, 1, mode)
			if o.prog.Mode() != mode {
				t.Errorf("program is in %v mode", o.prog.Mode())
			}
			if m := o.sock[0].Mode(); m != xsk.ModeCopy {
				t.Errorf("socket is in %v mode; veth can only copy", m)
			}
			peer := xsktest.Packet(t, b)
			for i, size := range []int{60, 22, 1514, 200} {
				first := uint64(i) * 1000
				for j := range 100 {
					peer.Send(xsktest.Frame(first+uint64(j), size))
				}
				expectInOrder(t, fmt.Sprintf("received of %d octets", size), o.receive(0, 100), first, 100)
				o.send(0, first, 100, size)
				expectInOrder(t, fmt.Sprintf("sent of %d octets", size), receivePackets(t, peer, 100), first, 100)
				for o.reclaim(0) > 0 {
				}
			}
			o.close()
			p.whole(t)
		})
	}
}

// TestLargeBatch sends rings full: one sendto takes 32 frames unless the budget is raised, and KickTx must not leave
// the rest behind either way.
func TestLargeBatch(t *testing.T) {
	for _, raise := range []bool{true, false} {
		t.Run(fmt.Sprintf("raised=%v", raise), func(t *testing.T) {
			xsktest.Namespace(t)
			a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
			p := newPool(t, 1024)
			o := openPort(t, p, a, 1, steer.Native)
			if !raise {
				if err := unix.SetsockoptInt(o.sock[0].FD(), unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, 32); err != nil {
					t.Skipf("cannot set the budget: %v", err)
				}
			}
			peer := xsktest.Packet(t, b)
			for round := range uint64(20) {
				o.send(0, round*256, 256, 60)
				if o.sock[0].TxPending() {
					t.Fatal("frames left in the tx ring after KickTx")
				}
				expectInOrder(t, "sent", receivePackets(t, peer, 256), round*256, 256)
				for o.reclaim(0) > 0 {
				}
				if free := o.sock[0].TxFree(); free != 256 {
					t.Fatalf("%d slots free after everything was sent", free)
				}
			}
			o.close()
			p.whole(t)
		})
	}
}

// TestCompletionRingFull: transmission waits for Reclaim, without error and without loss.
func TestCompletionRingFull(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 1024)
	o := openPort(t, p, a, 1, steer.Native)
	peer := xsktest.Packet(t, b)
	o.send(0, 0, 200, 60)
	o.send(0, 200, 200, 60) // 256 completions fit
	if !o.sock[0].TxPending() {
		t.Error("nothing pending with 400 frames sent and 256 completions unread")
	}
	expectInOrder(t, "sent", receivePackets(t, peer, 256), 0, 256)
	if f := peer.Receive(20 * time.Millisecond); f != nil {
		t.Error("more frames sent than completions fit")
	}
	for o.reclaim(0) > 0 {
	}
	if err := o.sock[0].KickTx(); err != nil || o.sock[0].TxPending() {
		t.Errorf("after Reclaim: %v, pending %v", err, o.sock[0].TxPending())
	}
	expectInOrder(t, "sent after Reclaim", receivePackets(t, peer, 144), 256, 144)
	o.close()
	p.whole(t)
}

// TestForwardWithoutCopy has two ports share a UMEM; frames leave from where they were received. It runs long enough
// for every ring to wrap many times.
func TestForwardWithoutCopy(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c, d := xsktest.Veth(t, "c", "d", xsktest.VethConfig{})
	p := newPool(t, 2048)
	pb, pc := openPort(t, p, b, 1, steer.Auto), openPort(t, p, c, 1, steer.Auto)
	left, right := xsktest.Packet(t, a), xsktest.Packet(t, d)
	const burst, bursts = 100, 200
	for i := range uint64(bursts) {
		from, to, in, out := left, right, pb, pc
		if i%2 == 1 {
			from, to, in, out = right, left, pc, pb
		}
		for j := range uint64(burst) {
			from.Send(xsktest.Frame(i*burst+j, 60+int(i+j)%1400))
		}
		moved := 0
		for until := time.Now().Add(time.Second); moved < burst && time.Now().Before(until); {
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
		if st.RxDropped|st.RxInvalidDescs|st.TxInvalidDescs|st.RxRingFull|st.RxFillEmpty != 0 {
			t.Errorf("%s: statistics %+v, want no drops and no faults", o.end.Name, st)
		}
		o.close()
	}
	p.whole(t)
}

func TestQueues(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{Queues: 2})
	p := newPool(t, 2048)
	pa, pb := openPort(t, p, a, 2, steer.Native), openPort(t, p, b, 2, steer.Native)
	// veth delivers to the queue of the same number.
	for q := range 2 {
		pa.send(q, uint64(q)*1000, 50, 60)
		expectInOrder(t, "one way", pb.receive(q, 50), uint64(q)*1000, 50)
		pb.send(q, uint64(q)*1000+500, 50, 60)
		expectInOrder(t, "the other way", pa.receive(q, 50), uint64(q)*1000+500, 50)
		for pa.reclaim(q)+pb.reclaim(q) > 0 {
		}
	}
	if n := pa.sock[0].Receive(make([]xsk.Desc, 1)) + pb.sock[0].Receive(make([]xsk.Desc, 1)); n != 0 {
		t.Error("frames on the wrong queue")
	}
	pa.close()
	pb.close()
	p.whole(t)
}

// TestNeedWakeup: in copy mode the kernel never transmits by itself, with or without the flag.
func TestNeedWakeup(t *testing.T) {
	for _, flag := range []bool{true, false} {
		t.Run(fmt.Sprint(flag), func(t *testing.T) {
			xsktest.Namespace(t)
			a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
			p := newPool(t, 64)
			c := config(a, 0)
			c.NeedWakeup = flag
			s, err := p.Open(c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				s.Close()
				s.Drain(func(uint64) {})
			}()
			if !s.NeedWakeupTx() {
				t.Error("the kernel does not ask to be kicked")
			}
			if s.NeedWakeupRx() {
				t.Error("the kernel asks for a wakeup of reception in copy mode")
			}
			peer := xsktest.Packet(t, b)
			d := xsk.Desc{Addr: 4096 + 300, Len: 60}
			copy(p.bytes(d), xsktest.Frame(7, 60))
			if s.Send([]xsk.Desc{d}) != 1 {
				t.Fatal("Send took nothing")
			}
			if peer.Receive(50*time.Millisecond) != nil {
				t.Error("transmitted without a kick")
			}
			if !s.TxPending() || s.Held() != 1 {
				t.Errorf("pending %v, %d frames held, before the kick", s.TxPending(), s.Held())
			}
			if err := s.KickTx(); err != nil {
				t.Fatal(err)
			}
			expectInOrder(t, "sent", receivePackets(t, peer, 1), 7, 1)
			var addrs [2]uint64
			if n := s.Reclaim(addrs[:]); n != 1 || addrs[0] != 4096 {
				t.Errorf("reclaimed %d: %v, want the frame's own address 4096", n, addrs)
			}
			if s.TxPending() || s.Held() != 0 {
				t.Errorf("pending %v, %d frames held, after it came back", s.TxPending(), s.Held())
			}
			if err := s.KickTx(); err != nil {
				t.Errorf("kick with nothing to do: %v", err)
			}
			if err := s.WakeRx(); err != nil {
				t.Errorf("WakeRx: %v", err)
			}
		})
	}
}

// TestStats: without frames to receive into, frames are dropped and counted.
func TestStats(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 1024)
	o := openPort(t, p, a, 1, steer.Native)
	peer := xsktest.Packet(t, b)
	for i := range 300 { // 256 fit
		peer.Send(xsktest.Frame(uint64(i), 60))
	}
	var st xsk.Stats
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		var err error
		if st, err = o.sock[0].Stats(); err != nil {
			t.Fatal(err)
		}
		if st.RxDropped == 44 {
			break
		}
	}
	if st.RxDropped != 44 || st.RxFillEmpty == 0 {
		t.Errorf("300 frames into 256: %+v", st)
	}
	expectInOrder(t, "received", o.receive(0, 256), 0, 256)

	// An invalid descriptor is discarded, counted, and its frame not lost.
	bad := xsk.Desc{Addr: p.free[0] + 2000, Len: 100}
	p.free = p.free[1:]
	if o.sock[0].Send([]xsk.Desc{bad}) != 1 {
		t.Fatal("Send took nothing")
	}
	if err := o.sock[0].KickTx(); err != nil {
		t.Fatal(err)
	}
	if st, err := o.sock[0].Stats(); err != nil || st.TxInvalidDescs != 1 {
		t.Errorf("after an invalid descriptor: %+v, %v", st, err)
	}
	o.close()
	p.whole(t)
	if _, err := o.sock[0].Stats(); err == nil {
		t.Error("Stats of a closed socket: no error")
	}
}
