package model

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

// guests is a valid state with two VIFs of one segment that floods.
func guests() *State {
	vif := func(name string, mac MAC, addr string, vlan uint16) VIF {
		return VIF{Tenant: "red", Name: name, Segment: "web", MAC: mac,
			Addresses: []netip.Addr{netip.MustParseAddr(addr)}, Port: "acc0", VLAN: vlan}
	}
	return &State{
		Tenants: map[string]Tenant{"red": {Name: "red", ID: 100}},
		Segments: map[string]Segment{"red/web": {Tenant: "red", Name: "web", ID: 1,
			UnknownUnicast: "flood", RouterAdvertisements: "accept"}},
		Subnets: map[string]Subnet{"red/web4": {Tenant: "red", Name: "web4", Segment: "web",
			Prefix: netip.MustParsePrefix("10.0.0.0/24"), Router: netip.MustParseAddr("10.0.0.254")}},
		VIFs: map[string]VIF{
			"red/vm1": vif("vm1", 0x020000000001, "10.0.0.1", 0),
			"red/vm2": vif("vm2", 0x020000000002, "10.0.0.2", 0),
		},
	}
}

func TestAllowAndSharedAddresses(t *testing.T) {
	addrs := func(list ...string) (l []netip.Addr) {
		for _, a := range list {
			l = append(l, netip.MustParseAddr(a))
		}
		return l
	}
	for _, tt := range []struct {
		name   string
		change func(s *State, v *VIF)
		fault  string // field, code and a word of the hint; "" = none
	}{
		{"nothing said", func(*State, *VIF) {}, ""},
		{"nothing allowed", func(_ *State, v *VIF) { v.Allow = []string{} }, ""},
		{"all allowed", func(_ *State, v *VIF) { v.Allow = []string{"dhcp-server", "ra", "vrrp"} }, ""},
		{"unknown word", func(_ *State, v *VIF) { v.Allow = []string{"ra", "dhcp"} },
			`allow[1] invalid dhcp-server, ra, vrrp`},
		{"the same twice", func(_ *State, v *VIF) { v.Allow = []string{"ra", "vrrp", "ra"} },
			`allow[2] duplicate name every one once`},
		{"shared", func(_ *State, v *VIF) { v.SharedAddresses = addrs("10.0.0.100", "fe80::100") }, ""},
		{"shared by both", func(s *State, v *VIF) {
			o := s.VIFs["red/vm2"]
			o.SharedAddresses, v.SharedAddresses = addrs("10.0.0.100"), addrs("10.0.0.100")
			s.VIFs["red/vm2"] = o
		}, ""},
		{"another's own", func(_ *State, v *VIF) { v.SharedAddresses = addrs("10.0.0.2") },
			`shared_addresses[0] duplicate take it out of addresses`},
		{"its own", func(_ *State, v *VIF) { v.SharedAddresses = addrs("10.0.0.100", "10.0.0.1") },
			`shared_addresses[1] duplicate take it out of addresses`},
		{"the router's", func(_ *State, v *VIF) { v.SharedAddresses = addrs("10.0.0.254") },
			`shared_addresses[0] reserved choose another`},
		{"of no subnet", func(_ *State, v *VIF) { v.SharedAddresses = addrs("10.0.9.1") },
			`shared_addresses[0] not_found subnets`},
		{"shared twice", func(_ *State, v *VIF) { v.SharedAddresses = addrs("10.0.0.100", "10.0.0.100") },
			`shared_addresses[1] duplicate name every address once`},
		{"in a segment that drops", func(s *State, v *VIF) {
			g := s.Segments["red/web"]
			g.UnknownUnicast = ""
			s.Segments["red/web"] = g
			v.SharedAddresses = addrs("10.0.0.100")
		}, `shared_addresses conflict unknown_unicast = "flood"`},
		{"segment with an unknown word", func(s *State, _ *VIF) {
			g := s.Segments["red/web"]
			g.RouterAdvertisements = "flood"
			s.Segments["red/web"] = g
		}, `router_advertisements invalid drop, accept`},
	} {
		s := guests()
		v := s.VIFs["red/vm1"]
		tt.change(s, &v)
		s.VIFs["red/vm1"] = v
		problems := s.Validate(Options{Ports: []PortRef{{Name: "acc0", Role: "access"}}})
		if tt.fault == "" {
			if len(problems) > 0 {
				t.Errorf("%s: %v, want no fault", tt.name, problems)
			}
			continue
		}
		want := strings.SplitN(tt.fault, " ", 3)
		if len(problems) != 1 || problems[0].Field != want[0] || string(problems[0].Code) != want[1] ||
			!strings.Contains(problems[0].Hint, want[2]) {
			t.Errorf("%s: %+v, want one fault: %s", tt.name, problems, tt.fault)
		}
	}
}

// TestAllowIsKept: an empty list and an absent list stay distinct in JSON.
func TestAllowIsKept(t *testing.T) {
	for _, in := range [][]string{nil, {}, {"ra"}} {
		data, err := json.Marshal(VIF{Allow: in})
		if err != nil {
			t.Fatal(err)
		}
		var out VIF
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
		if (out.Allow == nil) != (in == nil) || len(out.Allow) != len(in) {
			t.Errorf("decoded from %s: %#v, want %#v", data, out.Allow, in)
		}
	}
}
