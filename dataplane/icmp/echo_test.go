package icmp

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/wire"
)

func TestEcho4(t *testing.T) {
	for _, n := range []int{0, 1, 56, 1400} {
		mem, p := received(t, icmp4(t, 8, 0, n))
		if !Echo(mem, p, routerMAC) {
			t.Fatal("no reply")
		}
		pkt := reparsed(t, mem, p)
		e := pkt.LinkLayer().(*layers.Ethernet)
		ip := pkt.NetworkLayer().(*layers.IPv4)
		c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if !bytes.Equal(e.SrcMAC, hw(routerMAC)) || !bytes.Equal(e.DstMAC, hw(hostMAC)) ||
			ip.SrcIP.String() != "10.1.0.254" || ip.DstIP.String() != "10.1.0.10" ||
			ip.TTL != 64 || ip.TOS != 0x20 || ip.Id != 77 {
			t.Errorf("reply %v, want from the router, 10.1.0.254, to the host, 10.1.0.10, TTL 64, TOS 0x20, ID 77", pkt)
		}
		if c.TypeCode != layers.CreateICMPv4TypeCode(0, 0) || c.Id != 5 || c.Seq != 6 ||
			!bytes.Equal(c.Payload, data(n)) {
			t.Errorf("message %+v, want an echo reply, ID 5, sequence 6, with the %d octets of the request", c, n)
		}
	}
}

func TestEcho6(t *testing.T) {
	for _, n := range []int{0, 1, 56, 1400} {
		mem, p := received(t, icmp6(t, 128, n))
		if !Echo(mem, p, routerMAC) {
			t.Fatal("no reply")
		}
		pkt := reparsed(t, mem, p)
		ip := pkt.NetworkLayer().(*layers.IPv6)
		c := pkt.Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
		if ip.SrcIP.String() != "fd00::fe" || ip.DstIP.String() != "fd00::10" ||
			ip.HopLimit != 64 || ip.TrafficClass != 0x20 {
			t.Errorf("reply %v, want from fd00::fe to fd00::10, hop limit 64, traffic class 0x20", pkt)
		}
		got, want := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6).TypeCode, layers.CreateICMPv6TypeCode(129, 0)
		if got != want {
			t.Errorf("message of type %v, want %v", got, want)
		}
		if c.Identifier != 5 || c.SeqNumber != 6 || !bytes.Equal(p.Bytes(mem)[62:], data(n)) {
			t.Errorf("message %+v, want ID 5, sequence 6, and the %d octets of the request", c, n)
		}
	}
}

// TestEchoWithoutExtras: the reply has no options and no extension headers.
func TestEchoWithoutExtras(t *testing.T) {
	ip := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254")
	ip.Options = []layers.IPv4Option{
		{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0},
	}
	mem, p := received(t, build(t, eth(layers.EthernetTypeIPv4), ip,
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 5, Seq: 6}, data(33)))
	if p.L4 != 42 || !Echo(mem, p, routerMAC) {
		t.Fatal("no reply")
	}
	pkt := reparsed(t, mem, p)
	got := pkt.NetworkLayer().(*layers.IPv4)
	if got.IHL != 5 || got.Length != 61 || got.TTL != 64 || got.Id != 77 || got.TOS != 0x20 ||
		got.DstIP.String() != "10.1.0.10" {
		t.Errorf("header %+v, want no options, 61 octets, TTL 64, ID 77, TOS 0x20, to 10.1.0.10", got)
	}
	if c := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); c.Seq != 6 || !bytes.Equal(c.Payload, data(33)) {
		t.Errorf("message %+v, want sequence 6 and the 33 octets of the request", c)
	}

	plain := icmp6(t, 128, 33)
	b := append(append(bytes.Clone(plain[:54]), 58, 0, 1, 4, 0, 0, 0, 0), plain[54:]...)
	b[20] = 60
	wire.IPv6(b[14:]).SetPayloadLen(uint16(len(b) - 54))
	mem, p = received(t, b)
	if p.L4 != 62 || !Echo(mem, p, routerMAC) {
		t.Fatal("no reply")
	}
	pkt = reparsed(t, mem, p)
	if got := pkt.NetworkLayer().(*layers.IPv6); got.NextHeader != 58 || int(got.Length) != len(plain)-54 ||
		got.DstIP.String() != "fd00::10" {
		t.Errorf("header %+v, want next header 58, %d octets, to fd00::10", got, len(plain)-54)
	}
	if got := p.Bytes(mem)[62:]; !bytes.Equal(got, data(33)) {
		t.Errorf("data %x, want those of the request %x", got, []byte(data(33)))
	}
}

func TestNoEcho(t *testing.T) {
	edit := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	group := icmp4(t, 8, 0, 20)
	group[0] = 0xff
	multicast := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "224.0.0.1")
	loopback := ip4(layers.IPProtocolICMPv4, "127.0.0.1", "10.1.0.254")
	request := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}
	fragment := ip4(layers.IPProtocolICMPv4, "10.1.0.10", "10.1.0.254")
	fragment.Flags = layers.IPv4MoreFragments
	for name, b := range map[string][]byte{
		"reply":           icmp4(t, 0, 0, 20),
		"code":            icmp4(t, 8, 1, 20),
		"checksum":        edit(icmp4(t, 8, 0, 20), 50, 0x99),
		"group":           group,
		"UDP":             udp4(t, 20, "10.1.0.10", "10.1.0.254"),
		"to multicast":    build(t, eth(layers.EthernetTypeIPv4), multicast, request, data(20)),
		"from loopback":   build(t, eth(layers.EthernetTypeIPv4), loopback, request, data(20)),
		"fragment":        build(t, eth(layers.EthernetTypeIPv4), fragment, request, data(20)),
		"v6 reply":        icmp6(t, 129, 20),
		"v6 checksum":     edit(icmp6(t, 128, 20), 70, 0x99),
		"v6 UDP":          udp6(t, 20, "fd00::10", "fd00::fe"),
		"v6 source wrong": edit(icmp6(t, 128, 20), 37, 0x99),
	} {
		mem, p := received(t, b)
		before, was := bytes.Clone(mem), *p
		if Echo(mem, p, routerMAC) || *p != was || !bytes.Equal(mem, before) {
			t.Errorf("%s: answered, or changed to %+v; want no answer and an unchanged packet %+v", name, *p, was)
		}
	}
}
