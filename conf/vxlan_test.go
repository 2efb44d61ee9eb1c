package conf

import (
	"strings"
	"testing"
)

// TestVXLAN: what is wrong with the keys of a port with VXLAN is said at its place, and what is right is read.
func TestVXLAN(t *testing.T) {
	const head = "[[port]]\nname = \"vx0\"\ninterface = \"eth1\"\nrole = \"fabric\"\n"
	for _, tc := range []struct{ keys, fault string }{
		{"encap = \"vxlan\"\nvtep_address = \"192.0.2.1/24\"\ngateway = \"192.0.2.254\"", ""},
		{"encap = \"vxlan\"\nvtep_address = \"2001:db8::1\"\ngateway = \"fe80::1\"\nzero_checksum6 = true", ""},
		{"encap = \"vxlan\"", "port[0].vtep_address: missing"},
		{"vtep_address = \"192.0.2.1/24\"", "port[0].vtep_address: only a port with encap"},
		{"encap = \"vxlan\"\nvtep_address = \"192.0.2.0/24\"", "port[0].vtep_address: found 192.0.2.0/24"},
		{"encap = \"vxlan\"\nvtep_address = \"224.0.0.1\"", "port[0].vtep_address: found 224.0.0.1"},
		{"encap = \"vxlan\"\nvtep_address = \"x\"", "found the string \"x\", want an IPv4 or IPv6"},
		{"encap = \"vxlan\"\nvtep_address = \"192.0.2.1/24\"\ngateway = \"192.0.3.1\"", "gateway: found 192.0.3.1"},
		{"encap = \"vxlan\"\nvtep_address = \"192.0.2.1/24\"\ngateway = \"2001:db8::1\"", "of the same family"},
		{"encap = \"vxlan\"\nvtep_address = \"192.0.2.1/24\"\nzero_checksum6 = true", "port[0].zero_checksum6"},
		{"encap = \"vxlan\"\nvtep_address = \"192.0.2.1/24\"\nswitch_port = 3", "switch_port: a port with encap"},
	} {
		c, err := Parse("p.toml", []byte(head+tc.keys+"\n"))
		switch {
		case tc.fault == "" && (err != nil || c.Ports[0].Encap != EncapVXLAN || !c.Ports[0].VTEPAddress.IsValid()):
			t.Errorf("%q: got %v, %+v; want it read", tc.keys, err, c)
		case tc.fault != "" && (err == nil || !strings.Contains(err.Error(), tc.fault)):
			t.Errorf("%q: got %v, want %q", tc.keys, err, tc.fault)
		}
	}
}
