package pathprobe

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/liveness"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
)

const (
	ms = int64(1_000_000)

	ownSwitch   = uint64(0x0200000000a0)
	otherSwitch = uint64(0x0200000000b0)
	boxMAC      = uint64(0x020000000a11)
	turn        = ms
)

// world is a box with paths to one switch, and a network that loses what the test says.
type world struct {
	t      *testing.T
	now    int64
	keeper *keeper.Keeper
	shared *keeper.Shared
	prober *Prober
	echo   *Echo
	env    *stage.Env
	snap   *fib.Snapshot
	sent   []uint64 // packets by path, of data
	way    []flight
	probes int
	events []Event

	// lost says what becomes of a probe over a path to a box: nothing comes back.
	lost func(path int, number uint8) bool
	rtt  int64
}

// flight is an ECHO under way.
type flight struct {
	at    int64
	frame []byte
}

func newWorld(t *testing.T, paths int, s Setting, boxes [fib.Targets]uint8) *world {
	w := &world{t: t, now: ms, shared: keeper.NewShared(1), rtt: ms / 4, sent: make([]uint64, paths)}
	w.keeper = keeper.New(1, w.shared)
	w.env = &stage.Env{Mem: make([]byte, 4096)}
	w.echo = NewEcho(w.env, &Shared{}, func() int64 { return w.now })
	w.prober = NewProber(w.keeper, w.shared)
	w.prober.Echo, w.prober.Clock = w.echo, func() int64 { return w.now }
	w.prober.Traffic = func(stat uint32) uint64 { return w.sent[stat] }
	w.prober.rand = rand.New(rand.NewPCG(1, uint64(paths)))
	w.keeper.Room = func(uint16) int { return 64 }
	w.keeper.Stuck = func(uint16, uint32) (bool, uint32) { return false, 0 }
	w.keeper.Clean = func(int64) bool { return true }
	w.keeper.Send = func(_ uint16, b []byte) { w.receive(b) }
	w.lost = func(int, uint8) bool { return false }
	w.snap = &fib.Snapshot{Generation: 1, Ports: []fib.Port{{Role: fib.RoleFabric, Up: true, Fabric: fib.Fabric{
		SwitchMAC: ownSwitch, OwnMAC: boxMAC, Prefix: 0x0a110000, HostMask: 0xffff, BoxIP: 0x0a110001, Number: 17}}}}
	var keys []uint64
	var values []uint32
	for i := range paths {
		w.snap.Probes = append(w.snap.Probes, fib.Probe{
			VID: uint16(101 + i), Number: 17, DstShift: 16, DstMAC: otherSwitch, SrcMAC: ownSwitch, Own: ownSwitch,
			Source: 0x0a110001, DstBase: 0x0a000000, Live: &fib.PathLive{},
		})
		keys, values = append(keys, fib.ProbeKey(otherSwitch, uint16(101+i))), append(values, uint32(i))
	}
	w.snap.ProbeVLANs = table.NewStatic(keys, values)
	w.env.Snap = w.snap
	w.shared.Open(0, true)
	w.prober.Set(s)
	w.prober.SetBoxes(Boxes{otherSwitch: boxes})
	return w
}

// receive is the network and the other box: what it answers is under way.
func (w *world) receive(b []byte) {
	w.probes++
	vid := int(binary.BigEndian.Uint16(b[14:])) & 0xfff
	number := b[ipAt+17]
	if w.lost(vid-101, number) {
		return
	}
	c := append([]byte(nil), b[:12]...)
	c = append(c, b[16:]...) // the switch takes the tag off
	copy(c[14+12:], b[ipAt+16:ipAt+20])
	copy(c[14+16:], b[ipAt+12:ipAt+16])
	c[14+20+8+3] = resolve.OpEcho
	w.way = append(w.way, flight{w.now + w.rtt, c})
}

// deliver takes the echoes that arrive by now, and returns the last packet.
func (w *world) deliver() (p frame.Packet) {
	kept := w.way[:0]
	for _, f := range w.way {
		if f.at > w.now {
			kept = append(kept, f)
			continue
		}
		p = w.take(f.frame)
	}
	w.way = kept
	return p
}

// take lets the receiving side take a frame of a box.
func (w *world) take(b []byte) frame.Packet {
	p := frame.Packet{Off: frame.Headroom, Len: uint16(len(b)), L3: 14}
	copy(w.env.Mem[p.Off:], b)
	w.env.Now = w.now
	w.echo.Take(&p, w.env.Mem[int(p.Off)+42:int(p.Off)+len(b)])
	return p
}

// run lets time pass, in turns of the worker; used says that data goes over the first path.
func (w *world) run(d int64, used bool) {
	for end := w.now + d; w.now < end; {
		w.now += turn
		w.deliver()
		if used {
			w.sent[0]++
		}
		w.keeper.Turn(w.now, w.snap)
		w.prober.Events.Take(func(e Event) { w.events = append(w.events, e) })
	}
}

func (w *world) state(path int) liveness.State {
	return liveness.State(w.snap.Probes[path].Live.State.Load())
}

// wantStates compares the states of all paths.
func (w *world) wantStates(what string, want ...liveness.State) {
	w.t.Helper()
	for i, s := range want {
		if got := w.state(i); got != s {
			w.t.Errorf("%s: path %d is %v, want %v", what, i, got, s)
		}
	}
}

func (w *world) count(kind Kind) (n int) {
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
