package integration

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/status"
	"penstock/integration/endpoint"
)

// TestOverload sends as fast as it can in both directions: frames may be lost, none may be unaccounted for, and
// afterwards everything works as before.
func TestOverload(t *testing.T) {
	o := rawPair()
	o.Dataplane.Poll = "adaptive"
	t.Run("one worker", func(t *testing.T) { testOverload(t, o) })
	t.Run("two workers", func(t *testing.T) { testOverload(t, twoWorkers()) })
}

func testOverload(t *testing.T, o options) {
	o.Dataplane.RingSize = 256
	f := startFabric(t, o)
	names := [2]string{"red-vm1", "red-vm2"}
	raws := [2]*endpoint.Raw{f.raw(t, names[0]), f.raw(t, names[1])}
	var senders sync.WaitGroup
	stopped := time.Now().Add(2 * time.Second)
	for i := range 2 {
		frames, err := endpoint.Mix(endpoint.MixOptions{Seed: uint64(i), From: f.host(names[i]),
			To: f.host(names[1-i])}, 500)
		must(t, err)
		senders.Go(func() {
			for n := 0; time.Now().Before(stopped); n++ {
				if err := raws[i].Send(frames[n%len(frames)]); err != nil && !errors.Is(err, unix.ENOBUFS) {
					t.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	time.Sleep(100 * time.Millisecond)
	for _, n := range []string{"box1", "box2", "swa", "swb"} {
		f.balanced(n)
	}
	f.logPorts(t)
	for i := range 2 {
		raws[i].Close()
		raws[i] = f.raw(t, names[i]) // without what is still unread
	}
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 77, From: f.host(names[0]), To: f.host(names[1]),
		First: 1 << 20}, 500)
	must(t, err)
	sendMix(t, raws[0], raws[1], frames)
}

// logPorts logs what every port has counted.
func (f *fabric) logPorts(t *testing.T) {
	t.Helper()
	for n := range f.procs {
		var ports status.Items[status.Port]
		f.get(n, "/v1/stats/ports", &ports)
		for _, p := range ports.Items {
			t.Logf("%s %s: received %d, sent %d, dropped %v; by the kernel %+v", n, p.Name, p.RxPackets, p.TxPackets,
				p.Reasons, p.Kernel)
		}
	}
}

// TestMutations throws frames with random changes at both sides of a box. Whatever becomes of them, the box stays up
// and balanced, sends nothing that is not right, and lets nothing through to the other tenant.
func TestMutations(t *testing.T) {
	f := startFabric(t, oneBox())
	edge, raw := f.edge(t, "box1"), f.raw(t, "red-raw1")
	blue := f.raw(t, "blue-vm1")
	rng := rand.New(rand.NewPCG(1, 2))
	access, err := endpoint.Mix(endpoint.MixOptions{Seed: 21, From: f.host("red-raw1"), To: f.host("red-vm2")}, 500)
	must(t, err)
	inner, err := endpoint.Mix(endpoint.MixOptions{Seed: 22, From: f.host("red-vm2"), To: f.host("red-vm1")}, 500)
	must(t, err)
	var fabric [][]byte
	for _, frame := range inner {
		fabric = append(fabric, edge.ToBox(2, 100, 7, 101, frame).Encode())
	}
	const n = 20_000
	for i := range n {
		source, frames := raw, access
		if i%2 == 0 {
			source, frames = edge.Raw, fabric
		}
		frame := mutate(rng, frames[rng.IntN(len(frames))])
		if err := source.Send(frame); err != nil && !errors.Is(err, unix.ENOBUFS) {
			t.Fatal(err)
		}
		if i%64 == 0 {
			time.Sleep(200 * time.Microsecond)
		}
	}
	time.Sleep(50 * time.Millisecond)
	f.balanced("box1")
	out, err := edge.Collect(50 * time.Millisecond)
	must(t, err)
	encapsulated := 0
	for _, frame := range out {
		outer, err := endpoint.DecodeOuter(frame)
		if err != nil {
			if endpoint.ParseARP(frame) != nil {
				continue // an answer to an ARP for the box
			}
			t.Errorf("the box sends %v: % x", err, frame)
			continue
		}
		encapsulated++
		if got := outer.Dst; got != endpoint.Special(f.Options.Scheme, 2, 100) &&
			got != endpoint.Special(f.Options.Scheme, 3, 100) {
			t.Errorf("to %v: not tenant red", got)
		}
	}
	if encapsulated == 0 {
		t.Error("nothing got through at all: the mutations are too coarse")
	}
	leaked, err := blue.Collect(0)
	must(t, err)
	for _, frame := range leaked {
		// A changed low octet of the outer destination names another tenant: that is as good as sent by its box.
		if m := endpoint.MACAt(frame); m != f.host("blue-vm1").MAC && !m.IsGroup() {
			t.Errorf("blue sees % x", frame)
		}
	}
	t.Logf("%d of %d frames encapsulated, %d dropped: %v", encapsulated, n, total(f.drops("box1")), f.drops("box1"))
}

// mutate changes a frame: bits, octets, its length.
func mutate(rng *rand.Rand, frame []byte) []byte {
	b := append([]byte(nil), frame...)
	for range rng.IntN(4) {
		at := rng.IntN(min(len(b), 80))
		if rng.IntN(2) == 0 {
			b[at] ^= 1 << rng.IntN(8)
		} else {
			b[at] = byte(rng.Uint32())
		}
	}
	switch rng.IntN(6) {
	case 0:
		b = b[:14+rng.IntN(len(b)-14)]
	case 1:
		b = append(b, make([]byte, rng.IntN(20))...)
	}
	return b[:min(len(b), 1500)]
}
