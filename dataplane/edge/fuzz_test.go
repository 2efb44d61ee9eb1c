package edge

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
)

// FuzzForward sends batches of arbitrary frames through a switch with a filled FDB. The input is a sequence of (port,
// length, octets); down and small are bit sets of ports without carrier and with a small MTU.
func FuzzForward(f *testing.F) {
	seed := func(down, small uint8, frames ...[]byte) {
		var in []byte
		for i, b := range frames {
			in = append(in, byte(i), byte(len(b)))
			in = append(in, b...)
		}
		f.Add(in, down, small)
	}
	route := overlayPacket(f, ownMAC, box1MAC, vidAB, "10.2.0.2", 64, 20)
	transit := overlayPacket(f, remoteMAC, otherMAC, vidABC, "10.2.0.2", 64, 20)
	seed(0, 0, route, transit, route, transit, transit, transit)
	control := payload(f, bcast, ownMAC, vidControl, 0x88b5)
	seed(0x10, 0x20, route, control, control, transit)
	seed(0, 0, arpPacket(f, ownMAC, box1MAC, -1, layers.ARPReply),
		arpPacket(f, bcast, box2MAC, vidAB, layers.ARPRequest), route[:20], transit[:30])
	seed(0, 0, payload(f, 0x0180c200000e, box1MAC, -1, layers.EthernetTypeLinkLayerDiscovery),
		payload(f, remoteMAC, ownMAC, 0, 0x26))

	n := newBench()
	f.Fuzz(func(t *testing.T, in []byte, down, small uint8) {
		n.renew()
		for i := range portCount {
			n.s.Ports[i].Up = down>>i&1 == 0
			if small>>i&1 != 0 {
				n.s.Ports[i].MTU = 60
			}
		}
		n.FDB.learn(vidABC, remoteMAC, portTrunkA, 0)
		n.FDB.learn(vidC, remoteMAC, portTrunkA, 0) // an entry of an older table: A does not carry C's VLAN
		n.FDB.learn(vidAB, otherMAC, portDown1, 0)
		var sent []frame.Packet // before Forward
		var octets [][]byte
		for len(in) >= 2 && n.b.N < frame.BatchSize {
			port, size := uint16(in[0])%(portCount+1), int(in[1])
			in = in[2:]
			size = min(size, len(in))
			n.add(port, in[:size])
			sent = append(sent, n.b.Pkt[n.b.N-1])
			octets = append(octets, in[:size])
			in = in[size:]
		}
		n.Now = int64(len(sent)) * int64(time.Second)
		for i, p := range n.run() {
			checkVerdict(t, n, &sent[i], octets[i], &p)
		}
	})
}

// checkVerdict checks the result for one frame against the switch's tables.
func checkVerdict(t *testing.T, n *bench, was *frame.Packet, b []byte, p *frame.Packet) {
	outs := []uint16{}
	switch p.Next {
	case frame.NextDrop:
		if p.Drop == drop.None || p.Drop >= drop.Count {
			t.Fatalf("dropped for reason %d, want one of the list", p.Drop)
		}
	case frame.NextPunt:
		if k := punt.Kind(p.Kind); k != punt.ARP && k != punt.LLDP {
			t.Fatalf("punt of kind %d, want ARP or LLDP", p.Kind)
		}
	case frame.NextTx:
		outs = append(outs, p.Out)
	default:
		t.Fatalf("next %d, want NextDrop, NextPunt or NextTx", p.Next)
	}
	for _, c := range n.copies {
		if c.Seg == p.Seg {
			outs = append(outs, c.Out)
		}
	}
	now := p.Bytes(n.Mem)
	routed := was.DstMAC == ownMAC
	if routed && p.Next == frame.NextTx {
		if len(outs) != 1 || len(now) != len(b)-tagSize ||
			headerSum(now[macHeader:][:int(now[macHeader]&15)*4]) != 0xffff {
			t.Fatalf("routed to %v: % x; want one port, no tag, and a right header checksum", outs, now)
		}
		if d := n.s.Edge.Downlinks[n.s.Edge.ByPort[outs[0]].Number]; !d.Valid || d.BoxMAC == 0 || p.DstMAC != d.BoxMAC {
			t.Fatalf("routed to %v: % x; want the MAC of the box, %012x", outs, now, d.BoxMAC)
		}
	} else if !bytes.Equal(now, b) {
		t.Fatalf("frame % x, want it unchanged % x", now, b)
	}
	for i, out := range outs {
		if out == was.Port {
			t.Fatalf("sent out of port %d, which received it; want another port", out)
		}
		if slices.Contains(outs[:i], out) {
			t.Fatalf("sent twice out of port %d, want once", out)
		}
		port := n.s.Ports[out]
		if !port.Up || len(now)-int(p.L3) > int(port.MTU) {
			t.Fatalf("sent %d octets out of port %d, want a port that is up and has the MTU: %+v", len(now), out, port)
		}
		switch {
		case routed:
			if port.Role != fib.RoleDownlink {
				t.Fatalf("routed to port %d, want a downlink", out)
			}
		case !was.Has(frame.FlagTagged):
			t.Fatalf("untagged frame sent out of port %d, want it dropped", out)
		case port.Role == fib.RoleTrunk:
			if !allowed(n.s.Edge.ByPort[out].Allow, was.VID) {
				t.Fatalf("VLAN %d sent out of trunk %d, which does not carry it", was.VID, out)
			}
		case port.Role != fib.RoleDownlink || was.VID != vidControl:
			t.Fatalf("VLAN %d sent out of port %d, want the control VLAN and a downlink", was.VID, out)
		}
	}
}
