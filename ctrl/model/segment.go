package model

import "fmt"

// Segment is one MAC address space of a tenant: a bridge domain.
type Segment struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	ID     uint32 `json:"id"` // 1 … 65,535 (10.p.t) or 16,777,215 (p.t)
	// UnknownUnicast is the treatment of frames to a MAC, and of requests for an address, without a binding: "drop"
	// (default) or "flood".
	UnknownUnicast string `json:"unknown_unicast,omitempty"`
	// RouterAdvertisements is the treatment of router advertisements from other boxes: "drop" (default) or "accept",
	// for tenants whose own routers are VMs. VIF.Allow rules the advertisements of this box's VIFs.
	RouterAdvertisements string `json:"router_advertisements,omitempty"`
}

// The values of the members, the default first.
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
		{Name: "id", Min: 1, Max: maxSegmentID24,
			Doc: "Up to 65535 under the scheme 10.p.t. Unique within the tenant."},
		{Name: "unknown_unicast", Words: unicastWords,
			Doc: "Treatment of frames to a MAC, and of requests for an address, without a binding; default drop."},
		{Name: "router_advertisements", Words: advertisementWords,
			Doc: "Treatment of IPv6 router advertisements from other boxes; default drop. The member allow of a VIF " +
				"rules the advertisements of this box's VIFs."},
	},
	Filters:  []Filter{byTenant(func(s Segment) string { return s.Tenant })},
	Short:    "Segments, and how much hangs from them",
	ShowArgs: []string{"red"},
	Columns: []Column{
		{Head: "SEGMENT", Member: "key"}, {Head: "ID", Member: "id", Number: true},
		{Head: "UNKNOWN UNICAST", Member: "unknown_unicast", Default: "drop"},
		{Head: "VIFS", Member: "status.vifs", Number: true},
		{Head: "BINDINGS", Member: "status.bindings", Number: true},
		{Head: "BOXES", Member: "status.boxes", Number: true},
	},
	Max:      always(MaxSegments),
	Refs:     func(o Object) []Ref { return []Ref{{KindTenant, o.(Segment).Tenant}} },
	validate: (*validator).segments,
	objects:  mapOf[Segment](func(s *State) *map[string]Segment { return &s.Segments }),
}

func (v *validator) segments() {
	type id struct {
		tenant string
		id     uint32
	}
	owner := map[id]string{}
	for key, s := range v.s.Segments {
		if !v.in(s.Tenant) {
			continue
		}
		k := id{s.Tenant, s.ID}
		if o, ok := owner[k]; !ok || key < o {
			owner[k] = key
		}
	}
	_, most := v.maxIDs()
	for key, s := range v.s.Segments {
		if !v.in(s.Tenant) {
			continue
		}
		r := v.at(KindSegment, key)
		v.name(r, "name", s.Name)
		v.refTenant(r, s.Tenant)
		if s.ID == 0 {
			r("id", CodeRequired, fmt.Sprintf("choose an ID from 1 to %d", most), "the segment has no ID, or the ID 0")
		} else if s.ID > most {
			r("id", CodeInvalid, fmt.Sprintf("choose an ID from 1 to %d", most),
				"segment ID %d is too large for the scheme %q", s.ID, v.scheme())
		} else if o := owner[id{s.Tenant, s.ID}]; o != key {
			r("id", CodeDuplicate, "give every segment of a tenant its own ID",
				"segment ID %d belongs to segment %s already", s.ID, o).about(KindSegment, o)
		}
		v.oneOf(r, "unknown_unicast", s.UnknownUnicast, unicastWords)
		v.oneOf(r, "router_advertisements", s.RouterAdvertisements, advertisementWords)
	}
}
