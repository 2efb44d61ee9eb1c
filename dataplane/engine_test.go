package dataplane

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

func TestMain(m *testing.M) { xsktest.Main(m) }

const (
	flows   = 16             // VIFs on the first port, one flow each
	target  = 0x0200000000bb // the VIF on the second
	source0 = 0x020000000100 // the first of the VIFs on the first port
)

// bench is an engine between two veth pairs: it sends the frames from a to b.
type bench struct {
	*Engine
	t        *testing.T
	bindings *table.Bindings
	snap     fib.Snapshot
	a, b     *xsktest.PacketSocket
	stop     sync.Once
}

// newBench makes interfaces pa (port 0) and pb (port 1) with their far ends fa and fb, and the engine, not started.
// Port 0 has the given number of queues, port 1 has one.
func newBench(t *testing.T, queues int, cfg Config) *bench {
	t.Helper()
	xsktest.Namespace(t)
	_, fa := xsktest.Veth(t, "pa", "fa", xsktest.VethConfig{Queues: queues})
	_, fb := xsktest.Veth(t, "pb", "fb", xsktest.VethConfig{})
	cfg.Ports = append([]PortConfig{
		{Interface: "pa", Queues: queues, Mode: xsk.ModeCopy}, {Interface: "pb", Queues: 1, Mode: xsk.ModeCopy},
	}, cfg.Ports...)
	cfg.Verify = true
	cfg.Log = func(l Level, msg string, args ...any) { t.Log(append([]any{msg}, args...)...) }
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := &bench{Engine: e, t: t, a: xsktest.Packet(t, fa), b: xsktest.Packet(t, fb)}
	if x.bindings, err = table.NewBindings(table.Config{Capacity: 64}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.end()
		if err := x.bindings.Close(); err != nil {
			t.Error(err)
		}
	})
	x.publish()
	return x
}

// publish publishes a snapshot that sends every frame from a flow's VIF to the target from port 0 to port 1.
func (x *bench) publish() {
	x.t.Helper()
	s := &x.snap
	s.Ports = []fib.Port{
		{Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 0},
		{Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 1},
	}
	s.Attachments = []fib.Attachment{{Seg: 0, Port: 0}, {Seg: 0, Port: 1}}
	s.Segments = []fib.Segment{{Tenant: 100, ID: 1, Router: fib.None, Local: []uint32{0, 1}}}
	s.SegmentByID = table.NewStatic([]uint64{fib.SegmentKey(100, 1)}, []uint32{0})
	s.Bindings = x.bindings
	var keys []uint64
	var values []uint32
	add := func(mac uint64, at uint32) {
		i := uint32(len(s.VIFs))
		s.VIFs = append(s.VIFs, fib.VIF{MAC: mac, Attach: at, Policy: fib.PolicyMAC})
		keys, values = append(keys, fib.VIFKey(at, mac)), append(values, i)
		if err := x.bindings.Upsert(&table.Binding{MAC: mac, Loc: fib.LocLocal | i}); err != nil {
			x.t.Fatal(err)
		}
	}
	for f := range uint64(flows) {
		add(source0+f, 0)
	}
	add(target, 1)
	s.VIFByMAC = table.NewStatic(keys, values)
	s.Generation = 1
	x.Publish(s)
}

// start starts the engine or ends the test.
func (x *bench) start() {
	x.t.Helper()
	if err := x.Start(); err != nil {
		x.t.Fatal(err)
	}
}

// end stops the engine and checks that every frame is in the pool, that no rule of ownership was violated, and that the
// counters account for every frame.
func (x *bench) end() {
	x.stop.Do(func() {
		x.t.Helper()
		if err := x.Stop(); err != nil {
			x.t.Error(err)
		}
		if n, first := x.Violations(); n > 0 {
			x.t.Errorf("%d violations of frame ownership, want none: %v", n, first)
		}
		all, pooled, by := x.Frames()
		if pooled != all || by[frame.OwnerPool.String()] != all {
			x.t.Errorf("%d frames are in the pool, owners %v; want all %d in the pool", pooled, by, all)
		}
		if sum := Sum(x.Ports()); !sum.Balanced() {
			x.t.Errorf("totals %+v, want rx + injected + copies = tx + punted + drops", sum)
		}
	})
}

