package gen

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/traffic"
)

// device is a forwarder in the test's own hands, between two veth pairs, made of packet sockets: a second receiver that
// keeps its own account of what it saw and did.
//
//	a ── da  device  db ── b
type device struct {
	t       testing.TB
	in, out *xsktest.PacketSocket
	// treat says what becomes of the n-th frame: it calls send for each frame that is to go out.
	treat func(n int, frame []byte, send func([]byte))

	stop atomic.Bool
	done sync.WaitGroup

	// Of frames with a signature, in the order in which they came and went.
	came, went []sighting
}

// sighting is a frame as the device saw it.
type sighting struct {
	seq           uint64
	stamp         int64
	before, after int64 // sending: CLOCK_MONOTONIC just before, and just after
}

// newDevice makes two veth pairs and a device between them.
func newDevice(t testing.TB, treat func(n int, frame []byte, send func([]byte))) *device {
	t.Helper()
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "da", xsktest.VethConfig{})
	xsktest.Veth(t, "b", "db", xsktest.VethConfig{})
	d := &device{t: t, treat: treat, in: xsktest.Packet(t, end(t, "da")), out: xsktest.Packet(t, end(t, "db"))}
	d.done.Go(d.forward)
	t.Cleanup(d.end)
	return d
}

func (d *device) end() {
	d.stop.Store(true)
	d.done.Wait()
}

func (d *device) forward() {
	send := func(f []byte) {
		seq, stamp, ok := traffic.Signature(f)
		s := sighting{seq: seq, stamp: stamp &^ 1, before: monotonic()}
		if err := d.out.TrySend(f); err != nil {
			d.t.Errorf("the device cannot send: %v", err)
		}
		if s.after = monotonic(); ok {
			d.went = append(d.went, s)
		}
	}
	for n := 0; !d.stop.Load(); {
		f := d.in.Receive(5 * time.Millisecond)
		if f == nil {
			continue
		}
		seq, stamp, ok := traffic.Signature(f)
		if ok {
			d.came = append(d.came, sighting{seq: seq, stamp: stamp &^ 1})
		}
		d.treat(n, slices.Clone(f), send)
		n++
	}
}

// expected is what the frames that went out amount to, by the definitions: compare package track.
type expected struct{ received, duplicates, reordered, behind, extent uint64 }

func (d *device) expected() (e expected) {
	seen := map[uint64]bool{}
	var order []uint64
	largest := uint64(0)
	for _, s := range d.went {
		if seen[s.seq] {
			e.duplicates++
			continue
		}
		seen[s.seq] = true
		e.received++
		if s.seq < largest {
			e.reordered++
			e.behind = max(e.behind, largest-s.seq)
			j := slices.IndexFunc(order, func(o uint64) bool { return o > s.seq })
			e.extent = max(e.extent, uint64(len(order)-j))
		}
		largest = max(largest, s.seq)
		order = append(order, s.seq)
	}
	return e
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
