package edge

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

const bcast = uint64(wire.Broadcast)

// TestVerdicts covers every verdict. The FDB has remoteMAC behind trunk A and otherMAC behind trunk B, both in vidABC.
func TestVerdicts(t *testing.T) {
	const ipBox1, ipBox2, ipBox3 = "10.1.0.2", "10.2.0.2", "10.3.0.2"
	shortARP := arpPacket(t, ownMAC, box1MAC, -1, layers.ARPReply)[:macHeader+27]
	badARP := arpPacket(t, ownMAC, box1MAC, -1, layers.ARPReply)
	badARP[macHeader+1] = 6 // IEEE 802 networks instead of Ethernet
	badIP := overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 64, 60)
	badIP[macHeader+tagSize+10] ^= 1
	lldp := uint64(0x0180c200000e)

	tests := []struct {
		name string
		port uint16
		b    []byte
		out  []uint16 // sent
		why  drop.Reason
		punt punt.Kind
		edit func(*fib.Snapshot)
	}{
		{name: "trunk to box", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 64, 60), out: []uint16{portDown1}},
		{name: "trunk to the other box", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox2, 2, 60), out: []uint16{portDown2}},
		{name: "same switch, box's own MAC", port: portDown1,
			b: overlayPacket(t, ownMAC, box1MAC, vidAB, ipBox2, 64, 60), out: []uint16{portDown2}},
		{name: "same switch, VLAN of no trunk", port: portDown1,
			b: overlayPacket(t, ownMAC, box1MAC, vidNowhere, ipBox2, 64, 60), out: []uint16{portDown2}},
		{name: "same switch, priority-tagged", port: portDown1,
			b: overlayPacket(t, ownMAC, box1MAC, 0, ipBox2, 64, 60), out: []uint16{portDown2}},
		{name: "same switch, both MACs equal", port: portDown1,
			b: overlayPacket(t, ownMAC, ownMAC, vidAB, ipBox2, 64, 60), why: drop.EdgeSourceMAC},
		{name: "same switch, untagged", port: portDown1,
			b: overlayPacket(t, ownMAC, box1MAC, -1, ipBox2, 64, 60), why: drop.EdgeUntagged},
		{name: "same switch, VID 4095", port: portDown1,
			b: overlayPacket(t, ownMAC, box1MAC, 4095, ipBox2, 64, 60), why: drop.EdgeVLAN},
		{name: "same switch, back to the sender", port: portDown1,
			b: overlayPacket(t, ownMAC, box1MAC, vidAB, ipBox1, 64, 60), why: drop.EdgeHairpin},
		{name: "foreign source on a downlink", port: portDown1,
			b: overlayPacket(t, ownMAC, box2MAC, vidAB, ipBox2, 64, 60), why: drop.EdgeSourceMAC},
		{name: "source of an unresolved box", port: portDown3,
			b: overlayPacket(t, ownMAC, box2MAC, vidAB, ipBox2, 64, 60), why: drop.EdgeSourceMAC},
		{name: "IPv6 to the switch", port: portTrunkA,
			b: payload(t, ownMAC, remoteMAC, vidABC, layers.EthernetTypeIPv6), why: drop.EdgeNotIP},
		{name: "IPv6 to the switch from a box", port: portDown1,
			b: payload(t, ownMAC, box1MAC, vidABC, layers.EthernetTypeIPv6), why: drop.EdgeNotIP},
		{name: "invalid IPv4 to the switch", port: portTrunkA, b: badIP, why: drop.EdgeNotIP},
		{name: "no such downlink", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.9.0.2", 64, 60), why: drop.EdgeNoRoute},
		{name: "outside the scheme", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, "11.1.0.2", 64, 60), why: drop.EdgeNoRoute},
		{name: "TTL 1", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 1, 60), why: drop.EdgeTTL},
		{name: "TTL 0", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 0, 60), why: drop.EdgeTTL},
		{name: "unresolved box", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox3, 64, 60), why: drop.EdgeNeighbor},
		{name: "largest for the downlink", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 64, 1580), out: []uint16{portDown1}},
		{name: "too large for the downlink", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 64, 1581), why: drop.EdgeMTU},
		{name: "downlink down", port: portTrunkA,
			b: overlayPacket(t, ownMAC, remoteMAC, vidABC, ipBox1, 64, 60), why: drop.TxPortDown,
			edit: func(s *fib.Snapshot) { s.Ports[portDown1].Up = false }},

		{name: "ARP reply of a resolved box", port: portDown1,
			b: arpPacket(t, ownMAC, box1MAC, -1, layers.ARPReply), punt: punt.ARP},
		{name: "ARP reply of an unresolved box", port: portDown3,
			b: arpPacket(t, ownMAC, otherMAC, -1, layers.ARPReply), punt: punt.ARP},
		{name: "ARP reply of another", port: portDown1,
			b: arpPacket(t, ownMAC, otherMAC, -1, layers.ARPReply), why: drop.EdgeSourceMAC},
		{name: "ARP reply from the switch's MAC", port: portDown3,
			b: arpPacket(t, ownMAC, ownMAC, -1, layers.ARPReply), why: drop.EdgeSourceMAC},
		{name: "ARP announcement", port: portDown1,
			b: arpPacket(t, bcast, box1MAC, -1, layers.ARPReply), why: drop.PuntUnwanted},
		{name: "ARP request", port: portDown1,
			b: arpPacket(t, bcast, box1MAC, -1, layers.ARPRequest), why: drop.PuntUnwanted},
		{name: "ARP to the switch from a trunk", port: portTrunkA,
			b: arpPacket(t, ownMAC, remoteMAC, vidABC, layers.ARPReply), why: drop.PuntUnwanted},
		{name: "ARP cut off", port: portDown1, b: shortARP, why: drop.ARPMalformed},
		{name: "ARP of another hardware", port: portDown1, b: badARP, why: drop.ARPMalformed},
		{name: "ARP broadcast on a trunk", port: portTrunkA,
			b: arpPacket(t, bcast, remoteMAC, vidAB, layers.ARPRequest), out: []uint16{portTrunkB}},

		{name: "box to a known switch", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidABC, ipBox1, 64, 60), out: []uint16{portTrunkA}},
		{name: "box to an unknown switch", port: portDown1,
			b:   overlayPacket(t, 0x02dd00000001, ownMAC, vidABC, ipBox1, 64, 60),
			out: []uint16{portTrunkA, portTrunkB, portTrunkC}},
		{name: "known in another VLAN only", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidAB, ipBox1, 64, 60), out: []uint16{portTrunkA, portTrunkB}},
		{name: "box, untagged", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, -1, ipBox1, 64, 60), why: drop.EdgeUntagged},
		{name: "box, priority-tagged", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, 0, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "box, VID 4095", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, 4095, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "box, reserved VID with members", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, 4095, ipBox1, 64, 60), why: drop.EdgeVLAN,
			edit: func(s *fib.Snapshot) { s.Edge.VLANs[4095] = []uint16{portTrunkA} }},
		{name: "box, VID 0 with members", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, 0, ipBox1, 64, 60), why: drop.EdgeVLAN,
			edit: func(s *fib.Snapshot) { s.Edge.VLANs[0] = []uint16{portTrunkA} }},
		{name: "box, VLAN of no trunk", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidNowhere, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "box, too large for the trunk", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidABC, ipBox1, 64, 1581), why: drop.EdgeMTU},
		{name: "binding message", port: portDown1,
			b:   payload(t, bcast, ownMAC, vidControl, 0x88b5),
			out: []uint16{portDown2, portDown3, portTrunkA, portTrunkB, portTrunkC}},
		{name: "binding message from a trunk", port: portTrunkB,
			b:   payload(t, bcast, remoteMAC, vidControl, 0x88b5),
			out: []uint16{portDown1, portDown2, portDown3, portTrunkA, portTrunkC}},
		{name: "broadcast outside the control VLAN", port: portDown1,
			b: payload(t, bcast, ownMAC, vidABC, 0x88b5), out: []uint16{portTrunkA, portTrunkB, portTrunkC}},

		{name: "transit", port: portTrunkC,
			b: overlayPacket(t, remoteMAC, 0x02dd00000001, vidABC, ipBox1, 64, 60), out: []uint16{portTrunkA}},
		{name: "transit, unknown", port: portTrunkC,
			b:   overlayPacket(t, 0x02dd00000002, 0x02dd00000001, vidABC, ipBox1, 64, 60),
			out: []uint16{portTrunkA, portTrunkB}},
		{name: "transit, multicast", port: portTrunkC,
			b: payload(t, 0x01005e000001, 0x02dd00000001, vidABC, 0x88b5), out: []uint16{portTrunkA, portTrunkB}},
		{name: "transit, back", port: portTrunkA,
			b: overlayPacket(t, remoteMAC, otherMAC, vidABC, ipBox1, 64, 60), why: drop.EdgeHairpin},
		{name: "transit, VLAN of this trunk alone", port: portTrunkC,
			b: overlayPacket(t, 0x02dd00000002, otherMAC, vidC, ipBox1, 64, 60), why: drop.EdgeHairpin},
		{name: "transit, VLAN not allowed here", port: portTrunkA,
			b: overlayPacket(t, 0x02dd00000002, otherMAC, vidC, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "trunk to the switch, VLAN not allowed here", port: portTrunkA,
			b: overlayPacket(t, ownMAC, otherMAC, vidC, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "transit, untagged", port: portTrunkA,
			b: overlayPacket(t, remoteMAC, otherMAC, -1, ipBox1, 64, 60), why: drop.EdgeUntagged},
		{name: "transit, priority-tagged", port: portTrunkA,
			b: overlayPacket(t, ownMAC, otherMAC, 0, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "transit, VID 4095", port: portTrunkA,
			b: overlayPacket(t, remoteMAC, otherMAC, 4095, ipBox1, 64, 60), why: drop.EdgeVLAN},
		{name: "own source MAC from a trunk", port: portTrunkA,
			b: payload(t, bcast, ownMAC, vidABC, 0x88b5), why: drop.EdgeLoop},
		{name: "learned trunk down", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidABC, ipBox1, 64, 60), out: []uint16{portTrunkB, portTrunkC},
			edit: func(s *fib.Snapshot) { s.Ports[portTrunkA].Up = false }},
		{name: "learned trunk lost the VLAN", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidABC, ipBox1, 64, 60), out: []uint16{portTrunkB},
			edit: func(s *fib.Snapshot) {
				s.Edge.ByPort[portTrunkA].Allow[0] &^= 1 << vidABC
				s.Edge.VLANs[vidABC] = []uint16{portTrunkB}
			}},
		{name: "learned trunk is a downlink now", port: portDown1,
			b: overlayPacket(t, remoteMAC, ownMAC, vidABC, ipBox1, 64, 60), out: []uint16{portTrunkB},
			edit: func(s *fib.Snapshot) {
				s.Ports[portTrunkA].Role = fib.RoleDownlink
				s.Edge.VLANs[vidABC] = []uint16{portTrunkB}
			}},
		{name: "one trunk has a smaller MTU", port: portDown1,
			b: payload(t, bcast, ownMAC, vidABC, 0x88b5), out: []uint16{portTrunkA, portTrunkC},
			edit: func(s *fib.Snapshot) { s.Ports[portTrunkB].MTU = 45 }},
		{name: "no trunk is up", port: portTrunkA, b: payload(t, bcast, remoteMAC, vidAB, 0x88b5), why: drop.TxPortDown,
			edit: func(s *fib.Snapshot) { s.Ports[portTrunkB].Up = false }},
		{name: "no trunk has the MTU", port: portTrunkA,
			b: payload(t, bcast, remoteMAC, vidAB, 0x88b5), why: drop.EdgeMTU,
			edit: func(s *fib.Snapshot) { s.Ports[portTrunkB].MTU = 45 }},

		{name: "LLDP from a box", port: portDown1,
			b: payload(t, lldp, box2MAC, -1, layers.EthernetTypeLinkLayerDiscovery), punt: punt.LLDP},
		{name: "LLDP from a trunk", port: portTrunkA,
			b: payload(t, lldp, otherMAC, -1, layers.EthernetTypeLinkLayerDiscovery), punt: punt.LLDP},
		{name: "STP", port: portTrunkA, b: payload(t, 0x0180c2000000, otherMAC, -1, 0x26), why: drop.LinkLocalGroup},
		{name: "link-local group in a VLAN", port: portTrunkA,
			b: payload(t, 0x0180c200000f, otherMAC, vidABC, 0x26), why: drop.LinkLocalGroup},
		{name: "next to the link-local groups", port: portTrunkA,
			b: payload(t, 0x0180c2000010, otherMAC, vidAB, 0x26), out: []uint16{portTrunkB}},

		{name: "not a port of the switch", port: portAccess,
			b: payload(t, bcast, otherMAC, vidAB, 0x26), why: drop.NoRole},
		{name: "port without tables", port: portCount, b: payload(t, bcast, otherMAC, vidAB, 0x26), why: drop.NoRole},
		{name: "trunk without VLANs", port: portTrunkA, b: payload(t, bcast, otherMAC, vidAB, 0x26), why: drop.EdgeVLAN,
			edit: func(s *fib.Snapshot) { s.Edge.ByPort[portTrunkA].Allow = nil }},
		{name: "no VLANs at all", port: portDown1, b: payload(t, bcast, ownMAC, vidAB, 0x26), why: drop.EdgeVLAN,
			edit: func(s *fib.Snapshot) { s.Edge.VLANs = nil }},
	}
	seen := map[drop.Reason]bool{}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			n := newBench()
			n.FDB.learn(vidABC, remoteMAC, portTrunkA, 0)
			n.FDB.learn(vidABC, otherMAC, portTrunkB, 0)
			if c.edit != nil {
				c.edit(n.s)
			}
			p := n.one(c.port, c.b)
			switch {
			case c.punt != 0:
				if p.Next != frame.NextPunt || punt.Kind(p.Kind) != c.punt {
					t.Fatalf("next %d kind %d drop %q, want punt of kind %d", p.Next, p.Kind, p.Drop, c.punt)
				}
				if !bytes.Equal(p.Bytes(n.Mem), c.b) {
					t.Errorf("the punted frame is % x, want it unchanged % x", p.Bytes(n.Mem), c.b)
				}
			case c.why != drop.None:
				if p.Next != frame.NextDrop || p.Drop != c.why {
					t.Fatalf("next %d drop %q out %d, want drop %q", p.Next, p.Drop, p.Out, c.why)
				}
			default:
				if got := n.outs(p); !slices.Equal(got, c.out) {
					t.Fatalf("next %d drop %q: sent to %v, want %v", p.Next, p.Drop, got, c.out)
				}
			}
			if p.Next != frame.NextTx && len(n.copies) != 0 {
				t.Errorf("%d copies of a frame that is not sent, want none", len(n.copies))
			}
		})
		seen[c.why] = true
	}
	for r := drop.EdgeVLAN; r <= drop.EdgeLoop; r++ {
		if !seen[r] {
			t.Errorf("no case for %q, want one for each reason of the edge switch", r)
		}
	}
}

