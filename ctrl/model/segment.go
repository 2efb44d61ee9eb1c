package model

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

// The words that the members may have, the default first.
var (
	unicastWords       = []string{"drop", "flood"}
	advertisementWords = []string{"drop", "accept"}
)

// Kind implements Object.
func (Segment) Kind() Kind { return KindSegment }

// Key implements Object.
func (s Segment) Key() string { return s.Tenant + "/" + s.Name }

var segmentKind = Info{
	Kind: KindSegment, One: "segment", Doc: "One MAC address space of a tenant: a bridge domain.",
	Key:     []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Example: Segment{Tenant: "RED", Name: "web", ID: 1},
	Members: []Member{
		{Name: "id", Min: 1, Max: maxSegmentID24, Doc: "Up to 65535 under the scheme 10.p.t. Unique within the tenant."},
		{Name: "unknown_unicast", Words: unicastWords, Doc: "What becomes of frames to a MAC, and of questions for an " +
			"address, that no binding knows; default drop."},
		{Name: "router_advertisements", Words: advertisementWords, Doc: "What becomes of IPv6 router advertisements from " +
			"other boxes; default drop. Those of a VIF of this box are a matter of its allow."},
	},
	Filters:  []Filter{byTenant(func(s Segment) string { return s.Tenant })},
	Short:    "Segments, and how much hangs from them",
	ShowArgs: []string{"red"},
	Columns: []Column{
		{Head: "SEGMENT", Member: "key"}, {Head: "ID", Member: "id", Number: true},
		{Head: "UNKNOWN UNICAST", Member: "unknown_unicast", Default: "drop"},
		{Head: "VIFS", Member: "status.vifs", Number: true}, {Head: "BINDINGS", Member: "status.bindings", Number: true},
		{Head: "BOXES", Member: "status.boxes", Number: true},
	},
	Max:      always(MaxSegments),
	Refs:     func(o Object) []Ref { return []Ref{{KindTenant, o.(Segment).Tenant}} },
	validate: (*validator).segments,
	objects:  mapOf[Segment](func(s *State) *map[string]Segment { return &s.Segments }),
}
