package ipvs

import (
	"fmt"
	"strings"
	"testing"
)

// TestLimits: a text of more services or servers than a box takes is refused.
func TestLimits(t *testing.T) {
	var ranges, servers strings.Builder
	ranges.WriteString("virtual_server_group G {\n")
	for i := range 40 { // of 4,096 addresses
		fmt.Fprintf(&ranges, "10.%d.%d.0/20 80\n", i/16, i%16*16)
	}
	ranges.WriteString("}\nvirtual_server group G {\nlvs_method DR\nprotocol TCP\n")
	for i := range 100 {
		fmt.Fprintf(&ranges, "real_server 11.0.0.%d 80 {\n}\n", i)
	}
	ranges.WriteString("}\n")
	servers.WriteString("-A -t 10.0.0.1:80\n")
	for i := range maxServers + 10 {
		fmt.Fprintf(&servers, "-a -t 10.0.0.1:80 -r 11.%d.%d.%d:80 -g\n", i>>16, i>>8&255, i&255)
	}
	for _, tc := range []struct {
		what, text string
		line       int
	}{
		{"ranges", ranges.String(), 118}, {"servers", servers.String(), maxServers + 2},
	} {
		got := Parse(tc.text, Options{})
		if len(got.Faults) == 0 || got.Faults[0].Message != "more than 65536 servers" || got.Faults[0].Line != tc.line {
			t.Errorf("%s: got %d faults, want first that there are more than 65536 servers in line %d", tc.what,
				len(got.Faults), tc.line)
		}
		n := 0
		for i := range got.Services {
			n += len(got.Services[i].Servers)
		}
		if n != maxServers {
			t.Errorf("%s: got %d servers, want %d", tc.what, n, maxServers)
		}
	}
}
