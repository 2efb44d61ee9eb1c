package lldp

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"penstock/ctrl/model"
)

func port(subtype uint8, id, description string) *Advert {
	return &Advert{Chassis: MACID(ChassisMAC, 0x02000000000a), Port: ID{subtype, id}, PortDescription: description,
		SystemName: "leaf1", TTL: 120}
}

// TestNumbers: what real switches send, and the number of the port that it means.
func TestNumbers(t *testing.T) {
	octets := "\x02\x00\x00\x00\x00\x0b"
	for _, c := range []struct {
		subtype         uint8
		id, description string
		want            uint8 // 0 = none
		why             string
	}{
		{PortName, "Ethernet1/17", "", 17, ""},
		{PortName, "ge-0/0/17", "", 17, ""},
		{PortName, "swp17", "", 17, ""},
		{PortName, "Gi1/0/17", "", 17, ""},
		{PortName, "GigabitEthernet1/0/17", "uplink to rack 9", 17, ""},
		{PortName, "Ten-GigabitEthernet1/0/17", "", 17, ""},
		{PortName, "10GE1/0/17", "", 17, ""},
		{PortName, "port1.0.17", "", 17, ""},
		{PortName, "017", "", 17, ""},
		{PortLocal, "17", "s0", 17, ""},
		{PortLocal, "17", "ge-0/0/17", 17, ""},
		{PortAlias, "Port 17", "", 17, ""},
		{PortName, "ethernet1/1/17", "", 17, ""},
		{PortMAC, octets, "Ethernet17", 17, ""},
		{PortName, "mgmt", "Ethernet9", 9, ""},

		{PortLocal, "136", "1/E8", 0, "interface's index"},
		{PortLocal, "513", "ge-0/0/17", 0, "interface's index"},
		{PortLocal, "17", "Ethernet1/17/3", 0, "interface's index"},
		{PortLocal, "17", "swp17s2", 0, "several on one cable"},
		{PortName, "Ethernet1/17/3", "", 0, "several on one cable"},
		{PortName, "Et1/17/3", "", 0, "several on one cable"},
		{PortName, "swp17s2", "", 0, "several on one cable"},
		{PortName, "et-0/0/17:2", "", 0, "several on one cable"},
		{PortName, "ethernet1/1/17:1", "", 0, "several on one cable"},
		{PortName, "Ethernet256", "", 0, "1 to 255"},
		{PortName, "ge-0/0/0", "", 0, "1 to 255"},
		{PortName, "port99999999999999999999", "", 0, "1 to 255"},
		{PortMAC, octets, "", 0, "no port description"},
		{PortMAC, octets, "swp17s2", 0, "several on one cable"},
		{PortName, "mgmt", "", 0, "no port description"},
		{PortName, "mgmt", "management", 0, "neither"},
	} {
		r := Rules{Scheme: model.DefaultScheme}
		sw, n, why := r.Place(port(c.subtype, c.id, c.description))
		if n != c.want || sw != 0x02000000000a || (c.want == 0) != (why != "") || !strings.Contains(why, c.why) {
			t.Errorf("port ID %d %q, description %q: got %s/%d, %q; want number %d, %q", c.subtype, c.id, c.description,
				sw, n, why, c.want, c.why)
		}
		says := strings.Contains(why, c.id) || strings.Contains(why, c.description)
		if c.want == 0 && c.subtype != PortMAC && !says {
			t.Errorf("port ID %q: %q does not say which text", c.id, why)
		}
	}
}

// TestPortTable: exact texts come before everything else, with or without the system's name.
func TestPortTable(t *testing.T) {
	r := Rules{Ports: map[string]int{"Ethernet1/17/3": 67, "leaf1/Ethernet1/18/1": 69, "leaf2/Ethernet1/18/1": 70,
		"desk": 12}}
	for _, c := range []struct {
		a    *Advert
		want uint8
	}{{port(PortName, "Ethernet1/17/3", ""), 67}, {port(PortName, "Ethernet1/18/1", ""), 69},
		{port(PortMAC, "abcdef", "desk"), 12}, {port(PortName, "swp4", ""), 4}} {
		if _, n, why := r.Place(c.a); n != c.want || why != "" {
			t.Errorf("%q: got %d, %q, want %d", c.a.PortText(), n, why, c.want)
		}
	}
}

func TestRules(t *testing.T) {
	r := Rules{Rules: []Rule{{FieldPortDescription, regexp.MustCompile(`/(\d+)$`)},
		{FieldPortID, regexp.MustCompile(`^swp(\d+)s0$`)}}}
	for _, c := range []struct {
		a    *Advert
		want uint8
	}{{port(PortLocal, "513", "ge-0/0/17"), 17}, {port(PortName, "swp9s0", "x"), 9}, {port(PortName, "swp17", ""), 0},
		{port(PortLocal, "1", "a/999"), 0}} {
		if _, n, why := r.Place(c.a); n != c.want || (n == 0) != (why != "") {
			t.Errorf("%q, %q: got %d, %q, want %d", c.a.PortText(), c.a.PortDescription, n, why, c.want)
		}
	}
}

func TestSwitches(t *testing.T) {
	named := port(PortName, "swp1", "")
	named.Chassis = ID{7, "leaf1.example.net"}
	r := Rules{Switches: map[string]model.MAC{"leaf1.example.net": 0x02000000000c,
		"02:00:00:00:00:0a": 0x02000000000d}}
	if sw, _, why := r.Place(named); sw != 0x02000000000c || why != "" {
		t.Errorf("by name: got %s, %q", sw, why)
	}
	if sw, _, _ := r.Place(port(PortName, "swp1", "")); sw != 0x02000000000d {
		t.Errorf("by MAC, in the table: got %s", sw)
	}
	if sw, n, why := (&Rules{}).Place(named); sw != 0 || n != 1 || !strings.Contains(why, "leaf1.example.net") {
		t.Errorf("without the table: got %s/%d, %q", sw, n, why)
	}
}

// TestScheme24: under p.t some numbers have no unicast addresses.
func TestScheme24(t *testing.T) {
	r := Rules{Scheme: model.Scheme24}
	for n, want := range map[int]uint8{1: 1, 126: 126, 127: 0, 128: 128, 223: 223, 224: 0, 255: 0} {
		if _, got, _ := r.Place(port(PortName, fmt.Sprint("swp", n), "")); got != want {
			t.Errorf("port %d: got %d, want %d", n, got, want)
		}
	}
}
