package balance_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// The flags of TCP segments.
const (
	syn = wire.TCPSyn
	ack = wire.TCPAck
	fin = wire.TCPFin
	rst = wire.TCPRst
)

func hw(m uint64) net.HardwareAddr {
	b := make([]byte, 6)
	wire.PutMAC(b, m)
	return b
}

func build(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// packet is a packet to build: from the client to the virtual address unless said otherwise.
type packet struct {
	src, dst     uint64 // MACs
	from, to     string // addresses
	sport, dport uint16
	proto        layers.IPProtocol
	flags        uint8
	ttl          uint8
	data         []byte
}

// frame returns the frame of p, of IPv4 or IPv6.
func (p packet) frame(t testing.TB) []byte {
	t.Helper()
	def := func(v *string, to string) {
		if *v == "" {
			*v = to
		}
	}
	def(&p.from, "10.10.1.10")
	def(&p.to, "10.10.1.100")
	if p.src == 0 {
		p.src = clientMAC
	}
	if p.ttl == 0 {
		p.ttl = 64
	}
	if p.proto == 0 {
		p.proto = layers.IPProtocolTCP
	}
	from, to := netip.MustParseAddr(p.from), netip.MustParseAddr(p.to)
	if p.dst == 0 {
		if p.dst = vipMAC; to.Is6() {
			p.dst = vip6MAC
		}
	}
	eth := &layers.Ethernet{SrcMAC: hw(p.src), DstMAC: hw(p.dst), EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer
	var net gopacket.NetworkLayer
	if to.Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		h := &layers.IPv6{Version: 6, HopLimit: p.ttl, NextHeader: p.proto, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		ip, net = h, h
	} else {
		h := &layers.IPv4{Version: 4, IHL: 5, TTL: p.ttl, Id: 77, Protocol: p.proto, Flags: layers.IPv4DontFragment,
			SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		ip, net = h, h
	}
	var l4 gopacket.SerializableLayer
	if p.proto == layers.IPProtocolUDP {
		h := &layers.UDP{SrcPort: layers.UDPPort(p.sport), DstPort: layers.UDPPort(p.dport)}
		if err := h.SetNetworkLayerForChecksum(net); err != nil {
			t.Fatal(err)
		}
		l4 = h
	} else {
		h := &layers.TCP{SrcPort: layers.TCPPort(p.sport), DstPort: layers.TCPPort(p.dport), Seq: 1000, Ack: 2000,
			Window: 500, SYN: p.flags&syn != 0, ACK: p.flags&ack != 0, FIN: p.flags&fin != 0, RST: p.flags&rst != 0}
		if err := h.SetNetworkLayerForChecksum(net); err != nil {
			t.Fatal(err)
		}
		l4 = h
	}
	return build(t, eth, ip, l4, gopacket.Payload(p.data))
}

// sent decodes a frame, without the outer header if it is encapsulated, and checks all checksums.
func sent(t testing.TB, f []byte) gopacket.Packet {
	t.Helper()
	if len(f) > 38 && f[12] == 0x81 {
		f = f[38:]
	}
	pkt := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
	if e := pkt.ErrorLayer(); e != nil {
		t.Fatalf("sent %x, which cannot be decoded: %v", f, e.Error())
	}
	if net := pkt.NetworkLayer(); net != nil && !sumsOK(net) {
		t.Fatalf("sent %x with a wrong checksum", f)
	}
	return pkt
}

// sumsOK verifies the checksums of a packet.
func sumsOK(net gopacket.NetworkLayer) bool {
	switch ip := net.(type) {
	case *layers.IPv4:
		if checksum.Checksum(ip.Contents, 0) != 0 {
			return false
		}
		pseudo := checksum.Sum(ip.Contents[12:20], uint32(ip.Protocol)+uint32(len(ip.Payload)))
		switch {
		case ip.FragOffset != 0 || ip.Flags&layers.IPv4MoreFragments != 0:
			return true
		case ip.Protocol == layers.IPProtocolICMPv4:
			pseudo = 0
		case ip.Protocol == layers.IPProtocolUDP && ip.Payload[6]|ip.Payload[7] == 0:
			return true
		}
		return checksum.Checksum(ip.Payload, pseudo) == 0
	case *layers.IPv6:
		pseudo := checksum.Sum(ip.Contents[8:40], uint32(ip.NextHeader)+uint32(len(ip.Payload)))
		return ip.NextHeader == layers.IPProtocolIPv6Fragment || checksum.Checksum(ip.Payload, pseudo) == 0
	}
	return true
}

// to sends p from port acc and returns the MAC of the server that got it, 0 if none did.
func (w *world) to(p packet) (server uint64) {
	w.t.Helper()
	w.receive(acc, p.frame(w.t))
	for i := range w.sent {
		for _, f := range w.from(i) {
			e := sent(w.t, f).LinkLayer().(*layers.Ethernet)
			if wire.MAC(e.SrcMAC)>>24 != 0x024d4b || server != 0 {
				w.t.Fatalf("sent %x, want one request, from a mark", f)
			}
			server = wire.MAC(e.DstMAC)
		}
	}
	return server
}
