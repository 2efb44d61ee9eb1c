package wire_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/wire"
)

var (
	dst  = net.HardwareAddr{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}
	src  = net.HardwareAddr{0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54}
	ipA  = net.IP{10, 1, 2, 3}
	ipB  = net.IP{172, 16, 254, 9}
	ip6A = net.ParseIP("2001:db8:1:2:3:4:5:6")
	ip6B = net.ParseIP("fe80::a:b:c:d")
)

const (
	dstMAC uint64 = 0x021122334455
	srcMAC uint64 = 0xfedcba987654
)

func build(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// same compares what a header view says with what the header was built from.
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func u32(ip net.IP) uint32 { return binary.BigEndian.Uint32(ip.To4()) }

func halves(s string) [2]uint64 {
	b := netip.MustParseAddr(s).As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func half(ip net.IP) [2]uint64 { return halves(ip.String()) }

func TestMAC(t *testing.T) {
	b := []byte{1, 2, 3, 4, 5, 6, 7}
	same(t, "MAC", wire.MAC(b), 0x010203040506)
	wire.PutMAC(b, 0xffff_a1b2c3d4e5f6)
	if !bytes.Equal(b, []byte{0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 7}) {
		t.Errorf("PutMAC: %x", b)
	}
	same(t, "group", wire.GroupMAC(0x010000000000), true)
	same(t, "unicast", wire.GroupMAC(0xfeffffffffff), false)
	same(t, "broadcast", wire.GroupMAC(wire.Broadcast), true)
}

func TestEthernet(t *testing.T) {
	b := build(t, &layers.Ethernet{DstMAC: dst, SrcMAC: src, EthernetType: layers.EthernetTypeDot1Q},
		&layers.Dot1Q{Priority: 5, VLANIdentifier: 0xabc, Type: layers.EthernetTypeIPv6},
		gopacket.Payload(make([]byte, 46)))
	h := wire.Ethernet(b)
	same(t, "Dst", h.Dst(), dstMAC)
	same(t, "Src", h.Src(), srcMAC)
	same(t, "Type", h.Type(), wire.EtherTypeVLAN)
	same(t, "VID", h.Tag().VID(), 0xabc)
	same(t, "PCP", h.Tag().PCP(), 5)
	same(t, "TCI", h.Tag().TCI(), 0xaabc)
	same(t, "TPID", h.Tag().TPID(), wire.EtherTypeVLAN)
	same(t, "inner type", h.Tag().Type(), wire.EtherTypeIPv6)

	made := wire.Ethernet(make([]byte, len(b)))
	made.SetDst(dstMAC)
	made.SetSrc(srcMAC)
	made.SetType(wire.EtherTypeVLAN)
	made.Tag().Set(0xabc, 5)
	binary.BigEndian.PutUint16(made[16:], wire.EtherTypeIPv6)
	if !bytes.Equal(made, b) {
		t.Errorf("made %x, want %x", []byte(made), b)
	}
}

func TestIPv4(t *testing.T) {
	ip := &layers.IPv4{Version: 4, TOS: 0xb9, Id: 0x1234, Flags: layers.IPv4MoreFragments, FragOffset: 0x155, TTL: 63,
		Protocol: layers.IPProtocolUDP, SrcIP: ipA, DstIP: ipB,
		Options: []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}}
	b := build(t, ip, gopacket.Payload{1, 2, 3})
	h := wire.IPv4(b)
	same(t, "Version", h.Version(), 4)
	same(t, "HeaderLen", h.HeaderLen(), 24)
	same(t, "TOS", h.TOS(), 0xb9)
	same(t, "DSCP", h.DSCP(), 46)
	same(t, "TotalLen", h.TotalLen(), 27)
	same(t, "ID", h.ID(), 0x1234)
	same(t, "FlagsFragment", h.FlagsFragment(), wire.IPv4MF|0x155)
	same(t, "TTL", h.TTL(), 63)
	same(t, "Proto", h.Proto(), wire.ProtoUDP)
	same(t, "Checksum", h.Checksum(), ip.Checksum)
	same(t, "Src", h.Src(), u32(ipA))
	same(t, "Dst", h.Dst(), u32(ipB))
	same(t, "Payload", string(h.Payload()), "\x01\x02\x03")

	made := wire.IPv4(make([]byte, len(b)))
	copy(made[20:], b[20:])
	made.SetVersionIHL(24)
	made.SetTOS(0xb9)
	made.SetTotalLen(27)
	made.SetID(0x1234)
	made.SetFlagsFragment(wire.IPv4MF | 0x155)
	made.SetTTL(63)
	made.SetProto(wire.ProtoUDP)
	made.SetChecksum(ip.Checksum)
	made.SetSrc(u32(ipA))
	made.SetDst(u32(ipB))
	if !bytes.Equal(made, b) {
		t.Errorf("made %x, want %x", []byte(made), b)
	}
}

func TestIPv6(t *testing.T) {
	ip := &layers.IPv6{
		Version: 6, TrafficClass: 0xb9, FlowLabel: 0xabcde, NextHeader: layers.IPProtocolTCP, HopLimit: 63,
		SrcIP: ip6A, DstIP: ip6B,
	}
	b := build(t, ip, gopacket.Payload{1, 2, 3})
	h := wire.IPv6(b)
	same(t, "Version", h.Version(), 6)
	same(t, "TrafficClass", h.TrafficClass(), 0xb9)
	same(t, "DSCP", h.DSCP(), 46)
	same(t, "FlowLabel", h.FlowLabel(), 0xabcde)
	same(t, "PayloadLen", h.PayloadLen(), 3)
	same(t, "NextHeader", h.NextHeader(), wire.ProtoTCP)
	same(t, "HopLimit", h.HopLimit(), 63)
	same(t, "Src", h.Src(), half(ip6A))
	same(t, "Dst", h.Dst(), half(ip6B))
	same(t, "Addrs", string(h.Addrs()), string(ip6A)+string(ip6B))
	same(t, "Payload", string(h.Payload()), "\x01\x02\x03")

	made := wire.IPv6(make([]byte, len(b)))
	copy(made[40:], b[40:])
	made.SetFlow(0xb9, 0xfffabcde) // only 20 bits of the label count
	made.SetPayloadLen(3)
	made.SetNextHeader(wire.ProtoTCP)
	made.SetHopLimit(63)
	made.SetSrc(half(ip6A))
	made.SetDst(half(ip6B))
	made.SetFlow(0xb9, 0xabcde)
	if !bytes.Equal(made, b) {
		t.Errorf("made %x, want %x", []byte(made), b)
	}
}

func TestAddresses(t *testing.T) {
	for addr, want := range map[string][4]bool{ // multicast, link-local, unspecified, loopback
		"ff02::1":   {true, false, false, false},
		"fe80::1":   {false, true, false, false},
		"febf::1":   {false, true, false, false},
		"fec0::1":   {false, false, false, false},
		"::":        {false, false, true, false},
		"::1":       {false, false, false, true},
		"2001::1":   {false, false, false, false},
		"1::":       {false, false, false, false},
		"0:0:0:1::": {false, false, false, false},
	} {
		a := halves(addr)
		got := [4]bool{wire.Multicast6(a), wire.LinkLocal6(a), wire.Unspecified6(a), wire.Loopback6(a)}
		same(t, addr, got, want)
	}
	solicited := wire.SolicitedNode(halves("4037::01:800:200e:8c6c")) // RFC 4291, 2.7.1
	same(t, "SolicitedNode", solicited, halves("ff02::1:ff0e:8c6c"))
	same(t, "AllNodes", wire.AllNodes(), halves("ff02::1"))
	same(t, "MulticastMAC", wire.MulticastMAC(halves("ff02::1:ff0e:8c6c")), 0x3333ff0e8c6c)
	same(t, "EUI64LinkLocal", wire.EUI64LinkLocal(0x34567890abcd^0x020000000000), halves("fe80::3456:78ff:fe90:abcd"))
}

func TestTCP(t *testing.T) {
	ip := &layers.IPv4{Version: 4, SrcIP: ipA, DstIP: ipB, Protocol: layers.IPProtocolTCP}
	tcp := &layers.TCP{
		SrcPort: 40000, DstPort: 443, Seq: 0x01020304, Ack: 0x05060708, SYN: true, ACK: true, PSH: true, Window: 9,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}},
	}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	h := wire.TCP(build(t, tcp, gopacket.Payload{1}))
	same(t, "SrcPort", h.SrcPort(), 40000)
	same(t, "DstPort", h.DstPort(), 443)
	same(t, "Seq", h.Seq(), 0x01020304)
	same(t, "AckNum", h.AckNum(), 0x05060708)
	same(t, "HeaderLen", h.HeaderLen(), 24)
	same(t, "Flags", h.Flags(), wire.TCPSyn|wire.TCPAck|wire.TCPPsh)
	same(t, "Checksum", h.Checksum(), tcp.Checksum)
	same(t, "Options", string(h.Options()), "\x02\x04\x05\xb4")
	same(t, "MSS", h.Options()[0], wire.TCPOptionMSS)
	h.SetSrcPort(1)
	h.SetDstPort(2)
	h.SetChecksum(3)
	same(t, "set", string(h[:4])+string(h[16:18]), "\x00\x01\x00\x02\x00\x03")
	for flag, l := range map[uint8]layers.TCP{wire.TCPFin: {FIN: true}, wire.TCPRst: {RST: true}} {
		if err := l.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		same(t, "flag", wire.TCP(build(t, &l)).Flags(), flag)
	}
}

