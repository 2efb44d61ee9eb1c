package parse

import (
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// sample is a frame and what the parser must make of it.
type sample struct {
	name  string
	data  []byte
	drop  drop.Reason // None: passes
	flags uint16
	l3    uint16
	l4    uint16 // 0 unless FlagL4
	proto uint8
	et    uint16
	vid   uint16
	pcp   uint8
	// need is how many octets the frame can be cut to before it must be dropped: a cut anywhere below is an error.
	need int
}

var (
	macA = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a}
	macB = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0b}
	ipA  = net.IP{10, 1, 0, 10}
	ipB  = net.IP{10, 1, 0, 11}
	ip6A = net.ParseIP("2001:db8::a")
	ip6B = net.ParseIP("2001:db8::b")
	llA  = net.ParseIP("fe80::ff:fe00:a")
)

func serialize(tb testing.TB, ls ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func eth(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{DstMAC: macB, SrcMAC: macA, EthernetType: t}
}

func dot1q(vid uint16, pcp uint8, t layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: vid, Priority: pcp, Type: t}
}

func ip4(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, TOS: 46 << 2, Protocol: p, SrcIP: ipA, DstIP: ipB, Flags: layers.IPv4DontFragment,
	}
}

func ip6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: 46 << 2, NextHeader: p, SrcIP: ip6A, DstIP: ip6B}
}

func tcp(ip gopacket.NetworkLayer) *layers.TCP {
	t := &layers.TCP{SrcPort: 40000, DstPort: 443, Seq: 1, ACK: true, Window: 1000}
	t.SetNetworkLayerForChecksum(ip)
	return t
}

func tcpSyn(ip gopacket.NetworkLayer) *layers.TCP {
	t := tcp(ip)
	t.SYN = true
	t.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}
	return t
}

func udp(ip gopacket.NetworkLayer) *layers.UDP {
	u := &layers.UDP{SrcPort: 5353, DstPort: 53}
	u.SetNetworkLayerForChecksum(ip)
	return u
}

func icmp6(ip *layers.IPv6, typ uint8) *layers.ICMPv6 {
	c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
	c.SetNetworkLayerForChecksum(ip)
	return c
}

func arpPacket() *layers.ARP {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: macA, SourceProtAddress: ipA,
		DstHwAddress: make([]byte, 6), DstProtAddress: ipB,
	}
}

// rawBytes is octets as a layer.
type rawBytes = gopacket.Payload

func payload(n int) gopacket.Payload {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}

// ndPacket returns a frame with a neighbour discovery message. change may edit the headers.
func ndPacket(
	tb testing.TB, typ uint8, change func(ip *layers.IPv6, c *layers.ICMPv6), body gopacket.SerializableLayer,
) []byte {
	ip := ip6(layers.IPProtocolICMPv6)
	ip.HopLimit = 255
	ip.SrcIP = llA
	c := icmp6(ip, typ)
	if change != nil {
		change(ip, c)
	}
	return serialize(tb, eth(layers.EthernetTypeIPv6), ip, c, body)
}

func linkAddr(t layers.ICMPv6Opt) layers.ICMPv6Options {
	return layers.ICMPv6Options{{Type: t, Data: macA}}
}

// raw6 returns a frame with an IPv6 packet that has next header first and the given octets behind the header.
func raw6(tb testing.TB, first uint8, parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return serialize(tb, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocol(first)), gopacket.Payload(b))
}

// ext returns an extension header of 8 octets with next header next.
func ext(next uint8) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }

// frag returns a fragment header.
func frag(next uint8, offset uint16, more bool) []byte {
	v := offset
	if more {
		v |= 1
	}
	return []byte{next, 0, byte(v >> 8), byte(v), 0, 0, 0, 9}
}

// udpBytes is a UDP header with a wrong checksum and 8 octets of data.
var udpBytes = []byte{0x14, 0xe9, 0, 53, 0, 16, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8}

func edit(b []byte, change func([]byte)) []byte {
	b = append([]byte(nil), b...)
	change(b)
	return b
}

