package balance_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
)

// icmpError is an ICMP error from a router to the virtual address about a packet that the virtual address has sent.
func icmpError(t *testing.T, reply []byte, octets int) []byte {
	v6 := reply[12] == 0x86
	quoted := gopacket.Payload(reply[14:][:octets])
	if v6 {
		ip := &layers.IPv6{Version: 6, HopLimit: 60, NextHeader: layers.IPProtocolICMPv6,
			SrcIP: unhex(t, "fd00001000000000000000000000ffff"), DstIP: reply[22:38]}
		c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
		if err := c.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		return build(t, &layers.Ethernet{SrcMAC: hw(clientMAC), DstMAC: hw(vip6MAC), EthernetType: 0x86dd}, ip, c,
			gopacket.Payload(append([]byte{0, 0, 5, 0}, quoted...)))
	}
	return build(t, &layers.Ethernet{SrcMAC: hw(clientMAC), DstMAC: hw(vipMAC), EthernetType: 0x800},
		&layers.IPv4{Version: 4, IHL: 5, TTL: 60, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{10, 9, 9, 9},
			DstIP: reply[26:30]},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 1300}, quoted)
}

// TestErrorsFromRouters: an ICMP error reaches the server of the flow that it is about, with the server's own port in
// the quoted packet, however little of that packet is quoted.
func TestErrorsFromRouters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		v6     bool
		proto  layers.IPProtocol
		quoted int
	}{
		{"8 octets, TCP", false, tcp, 28},
		{"8 octets, UDP", false, udp, 28},
		{"IPv4, TCP", false, tcp, 60},
		{"4 octets, UDP", false, udp, 24},
		{"IPv6, TCP", true, tcp, 80},
		{"IPv6, 8 octets, UDP", true, udp, 48},
	} {
		w := newWorld(t)
		vip, client, addr := uint32(vip4), "10.10.1.10", "10.10.1.100"
		if tt.v6 {
			vip, client, addr = vip6, "fd00:10::10", "fd00:10::100"
		}
		w.serve(vip, fib.Service{ID: 7, Proto: uint8(tt.proto), Port: 80}, web1, web2, web3)
		for _, known := range []bool{true, false} {
			server := w.to(packet{from: client, to: addr, sport: 36000, dport: 80, proto: tt.proto})
			if !known { // the table alone decides
				w.tick(20e9)
			}
			reply := packet{src: 1, dst: clientMAC, from: addr, to: client, sport: 80, dport: 36000, proto: tt.proto,
				flags: ack, data: make([]byte, 100)}.frame(t)
			w.receive(acc, icmpError(t, reply, tt.quoted))
			var got []byte
			for p := range w.sent {
				for _, f := range w.from(p) {
					got = f
				}
			}
			if got == nil {
				t.Errorf("%s: nothing was sent (drops %v), want the error at the server", tt.name, w.drops())
				continue
			}
			pkt := sent(t, got)
			e := pkt.LinkLayer().(*layers.Ethernet)
			if wire.MAC(e.DstMAC) != server || wire.MAC(e.SrcMAC) != fib.Mark|7 {
				t.Errorf("%s: the error went from %v to %v, want from the mark to the server %012x",
					tt.name, e.SrcMAC, e.DstMAC, server)
			}
			l3 := pkt.NetworkLayer().LayerPayload()
			at := 8 + 20
			if tt.v6 {
				at = 8 + 40
			}
			if port := binary.BigEndian.Uint16(l3[at:]); port != 8080 {
				t.Errorf("%s: the quoted packet is from port %d, want 8080", tt.name, port)
			}
		}
	}
}

