package parse

import (
	"fmt"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// run parses one frame. garbage is the packet's content before.
func run(data []byte, garbage frame.Packet, parser func([]byte, *frame.Packet) bool) *frame.Packet {
	mem := make([]byte, frame.Headroom+len(data))
	copy(mem[frame.Headroom:], data)
	p := garbage
	p.Off, p.Len, p.Port = frame.Headroom, uint16(len(data)), 7
	if ok := parser(mem, &p); ok != (p.Next == frame.NextParsed) {
		panic(fmt.Sprintf("the parser returns %v, Next is %d", ok, p.Next))
	}
	return &p
}

var garbage = frame.Packet{
	Out: 1, L3: 2, L4: 3, EtherType: 4, Flags: 0xffff, VID: 6, PCP: 7, Proto: 8, TOS: 9,
	Next: frame.NextPunt, Drop: drop.TooBig, Kind: 10,
	Hash: 11, Seg: 12, VIF: 13, Attach: 14, Loc: 15, DstMAC: 16, SrcMAC: 17,
}

// access parses a frame as Access does.
func access(data []byte) *frame.Packet { return run(data, garbage, Access) }

func TestAccessKinds(t *testing.T) {
	for _, k := range kinds(t) {
		t.Run(k.name, func(t *testing.T) {
			p := access(k.data)
			want := frame.Packet{
				Off: frame.Headroom, Len: uint16(len(k.data)), Port: 7, L3: k.l3, L4: k.l4, EtherType: k.et,
				Flags: k.flags, VID: k.vid, PCP: k.pcp, Proto: k.proto,
				Seg: frame.NoIndex, VIF: frame.NoIndex, Attach: frame.NoIndex,
				DstMAC: 0x02000000000b, SrcMAC: 0x02000000000a, Hash: p.Hash,
			}
			if k.flags&(frame.FlagIPv4|frame.FlagIPv6) != 0 {
				want.TOS = 46 << 2
				if k.flags&frame.FlagND != 0 {
					want.TOS = p.TOS
				}
			}
			if *p != want {
				t.Errorf("got  %+v\nwant %+v", *p, want)
			}
			if p.Hash == 0 {
				t.Error("hash 0, want a hash of the flow")
			}
			if q := run(k.data, frame.Packet{}, Access); *q != *p {
				t.Errorf("from a packet with content\n%+v, want the same as from a zero packet\n%+v", *p, *q)
			}
		})
	}
}

// TestAccessTruncated cuts every kind of frame at every length.
func TestAccessTruncated(t *testing.T) {
	for _, k := range kinds(t) {
		for n := range k.data {
			p := access(k.data[:n:n])
			switch {
			case n < k.need:
				if p.Next != frame.NextDrop || p.Drop == drop.None {
					t.Errorf("%s cut to %d of %d: Next %d, drop reason %v; want it dropped",
						k.name, n, k.need, p.Next, p.Drop)
				}
				if want := cutReason(&k, n); p.Drop != want {
					t.Errorf("%s cut to %d: drop reason %v, want %v", k.name, n, p.Drop, want)
				}
			case p.Next != frame.NextParsed || p.Flags != k.flags:
				t.Errorf("%s cut to %d, padding only: drop reason %v, flags %#x; want none, %#x",
					k.name, n, p.Drop, p.Flags, k.flags)
			}
		}
	}
}

func cutReason(k *sample, n int) drop.Reason {
	l3 := int(k.l3)
	switch {
	case n < 14:
		return drop.FrameShort
	case n < l3:
		return drop.VLANTruncated
	case k.et == wire.EtherTypeARP:
		return drop.ARPMalformed
	case k.et == wire.EtherTypeIPv6 && n < l3+40:
		return drop.IPv6Truncated
	case k.et == wire.EtherTypeIPv6:
		return drop.IPv6Length
	case n < l3+20, n < l3+wire.IPv4(k.data[l3:]).HeaderLen():
		return drop.IPv4Truncated
	}
	return drop.IPv4Length
}

// TestAccessShortPackets shortens the IP packet by its own length field: the parser then finds the headers behind IP
// truncated.
func TestAccessShortPackets(t *testing.T) {
	for _, k := range kinds(t) {
		l3 := int(k.l3)
		for n := range len(k.data) - l3 {
			var want drop.Reason
			b := edit(k.data, func([]byte) {})
			switch k.et {
			case wire.EtherTypeIPv4:
				h := wire.IPv4(b[l3:])
				if n < h.HeaderLen() {
					continue
				}
				h.SetTotalLen(uint16(n))
				fixIPv4(b, l3)
				if k.flags&frame.FlagL4 != 0 && l3+n < int(k.l4)+l4Len(&k) {
					want = drop.L4Truncated
				}
			case wire.EtherTypeIPv6:
				if n < 40 {
					continue
				}
				wire.IPv6(b[l3:]).SetPayloadLen(uint16(n - 40))
				if k.flags&frame.FlagND != 0 {
					want = drop.NDMalformed // its checksum is wrong, at least
				}
				if k.flags&frame.FlagL4 != 0 && l3+n < int(k.l4)+l4Len(&k) {
					want = drop.L4Truncated
				}
				if hdr := int(k.l4); k.flags&frame.FlagL4 != 0 && l3+n < hdr {
					want = drop.IPv6Extensions
				}
				if k.name == "frag6-later" && n < 48 {
					want = drop.IPv6Extensions
				}
			default:
				continue
			}
			if p := access(b); p.Drop != want {
				t.Errorf("%s with %d octets of IP: drop reason %v, want %v", k.name, n, p.Drop, want)
			}
		}
	}
}

func l4Len(k *sample) int {
	if k.proto == wire.ProtoTCP {
		return wire.TCP(k.data[k.l4:]).HeaderLen()
	}
	return 8
}

func TestAccessReasons(t *testing.T) {
	tcp4, tagged, tcp6 := kind(t, "tcp4"), kind(t, "tcp4-tag"), kind(t, "tcp6")
	withOptions := kind(t, "udp4-options")
	set := func(b []byte, at int, v ...byte) []byte {
		return edit(b, func(b []byte) { copy(b[at:], v) })
	}
	setFixed := func(b []byte, at int, v ...byte) []byte {
		b = set(b, at, v...)
		fixIPv4(b, 14)
		return b
	}
	chain := func(n int) []byte {
		var b []byte
		for range n - 1 {
			b = append(b, ext(60)...)
		}
		b = append(b, ext(17)...)
		return append(b, udpBytes...)
	}
	tests := []struct {
		name string
		data []byte
		want drop.Reason
	}{
		{"source zero", set(tcp4, 6, 0, 0, 0, 0, 0, 0), drop.SourceMAC},
		{"source group", set(tcp4, 6, 3), drop.SourceMAC},
		{"source broadcast", set(tcp4, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), drop.SourceMAC},
		{"two tags", set(tagged, 16, 0x81, 0x00), drop.VLANStacked},
		{"tag and S-tag", set(tagged, 16, 0x88, 0xa8), drop.VLANStacked},
		{"S-tag", set(tagged, 12, 0x88, 0xa8), drop.VLANStacked},
		{"old S-tag", set(tagged, 12, 0x91, 0x00), drop.VLANStacked},
		{"IPv4 version", set(tcp4, 14, 0x55), drop.IPv4Header},
		{"IPv4 header length 4", set(tcp4, 14, 0x44), drop.IPv4Header},
		{"IPv4 header longer than the frame", set(tcp4[:40], 14, 0x4f), drop.IPv4Truncated},
		{"IPv4 header length against checksum", set(tcp4, 14, 0x46), drop.IPv4Checksum},
		{"IPv4 checksum", set(tcp4, 24, tcp4[24]+1), drop.IPv4Checksum},
		{"IPv4 checksum with options", set(withOptions, 24, withOptions[24]+1), drop.IPv4Checksum},
		{"IPv4 TTL without checksum", set(tcp4, 22, 1), drop.IPv4Checksum},
		{"IPv4 total length below the header", setFixed(tcp4, 16, 0, 19), drop.IPv4Length},
		{"IPv4 total length below the options", setFixed(withOptions, 16, 0, 23), drop.IPv4Length},
		{"IPv4 total length above the frame", setFixed(tcp4, 16, 0, 51), drop.IPv4Length},
		{"IPv4 as IPv6", set(tcp4, 12, 0x86, 0xdd), drop.IPv6Header},
		{"TCP offset 4", set(tcp4, 46, 0x40), drop.L4Truncated},
		{"TCP offset 0", set(tcp4, 46, 0), drop.L4Truncated},
		{"TCP offset above the packet", set(tcp4, 46, 0xf0), drop.L4Truncated},
		{"IPv6 version", set(tcp6, 14, 0x40), drop.IPv6Header},
		{"IPv6 payload length", set(tcp6, 18, 0x10), drop.IPv6Length},
		{"IPv6 TCP offset 4", set(tcp6, 66, 0x40), drop.L4Truncated},
		{"8 extension headers", raw6(t, 60, chain(8)), drop.None},
		{"9 extension headers", raw6(t, 60, chain(9)), drop.IPv6Extensions},
		{"extension header past the end", raw6(t, 60, []byte{17, 1, 0, 0, 0, 0, 0, 0}), drop.IPv6Extensions},
		{"AH past the end", raw6(t, 51, []byte{17, 1, 0, 0, 0, 0, 0, 0}), drop.IPv6Extensions},
		{"half an extension header", raw6(t, 60, []byte{17, 0, 0, 0}), drop.IPv6Extensions},
		{"jumbogram", raw6(t, 0), drop.IPv6Extensions},
		{"first fragment without the whole chain", raw6(t, 44, frag(60, 0, true)), drop.IPv6Extensions},
		{"first fragment without UDP", raw6(t, 44, frag(17, 0, true), []byte{1, 2, 3}), drop.L4Truncated},
		{"later fragment of one octet", raw6(t, 44, frag(17, 8, true), []byte{1}), drop.None},
		{"ICMPv6 of 4 octets", raw6(t, 58, []byte{1, 0, 0, 0}), drop.L4Truncated},
		{"ICMP inside IPv6", raw6(t, 1, []byte{8}), drop.None},
		{"ARP hardware type", set(kind(t, "arp"), 14, 0, 6), drop.ARPMalformed},
		{"ARP protocol", set(kind(t, "arp"), 16, 0x86, 0xdd), drop.ARPMalformed},
		{"ARP hardware length", set(kind(t, "arp"), 18, 8), drop.ARPMalformed},
		{"ARP protocol length", set(kind(t, "arp"), 19, 16), drop.ARPMalformed},
	}
	for _, tt := range tests {
		if p := access(tt.data); p.Drop != tt.want || (p.Next == frame.NextDrop) != (tt.want != drop.None) {
			t.Errorf("%s: Next %d, drop reason %v; want %v", tt.name, p.Next, p.Drop, tt.want)
		}
	}
}

func TestAccessGroup(t *testing.T) {
	b := edit(kind(t, "lldp"), func(b []byte) { b[0] = 1 })
	if p := access(b); p.Flags != frame.FlagGroup || p.DstMAC != 0x01000000000b {
		t.Errorf("flags %#x, destination %012x; want FlagGroup alone, 01000000000b", p.Flags, p.DstMAC)
	}
}

func TestOutsideMemory(t *testing.T) {
	for _, parser := range []func([]byte, *frame.Packet) bool{Access, Fabric, Edge} {
		var b frame.Batch
		b.N = 2
		b.Pkt[0].Off, b.Pkt[0].Len = 1000, 100
		b.Pkt[1].Off, b.Pkt[1].Len = 1<<32-10, 100
		for i := range 2 {
			if p := &b.Pkt[i]; parser(make([]byte, 1064), p) || p.Next != frame.NextDrop || p.Drop != drop.FrameLong {
				t.Errorf("packet %d: Next %d, drop reason %v; want it dropped as %v", i, p.Next, p.Drop, drop.FrameLong)
			}
		}
	}
}

// TestAccessPadding: the frame keeps its length, and padding does not change the other fields.
func TestAccessPadding(t *testing.T) {
	for _, name := range []string{"tcp4", "udp6", "ns", "frag4-later"} {
		b := kind(t, name)
		want := access(b)
		got := access(append(append([]byte(nil), b...), make([]byte, 30)...))
		if int(got.Len) != len(b)+30 {
			t.Errorf("%s: length %d, want the frame's %d", name, got.Len, len(b)+30)
		}
		got.Len = want.Len
		if *got != *want {
			t.Errorf("%s: with padding\n%+v, want what it is without\n%+v", name, *got, *want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var mem []byte
	var b frame.Batch
	for _, k := range kinds(t) {
		for _, n := range []int{len(k.data), 20} {
			if n <= len(k.data) && b.N < frame.BatchSize {
				b.Pkt[b.N].Off, b.Pkt[b.N].Len = uint32(len(mem)), uint16(n)
				mem = append(mem, k.data[:n]...)
				b.N++
			}
		}
	}
	parsers := map[string]func([]byte, *frame.Packet) bool{"Access": Access, "Fabric": Fabric, "Edge": Edge}
	for name, parser := range parsers {
		if n := testing.AllocsPerRun(100, func() {
			for i := range b.N {
				parser(mem, &b.Pkt[i])
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations per batch, want none", name, n)
		}
	}
}

func Example() {
	mem := make([]byte, 2048)
	p := &frame.Packet{Off: frame.Headroom, Len: 10}
	fmt.Println(Access(mem, p), p.Drop)
	// Output: false frame_short
}
