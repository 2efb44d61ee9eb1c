package dataplane

import (
	"bytes"
	"testing"
	"time"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// station returns an inner frame of control's, of 60 octets, with the given MACs.
func station(dst, src uint64, seq byte) []byte {
	f := make([]byte, 60)
	e := wire.Ethernet(f)
	e.SetDst(dst)
	e.SetSrc(src)
	e.SetType(0x88b5) // for experiments (IEEE 802)
	f[20] = seq
	return f
}

// TestInjectInner: a frame that control injects as a station goes to the VIF that its destination MAC has, or to all of
// them; what cannot be sent is refused, or dropped with a reason; every frame is counted.
func TestInjectInner(t *testing.T) {
	x := newBench(t, 1, small(1))
	x.start()
	const own = 0x02560a0a0165
	for _, n := range []int{0, 13, 2048 - frame.Headroom + 1, frame.SlotSize + 1} {
		if x.InjectInner(100, 1, make([]byte, n)) {
			t.Errorf("a frame of %d octets was accepted, want it refused", n)
		}
	}
	inject := func(tenant, segment uint32, f []byte) {
		t.Helper()
		if !x.InjectInner(tenant, segment, f) {
			t.Fatalf("the frame was refused, want it accepted")
		}
	}
	receive := func(want []byte, text string) {
		t.Helper()
		if got := x.b.Receive(time.Second); !bytes.Equal(got, want) {
			t.Errorf("%s: % x arrives, want % x", text, got, want)
		}
	}
	one := station(target, own, 1)
	inject(100, 1, one)
	receive(one, "to a VIF")
	marked := station(target, fib.Mark|7, 2)
	inject(100, 1, marked)
	receive(marked, "from a mark")
	all := station(0xffffffffffff, own, 3)
	inject(100, 1, all)
	receive(all, "broadcast")
	if got := x.a.Receive(time.Second); !bytes.Equal(got, all) {
		t.Errorf("broadcast: % x arrives at the other port, want % x", got, all)
	}
	inject(100, 2, one)                          // no such segment
	inject(100, 1, station(0x02999999, own, 4))  // no binding
	inject(100, 1, station(target, 1<<40|1, 5))  // a group as source
	inject(100, 1, station(target, own, 6)[:14]) // a header alone
	x.end()
	p := x.Ports()[0]
	if p.Injected != 7 {
		t.Errorf("%d frames are injected, want 7", p.Injected)
	}
	for why, want := range map[drop.Reason]uint64{drop.InjectSegment: 1, drop.Unresolved: 1, drop.SourceMAC: 1} {
		if got := p.Drops[why]; got != want {
			t.Errorf("%d frames are dropped as %s, want %d", got, why, want)
		}
	}
}
