package overlay

import (
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
)

// TestQuickVIP: what a station sends to a virtual address comes to the balancer with the same fields whether the lookup
// finds the address or the station has sent to it before.
func TestQuickVIP(t *testing.T) {
	s := quickWorld(t)
	const vip = 0x02560a000064
	for _, row := range []table.Binding{
		{Seg: 0, MAC: vip, Loc: fib.VIPLoc(3)}, {Seg: 1, MAC: vip, Loc: fib.RemoteLoc(0, 1)},
		{Seg: 0, MAC: quickPeer, Loc: fib.RemoteLoc(0, 1)},
	} {
		if err := s.Bindings.Upsert(&row); err != nil {
			t.Fatal(err)
		}
	}
	toVIP := func(vlan int) []byte { return ip4(vip, quickVM, vlan, 0x0a000001, 0x0a000064, 17, udpPayload()) }
	toPeer := ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 17, udpPayload())
	own := ip4(vip, quickVM, 5, 0x0a000001, 0x0a000064, 17, udpPayload()) // of another segment: another station there
	list := [][]byte{toPeer, toVIP(-1), toVIP(-1), toPeer, toVIP(-1), toVIP(0), toVIP(0), own, own, toVIP(-1), own}
	for _, workers := range []uint32{0, 3} {
		a, b := quickState(workers), quickState(workers)
		lookups := 0
		for i, f := range list {
			b.syncCaches(nil)
			x, y := resolved(f, s, a), resolved(f, s, b)
			if x.p != y.p || x.next != y.next {
				t.Errorf("%d workers, frame %d: a station known to send gives\n%+v, want what the lookup gives:\n%+v",
					workers, i, x, y)
			}
			lookups += x.lookups
		}
		if want := 8; workers == 0 && lookups != want {
			t.Errorf("%d frames needed %d lookups, want %d", len(list), lookups, want)
		}
	}
	// Other tables: the address is elsewhere.
	st := quickState(0)
	resolved(toVIP(-1), s, st)
	next := *s
	if err := s.Bindings.Upsert(&table.Binding{Seg: 0, MAC: vip, Loc: fib.RemoteLoc(0, 2)}); err != nil {
		t.Fatal(err)
	}
	if x := resolved(toVIP(-1), &next, st); x.p.Next != frame.NextEncap {
		t.Errorf("the virtual address is elsewhere in new tables: Next is %d, want %d", x.p.Next, frame.NextEncap)
	}
}

type resolution struct {
	p       frame.Packet
	next    frame.Next
	lookups int
}

// resolved runs access stage and lookup over a frame.
func resolved(f []byte, s *fib.Snapshot, st *State) resolution {
	mem := append(make([]byte, frame.Headroom), f...)
	b := &frame.Batch{N: 1}
	b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: uint16(len(f))}
	st.Mem, st.Snap, st.Port = mem, s, 0
	todo := st.Access(b)
	r := resolution{lookups: int(st.pending)}
	if todo&(1<<frame.NextLookup) != 0 {
		st.Resolve(b)
	}
	r.p, r.next = b.Pkt[0], b.Pkt[0].Next
	if r.next == frame.NextHandoff { // the other worker parses it again
		r.p = frame.Packet{}
	}
	return r
}
