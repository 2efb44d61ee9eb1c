package parse

import (
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

func TestNeighborDiscovery(t *testing.T) {
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: ip6B, Options: linkAddr(layers.ICMPv6OptSourceAddress)}
	bare := &layers.ICMPv6NeighborSolicitation{TargetAddress: ip6B}
	na := &layers.ICMPv6NeighborAdvertisement{
		Flags: 0x60, TargetAddress: ip6A, Options: linkAddr(layers.ICMPv6OptTargetAddress),
	}
	rs := &layers.ICMPv6RouterSolicitation{Options: linkAddr(layers.ICMPv6OptSourceAddress)}
	ra := &layers.ICMPv6RouterAdvertisement{HopLimit: 64}
	redirect := &layers.ICMPv6Redirect{TargetAddress: ip6A, DestinationAddress: ip6B}
	unspecified := func(ip *layers.IPv6, _ *layers.ICMPv6) { ip.SrcIP = make([]byte, 16) }
	solicited := []byte{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x0b}
	dad := func(ip *layers.IPv6, c *layers.ICMPv6) { unspecified(ip, c); ip.DstIP = solicited }
	global := func(ip *layers.IPv6, _ *layers.ICMPv6) { ip.SrcIP = ip6A }
	multicast := func(ip *layers.IPv6, _ *layers.ICMPv6) { ip.DstIP = solicited }
	fromGroup := func(ip *layers.IPv6, _ *layers.ICMPv6) { ip.SrcIP = solicited }
	code1 := func(_ *layers.IPv6, c *layers.ICMPv6) { c.TypeCode = layers.CreateICMPv6TypeCode(135, 1) }
	forGroup := &layers.ICMPv6NeighborSolicitation{TargetAddress: solicited}
	good := ndPacket(t, 135, nil, ns)
	atomic := edit(good, func([]byte) {})
	atomic = append(append(append([]byte(nil), atomic[:54]...), frag(58, 0, false)...), atomic[54:]...)
	atomic[20] = 44
	wire.IPv6(atomic[14:]).SetPayloadLen(uint16(len(atomic) - 54))

	tests := []struct {
		name string
		data []byte
		ok   bool
	}{
		{"NS", good, true},
		{"NS from a global address", ndPacket(t, 135, global, ns), true},
		{"NS without option", ndPacket(t, 135, nil, bare), true},
		{"NS for DAD", ndPacket(t, 135, dad, bare), true},
		{"NS for DAD with option", ndPacket(t, 135, dad, ns), false},
		{"NS for DAD not to the solicited-node group", ndPacket(t, 135, unspecified, bare), false},
		{"NS for a multicast address", ndPacket(t, 135, nil, forGroup), false},
		{"NA", ndPacket(t, 136, nil, na), true},
		{"NA solicited to a group", ndPacket(t, 136, multicast, na), false},
		{"RS", ndPacket(t, 133, nil, rs), true},
		{"RS from ::", ndPacket(t, 133, unspecified, rs), false},
		{"RA", ndPacket(t, 134, nil, ra), true},
		{"RA from a global address", ndPacket(t, 134, global, ra), false},
		{"redirect", ndPacket(t, 137, nil, redirect), true},
		{"redirect from a global address", ndPacket(t, 137, global, redirect), false},
		{"hop limit", edit(good, func(b []byte) { b[21] = 254 }), false},
		{"checksum", edit(good, func(b []byte) { b[56]++ }), false},
		{"target without checksum", edit(good, func(b []byte) { b[77]++ }), false},
		{"code", ndPacket(t, 135, code1, ns), false},
		{"source is a group", ndPacket(t, 135, fromGroup, ns), false},
		{"NS cut short", ndPacket(t, 135, nil, payload(16)), false},
		{"NA cut short", ndPacket(t, 136, nil, payload(16)), false},
		{"RA cut short", ndPacket(t, 134, nil, payload(8)), false},
		{"redirect cut short", ndPacket(t, 137, nil, payload(32)), false},
		{"option of length 0", ndPacket(t, 135, nil, optionBytes(1, 0, 8)), false},
		{"option past the end", ndPacket(t, 135, nil, optionBytes(1, 2, 8)), false},
		{"half an option", ndPacket(t, 135, nil, optionBytes(1, 1, 4)), false},
		{"unknown option", ndPacket(t, 135, nil, optionBytes(200, 2, 16)), true},
		{"behind a fragment header", atomic, false},
	}
	for _, tt := range tests {
		p := access(tt.data)
		if ok := p.Drop == drop.None && p.Has(frame.FlagND); ok != tt.ok {
			t.Errorf("%s: drop reason %v, flags %#x; want FlagND and no reason: %v", tt.name, p.Drop, p.Flags, tt.ok)
		}
		if !tt.ok && p.Drop != drop.NDMalformed {
			t.Errorf("%s: drop reason %v, want %v", tt.name, p.Drop, drop.NDMalformed)
		}
	}
}

// optionBytes returns the body of a solicitation with one option of n octets.
func optionBytes(typ, length byte, n int) rawBytes {
	b := append(make([]byte, 4), ip6B...)
	return append(b, append([]byte{typ, length}, make([]byte, n-2)...)...)
}
