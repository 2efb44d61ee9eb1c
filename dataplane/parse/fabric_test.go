package parse

import (
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// outer returns an encapsulated frame as the edge switch sends it to the box: untagged.
func outer(tb testing.TB) []byte {
	ip := ip4(143)
	ip.Id = 100
	return serialize(tb, eth(layers.EthernetTypeIPv4), ip, rawBytes(kind(tb, "tcp4")))
}

func TestFabric(t *testing.T) {
	good := outer(t)
	tagged := func(vid byte) []byte {
		return append(append(append([]byte(nil), good[:12]...), 0x81, 0, 0x60, vid), good[12:]...)
	}
	set := func(at int, v ...byte) []byte { return edit(good, func(b []byte) { copy(b[at:], v) }) }
	setFixed := func(at int, v ...byte) []byte {
		b := set(at, v...)
		fixIPv4(b, 14)
		return b
	}
	const f4 = frame.FlagIPv4
	tests := []struct {
		name   string
		data   []byte
		drop   drop.Reason
		flags  uint16
		l3, l4 uint16
	}{
		{"encapsulated", good, drop.None, f4, 14, 34},
		{"padded", append(append([]byte(nil), good...), 0, 0, 0), drop.None, f4, 14, 34},
		{"priority tag", tagged(0), drop.None, f4 | frame.FlagTagged, 18, 38},
		{"tag", tagged(5), drop.FabricVLAN, 0, 0, 0},
		{"two tags", edit(tagged(0), func(b []byte) { b[16], b[17] = 0x81, 0 }), drop.FabricVLAN, 0, 0, 0},
		{"S-tag", edit(tagged(0), func(b []byte) { b[12], b[13] = 0x88, 0xa8 }), drop.FabricVLAN, 0, 0, 0},
		{"options", kind(t, "udp4-options"), drop.None, f4, 14, 38},
		{"fragment", kind(t, "frag4-later"), drop.None, f4 | frame.FlagFragment, 14, 34},
		{"first fragment", kind(t, "frag4-first"), drop.None, f4 | frame.FlagFragment, 14, 34},
		{"ARP", kind(t, "arp"), drop.None, frame.FlagARP, 14, 0},
		{"ARP cut short", kind(t, "arp")[:41], drop.ARPMalformed, 0, 0, 0},
		{"IPv6", kind(t, "tcp6"), drop.FabricNotIP, 0, 0, 0},
		{"LLDP", kind(t, "lldp"), drop.FabricNotIP, 0, 0, 0},
		{"version", set(14, 0x65), drop.IPv4Header, 0, 0, 0},
		{"header length", set(14, 0x44), drop.IPv4Header, 0, 0, 0},
		{"header past the end", set(14, 0x4f)[:60], drop.IPv4Truncated, 0, 0, 0},
		{"checksum", set(24, good[24]^1), drop.IPv4Checksum, 0, 0, 0},
		{"total length above the frame", setFixed(16, 0xff), drop.IPv4Length, 0, 0, 0},
		{"total length below the header", setFixed(16, 0, 19), drop.IPv4Length, 0, 0, 0},
		{"source MAC", set(6, 1), drop.SourceMAC, 0, 0, 0},
		{"short", good[:13], drop.FrameShort, 0, 0, 0},
	}
	for _, tt := range tests {
		p := run(tt.data, garbage, Fabric)
		if p.Drop != tt.drop || (p.Next == frame.NextDrop) != (tt.drop != drop.None) {
			t.Errorf("%s: Next %d, %v, want %v", tt.name, p.Next, p.Drop, tt.drop)
			continue
		}
		if tt.drop == drop.None && (p.Flags != tt.flags || p.L3 != tt.l3 || p.L4 != tt.l4) {
			t.Errorf("%s: flags %#x, L3 %d, L4 %d; want %#x, %d, %d",
				tt.name, p.Flags, p.L3, p.L4, tt.flags, tt.l3, tt.l4)
		}
	}
	p := run(good, garbage, Fabric)
	if p.Proto != 143 || p.TOS != 46<<2 || p.SrcMAC != 0x02000000000a || p.DstMAC != 0x02000000000b ||
		p.Seg != frame.NoIndex {
		t.Errorf("packet %+v, want protocol 143, DSCP 46, from 02000000000a to 02000000000b, no segment", p)
	}
	for n := range good {
		if p := run(good[:n:n], garbage, Fabric); p.Next != frame.NextDrop || p.Drop == drop.None {
			t.Errorf("cut to %d: Next %d, drop reason %v; want it dropped", n, p.Next, p.Drop)
		}
	}
}

// TestInner parses the frame inside the encapsulation, as decapsulation does.
func TestInner(t *testing.T) {
	b := outer(t)
	p := run(b, garbage, Fabric)
	mem := make([]byte, frame.Headroom+len(b))
	copy(mem[frame.Headroom:], b)
	p.Pull(p.L4)
	if !Access(mem, p) {
		t.Fatal(p.Drop)
	}
	want := access(kind(t, "tcp4"))
	want.Off = p.Off
	if *p != *want {
		t.Errorf("got  %+v\nwant %+v", *p, *want)
	}
	p.Len = 20
	if Access(mem, p) || p.Next != frame.NextDrop || p.Drop != drop.IPv4Truncated {
		t.Errorf("inner frame cut to 20: Next %d, drop reason %v; want it dropped as %v",
			p.Next, p.Drop, drop.IPv4Truncated)
	}
}

func TestEdge(t *testing.T) {
	tagged := kind(t, "tcp4-tag")
	const f4, tg = frame.FlagIPv4, frame.FlagTagged
	tests := []struct {
		name  string
		data  []byte
		drop  drop.Reason
		flags uint16
		l3    uint16
		vid   uint16
		et    uint16
	}{
		{"IPv4", kind(t, "tcp4"), drop.None, f4, 14, 0, 0x800},
		{"tagged", tagged, drop.None, f4 | tg, 18, 100, 0x800},
		{"priority tag", kind(t, "tcp4-priority"), drop.None, f4 | tg, 18, 0, 0x800},
		{"ARP", kind(t, "arp"), drop.None, frame.FlagARP, 14, 0, 0x806},
		{"ARP cut short", kind(t, "arp")[:30], drop.None, 0, 14, 0, 0x806},
		{"IPv6", kind(t, "tcp6"), drop.None, 0, 14, 0, 0x86dd},
		{"fragment", kind(t, "frag4-later"), drop.None, f4 | frame.FlagFragment, 14, 0, 0x800},
		{"IPv4 cut short", kind(t, "tcp4")[:50], drop.None, 0, 14, 0, 0x800},
		{"IPv4 checksum", edit(kind(t, "tcp4"), func(b []byte) { b[24]++ }), drop.None, 0, 14, 0, 0x800},
		{"two tags", edit(tagged, func(b []byte) { b[16], b[17] = 0x81, 0 }), drop.None, tg, 18, 100, 0x8100},
		{"S-tag", edit(tagged, func(b []byte) { b[12], b[13] = 0x88, 0xa8 }), drop.None, 0, 14, 0, 0x88a8},
		{"tag cut short", tagged[:16], drop.VLANTruncated, 0, 0, 0, 0},
		{"group", edit(kind(t, "lldp"), func(b []byte) { b[0] = 1 }), drop.None, frame.FlagGroup, 14, 0, 0x88cc},
		{"source MAC", edit(tagged, func(b []byte) { b[6] = 1 }), drop.SourceMAC, 0, 0, 0, 0},
		{"short", tagged[:13], drop.FrameShort, 0, 0, 0, 0},
	}
	for _, tt := range tests {
		p := run(tt.data, garbage, Edge)
		if p.Drop != tt.drop || (p.Next == frame.NextDrop) != (tt.drop != drop.None) {
			t.Errorf("%s: Next %d, %v, want %v", tt.name, p.Next, p.Drop, tt.drop)
			continue
		}
		if tt.drop == drop.None && (p.Flags != tt.flags || p.L3 != tt.l3 || p.VID != tt.vid || p.EtherType != tt.et) {
			t.Errorf("%s: flags %#x, L3 %d, VID %d, EtherType %#x; want %#x, %d, %d, %#x",
				tt.name, p.Flags, p.L3, p.VID, p.EtherType, tt.flags, tt.l3, tt.vid, tt.et)
		}
	}
	if p := run(tagged, garbage, Edge); p.PCP != 5 || p.Proto != 6 {
		t.Errorf("priority %d, protocol %d; want 5, 6", p.PCP, p.Proto)
	}
}