func TestUDP(t *testing.T) {
	ip := &layers.IPv4{Version: 4, SrcIP: ipA, DstIP: ipB, Protocol: layers.IPProtocolUDP}
	udp := &layers.UDP{SrcPort: 5353, DstPort: 53}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := build(t, udp, gopacket.Payload{1, 2, 3})
	h := wire.UDP(b)
	same(t, "SrcPort", h.SrcPort(), 5353)
	same(t, "DstPort", h.DstPort(), 53)
	same(t, "Length", h.Length(), 11)
	same(t, "Checksum", h.Checksum(), udp.Checksum)
	made := wire.UDP(make([]byte, 8))
	made.SetSrcPort(5353)
	made.SetDstPort(53)
	made.SetLength(11)
	made.SetChecksum(udp.Checksum)
	same(t, "made", string(made), string(b[:8]))
}

func TestICMP(t *testing.T) {
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Id: 0, Seq: 1400}
	b := build(t, icmp, gopacket.Payload{1, 2, 3})
	h := wire.ICMPv4(b)
	same(t, "Type", h.Type(), wire.ICMPv4Unreachable)
	same(t, "Code", h.Code(), wire.ICMPv4FragmentationNeed)
	same(t, "Checksum", h.Checksum(), icmp.Checksum)
	same(t, "Rest", h.Rest(), 1400)
	made := wire.ICMPv4(make([]byte, 8))
	made.Set(9, 4, 1400)
	made.SetType(wire.ICMPv4Unreachable)
	made.SetChecksum(icmp.Checksum)
	same(t, "made", string(made), string(b[:8]))

	ip := &layers.IPv6{Version: 6, SrcIP: ip6A, DstIP: ip6B, NextHeader: layers.IPProtocolICMPv6}
	icmp6 := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 7)}
	if err := icmp6.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b = build(t, icmp6, &layers.ICMPv6Echo{Identifier: 1, SeqNumber: 2})
	h6 := wire.ICMPv6(b)
	same(t, "Type", h6.Type(), wire.ICMPv6Echo)
	same(t, "Code", h6.Code(), 7)
	same(t, "Checksum", h6.Checksum(), icmp6.Checksum)
	same(t, "Rest", h6.Rest(), 0x00010002)
	made6 := wire.ICMPv6(make([]byte, 8))
	made6.Set(1, 7, 0x00010002)
	made6.SetType(wire.ICMPv6Echo)
	made6.SetChecksum(icmp6.Checksum)
	same(t, "made", string(made6), string(b))
}