// data returns a frame of a flow to the target: UDP, so that the kernel's and the box's hashes of the flows differ.
func data(flow int, seq uint64) []byte {
	f := make([]byte, 64)
	wire.PutMAC(f[0:], target)
	wire.PutMAC(f[6:], source0+uint64(flow))
	f[12] = 0x08
	ip := wire.IPv4(f[14:34])
	ip.SetVersionIHL(wire.IPv4Len)
	ip.SetTotalLen(50)
	ip.SetTTL(64)
	ip.SetProto(wire.ProtoUDP)
	ip.SetSrc(0x0a000001)
	ip.SetDst(0x0a000002)
	ip.SetChecksum(checksum.Checksum(ip, 0))
	binary.BigEndian.PutUint16(f[34:], uint16(1000+flow))
	binary.BigEndian.PutUint16(f[36:], 9)
	binary.BigEndian.PutUint16(f[38:], 30)
	binary.BigEndian.PutUint64(f[42:], seq)
	return f
}

// flowOf returns flow and sequence number of a frame.
func flowOf(f []byte) (flow int, seq uint64) {
	return int(wire.MAC(f[6:])) - source0, binary.BigEndian.Uint64(f[42:])
}

// traffic sends frames of all flows into port 0 until stop is called. It ignores errors, as when the interface is gone.
func (x *bench) traffic() (stop func()) {
	var quit atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint64(0); !quit.Load(); seq++ {
			if x.a.TrySend(data(int(seq%flows), seq)) != nil || seq%16 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	return func() { quit.Store(true); wg.Wait() }
}

// passes waits until a frame that is sent after the call arrives at b.
func (x *bench) passes(what string) {
	x.t.Helper()
	until := time.Now().Add(5 * time.Second)
	for seq := uint64(1) << 60; time.Now().Before(until); seq++ {
		x.a.Send(data(0, seq))
		for {
			f := x.b.Receive(20 * time.Millisecond)
			if f == nil {
				break
			}
			if _, got := flowOf(f); got >= 1<<60 && got <= seq {
				return
			}
		}
	}
	x.t.Fatalf("%s: no frame arrives in 5 s, want one; ports %+v", what, Sum(x.Ports()))
}

func small(workers int) Config {
	return Config{Workers: workers, Frames: 4096, RingSize: 256, VIFs: 64, Paths: 4}
}

// TestStartFailsHalfWay: a Start that fails closes what it has opened and frees all frames. A second Stop closes no
// descriptor, since descriptors may have new owners.
func TestStartFailsHalfWay(t *testing.T) {
	cfg := small(2)
	cfg.Ports = []PortConfig{{Interface: "nowhere", Queues: 1}}
	x := newBench(t, 1, cfg)
	if err := x.Start(); err == nil {
		t.Fatal("Start returns no error for an interface that does not exist, want one")
	}
	for _, name := range []string{"pa", "pb"} {
		if id := xsktest.XDP(t, name); id != 0 {
			t.Errorf("%s has the XDP program %d, want none", name, id)
		}
	}
	var mine []int
	defer func() {
		for _, fd := range mine {
			_ = unix.Close(fd)
		}
	}()
	for range 8 {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, fd)
	}
	x.end()
	for _, fd := range mine {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			t.Errorf("descriptor %d of the test after the second stop: %v, want it open", fd, err)
		}
	}
	if err := x.OpenPort(0); !errors.Is(err, ErrStopped) {
		t.Errorf("OpenPort after the stop: %v, want ErrStopped", err)
	}
}

func TestStopUnderTraffic(t *testing.T) {
	for _, handoff := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "handoff"}[handoff], func(t *testing.T) {
			cfg := small(2)
			cfg.Handoff = handoff
			x := newBench(t, 1, cfg)
			x.start()
			defer x.traffic()()
			x.passes("before the stop")
			time.Sleep(100 * time.Millisecond)
			x.end()
		})
	}
}

