package neigh

import (
	"net"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire"
)

const ownMAC uint64 = 0x02560a010065

// directed returns the tables of the tests with a director's own addresses, on this box or on another.
func directed(t *testing.T, here bool) *fib.Snapshot {
	s := snapshot(t)
	s.VIPs = []fib.VIP{
		{Ref: 1 << fib.RefBits, IP4: ip4("10.1.0.101"), MAC: ownMAC, Own: true, Here: here},
		{Ref: 1<<fib.RefBits | 1, IP6: halves("fd00::65"), V6: true, MAC: ownMAC, Own: true, Here: here},
		{Ref: 1<<fib.RefBits | 2, IP4: ip4("10.1.0.100"), MAC: 0x02560a010064, Here: here},
	}
	g := &s.Segments[0]
	g.VIPs4 = []fib.SegmentVIP4{{IP: ip4("10.1.0.100"), VIP: 2}, {IP: ip4("10.1.0.101"), VIP: 0}}
	g.VIPs6 = []fib.SegmentVIP6{{IP: halves("fd00::65"), VIP: 1}}
	return s
}

// TestDirectorAsksItsServers: the unicast question of a director reaches its server from the fabric, the answer reaches
// the director, on this box or on another; nobody else's does.
func TestDirectorAsksItsServers(t *testing.T) {
	advert := func(dst, src uint64, to string) []byte {
		return nd(t, wire.ICMPv6NeighborAdvert, dst, src, "fd00::a", to,
			&layers.ICMPv6NeighborAdvertisement{TargetAddress: net.ParseIP("fd00::a")})
	}
	ask := func(dst, src uint64, from string) []byte {
		return nd(t, wire.ICMPv6NeighborSolicit, dst, src, from, "fd00::a",
			&layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP("fd00::a")})
	}
	const none = drop.None
	for _, tc := range []struct {
		name         string
		frame        []byte
		here, fabric bool
		next         frame.Next
		why          drop.Reason
	}{
		{"answer at the director", arp(t, wire.ARPReply, ownMAC, macA, "10.1.0.10", "10.1.0.101"), true, false,
			frame.NextPunt, none},
		{"answer from the fabric", arp(t, wire.ARPReply, ownMAC, macC, "10.1.0.12", "10.1.0.101"), true, true,
			frame.NextPunt, none},
		{"answer to another box, without a row", arp(t, wire.ARPReply, ownMAC, macA, "10.1.0.10", "10.1.0.101"), false,
			false, frame.NextDrop, drop.Unresolved},
		{"answer that is not for here", arp(t, wire.ARPReply, ownMAC, macC, "10.1.0.12", "10.1.0.101"), false, true,
			frame.NextDrop, drop.FabricNotHere},
		{"answer to another MAC", arp(t, wire.ARPReply, macB, macA, "10.1.0.10", "10.1.0.101"), true, false,
			frame.NextDrop, drop.ARPForeign},
		{"answer to a VIP", arp(t, wire.ARPReply, 0x02560a010064, macA, "10.1.0.10", "10.1.0.100"), true, false,
			frame.NextDrop, drop.ARPForeign},
		{"answer of the router's address", arp(t, wire.ARPReply, ownMAC, macA, "10.1.0.254", "10.1.0.101"), true, false,
			frame.NextDrop, drop.SpoofARP},
		{"question from the fabric", arp(t, wire.ARPRequest, macA, ownMAC, "10.1.0.101", "10.1.0.10"), false, true,
			frame.NextDeliver, none},
		{"question of another MAC", arp(t, wire.ARPRequest, macA, macC, "10.1.0.101", "10.1.0.10"), false, true,
			frame.NextPunt, drop.VIPConflict},
		{"question to all", arp(t, wire.ARPRequest, wire.Broadcast, ownMAC, "10.1.0.101", "10.1.0.10"), false, true,
			frame.NextDrop, drop.ARPForeign},
		{"advertisement at the director", advert(ownMAC, macA, "fd00::65"), true, false, frame.NextPunt, none},
		{"advertisement from the fabric", advert(ownMAC, macC, "fd00::65"), true, true, frame.NextPunt, none},
		{"solicitation from the fabric", ask(macA, ownMAC, "fd00::65"), false, true, frame.NextDeliver, none},
		{"solicitation of another MAC", ask(macA, macC, "fd00::65"), false, true, frame.NextPunt, drop.VIPConflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem, b := parsed(t, tc.frame, 0, 0, 0)
			p := &b.Pkt[0]
			s := directed(t, tc.here)
			st := newState(mem, s)
			if tc.fabric {
				p.Flags |= frame.FlagFromFabric
				p.Attach, p.VIF = frame.NoIndex, frame.NoIndex
				st.Box(b)
			} else {
				st.Answer(b)
			}
			if p.Next != tc.next || tc.next == frame.NextDrop && p.Drop != tc.why {
				t.Errorf("next %d, %s; want %d, %s", p.Next, p.Drop, tc.next, tc.why)
			}
			kind := punt.Check
			if tc.why == drop.VIPConflict {
				kind = punt.VIPConflict
			}
			if p.Next == frame.NextPunt && punt.Kind(p.Kind) != kind {
				t.Errorf("punted as %s, want %s", punt.Kind(p.Kind), kind)
			}
		})
	}
}
