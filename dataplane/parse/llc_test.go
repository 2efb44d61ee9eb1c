package parse

import (
	"encoding/hex"
	"strings"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// TestLLC: the parser drops IP and ARP in LLC, in every form that receivers accept, and accepts other protocols of LLC.
func TestLLC(t *testing.T) {
	for _, tt := range []struct {
		name, llc string
		refused   bool
	}{
		{"IPv4", "aaaa03 000000 0800", true},
		{"IPv6", "aaaa03 000000 86dd", true},
		{"ARP", "aaaa03 000000 0806", true},
		{"IPv4 by a bridge", "aaaa03 0000f8 0800", true},
		{"a tag", "aaaa03 000000 8100", true},
		{"a service tag", "aaaa03 000000 88a8", true},
		{"MPLS", "aaaa03 000000 8847", true},
		{"PPPoE", "aaaa03 000000 8864", true},
		{"IPv4, group and response bits", "abab03 000000 0800", true},
		{"IPv4, another control field", "aaaa13 000000 0800", true},
		{"IP's own access point", "060603 450000 0000", true},
		{"ARP's own access point", "989803 000108 0006", true},
		{"another type", "aaaa03 000000 88b7", false},
		{"another organisation", "aaaa03 00000c 2000", false},
		{"bridge protocol", "424203 000000 0000", false},
		{"routing between intermediate systems", "fefe03 831b01 0010", false},
		{"NetBIOS", "f0f003 000000 0800", false},
		{"cut off in SNAP", "aaaa03 000000 08", false},
		{"cut off in LLC", "aaaa", false},
	} {
		llc, err := hex.DecodeString(strings.ReplaceAll(tt.llc, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		for what, head := range map[string]string{
			"length": "0028", "length 0": "0000", "largest length": "05ff", "long frame": "8870",
			"tag, length": "810000050028", "priority tag, length": "81002000 0028",
		} {
			h, err := hex.DecodeString(strings.ReplaceAll("020000000002020000000001"+head, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			mem := append(append(make([]byte, frame.Headroom), h...), llc...)
			p := frame.Packet{Off: frame.Headroom, Len: uint16(len(h) + len(llc))}
			ok := Access(mem, &p)
			if ok == tt.refused || tt.refused && p.Drop != drop.LLCIP {
				t.Errorf("%s, %s: accepted %t, drop reason %v; want accepted %t",
					tt.name, what, ok, p.Drop, !tt.refused)
			}
		}
	}
	// 0x0600 is an EtherType, not a length.
	mem := append(make([]byte, frame.Headroom),
		"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x06\x00\xaa\xaa\x03\x00\x00\x00\x08\x00"...)
	if p := (frame.Packet{Off: frame.Headroom, Len: 22}); !Access(mem, &p) {
		t.Errorf("EtherType 0x0600: dropped as %v, want it accepted", p.Drop)
	}
}