// TestRoutedFrame decodes frames sent out of a downlink, for every TTL.
func TestRoutedFrame(t *testing.T) {
	n := newBench()
	for ttl := 2; ttl < 256; ttl++ {
		in := overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.2.1.44", uint8(ttl), ttl)
		p := n.one(portTrunkA, in)
		if p.Next != frame.NextTx || p.Out != portDown2 {
			t.Fatalf("TTL %d: next %d out %d drop %q, want it sent out of %d", ttl, p.Next, p.Out, p.Drop, portDown2)
		}
		out := p.Bytes(n.Mem)
		if len(out) != len(in)-tagSize {
			t.Fatalf("%d octets, want %d", len(out), len(in)-tagSize)
		}
		pkt := gopacket.NewPacket(out, layers.LayerTypeEthernet, gopacket.Default)
		eth := pkt.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		ip, ok := pkt.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if !ok || !bytes.Equal(eth.DstMAC, hw(box2MAC)) || !bytes.Equal(eth.SrcMAC, hw(ownMAC)) {
			t.Fatalf("frame %v, want IPv4 from %v to %v", pkt, hw(ownMAC), hw(box2MAC))
		}
		if int(ip.TTL) != ttl-1 || ip.Id != vidABC || !ip.DstIP.Equal(net.IPv4(10, 2, 1, 44)) {
			t.Fatalf("header %+v, want TTL %d, ID %d, to 10.2.1.44", ip, ttl-1, vidABC)
		}
		if sum := headerSum(out[macHeader : macHeader+20]); sum != 0xffff {
			t.Fatalf("TTL %d: header sums to %#04x, want 0xffff", ttl, sum)
		}
		if !bytes.Equal(out[macHeader+20:], in[macHeader+tagSize+20:]) {
			t.Fatalf("payload % x, want % x", out[macHeader+20:], in[macHeader+tagSize+20:])
		}
		if p.DstMAC != box2MAC || p.SrcMAC != ownMAC || p.L3 != macHeader || p.VID != 0 || p.Has(frame.FlagTagged) {
			t.Fatalf("metadata %+v, want untagged from %012x to %012x, L3 %d", p, ownMAC, box2MAC, macHeader)
		}
	}
}

