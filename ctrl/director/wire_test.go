package director

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"penstock/ctrl/unicast"
	"penstock/dataplane/resolve"
)

var testKeys = []resolve.Key{{ID: 1, Octets: "0123456789abcdef"}, {ID: 2, Octets: "fedcba9876543210"}}

func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOctets holds the messages to the octets of PROTOCOL.md.
func TestOctets(t *testing.T) {
	hello := message{opcode: opHello, sequence: 0x0102030405060708, solicit: true, services: []service{
		{tenant: 100, id: 7, digest: 0x1122334455667788, states: []byte{1, 2, 0}},
	}}
	flows := message{opcode: opFlows, sequence: 2, flows: []flowNews{
		{tenant: 100, service: 7, state: 2, clientPort: 36000, serverPort: 8080, mac: 0x020000000114,
			client: netip.MustParseAddr("10.10.1.10")},
		{tenant: 100, service: 7, state: 5, clientPort: 1, serverPort: 2, mac: 0x020000000115,
			client: netip.MustParseAddr("fd00:10::10")},
	}}
	for _, c := range []struct {
		name string
		m    message
		want string
	}{
		{"hello", hello, "5053 01 04 0040 0001 0102030405060708 000064 000007 0003 1122334455667788 010200"},
		{"flows", flows, "5053 01 05 0000 0002 0000000000000002" +
			"000064 000007 04 02 8ca0 1f90 020000000114 0000 0a0a010a" +
			"000064 000007 06 05 0001 0002 020000000115 0000 fd000010000000000000000000000010"},
	} {
		if got := c.m.append(nil, nil); !bytes.Equal(got, octets(t, c.want)) {
			t.Errorf("%s: %x, want %s", c.name, got, c.want)
		}
		got, err := parse(c.m.append(nil, testKeys), testKeys)
		if err != nil || !reflect.DeepEqual(got, c.m) {
			t.Errorf("%s: parsed %+v, %v; want %+v", c.name, got, err, c.m)
		}
	}
	heres := []here{
		{sequence: 5, tenant: 100, segment: 1, mac: 0x02560a0a0164, address: netip.MustParseAddr("10.10.1.100"),
			at: Place{0x02000000000a, 2}},
		{sequence: 6, tenant: 100, segment: 1, mac: 0x025600000100, address: netip.MustParseAddr("fd00:10::100"),
			at: Place{0x02000000000a, 2}},
	}
	want := octets(t, "5053 01 02 0008 00 00 0000000000000005 000064 000001 02560a0a0164 0a0a0164 02000000000a 0002"+
		"5053 01 02 0009 00 00 0000000000000006 000064 000001 025600000100 00000000 02000000000a 0002"+
		"fd000010000000000000000000000100")
	if got := appendHeres(nil, heres, nil); !bytes.Equal(got, want) {
		t.Errorf("claims: %x, want %x", got, want)
	}
	got, unknown, err := parseHeres(appendHeres(nil, heres, testKeys), testKeys)
	if err != nil || unknown != 0 || !reflect.DeepEqual(got, heres) {
		t.Errorf("claims: parsed %+v, %d others, %v; want %+v", got, unknown, err, heres)
	}
}

// TestTags: what is not signed with one of the keys is refused, whatever octet was changed; without keys a tag says
// nothing.
func TestTags(t *testing.T) {
	m := message{opcode: opFlows, sequence: 2, flows: []flowNews{{tenant: 1, client: netip.MustParseAddr("10.1.1.1")}}}
	h := []here{{mac: 1, at: Place{2, 2}}}
	for _, c := range []struct {
		name  string
		write func(keys []resolve.Key) []byte
		read  func(b []byte, keys []resolve.Key) error
	}{
		{"flows", func(k []resolve.Key) []byte { return m.append(nil, k) }, func(b []byte, k []resolve.Key) error {
			_, err := parse(b, k)
			return err
		}},
		{"claims", func(k []resolve.Key) []byte {
			return appendHeres(nil, h, k)
		}, func(b []byte, k []resolve.Key) error {
			_, _, err := parseHeres(b, k)
			return err
		}},
	} {
		signed, plain := c.write(testKeys[1:]), c.write(nil)
		if err := c.read(signed, testKeys); err != nil {
			t.Errorf("%s: signed with the second key: %v, want it taken", c.name, err)
		}
		if err := c.read(signed, nil); err != nil {
			t.Errorf("%s: a tag without keys: %v, want it ignored", c.name, err)
		}
		other := c.write([]resolve.Key{{ID: 1, Octets: "other"}})
		for name, b := range map[string][]byte{"without a tag": plain, "with another key": other} {
			if err := c.read(b, testKeys); err != errForged {
				t.Errorf("%s %s: %v, want %v", c.name, name, err, errForged)
			}
		}
		for i := range signed {
			b := bytes.Clone(signed)
			b[i] ^= 1
			if err := c.read(b, testKeys); err == nil {
				t.Errorf("%s with octet %d changed is taken, want it refused", c.name, i)
			}
			if err := c.read(signed[:i], testKeys); err == nil {
				t.Errorf("the first %d octets of %s are taken, want them refused", i, c.name)
			}
		}
	}
}

// FuzzParse: what a parser takes is what is written again, and no input ends it.
func FuzzParse(f *testing.F) {
	m := message{opcode: opHello, sequence: 9, services: []service{{tenant: 1, id: 2, states: []byte{1}}}}
	f.Add(m.append(nil, nil))
	m = message{opcode: opFlows, sequence: 9, flows: []flowNews{{client: netip.MustParseAddr("fd00::1")}}}
	f.Add(m.append(nil, testKeys))
	f.Add(appendHeres(nil, []here{{mac: 1, address: netip.MustParseAddr("fd00::1"), at: Place{2, 2}}}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parse(b, nil); err == nil {
			again, err := parse(m.append(nil, nil), nil)
			if err != nil || !reflect.DeepEqual(again, m) {
				t.Errorf("%+v is read again as %+v, %v", m, again, err)
			}
		}
		if list, _, err := parseHeres(b, nil); err == nil {
			again, _, err := parseHeres(appendHeres(nil, list, nil), nil)
			if err != nil || len(again) != len(list) {
				t.Errorf("%+v is read again as %+v, %v", list, again, err)
			}
		}
		if _, _, payload, ok := unicast.Packet(b); ok && len(payload) > len(b) {
			t.Errorf("payload of %d octets in a frame of %d", len(payload), len(b))
		}
	})
}
