package model

import (
	"net/netip"
)

// Subnet belongs to one segment and names the virtual router's address in it.
type Subnet struct {
	Tenant  string       `json:"tenant"`
	Name    string       `json:"name"`
	Segment string       `json:"segment"`
	Prefix  netip.Prefix `json:"prefix"`
	Router  netip.Addr   `json:"router,omitzero"` // absent: no router in this subnet
}

// Kind implements Object.
func (Subnet) Kind() Kind { return KindSubnet }

// Key implements Object.
func (s Subnet) Key() string { return s.Tenant + "/" + s.Name }

var subnetKind = Info{
	Kind: KindSubnet, One: "subnet", Doc: "A subnet of one segment.",
	Key: []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Example: Subnet{Tenant: "RED", Name: "web4", Segment: "web",
		Prefix: netip.MustParsePrefix("10.1.0.0/24"), Router: netip.MustParseAddr("10.1.0.1")},
	Members: []Member{
		{Name: "segment", Named: true},
		{Name: "prefix", Doc: "A masked prefix, as 10.1.0.0/24. The subnets of one tenant must not overlap."},
		{Name: "router", Doc: "The virtual router's address in it; absent: none."},
	},
	Filters: []Filter{
		byTenant(func(s Subnet) string { return s.Tenant }), bySegment(func(s Subnet) string { return s.Segment }),
	},
	Short:    "Subnets and their virtual routers",
	ShowArgs: []string{"red"},
	Columns: []Column{
		{Head: "SUBNET", Member: "key"}, {Head: "SEGMENT", Member: "segment"},
		{Head: "PREFIX", Member: "prefix"}, {Head: "ROUTER", Member: "router"},
	},
	Max:      always(MaxSubnets),
	Refs:     func(o Object) []Ref { s := o.(Subnet); return []Ref{{KindSegment, s.Tenant + "/" + s.Segment}} },
	validate: (*validator).subnets,
	objects:  mapOf[Subnet](func(s *State) *map[string]Subnet { return &s.Subnets }),
}