// TestTTLChecksum covers all checksums of a header whose TTL is decremented.
func TestTTLChecksum(t *testing.T) {
	n := newBench()
	b := overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.2.1.44", 64, 40)
	h := b[macHeader+tagSize:][:20]
	for id := range 1 << 16 {
		h[4], h[5] = byte(id>>8), byte(id)
		h[10], h[11] = 0, 0
		sum := ^headerSum(h)
		h[10], h[11] = byte(sum>>8), byte(sum)
		p := n.one(portTrunkA, b)
		if p.Next != frame.NextTx {
			t.Fatalf("ID %#x: drop %q, want it sent", id, p.Drop)
		}
		if sum := headerSum(p.Bytes(n.Mem)[macHeader:][:20]); sum != 0xffff {
			t.Fatalf("ID %#x: header sums to %#04x, want 0xffff", id, sum)
		}
	}
}

// TestForwardedFrame: VLAN forwarding changes no octet.
func TestForwardedFrame(t *testing.T) {
	n := newBench()
	in := overlayPacket(t, remoteMAC, ownMAC, vidABC, "10.2.1.44", 64, 100)
	p := n.one(portDown1, in)
	if p.Next != frame.NextTx || !bytes.Equal(p.Bytes(n.Mem), in) {
		t.Fatalf("next %d, frame % x; want it sent unchanged % x", p.Next, p.Bytes(n.Mem), in)
	}
	if len(n.copies) != 2 {
		t.Fatalf("%d copies, want 2", len(n.copies))
	}
	for _, c := range n.copies {
		if !bytes.Equal(c.Bytes(n.Mem), in) {
			t.Fatalf("copy % x, want the frame % x", c.Bytes(n.Mem), in)
		}
	}
}

