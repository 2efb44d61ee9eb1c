package neigh

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

func TestBox(t *testing.T) {
	const switchMAC, ownMAC, foreign uint64 = 0x0200000000aa, 0x0200000000bb, 0x0200000000cc
	port := &fib.Port{
		Role:   fib.RoleFabric,
		Fabric: fib.Fabric{SwitchMAC: switchMAC, OwnMAC: ownMAC, BoxIP: ip4("10.3.0.1")},
	}
	good := request(t, switchMAC, "10.3.0.254", "10.3.0.1")
	tagged := append(append(bytes.Clone(good[:12]), 0x81, 0, 0xe0, 0), good[12:]...)
	lies := bytes.Clone(good)
	wire.PutMAC(lies[22:], foreign)
	none := *port
	none.Fabric.BoxIP = 0
	for _, tt := range []struct {
		name string
		data []byte
		port *fib.Port
		want drop.Reason
	}{
		{"request", good, port, 0},
		{"unicast request", arp(t, 1, ownMAC, switchMAC, "10.3.0.254", "10.3.0.1"), port, 0},
		{"probe", request(t, switchMAC, "0.0.0.0", "10.3.0.1"), port, 0},
		{"priority tag", tagged, port, 0},
		{"from a foreign station", request(t, foreign, "10.3.0.254", "10.3.0.1"), port, drop.FabricSwitchMAC},
		{"sender is a foreign station", lies, port, drop.FabricSwitchMAC},
		{"another address", request(t, switchMAC, "10.3.0.254", "10.3.0.2"), port, drop.ARPForeign},
		{"reply", arp(t, 2, ownMAC, switchMAC, "10.3.0.254", "10.3.0.1"), port, drop.ARPForeign},
		{"to another station", arp(t, 1, foreign, switchMAC, "10.3.0.254", "10.3.0.1"), port, drop.ARPForeign},
		{"announcement of the box address", request(t, switchMAC, "10.3.0.1", "10.3.0.1"), port, drop.ARPForeign},
		{"the port has no address yet", request(t, switchMAC, "10.3.0.254", "0.0.0.0"), &none, drop.ARPForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, b := parsed(t, tt.data, 0, 0, 0)
			p := &b.Pkt[0]
			p.Port = 6
			box(mem, p, tt.port)
			if tt.want != 0 {
				if p.Next != frame.NextDrop || p.Drop != tt.want {
					t.Errorf("Next %d, drop reason %v; want it dropped as %v", p.Next, p.Drop, tt.want)
				}
				return
			}
			if p.Next != frame.NextTx || p.Out != 6 {
				t.Fatalf("Next %d, port %d, drop reason %v; want it sent out of port 6", p.Next, p.Out, p.Drop)
			}
			pkt := answer(t, mem, p)
			e, a := pkt.LinkLayer().(*layers.Ethernet), pkt.Layer(layers.LayerTypeARP).(*layers.ARP)
			if !bytes.Equal(e.DstMAC, hw(switchMAC)) || !bytes.Equal(e.SrcMAC, hw(ownMAC)) ||
				e.EthernetType != layers.EthernetTypeARP {
				t.Errorf("Ethernet header %+v, want ARP from %v to %v", e, hw(ownMAC), hw(switchMAC))
			}
			if a.Operation != 2 || !bytes.Equal(a.SourceHwAddress, hw(ownMAC)) ||
				!bytes.Equal(a.SourceProtAddress, []byte{10, 3, 0, 1}) || !bytes.Equal(a.DstHwAddress, hw(switchMAC)) {
				t.Errorf("answer %+v, want a reply to %v that 10.3.0.1 is at %v", a, hw(switchMAC), hw(ownMAC))
			}
		})
	}
	mem, b := parsed(t, solicit(t, switchMAC, "fd00::a", "fd00::b", 1), 0, 0, 0)
	if box(mem, &b.Pkt[0], port); b.Pkt[0].Drop != drop.ARPForeign {
		t.Errorf("neighbour discovery: Next %d, drop reason %v; want it dropped as %v",
			b.Pkt[0].Next, b.Pkt[0].Drop, drop.ARPForeign)
	}
}
