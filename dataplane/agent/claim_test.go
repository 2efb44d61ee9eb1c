package agent_test

import (
	"bytes"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// arp is an ARP packet; dst 0 is a broadcast.
func arp(t testing.TB, op uint16, dst, src uint64, sender string, targetMAC uint64, target string) []byte {
	t.Helper()
	if dst == 0 {
		dst = wire.Broadcast
	}
	return build(t, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6,
			ProtAddressSize: 4, Operation: op, SourceHwAddress: hw(src), SourceProtAddress: net.ParseIP(sender).To4(),
			DstHwAddress: hw(targetMAC), DstProtAddress: net.ParseIP(target).To4()})
}

// solicit is a neighbour solicitation from an address ("::" for duplicate address detection).
func solicit(t testing.TB, src uint64, from, target string) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(from),
		DstIP: net.ParseIP("ff02::1:ff00:100")}
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	_ = c.SetNetworkLayerForChecksum(ip)
	m := &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP(target)}
	if from != "::" {
		m.Options = layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: hw(src)}}
	}
	link := &layers.Ethernet{DstMAC: hw(0x3333ff000100), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv6}
	return build(t, link, ip, c, m)
}

// advert is an unsolicited neighbour advertisement.
func advert(t testing.TB, src uint64, from, target string, mac uint64) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(from),
		DstIP: net.ParseIP("ff02::1")}
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
	_ = c.SetNetworkLayerForChecksum(ip)
	link := &layers.Ethernet{DstMAC: hw(0x333300000001), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv6}
	return build(t, link, ip, c, &layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: net.ParseIP(target),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: hw(mac)}}})
}

// TestServersClaims: what a real server says of its virtual addresses is kept from all others.
func TestServersClaims(t *testing.T) {
	for _, policy := range []fib.Policy{fib.PolicyStrict, fib.PolicyMAC, fib.PolicyOff} {
		w := newWorld(t, policy, rule(vip4, tcp, 8080, 8080, 80, 7))
		for _, f := range [][]byte{
			arp(t, 1, 0, web1MAC, "10.10.1.100", 0, "10.10.1.100"),                // gratuitous request
			arp(t, 2, 0, web1MAC, "10.10.1.100", wire.Broadcast, "10.10.1.100"),   // gratuitous reply
			arp(t, 2, clientMAC, web1MAC, "10.10.1.100", clientMAC, "10.10.1.10"), // answer
			arp(t, 1, 0, web1MAC, "0.0.0.0", 0, "10.10.1.100"),                    // probe
			advert(t, web1MAC, "fd00:10::100", "fd00:10::100", web1MAC),
			advert(t, web1MAC, "fd00:10::20", "fd00:10::100", web1MAC),
			solicit(t, web1MAC, "::", "fd00:10::100"), // duplicate address detection
		} {
			w.receive(srv, f)
			w.dropped(drop.VIPARP)
		}
	}
}

// TestServerAsks: a server as Linux ships it asks for its client from the virtual address. It is answered; nobody else
// hears of it, also if nobody has the address.
func TestServerAsks(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7))
	w.receive(srv, arp(t, 1, 0, web1MAC, "10.10.1.100", 0, "10.10.1.10"))
	want := arp(t, 2, web1MAC, clientMAC, "10.10.1.10", web1MAC, "10.10.1.100")
	if got := w.one(srv); !bytes.Equal(got[:len(want)], want) {
		t.Errorf("the server received\n%x, want\n%x", got, want)
	}
	w.receive(srv, arp(t, 1, 0, web1MAC, "10.10.1.100", 0, "10.10.1.77"))
	w.dropped(drop.ARPUnresolved)

	w.receive(srv, solicit(t, web1MAC, "fd00:10::100", "fd00:10::10"))
	got := gopacket.NewPacket(w.one(srv), layers.LayerTypeEthernet, gopacket.Default)
	if na, ok := got.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement); !ok ||
		!na.TargetAddress.Equal(net.ParseIP("fd00:10::10")) {
		t.Errorf("the server received %v, want an advertisement of fd00:10::10", got)
	}
	w.receive(srv, solicit(t, web1MAC, "fd00:10::100", "fe80::77"))
	w.dropped(drop.ARPUnresolved)
}