// TestPortsCloseAndOpenUnderTraffic closes and opens ports while traffic flows through them.
func TestPortsCloseAndOpenUnderTraffic(t *testing.T) {
	cfg := small(2)
	cfg.Handoff = true
	x := newBench(t, 1, cfg)
	x.start()
	stop := x.traffic()
	for i := range 10 {
		port := i % 2
		x.ClosePort(port)
		time.Sleep(5 * time.Millisecond)
		if err := x.OpenPort(port); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	x.passes("after ten times")
	x.end()
}

// TestInterfaceDeletedUnderTraffic deletes an interface under traffic. The port works again with a new interface of the
// same name.
func TestInterfaceDeletedUnderTraffic(t *testing.T) {
	x := newBench(t, 1, small(2))
	x.start()
	stop := x.traffic()
	x.passes("before")
	xsktest.Delete(t, "pb")
	time.Sleep(20 * time.Millisecond) // the workers continue to send on the socket of the deleted interface
	if err := x.OpenPort(1); err == nil {
		t.Error("OpenPort returns no error for a deleted interface, want one")
	}
	x.ClosePort(1)
	_, fb := xsktest.Veth(t, "pb", "fb", xsktest.VethConfig{})
	x.b = xsktest.Packet(t, fb)
	if err := x.OpenPort(1); err != nil {
		t.Fatal(err)
	}
	stop()
	x.passes("after the interface is back")
	x.end()
}

// TestPortOpenedWithoutFrames: a port that is opened without free frames works as soon as frames are free.
func TestPortOpenedWithoutFrames(t *testing.T) {
	x := newBench(t, 1, small(1))
	x.start()
	x.passes("before")
	x.ClosePort(0)
	var held []uint32
	hold := x.pool.NewCache()
	empty := func(c *frame.Cache) {
		for a, ok := c.Get(); ok; a, ok = c.Get() {
			held = append(held, a)
		}
	}
	empty(x.ctl)
	x.workers[0].do(func(w *worker) { empty(w.Cache) })
	if err := x.OpenPort(0); err != nil {
		t.Fatal(err)
	}
	if n := x.ports[0].sockets[0].Held(); n != 0 {
		t.Fatalf("the socket has %d frames, want none for this test", n)
	}
	for _, a := range held {
		hold.Put(a)
	}
	hold.Flush()
	x.passes("with frames again")
	x.end()
}

// TestManyPortsClose: all frames of closed ports return to the pool, in any number.
func TestManyPortsClose(t *testing.T) {
	e, err := New(Config{Workers: 1, Frames: 1088, RingSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	const ports = 16
	var held []uint32
	for range ports * 65 {
		a, ok := e.ctl.Get()
		if !ok {
			t.Fatalf("no frame is free after %d, want %d", len(held), ports*65)
		}
		held = append(held, a)
	}
	for p := range ports {
		for _, a := range held[p*65 : (p+1)*65] {
			e.ctl.Put(a)
		}
		e.closeSockets(&openPort{})
	}
	if n := e.ctl.Lost(); n != 0 {
		t.Errorf("%d frames lost, want none", n)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
}

// TestBurstLargerThanTheRing: all frames of a burst larger than the transmit ring are sent.
func TestBurstLargerThanTheRing(t *testing.T) {
	cfg := small(1)
	cfg.RingSize = 64
	x := newBench(t, 1, cfg)
	x.start()
	const burst = 250
	x.workers[0].do(func(w *worker) {
		for i := range burst {
			a, ok := w.Cache.Get()
			if !ok {
				t.Errorf("no frame is free after %d, want %d", i, burst)
				return
			}
			w.Move(a, frame.OwnerPool, frame.OwnerBatch)
			off := a + frame.Headroom
			f := data(0, uint64(i))
			copy(w.Mem[off:], f)
			w.Ports.Count(1, stats.Injected, 1)
			w.send(1, off, uint16(len(f)))
		}
	})
	for i := range uint64(burst) {
		f := x.b.Receive(time.Second)
		if f == nil {
			t.Fatalf("frame %d does not arrive in 1 s, want it; %d dropped as tx_ring_full",
				i, x.Ports()[1].Drops[drop.TxRingFull])
		}
		if _, seq := flowOf(f); seq != i {
			t.Fatalf("frame %d arrives, want %d", seq, i)
		}
	}
	x.end()
}

// TestFramesLeaveByTheFirstWorker: the first worker sends the frames of a worker without a queue of the egress port.
func TestFramesLeaveByTheFirstWorker(t *testing.T) {
	x := newBench(t, 2, small(2))
	x.start()
	const frames = 40 * flows
	got := [flows]uint64{}
	for seq := range uint64(frames) {
		flow := int(seq % flows)
		x.a.Send(data(flow, seq/flows+1))
		f := x.b.Receive(time.Second)
		if f == nil {
			t.Fatalf("frame %d does not arrive in 1 s, want it; ports %+v", seq, Sum(x.Ports()))
		}
		flow, n := flowOf(f)
		if n != got[flow]+1 {
			t.Fatalf("flow %d: frame %d after %d, want the next", flow, n, got[flow])
		}
		got[flow] = n
	}
	x.end()
	if n := x.workers[1].Ports.Of(0, stats.RxPackets); n == 0 {
		t.Error("worker 1 received no frame, want some for this test")
	}
	if n := x.workers[1].Ports.Of(1, stats.TxPackets); n != 0 {
		t.Errorf("worker 1 sent %d frames out of a port of which it has no queue, want none", n)
	}
	if n := x.workers[0].Ports.Of(1, stats.TxPackets); n != frames {
		t.Errorf("worker 0 sent %d frames, want %d", n, frames)
	}
}

// TestHandoffKeepsFlows: with hand-off every flow stays on one worker, and in order.
func TestHandoffKeepsFlows(t *testing.T) {
	cfg := small(2)
	cfg.Handoff = true
	x := newBench(t, 1, cfg)
	x.start()
	const rounds = 500
	last := [flows]uint64{}
	received := 0
	take := func(within time.Duration) bool {
		f := x.b.Receive(within)
		if f == nil {
			return false
		}
		flow, seq := flowOf(f)
		if seq <= last[flow] {
			t.Fatalf("flow %d: frame %d after %d, want them in order", flow, seq, last[flow])
		}
		last[flow] = seq
		received++
		return true
	}
	for seq := uint64(1); seq <= rounds; seq++ {
		for flow := range flows {
			x.a.Send(data(flow, seq))
		}
		for received < (int(seq)-4)*flows && take(time.Second) { // so that the interface's queue does not overflow
		}
	}
	for received < rounds*flows && take(time.Second) {
	}
	x.end()
	if received != rounds*flows {
		t.Errorf("%d frames arrived, want %d; ports %+v", received, rounds*flows, Sum(x.Ports()))
	}
	var flowsOf [2]int
	for flow := range flows {
		for i, w := range x.workers {
			w.Pipeline.Publish()
			n := w.VIFs.Load(flow*stats.RxTxLen + stats.Rx)
			if n == rounds {
				flowsOf[i]++
			} else if n != 0 {
				t.Errorf("worker %d had %d frames of flow %d, want all %d or none", i, n, flow, rounds)
			}
		}
	}
	if flowsOf[0] == 0 || flowsOf[1] == 0 || flowsOf[0]+flowsOf[1] != flows {
		t.Errorf("flows by worker: %v, want %d spread over both", flowsOf, flows)
	}
}

// TestPublishWaitsForEveryWorker: when Publish returns, no worker uses the old snapshot, whether the workers were busy,
// asleep or in between. The test overwrites the old tables, which must have no effect on any frame.
func TestPublishWaitsForEveryWorker(t *testing.T) {
	modes := map[string]PollMode{"adaptive": PollAdaptive, "interrupt": PollInterrupt, "busy": PollBusy}
	for name, poll := range modes {
		t.Run(name, func(t *testing.T) {
			cfg := small(2)
			cfg.Poll, cfg.SpinTime, cfg.Handoff = poll, 20*time.Microsecond, true
			x := newBench(t, 1, cfg)
			x.start()
			x.passes("before")
			stop := x.traffic()
			old := x.snapshot.Load()
			slept := uint64(0)
			for i := range 1000 {
				next := *old
				next.Generation++
				next.Ports = append([]fib.Port(nil), old.Ports...)
				x.Publish(&next)
				for p := range old.Ports {
					old.Ports[p] = fib.Port{Untagged: 1 << 20}
				}
				old = &next
				if i%100 == 0 {
					time.Sleep(2 * time.Millisecond)
				}
			}
			stop()
			for _, w := range x.Workers() {
				slept += w.Sleeps
			}
			x.end()
			ports := x.Ports()
			if n := ports[0].Drops[drop.NoRole]; n > 0 {
				t.Errorf("%d frames were processed with an old snapshot, want none", n)
			}
			if ports[1].TxPackets == 0 || poll != PollBusy && slept == 0 {
				t.Errorf("%d frames sent, %d naps; want both for this test", ports[1].TxPackets, slept)
			}
		})
	}
}

// TestInjectRefusesWhatCannotBeSent: Inject refuses data that is too long for a frame or too short for Ethernet.
func TestInjectRefusesWhatCannotBeSent(t *testing.T) {
	x := newBench(t, 1, small(1))
	x.start()
	for _, n := range []int{0, 13, 2048 - frame.Headroom + 1, frame.SlotSize + 1} {
		if x.Inject(1, make([]byte, n)) {
			t.Errorf("a frame of %d octets was accepted, want it refused", n)
		}
	}
	if x.Inject(2, data(0, 1)) || x.Inject(-1, data(0, 1)) {
		t.Error("a frame for a port that does not exist was accepted, want it refused")
	}
	if !x.Inject(1, data(0, 7)) {
		t.Error("a valid frame was refused, want it accepted")
	}
	if f := x.b.Receive(time.Second); f == nil {
		t.Error("the injected frame does not arrive in 1 s, want it")
	} else if _, seq := flowOf(f); seq != 7 {
		t.Errorf("frame %d arrives, want 7", seq)
	}
	x.end()
}