func fixIPv4(b []byte, l3 int) {
	h := wire.IPv4(b[l3:])
	h.SetChecksum(0)
	var s uint32
	for i := 0; i < h.HeaderLen(); i += 2 {
		s += uint32(h[i])<<8 | uint32(h[i+1])
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	h.SetChecksum(^uint16(s))
}

// kind returns the frame of the sample of that name.
func kind(tb testing.TB, name string) []byte {
	tb.Helper()
	for _, k := range kinds(tb) {
		if k.name == name {
			return k.data
		}
	}
	tb.Fatal("no sample", name)
	return nil
}

// kinds returns frames of every kind that the parser distinguishes.
func kinds(tb testing.TB) []sample {
	const (
		f4 = frame.FlagIPv4
		f6 = frame.FlagIPv6
		l4 = frame.FlagL4
		tg = frame.FlagTagged
	)
	v4, v6 := ip4(layers.IPProtocolTCP), ip6(layers.IPProtocolTCP)
	u4, u6 := ip4(layers.IPProtocolUDP), ip6(layers.IPProtocolUDP)
	options := ip4(layers.IPProtocolUDP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}} // router alert
	firstFrag, laterFrag := ip4(layers.IPProtocolUDP), ip4(layers.IPProtocolUDP)
	firstFrag.Flags, laterFrag.Flags = layers.IPv4MoreFragments, 0
	laterFrag.FragOffset = 3
	esp := ip4(layers.IPProtocolESP)
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 2}
	i6 := ip6(layers.IPProtocolICMPv6)
	echo6 := &layers.ICMPv6Echo{Identifier: 1, SeqNumber: 2}
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: ip6B, Options: linkAddr(layers.ICMPv6OptSourceAddress)}
	e4, e6, ev := layers.EthernetTypeIPv4, layers.EthernetTypeIPv6, layers.EthernetTypeDot1Q

	return []sample{
		{name: "tcp4", data: serialize(tb, eth(e4), v4, tcp(v4), payload(10)),
			flags: f4 | l4, l3: 14, l4: 34, proto: 6, et: 0x800, need: 64},
		{name: "tcp4-tag", data: serialize(tb, eth(ev), dot1q(100, 5, e4), v4, tcp(v4), payload(10)),
			flags: f4 | l4 | tg, l3: 18, l4: 38, proto: 6, et: 0x800, vid: 100, pcp: 5, need: 68},
		{name: "tcp4-priority", data: serialize(tb, eth(ev), dot1q(0, 3, e4), v4, tcp(v4)),
			flags: f4 | l4 | tg, l3: 18, l4: 38, proto: 6, et: 0x800, pcp: 3, need: 58},
		{name: "tcp4-syn", data: serialize(tb, eth(e4), v4, tcpSyn(v4)),
			flags: f4 | l4, l3: 14, l4: 34, proto: 6, et: 0x800, need: 58},
		{name: "udp4", data: serialize(tb, eth(e4), u4, udp(u4), payload(22)),
			flags: f4 | l4, l3: 14, l4: 34, proto: 17, et: 0x800, need: 64},
		{name: "udp4-options", data: serialize(tb, eth(e4), options, udp(options), payload(5)),
			flags: f4 | l4, l3: 14, l4: 38, proto: 17, et: 0x800, need: 51},
		{name: "icmp4", data: serialize(tb, eth(e4), ip4(layers.IPProtocolICMPv4), echo, payload(8)),
			flags: f4 | l4, l3: 14, l4: 34, proto: 1, et: 0x800, need: 50},
		{name: "frag4-first", data: serialize(tb, eth(e4), firstFrag, gopacket.Payload(udpBytes)),
			flags: f4 | l4 | frame.FlagFragment, l3: 14, l4: 34, proto: 17, et: 0x800, need: 50},
		{name: "frag4-later", data: serialize(tb, eth(e4), laterFrag, payload(3)),
			flags: f4 | frame.FlagFragment, l3: 14, proto: 17, et: 0x800, need: 37},
		{name: "esp4", data: serialize(tb, eth(e4), esp, payload(1)),
			flags: f4, l3: 14, proto: 50, et: 0x800, need: 35},
		{name: "tcp6", data: serialize(tb, eth(e6), v6, tcp(v6), payload(3)),
			flags: f6 | l4, l3: 14, l4: 54, proto: 6, et: 0x86dd, need: 77},
		{name: "udp6", data: serialize(tb, eth(e6), u6, udp(u6), payload(3)),
			flags: f6 | l4, l3: 14, l4: 54, proto: 17, et: 0x86dd, need: 65},
		{name: "echo6", data: serialize(tb, eth(e6), i6, icmp6(i6, 128), echo6, payload(3)),
			flags: f6 | l4, l3: 14, l4: 54, proto: 58, et: 0x86dd, need: 65},
		{name: "ns", data: ndPacket(tb, 135, nil, ns),
			flags: f6 | l4 | frame.FlagND, l3: 14, l4: 54, proto: 58, et: 0x86dd, need: 86},
		{name: "ext6", data: raw6(tb, 0, ext(43), ext(60), ext(17), udpBytes),
			flags: f6 | l4, l3: 14, l4: 78, proto: 17, et: 0x86dd, need: 94},
		{name: "ah6", data: raw6(tb, 51, []byte{17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}, udpBytes),
			flags: f6 | l4, l3: 14, l4: 70, proto: 17, et: 0x86dd, need: 86},
		{name: "frag6-first", data: raw6(tb, 44, frag(17, 0, true), udpBytes),
			flags: f6 | l4 | frame.FlagFragment, l3: 14, l4: 62, proto: 17, et: 0x86dd, need: 78},
		{name: "frag6-later", data: raw6(tb, 44, frag(17, 8, false), []byte{1}),
			flags: f6 | frame.FlagFragment, l3: 14, proto: 17, et: 0x86dd, need: 63},
		{name: "frag6-atomic", data: raw6(tb, 44, frag(17, 0, false), udpBytes),
			flags: f6 | l4, l3: 14, l4: 62, proto: 17, et: 0x86dd, need: 78},
		{name: "nonext6", data: raw6(tb, 59), flags: f6, l3: 14, proto: 59, et: 0x86dd, need: 54},
		{name: "arp", data: serialize(tb, eth(layers.EthernetTypeARP), arpPacket(), payload(18)),
			flags: frame.FlagARP, l3: 14, et: 0x806, need: 42},
		{name: "lldp", data: serialize(tb, eth(0x88cc), payload(46)), l3: 14, et: 0x88cc, need: 14},
		{name: "llc", data: serialize(tb, eth(0x88cc), payload(46))[:14], l3: 14, et: 0x88cc, need: 14},
	}
}