func TestARP(t *testing.T) {
	arp := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation:       layers.ARPReply,
		SourceHwAddress: src, SourceProtAddress: ipA,
		DstHwAddress: dst, DstProtAddress: ipB,
	}
	b := build(t, arp)
	h := wire.ARP(b)
	same(t, "length", len(b), wire.ARPLen)
	same(t, "Header", h.Header(), wire.ARPHeader)
	same(t, "Op", h.Op(), wire.ARPReply)
	same(t, "SenderMAC", h.SenderMAC(), srcMAC)
	same(t, "SenderIP", h.SenderIP(), u32(ipA))
	same(t, "TargetMAC", h.TargetMAC(), dstMAC)
	same(t, "TargetIP", h.TargetIP(), u32(ipB))
	made := wire.ARP(make([]byte, wire.ARPLen))
	made.Set(wire.ARPReply, srcMAC, u32(ipA), dstMAC, u32(ipB))
	same(t, "made", string(made), string(b))
}

func TestNeighborDiscovery(t *testing.T) {
	ip := &layers.IPv6{Version: 6, SrcIP: ip6A, DstIP: ip6B, NextHeader: layers.IPProtocolICMPv6}
	head := func(typ uint8) *layers.ICMPv6 {
		h := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
		if err := h.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		return h
	}
	options := layers.ICMPv6Options{
		{Type: 14, Data: make([]byte, 14)},
		{Type: layers.ICMPv6OptSourceAddress, Data: src},
	}
	solicitation := &layers.ICMPv6NeighborSolicitation{TargetAddress: ip6B, Options: options}
	ns := wire.NeighborSolicit(build(t, head(wire.ICMPv6NeighborSolicit), solicitation))
	same(t, "Target", ns.Target(), half(ip6B))
	same(t, "Valid", ns.Options().Valid(), true)
	mac, ok := ns.Options().LinkAddr(wire.NDOptionSourceAddr)
	same(t, "LinkAddr", mac, srcMAC)
	same(t, "LinkAddr there", ok, true)
	_, ok = ns.Options().LinkAddr(wire.NDOptionTargetAddr)
	same(t, "LinkAddr of another type", ok, false)

	icmp := head(wire.ICMPv6NeighborAdvert)
	b := build(t, icmp, &layers.ICMPv6NeighborAdvertisement{Flags: 0xe0, TargetAddress: ip6B,
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: dst}}})
	na := wire.NeighborAdvert(b)
	same(t, "Flags", na.Flags(), wire.NAFlagRouter|wire.NAFlagSolicited|wire.NAFlagOverride)
	same(t, "Target", na.Target(), half(ip6B))
	mac, _ = na.Options().LinkAddr(wire.NDOptionTargetAddr)
	same(t, "LinkAddr", mac, dstMAC)
	made := wire.NeighborAdvert(make([]byte, wire.NeighborLen+wire.NDLinkAddrLen))
	made.Set(wire.NAFlagRouter|wire.NAFlagSolicited|wire.NAFlagOverride, half(ip6B), dstMAC)
	wire.ICMPv6(made).SetChecksum(icmp.Checksum)
	same(t, "made", string(made), string(b))

	for _, o := range [][]byte{
		{1},
		{1, 1, 0, 0, 0, 0, 0},
		{1, 0, 0, 0, 0, 0, 0, 0},
		{1, 2, 0, 0, 0, 0, 0, 0},
		{200, 1, 0, 0, 0, 0, 0, 0, 1},
	} {
		same(t, "Valid", wire.NDOptions(o).Valid(), false)
		_, ok := wire.NDOptions(o).LinkAddr(wire.NDOptionSourceAddr)
		same(t, "LinkAddr", ok, false)
	}
	same(t, "no options", wire.NDOptions(nil).Valid(), true)
}
