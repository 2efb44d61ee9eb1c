package parse

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

func seeds(f *testing.F) {
	for _, k := range kinds(f) {
		f.Add(k.data)
	}
	f.Add(outer(f))
	f.Add([]byte{})
}

// invariants checks what every parser guarantees for a packet of any octets.
func invariants(t *testing.T, data []byte, p *frame.Packet) {
	t.Helper()
	if p.Off != frame.Headroom || int(p.Len) != len(data) || p.Port != 7 {
		t.Fatalf("offset %d, length %d, port %d; want them unchanged: %d, %d, 7",
			p.Off, p.Len, p.Port, frame.Headroom, len(data))
	}
	if (p.Next == frame.NextDrop) != (p.Drop != drop.None) || p.Next != frame.NextDrop && p.Next != frame.NextParsed {
		t.Fatalf("Next %d with drop reason %v, want NextDrop with a reason or NextParsed without", p.Next, p.Drop)
	}
	if p.Seg != frame.NoIndex || p.VIF != frame.NoIndex || p.Attach != frame.NoIndex ||
		p.Loc != 0 || p.Out != 0 || p.Kind != 0 {
		t.Fatalf("packet %+v, want no segment, VIF, attachment, location, port and kind", p)
	}
	if p.Next == frame.NextDrop {
		return
	}
	if int(p.L3) > len(data) || p.L3 != 14 && p.L3 != 18 || (p.L3 == 18) != p.Has(frame.FlagTagged) {
		t.Fatalf("L3 %d in a frame of %d octets, flags %#x; want 18 with a tag, 14 without", p.L3, len(data), p.Flags)
	}
	if got := binary.BigEndian.Uint16(data[p.L3-2:]); got != p.EtherType {
		t.Fatalf("EtherType %#x, want the frame's %#x", p.EtherType, got)
	}
	if p.DstMAC != wire.MAC(data) || p.SrcMAC != wire.MAC(data[6:]) || p.Has(frame.FlagGroup) != (data[0]&1 != 0) {
		t.Fatalf("from %012x to %012x, flags %#x; want the frame's %x", p.SrcMAC, p.DstMAC, p.Flags, data[:12])
	}
	if p.VID > 4095 || p.PCP > 7 || !p.Has(frame.FlagTagged) && p.VID|uint16(p.PCP) != 0 {
		t.Fatalf("VID %d, priority %d, flags %#x; want them in range, and 0 without a tag",
			p.VID, p.PCP, p.Flags)
	}
	switch kind := p.Flags & (frame.FlagIPv4 | frame.FlagIPv6 | frame.FlagARP); kind {
	case 0:
	case frame.FlagIPv4:
		h := wire.IPv4(data[p.L3:])
		if p.EtherType != wire.EtherTypeIPv4 || h.Version() != 4 || h.HeaderLen() < 20 ||
			int(h.TotalLen()) < h.HeaderLen() || int(h.TotalLen()) > len(h) || naive(h[:h.HeaderLen()], 0) != 0xffff {
			t.Fatalf("FlagIPv4 for %x, want a valid header", []byte(h))
		}
	case frame.FlagIPv6:
		h := wire.IPv6(data[p.L3:])
		if p.EtherType != wire.EtherTypeIPv6 || h.Version() != 6 || int(h.PayloadLen())+40 > len(h) {
			t.Fatalf("FlagIPv6 for %x, want a valid header", []byte(h))
		}
	case frame.FlagARP:
		if p.EtherType != wire.EtherTypeARP || len(data) < int(p.L3)+28 {
			t.Fatalf("FlagARP for %x, want a whole ARP packet", data)
		}
	default:
		t.Fatalf("flags of network protocols %#x, want one at most", kind)
	}
	if p.Has(frame.FlagL4) {
		end := int(p.L3) + 40 + int(binary.BigEndian.Uint16(data[p.L3+4:]))
		if p.Has(frame.FlagIPv4) {
			end = int(p.L3) + int(wire.IPv4(data[p.L3:]).TotalLen())
		}
		n := 8
		if p.Proto == wire.ProtoTCP {
			n = max(20, int(data[p.L4+12]>>4)*4)
		}
		if int(p.L4)+n > end {
			t.Fatalf("L4 header ends at %d, want it within the packet, which ends at %d", int(p.L4)+n, end)
		}
	}
	if p.Has(frame.FlagND) &&
		(!p.Has(frame.FlagIPv6|frame.FlagL4) || p.Proto != wire.ProtoICMPv6 || p.Has(frame.FlagFragment)) {
		t.Fatalf("flags %#x, protocol %d; want FlagND only for whole ICMPv6 packets", p.Flags, p.Proto)
	}
}