// TestAsked: whoever asks for a virtual address gets its own MAC, unless the address is silent.
func TestAsked(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7))
	ask := arp(t, 1, 0, clientMAC, "10.10.1.10", 0, "10.10.1.100")
	w.receive(cli, ask)
	want := arp(t, 2, clientMAC, vipMAC, "10.10.1.100", clientMAC, "10.10.1.10")
	if got := w.one(cli); !bytes.Equal(got[:len(want)], want) {
		t.Errorf("the client received\n%x, want\n%x", got, want)
	}
	w.receive(cli, solicit(t, clientMAC, "fd00:10::10", "fd00:10::100"))
	got := gopacket.NewPacket(w.one(cli), layers.LayerTypeEthernet, gopacket.Default)
	na, ok := got.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok || len(na.Options) != 1 || !bytes.Equal(na.Options[0].Data, hw(vip6MAC)) || na.Flags&0x80 != 0 {
		t.Errorf("the client received %v, want an advertisement with %x, of no router", got, vip6MAC)
	}
	w.snap.VIPs[vip4].Silent, w.snap.VIPs[vip6].Silent = true, true
	w.receive(cli, ask)
	w.dropped(drop.VIPSilent)
	w.receive(cli, solicit(t, clientMAC, "fd00:10::10", "fd00:10::100"))
	w.dropped(drop.VIPSilent)
}

// TestStrangers: claims of stations that are no servers go to control and to nobody else, from a VIF and from the
// fabric; an announcement of the director passes.
func TestStrangers(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7))
	stranger := uint64(0x020000000177) // behind the open attachment
	list := [][]byte{
		arp(t, 1, 0, stranger, "10.10.1.100", 0, "10.10.1.100"),
		arp(t, 1, 0, clientMAC, "10.10.1.100", 0, "10.10.1.20"),
		arp(t, 2, web1MAC, stranger, "10.10.1.100", web1MAC, "10.10.1.20"),
		advert(t, stranger, "fe80::1", "fd00:10::100", stranger),
	}
	for i, f := range list {
		w.receive(cli, f)
		if n := w.Ports.Of(cli, stats.Punts+int(punt.VIPConflict)); n != uint64(i+1) {
			t.Errorf("%d frames for control after claim %d, want %d (drops %v)", n, i, i+1, w.drops())
		}
	}
	for p := range w.sent {
		if len(w.sent[p]) > 0 {
			t.Errorf("port %d sent %x, want nothing", p, w.sent[p])
		}
	}
}

// TestStrangersBehindFabric: the director alone announces a virtual address over the fabric.
func TestStrangersBehindFabric(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7))
	for i, f := range [][]byte{
		arp(t, 1, 0, 0x020000000177, "10.10.1.100", 0, "10.10.1.100"),
		advert(t, 0x020000000177, "fe80::1", "fd00:10::100", vip6MAC),
		advert(t, vip6MAC, "fe80::1", "fd00:10::100", 2<<40),
	} {
		w.receive(fab, fromBox(t, f))
		if n := w.Ports.Of(fab, stats.Punts+int(punt.VIPConflict)); n != uint64(i+1) {
			t.Errorf("%d frames for control after claim %d, want %d (drops %v)", n, i, i+1, w.drops())
		}
	}
	for _, f := range [][]byte{
		arp(t, 1, 0, vipMAC, "10.10.1.100", 0, "10.10.1.100"),
		advert(t, vip6MAC, "fd00:10::100", "fd00:10::100", vip6MAC),
	} {
		w.receive(fab, fromBox(t, f))
		if len(w.sent[srv]) != 1 || len(w.sent[cli]) != 1 || len(w.sent[tag]) != 1 {
			t.Errorf("the director's announcement was sent as %x, want it at each VIF (drops %v)", w.sent, w.drops())
		}
		w.sent = [4][][]byte{}
	}
}

// fromBox encapsulates a frame as another box does.
func fromBox(t testing.TB, f []byte) []byte {
	t.Helper()
	return build(t, &layers.Ethernet{DstMAC: hw(boxMAC), SrcMAC: hw(switchA), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: 143, SrcIP: net.ParseIP("10.7.0.1"),
			DstIP: net.ParseIP("10.2.0.100")},
		gopacket.Payload(f))
}
