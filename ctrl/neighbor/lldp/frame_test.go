package lldp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	head    = "0180c200000e 02000000000a 88cc "
	chassis = "0207 0402000000000a "
	portID  = "040d 0545746865726e6574312f3137 "
	ttl     = "0602 0078 "

	description = "0809 746f207261636b2039 "
	management1 = "100c 05 01 c0000201 02 00000007 00 "
)

func TestParse(t *testing.T) {
	want := Advert{Source: 0x02000000000a, Chassis: MACID(ChassisMAC, 0x02000000000a), Port: ID{5, "Ethernet1/17"},
		TTL: 120}
	tagged := want
	tagged.VID = 7
	described := want
	described.PortDescription, described.SystemName = "to rack 9", "leaf1"
	for name, c := range map[string]struct {
		frame string
		want  Advert
		err   error
	}{
		"first":             {head + chassis + portID + ttl + "0000", want, nil},
		"padded":            {head + chassis + portID + ttl + "0000 00000000000000000000", want, nil},
		"behind the end":    {head + chassis + portID + ttl + "0000 ffffffff", want, nil},
		"without an end":    {head + chassis + portID + ttl, want, nil},
		"customer bridge":   {"0180c2000000 02000000000a 88cc" + chassis + portID + ttl, want, nil},
		"no two-port relay": {"0180c2000003 02000000000a 88cc" + chassis + portID + ttl, want, nil},
		"tagged":            {"0180c200000e 02000000000a 8100e007 88cc" + chassis + portID + ttl, tagged, nil},
		"texts":             {head + chassis + portID + ttl + description + "0a05 6c65616631 0000", described, nil},
		"text with zeros": {head + chassis + portID + ttl + "080b 746f207261636b20390000 0a05 6c65616631",
			described, nil},
		"unknown":             {head + chassis + portID + ttl + "fe06 0080c2010001 1003 aabbcc 0000", want, nil},
		"bad management":      {head + chassis + portID + ttl + "1002 05 01 0000", want, nil},
		"no chassis":          {head + portID + ttl, Advert{}, ErrOrder},
		"no port":             {head + chassis + ttl, Advert{}, ErrOrder},
		"no TTL":              {head + chassis + portID + "0000", Advert{}, ErrOrder},
		"TTL at the end":      {head + chassis + portID + "0a05 6c65616631" + ttl, Advert{}, ErrOrder},
		"TTL twice":           {head + chassis + portID + ttl + ttl, Advert{}, ErrOrder},
		"chassis twice":       {head + chassis + chassis + portID + ttl, Advert{}, ErrOrder},
		"port again":          {head + chassis + portID + ttl + portID, Advert{}, ErrOrder},
		"nothing":             {head, Advert{}, ErrOrder},
		"empty ID":            {head + "0201 04" + portID + ttl, Advert{}, ErrID},
		"ID too long":         {head + "0301 07" + strings.Repeat("61", 256) + portID + ttl, Advert{}, ErrID},
		"short TTL":           {head + chassis + portID + "0601 00", Advert{}, ErrTruncate},
		"cut in a TLV":        {head + chassis + portID + ttl + "0a09 6c65", Advert{}, ErrTruncate},
		"cut in a TLV's head": {head + chassis + portID + ttl + "0a", Advert{}, ErrTruncate},
		"other group":         {"0180c2000001 02000000000a 88cc" + chassis + portID + ttl, Advert{}, ErrAddress},
		"to a station":        {"020000000001 02000000000a 88cc" + chassis + portID + ttl, Advert{}, ErrAddress},
		"from a group":        {"0180c200000e 03000000000a 88cc" + chassis + portID + ttl, Advert{}, ErrAddress},
		"two tags": {"0180c200000e 02000000000a 88a80007 81000007 88cc" + chassis + portID + ttl, Advert{},
			ErrShort},
		"cut in the tag": {"0180c200000e 02000000000a 8100 00", Advert{}, ErrShort},
		"too short":      {"0180c200000e 0200", Advert{}, ErrShort},
	} {
		a, err := Parse(octets(t, c.frame))
		if !errors.Is(err, c.err) || c.err == nil && a != c.want {
			t.Errorf("%s: got %+v, %v, want %+v, %v", name, a, err, c.want, c.err)
		}
	}
}

