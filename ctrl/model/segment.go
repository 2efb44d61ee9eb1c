package model

import "penstock/ctrl/model/strict"

// Segment is one MAC address space of a tenant: a bridge domain.
type Segment struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	ID     uint32 `json:"id"` // 1 … 65,535 (10.p.t) or 16,777,215 (p.t)
	// UnknownUnicast is what becomes of frames to a MAC, and of questions for an address, that no binding knows: "drop"
	// (default) or "flood".
	UnknownUnicast string `json:"unknown_unicast,omitempty"`
	// RouterAdvertisements is what becomes of router advertisements that come from other boxes: "drop" (default) or
	// "accept", where routers of the tenant's own are VMs. Those of this box's VIFs are a matter of VIF.Allow.
	RouterAdvertisements string `json:"router_advertisements,omitempty"`
}

// Kind implements Object.
func (Segment) Kind() Kind { return KindSegment }

// Key implements Object.
func (s Segment) Key() string { return s.Tenant + "/" + s.Name }

var segmentKind = Info{
	Kind: KindSegment, One: "segment", Short: "Segments, and how much hangs from them",
	Key:     []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Filters: []Filter{byMember("tenant", func(s Segment) string { return s.Tenant })},
	Columns: []Column{
		{Head: "SEGMENT", Member: "key"}, {Head: "ID", Member: "id", Number: true}, {Head: "UNKNOWN UNICAST", Member: "unknown_unicast", Default: "drop"},
		{Head: "VIFS", Member: "status.vifs", Number: true}, {Head: "BINDINGS", Member: "status.bindings", Number: true},
		{Head: "BOXES", Member: "status.boxes", Number: true},
	},
	Max:  always(MaxSegments),
	Refs: func(o Object) []Ref { return []Ref{{KindTenant, o.(Segment).Tenant}} },
	decode: func(n *strict.Node, path, key string) (Object, []strict.Problem) {
		return decode(n, path, key, func(s *Segment) []ident {
			return []ident{str("tenant", &s.Tenant), str("name", &s.Name)}
		})
	},
	validate: (*validator).segments,
	objects:  mapOf[Segment](func(s *State) *map[string]Segment { return &s.Segments }),
}
