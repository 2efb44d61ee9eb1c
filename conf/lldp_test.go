package conf

import (
	"strings"
	"testing"
)

const lldpBox = `
[[port]]
name = "fab0"
interface = "eth2"
role = "fabric"
`

// TestLLDP: a fabric port needs no place, and the tables of LLDP are read in every form that TOML has for them.
func TestLLDP(t *testing.T) {
	for _, text := range []string{`
[lldp]
switch_macs = { leaf1 = "02:00:00:00:00:0a" }
ports = { "Ethernet1/17/3" = 67 }
rules = [{ field = "port_description", match = '/(\d+)$' }, { field = "port_id", match = '^swp(\d+)s0$' }]
`, `
[lldp.switch_macs]
leaf1 = "02:00:00:00:00:0a"
[lldp.ports]
"Ethernet1/17/3" = 67
[[lldp.rules]]
field = "port_description"
match = '/(\d+)$'
[[lldp.rules]]
field = "port_id"
match = '^swp(\d+)s0$'
`} {
		c := mustParse(t, lldpBox+text)
		if c.Ports[0].SwitchMAC != 0 || c.Ports[0].SwitchPort != 0 {
			t.Errorf("place of the port: got %s/%d, want none", c.Ports[0].SwitchMAC, c.Ports[0].SwitchPort)
		}
		l := c.LLDP
		if l.SwitchMACs.ByChassis["leaf1"] != 0x02000000000a || l.Ports.ByText["Ethernet1/17/3"] != 67 ||
			len(l.Rules.List) != 2 || l.Rules.List[0].Field != "port_description" ||
			l.Rules.List[1].Match.String() != `^swp(\d+)s0$` {
			t.Errorf("read: got %+v", l)
		}
		changes := mustParse(t, lldpBox).Diff(c)
		if len(changes) != 3 {
			t.Errorf("changes: got %v, want the three keys", changes)
		}
		for _, ch := range changes {
			if !ch.Live || !strings.HasPrefix(ch.Key, "lldp.") {
				t.Errorf("change %v: want a live one of lldp", ch)
			}
		}
	}
}

// TestKeyForms: a key of the fabric is a string or a table.
func TestKeyForms(t *testing.T) {
	const hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	for _, text := range []string{`keys = ["9:` + hex + `"]`, `keys = [{ id = 9, key = "` + hex + `" }]`} {
		c := mustParse(t, lldpBox+"[fabric]\n"+text)
		if k := c.Fabric.Keys.Keys; len(k) != 1 || k[0].ID != 9 || len(k[0].Key) != 32 || k[0].Key[31] != 31 {
			t.Errorf("%s: got %v, want key 9 of 32 octets", text, k)
		}
	}
}
