package route

import (
	"testing"

	"penstock/dataplane/frame"
)

// TestAfterDefaultRoute: a packet to a subnet goes to its own destination, even if the packet before in the same slot
// of the batch went to the default route.
func TestAfterDefaultRoute(t *testing.T) {
	s := snapshot(t)
	r := &s.Routers[0]
	r.Via6, r.Via6Seg = halves("fd02::b"), 1
	r.Via4, r.Via4Seg = ip4("10.2.0.11"), 1
	for _, tt := range []struct{ from, away, home string }{
		{"fd01::a", "2001:db8::1", "fd02::c"},
		{"10.1.0.10", "192.0.2.1", "10.2.0.12"},
	} {
		mem, b := parsed(t, 0, packet(t, tt.from, tt.away, 64))
		st := newState(mem, s)
		st.Route(b)
		if p := &b.Pkt[0]; p.Next != frame.NextDeliver || p.DstMAC != macB {
			t.Fatalf("to %s: next %d, MAC %012x; want %d, %012x by the default route",
				tt.away, p.Next, p.DstMAC, frame.NextDeliver, macB)
		}
		st.Mem, b = parsed(t, 0, packet(t, tt.from, tt.home, 64))
		st.Route(b)
		if p := &b.Pkt[0]; p.Next != frame.NextEncap || p.DstMAC != macC {
			t.Errorf("to %s after %s: next %d, MAC %012x; want %d, %012x",
				tt.home, tt.away, p.Next, p.DstMAC, frame.NextEncap, macC)
		}
	}
}
