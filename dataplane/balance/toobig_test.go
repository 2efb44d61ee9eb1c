package balance_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
)

// TestTooBig: "too big" about a request comes from the virtual address, goes back to the client, and quotes the request
// as the client has sent it, whichever box and link it is that the request does not fit.
func TestTooBig(t *testing.T) {
	local := target{web1MAC, locWeb1, 8080, 1, fib.AcceptAll}
	remote := target{web1MAC, locFar, 8080, 1, fib.AcceptAll}
	for _, tt := range []struct {
		name    string
		server  target
		client  string
		in, out int
		mtu     uint16
		marked  bool // the request comes from another director
		v6      bool
	}{
		{"client here, fabric", remote, "10.10.1.10", acc, acc, 1366, false, false},
		{"client here, server's port", local, "10.10.1.10", acc, acc, 1300, false, false},
		{"client elsewhere, fabric", remote, "10.10.1.48", fab, fab, 1366, false, false},
		{"client elsewhere, server's port", local, "10.10.1.48", fab, fab, 1300, false, false},
		{"at the agent, client elsewhere", local, "10.10.1.48", fab, fab, 1300, true, false},
		{"at the agent, client here", local, "10.10.1.10", fab, acc, 1300, true, false},
		{"IPv6, client here, fabric", remote, "fd00:10::10", acc, acc, 1366, false, true},
		{"IPv6, client elsewhere", local, "fd00:10::48", fab, fab, 1300, false, true},
		{"IPv6, at the agent", local, "fd00:10::48", fab, fab, 1300, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			sw := &w.snap.Switches[0]
			sw.Paths[0].MTU = 1400
			sw.SetPaths(sw.Paths)
			w.snap.Ports[near].MTU = 1300
			vip, to := uint32(vip4), "10.10.1.100"
			if tt.v6 {
				vip, to = vip6, "fd00:10::100"
			}
			w.serve(vip, fib.Service{ID: 7, Proto: tcp, Port: 80}, tt.server)
			p := packet{from: tt.client, to: to, sport: 36000, dport: 80, flags: ack, data: make([]byte, 1440)}
			if tt.in == fab {
				p.src = farClient
			}
			sentAs := p.frame(t)
			f := sentAs
			if tt.marked { // as the director sends it
				m := p
				m.src, m.dst, m.dport, m.ttl = fib.Mark|7, web1MAC, 8080, 63
				f = m.frame(t)
			}
			if tt.in == fab {
				f = outer(t, f)
			}
			w.receive(tt.in, f)
			got := w.one(tt.out)
			client := clientMAC
			if tt.out == fab {
				got, client = got[38:], farClient
			}
			pkt := gopacket.NewPacket(got, layers.LayerTypeEthernet, gopacket.Default)
			if e := pkt.LinkLayer().(*layers.Ethernet); wire.MAC(e.DstMAC) != client {
				t.Errorf("the error went to %v, want the client %012x", e.DstMAC, client)
			}
			src, dst := pkt.NetworkLayer().NetworkFlow().Endpoints()
			if src.String() != to || dst.String() != tt.client {
				t.Errorf("the error is from %v to %v, want from the virtual address to the client", src, dst)
			}
			if !sumsOK(pkt.NetworkLayer()) {
				t.Errorf("the error %x has a wrong checksum", got)
			}
			var mtu uint16
			var quoted []byte
			if tt.v6 {
				c := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
				if c.TypeCode.Type() != layers.ICMPv6TypePacketTooBig {
					t.Fatalf("answered with %v, want packet too big", c.TypeCode)
				}
				mtu, quoted = uint16(c.Payload[2])<<8|uint16(c.Payload[3]), c.Payload[4:]
			} else {
				c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
				if c.TypeCode != layers.CreateICMPv4TypeCode(3, 4) {
					t.Fatalf("answered with %v, want fragmentation needed", c.TypeCode)
				}
				mtu, quoted = c.Seq, c.Payload
			}
			if mtu != tt.mtu {
				t.Errorf("the error says MTU %d, want %d", mtu, tt.mtu)
			}
			if want := sentAs[14:][:len(quoted)]; !bytes.Equal(quoted, want) {
				t.Errorf("quoted\n%x, want the request as the client has sent it\n%x", quoted[:60], want[:60])
			}
		})
	}
}

// TestReplyTooBig: "too big" about a server's reply, made by the client's box, goes to the director, which knows the
// server and its port.
func TestReplyTooBig(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{ID: 7, Proto: tcp, Port: 80}, target{web2MAC, locFar, 8080, 1, fib.AcceptAll})
	w.snap.Ports[acc].MTU = 1300
	w.snap.Segments[0].VIPs4 = []fib.SegmentVIP4{{IP: ip4("10.10.1.100"), VIP: vip4}}
	w.receive(acc, packet{sport: 36000, dport: 80, flags: syn}.frame(t))
	w.one(fab)
	reply := packet{src: web2MAC, dst: clientMAC, from: "10.10.1.100", to: "10.10.1.10", sport: 80, dport: 36000,
		flags: ack, data: make([]byte, 1400)}.frame(t)
	w.receive(fab, outer(t, reply))
	pkt := gopacket.NewPacket(w.one(fab)[38:], layers.LayerTypeEthernet, gopacket.Default)
	if e := pkt.LinkLayer().(*layers.Ethernet); wire.MAC(e.DstMAC) != web2MAC || wire.MAC(e.SrcMAC) != fib.Mark|7 {
		t.Errorf("the error went from %v to %v, want from the mark to the server %012x", e.SrcMAC, e.DstMAC, web2MAC)
	}
	if !sumsOK(pkt.NetworkLayer()) {
		t.Errorf("the error %v has a wrong checksum", pkt)
	}
	c, ok := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if !ok || c.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || c.Seq != 1300 {
		t.Fatalf("the server received %v, want fragmentation needed, MTU 1300", pkt)
	}
	if port := uint16(c.Payload[20])<<8 | uint16(c.Payload[21]); port != 8080 {
		t.Errorf("the quoted reply is from port %d, want the server's own, 8080", port)
	}
}

// outer is the frame as another box sends it.
func outer(t *testing.T, f []byte) []byte {
	t.Helper()
	return build(t, &layers.Ethernet{DstMAC: hw(boxMAC), SrcMAC: hw(switchA), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: 143, SrcIP: []byte{10, 7, 0, 1},
			DstIP: []byte{10, 2, 0, 100}},
		gopacket.Payload(f))
}