// naive returns the folded sum of b.
func naive(b []byte, s uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func FuzzAccess(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1792 {
			return
		}
		p := access(data)
		invariants(t, data, p)
		if q := run(data, frame.Packet{}, Access); *p != *q {
			t.Fatalf("from a packet with content\n%+v, want the same as from a zero packet\n%+v", p, q)
		}
		if p.Next == frame.NextParsed {
			compare(t, data, p)
		}
	})
}

// compare compares the result with gopacket's, as far as gopacket decodes the frame.
func compare(t *testing.T, data []byte, p *frame.Packet) {
	t.Helper()
	pkt := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	if tag, ok := pkt.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); ok && p.Has(frame.FlagTagged) {
		if tag.VLANIdentifier != p.VID || tag.Priority != p.PCP {
			t.Fatalf("VID %d, priority %d; want gopacket's %d, %d", p.VID, p.PCP, tag.VLANIdentifier, tag.Priority)
		}
	}
	offset := func(l gopacket.Layer) int { // offset of the layer within data
		return cap(data) - cap(l.LayerContents())
	}
	if p.Has(frame.FlagIPv4) {
		ip, ok := pkt.NetworkLayer().(*layers.IPv4)
		if !ok {
			return // gopacket rejects some options that the parser accepts
		}
		fragment := ip.FragOffset != 0 || ip.Flags&layers.IPv4MoreFragments != 0
		if uint8(ip.Protocol) != p.Proto || ip.TOS != p.TOS || fragment != p.Has(frame.FlagFragment) ||
			offset(ip) != int(p.L3) {
			t.Fatalf("IPv4 packet %+v, want what gopacket has: %+v at %d", p, ip, offset(ip))
		}
		if fragment {
			return // gopacket does not decode the content of fragments
		}
	} else if p.Has(frame.FlagIPv6) {
		ip, ok := pkt.NetworkLayer().(*layers.IPv6)
		if !ok {
			return
		}
		if ip.TrafficClass != p.TOS || offset(ip) != int(p.L3) {
			t.Fatalf("IPv6 packet %+v, want what gopacket has: %+v at %d", p, ip, offset(ip))
		}
		if p.Has(frame.FlagFragment) {
			return
		}
	} else {
		if p.Has(frame.FlagARP) && pkt.Layer(layers.LayerTypeARP) == nil {
			t.Fatal("FlagARP is set, want it only where gopacket finds ARP")
		}
		return
	}
	l := pkt.TransportLayer()
	if l == nil {
		return
	}
	// gopacket also decodes tunnels. Only the outermost transport header counts.
	switch l.(type) {
	case *layers.TCP, *layers.UDP:
		if p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP {
			return
		}
		if !p.Has(frame.FlagL4) || offset(l) != int(p.L4) {
			t.Fatalf("L4 at %d, flags %#x; want FlagL4, and gopacket's offset %d", p.L4, p.Flags, offset(l))
		}
	}
}

func FuzzFabric(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1792 {
			return
		}
		p := run(data, garbage, Fabric)
		invariants(t, data, p)
		if p.Next != frame.NextParsed {
			return
		}
		if p.VID != 0 || p.Flags&(frame.FlagIPv4|frame.FlagARP) == 0 ||
			p.Flags&(frame.FlagIPv6|frame.FlagL4|frame.FlagND) != 0 {
			t.Fatalf("accepted with VID %d, flags %#x; want untagged IPv4 or ARP alone", p.VID, p.Flags)
		}
		if !p.Has(frame.FlagIPv4) {
			return
		}
		if int(p.L4) != int(p.L3)+wire.IPv4(data[p.L3:]).HeaderLen() {
			t.Fatalf("L4 %d, want the end of the IPv4 header at %d", p.L4, int(p.L3)+wire.IPv4(data[p.L3:]).HeaderLen())
		}
		// Access parses the inner frame at any offset.
		mem := make([]byte, frame.Headroom+len(data))
		copy(mem[frame.Headroom:], data)
		p.Pull(p.L4)
		ok := Access(mem, p)
		if ok != (p.Next == frame.NextParsed) {
			t.Fatalf("Access of the inner frame returns %v, Next is %d; want true with NextParsed alone", ok, p.Next)
		}
	})
}

func FuzzEdge(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1792 {
			return
		}
		p := run(data, garbage, Edge)
		invariants(t, data, p)
		if p.Flags&(frame.FlagIPv6|frame.FlagL4|frame.FlagND) != 0 {
			t.Fatalf("flags %#x, want none of IPv6, L4 and ND", p.Flags)
		}
		switch p.Drop {
		case drop.None, drop.FrameShort, drop.SourceMAC, drop.VLANTruncated:
		default:
			t.Fatalf("dropped as %v, want a reason of Ethernet or the tag", p.Drop)
		}
	})
}