func TestSchemeP(t *testing.T) {
	n := newBench()
	n.s.Edge.Net, n.s.Edge.HostBits = 0, 24
	p := n.one(portTrunkA, overlayPacket(t, ownMAC, remoteMAC, vidABC, "2.9.8.7", 64, 60))
	if p.Next != frame.NextTx || p.Out != portDown2 {
		t.Fatalf("next %d out %d drop %q, want it sent out of %d", p.Next, p.Out, p.Drop, portDown2)
	}
	p = n.one(portTrunkA, overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.2.8.7", 64, 60))
	if p.Drop != drop.EdgeNoRoute {
		t.Fatalf("drop %q, want edge_no_route", p.Drop)
	}
}

func TestLearning(t *testing.T) {
	n := newBench()
	known := func() (list []Entry) {
		n.FDB.Entries(uint32(n.Now/int64(time.Second)), func(e Entry) bool { list = append(list, e); return true })
		return list
	}
	// The switch does not learn a box's source, its own MAC, or an address in a VLAN that is not allowed.
	n.one(portDown1, overlayPacket(t, otherMAC, ownMAC, vidABC, "10.2.1.44", 64, 60))
	n.one(portTrunkA, overlayPacket(t, otherMAC, ownMAC, vidABC, "10.2.1.44", 64, 60))
	n.one(portTrunkA, overlayPacket(t, otherMAC, remoteMAC, vidC, "10.2.1.44", 64, 60))
	if l := known(); len(l) != 0 {
		t.Fatalf("learned %+v, want nothing", l)
	}
	// The switch learns from frames to itself and from transit, and moves an address at once.
	n.one(portTrunkA, overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.2.1.44", 64, 60))
	n.Now = int64(100 * time.Second)
	n.one(portTrunkB, overlayPacket(t, otherMAC, remoteMAC, vidABC, "10.2.1.44", 64, 60))
	if l, want := known(), (Entry{VID: vidABC, Port: portTrunkB, MAC: remoteMAC}); len(l) != 1 || l[0] != want {
		t.Fatalf("learned %+v, want %+v alone", l, want)
	}
	to := overlayPacket(t, remoteMAC, ownMAC, vidABC, "10.2.1.44", 64, 60)
	n.Now = int64((100 + MaxAge) * time.Second)
	if out := n.outs(n.one(portDown1, to)); !slices.Equal(out, []uint16{portTrunkB}) {
		t.Fatalf("sent to %v at the age of %d s, want %d", out, MaxAge, portTrunkB)
	}
	n.Now += int64(time.Second)
	if out := n.outs(n.one(portDown1, to)); len(out) != 3 {
		t.Fatalf("sent to %v past the age of %d s, want flooding", out, MaxAge)
	}
	n.one(portTrunkC, overlayPacket(t, otherMAC, remoteMAC, vidABC, "10.2.1.44", 64, 60))
	n.FDB.FlushPort(portTrunkC)
	if l := known(); len(l) != 0 {
		t.Fatalf("entries %+v after a flush, want none", l)
	}
}

// TestMoveWithinBatch: a source on two trunks in one batch is learned on the port of its last frame, also if an earlier
// frame of the batch came from that port.
func TestMoveWithinBatch(t *testing.T) {
	n := newBench()
	b := overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.1.0.2", 64, 60)
	for _, ports := range [][]uint16{
		{portTrunkA, portTrunkB}, {portTrunkB, portTrunkC, portTrunkB}, {portTrunkA, portTrunkA},
	} {
		for _, port := range ports {
			n.add(port, b)
		}
		n.run()
		want := ports[len(ports)-1]
		if got, ok := n.FDB.lookup(vidABC, remoteMAC, 0); !ok || got != want {
			t.Errorf("after %v: port %d, found %v; want %d", ports, got, ok, want)
		}
	}
}

// TestBatch mixes ports and verdicts in one batch. Forward does not change packets that are not at NextParsed.
func TestBatch(t *testing.T) {
	n := newBench()
	n.add(portTrunkA, overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.1.0.2", 64, 60))
	n.add(portDown1, overlayPacket(t, remoteMAC, ownMAC, vidABC, "10.2.1.44", 64, 60)) // learned from the packet before
	n.add(portTrunkB, payload(t, bcast, otherMAC, vidAB, 0x88b5))
	n.add(portTrunkB, payload(t, bcast, otherMAC, vidAB, 0x88b5))
	n.b.Pkt[3].DropFor(drop.VLANStacked)
	n.add(portDown2, payload(t, bcast, ownMAC, vidControl, 0x88b5))
	pkts := n.run()
	for i, want := range []uint16{portDown1, portTrunkA, portTrunkA} {
		if pkts[i].Next != frame.NextTx || pkts[i].Out != want {
			t.Errorf("packet %d: next %d out %d drop %q, want out %d", i, pkts[i].Next, pkts[i].Out, pkts[i].Drop, want)
		}
	}
	if pkts[3].Next != frame.NextDrop || pkts[3].Drop != drop.VLANStacked {
		t.Errorf("packet 3: next %d drop %q, want it unchanged: drop %q", pkts[3].Next, pkts[3].Drop, drop.VLANStacked)
	}
	if len(n.copies) != 4 || n.copies[0].Port != portDown2 {
		t.Errorf("%d copies, want 4 of the last", len(n.copies))
	}
}

// TestCopiesRunOut: a copy without a free frame counts as a copy and as discarded.
func TestCopiesRunOut(t *testing.T) {
	n := newBench()
	b := payload(t, bcast, ownMAC, vidControl, 0x88b5)
	for range frame.BatchSize {
		n.add(portDown1, b)
	}
	const room = 100
	n.take(copyFrames - room)
	for i, p := range n.run() {
		if p.Next != frame.NextTx {
			t.Fatalf("packet %d: next %d, want it to be sent", i, p.Next)
		}
	}
	n.Ports.Publish()
	copies, dropped := n.Ports.Of(portDown1, stats.Copies), n.Ports.Of(portDown1, stats.Drops+int(drop.FloodNoFrame))
	if len(n.copies) != room || copies != 4*frame.BatchSize || dropped != copies-room {
		t.Errorf("%d copies sent, %d counted, %d dropped; want %d, %d, %d",
			len(n.copies), copies, dropped, room, 4*frame.BatchSize, 4*frame.BatchSize-room)
	}
}
