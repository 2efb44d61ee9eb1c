package model

import (
	"net/netip"

	"penstock/ctrl/model/strict"
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
	Kind: KindSubnet, One: "subnet", Short: "Subnets and their virtual routers",
	Key: []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Filters: []Filter{
		byMember("tenant", func(s Subnet) string { return s.Tenant }),
		byMember("segment", func(s Subnet) string { return s.Segment }),
	},
	Columns: []Column{
		{Head: "SUBNET", Member: "key"}, {Head: "SEGMENT", Member: "segment"}, {Head: "PREFIX", Member: "prefix"}, {Head: "ROUTER", Member: "router"},
	},
	Max:  always(MaxSubnets),
	Refs: func(o Object) []Ref { s := o.(Subnet); return []Ref{{KindSegment, s.Tenant + "/" + s.Segment}} },
	decode: func(n *strict.Node, path, key string) (Object, []strict.Problem) {
		return decode(n, path, key, func(s *Subnet) []ident {
			return []ident{str("tenant", &s.Tenant), str("name", &s.Name)}
		})
	},
	validate: (*validator).subnets,
	objects:  mapOf[Subnet](func(s *State) *map[string]Subnet { return &s.Subnets }),
}