// TestTooBigVia: a station that is no VIF has a smaller link than the client: "too big" comes from the virtual address
// and quotes the request as sent.
func TestTooBigVia(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{ID: 7, Proto: tcp, Port: 80}, target{web1MAC, fib.None, 0, 1, fib.AcceptAll})
	w.snap.Servers[0].Direct, w.snap.Servers[0].Out, w.snap.Servers[0].Source = true, out, outMAC
	sentAs := packet{sport: 36000, dport: 80, flags: ack, data: make([]byte, 1440)}.frame(t)
	w.receive(acc, sentAs)
	pkt := sent(t, w.one(acc))
	c, ok := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if !ok || c.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || c.Seq != 1400 {
		t.Fatalf("answered with %v, want fragmentation needed, MTU 1400", pkt)
	}
	if src := pkt.NetworkLayer().NetworkFlow().Src().String(); src != "10.10.1.100" {
		t.Errorf("the error is from %s, want the virtual address", src)
	}
	if want := sentAs[14:][:len(c.Payload)]; !bytes.Equal(c.Payload, want) {
		t.Errorf("quoted\n%x, want the request as the client has sent it\n%x", c.Payload[:60], want[:60])
	}
}

// TestOwnConnectionID: a server that sends a datagram with its own ID to the virtual address does not get it back, and
// an address that is no host's reaches nobody.
func TestOwnConnectionID(t *testing.T) {
	w := newWorld(t)
	i := w.serve(vip4, fib.Service{ID: 7, Proto: udp, Port: 443, Hash: fib.HashQUIC}, web1, web2)
	w.snap.Services[i].QUICLen = 1
	w.snap.Services[i].QUIC = []fib.QUICServer{
		{ID: [2]uint64{0x11 << 56}, Server: 0}, {ID: [2]uint64{0x22 << 56}, Server: 1},
	}
	short := []byte{0x40, 0, 0x11, 1, 2, 3, 4, 5, 6, 7}
	p := packet{from: "10.10.1.20", src: web1MAC, sport: 40000, dport: 443, proto: layers.IPProtocolUDP, data: short}
	w.receive(near, p.frame(t))
	if got := w.from(near); len(got) != 0 {
		t.Errorf("the server got its own datagram back: %x", got[0])
	}
	p = packet{from: "127.0.0.1", sport: 40000, dport: 443, proto: layers.IPProtocolUDP, data: short}
	w.receive(acc, p.frame(t))
	if got := w.from(near); len(got) != 0 {
		t.Errorf("the server got a datagram from 127.0.0.1: %x", got[0])
	}
}

// TestTraceroute: a packet that reaches the director with its last hop is answered from the virtual address, with the
// packet as the client has sent it.
func TestTraceroute(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{ID: 7, Proto: udp, Port: 33434, PortEnd: 33500}, web1)
	w.serve(vip6, fib.Service{ID: 8, Proto: tcp, Port: 80}, web1)
	w.serve(vip4, fib.Service{ID: 9, Proto: tcp, Port: 80}, web1)
	for _, p := range []packet{
		{sport: 40000, dport: 33440, proto: layers.IPProtocolUDP},
		{sport: 40000, dport: 80, flags: syn},
		{sport: 40000, dport: 80, flags: ack},
		{from: "fd00:10::10", to: "fd00:10::100", sport: 40000, dport: 80, flags: syn},
	} {
		p.ttl = 1
		f := p.frame(t)
		w.receive(acc, f)
		pkt := sent(t, w.one(acc))
		src := pkt.NetworkLayer().NetworkFlow().Src().String()
		if src != "10.10.1.100" && src != "fd00:10::100" {
			t.Errorf("the answer is from %s, want the virtual address", src)
		}
		if c, ok := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			if c.TypeCode.Type() != 11 || !bytes.HasPrefix(f[14:], c.Payload) {
				t.Errorf("answered %v, want time exceeded with the packet as sent", pkt)
			}
		} else if c, ok := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); !ok || c.TypeCode.Type() != 3 ||
			!bytes.HasPrefix(f[14:], c.Payload[4:]) {
			t.Errorf("answered %v, want time exceeded with the packet as sent", pkt)
		}
	}
}