func TestManagement(t *testing.T) {
	a, err := Parse(octets(t, head+chassis+portID+ttl+management1+"100c 05 01 c0000202 02 00000007 00"))
	if err != nil || a.Management.String() != "192.0.2.1" {
		t.Errorf("management address: got %v, %v, want the first, 192.0.2.1", a.Management, err)
	}
}

// TestTexts: IDs for people.
func TestTexts(t *testing.T) {
	for _, c := range []struct {
		a             Advert
		chassis, port string
	}{
		{Advert{Chassis: MACID(ChassisMAC, 0x02000000000a), Port: MACID(PortMAC, 0x02000000000b)}, "02:00:00:00:00:0a",
			"02:00:00:00:00:0b"},
		{Advert{Chassis: ID{5, "\x01\xc0\x00\x02\x01"}, Port: ID{4, "\x01\xc0\x00\x02\x02"}}, "192.0.2.1", "192.0.2.2"},
		{Advert{Chassis: ID{7, "leaf1"}, Port: ID{7, "17"}}, "leaf1", "17"},
		{Advert{Chassis: ID{4, "\x02\x00\x00"}, Port: ID{3, "\x00\x01"}}, "020000", "0001"},
	} {
		if got := c.a.ChassisText() + " " + c.a.PortText(); got != c.chassis+" "+c.port {
			t.Errorf("%v: got %q, want %q", c.a, got, c.chassis+" "+c.port)
		}
	}
}

func TestAppend(t *testing.T) {
	a := Advert{Source: 0x0200000000f0, Chassis: MACID(ChassisMAC, 0x02000000fa0a), Port: ID{PortLocal, "17"}, TTL: 121,
		PortDescription: "down17", SystemName: "edge1", SystemDescription: "Penstock 1.0",
		Capabilities: CapabilityBridge, Enabled: CapabilityBridge}
	f := a.Append(nil)
	want := octets(t, "0180c200000e 0200000000f0 88cc 0207 0402000000fa0a 0403 073137 0602 0079 0806 646f776e3137"+
		"0a05 6564676531 0c0c 50656e73746f636b20312e30 0e04 00040004 0000")
	if !bytes.Equal(f[:len(want)], want) || len(f) < 60 {
		t.Errorf("got % x, want % x", f, want)
	}
	back, err := Parse(f)
	if err != nil || back != a {
		t.Errorf("read back: got %+v, %v, want %+v", back, err, a)
	}
	a.TTL = 0
	if bye, err := Parse(a.Append(nil)); err != nil || bye.TTL != 0 || bye.SystemName != "" || bye.Port != a.Port {
		t.Errorf("good-bye: got %+v, %v, want IDs and a TTL of 0 alone", bye, err)
	}
	a.TTL, a.SystemDescription = 1, strings.Repeat("x", 600)
	if long, err := Parse(a.Append(nil)); err != nil || len(long.SystemDescription) != maxID {
		t.Errorf("a long text: got %d octets, %v, want %d", len(long.SystemDescription), err, maxID)
	}
}

// FuzzParse: no octets crash the parser or the rules, and what is read can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(octets(f, head+chassis+portID+ttl+description+"0a05 6c65616631"+management1))
	f.Add(octets(f, "0180c200000e 02000000000a 8100e007 88cc"+chassis+portID+ttl))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Parse(b)
		if err != nil {
			return
		}
		sw, n, why := (&Rules{}).Place(&a)
		if (sw == 0 || n == 0) != (why != "") {
			t.Errorf("place %s/%d, %q: a place and a fault, or neither", sw, n, why)
		}
		back, err := Parse(a.Append(nil))
		if err != nil || back.Chassis != a.Chassis || back.Port != a.Port || back.TTL != a.TTL {
			t.Errorf("written and read: got %+v, %v, want %+v", back, err, a)
		}
	})
}
