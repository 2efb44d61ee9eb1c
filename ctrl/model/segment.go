package model

import (
	"fmt"

	"penstock/ctrl/model/strict"
)

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
	// VNI is the segment's VXLAN network identifier, 1 … 16,777,215, unique in the fabric; 0 = it has none, and is not
	// carried in VXLAN.
	VNI uint32 `json:"vni,omitempty"`
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
	Example: Segment{Tenant: "RED", Name: "web", ID: 1, VNI: 4096},
	Members: []Member{
		{Name: "id", Min: 1, Max: maxSegmentID24,
			Doc: "Up to 65535 under the scheme 10.p.t. Unique within the tenant."},
		{Name: "unknown_unicast", Words: unicastWords,
			Doc: "Treatment of frames to a MAC, and of requests for an address, without a binding; default drop."},
		{Name: "router_advertisements", Words: advertisementWords,
			Doc: "Treatment of IPv6 router advertisements from other boxes; default drop. The member allow of a VIF " +
				"rules the advertisements of this box's VIFs."},
		{Name: "vni", Min: 1, Max: MaxVNI, Doc: "VXLAN network identifier: VTEPs know the segment by it. Unique in " +
			"the fabric. Absent: the segment is not carried in VXLAN."},
	},
	Filters:  []Filter{byTenant(func(s Segment) string { return s.Tenant })},
	Short:    "Segments, and how much hangs from them",
	ShowArgs: []string{"red"},
	Columns: []Column{
		{Head: "SEGMENT", Member: "key"}, {Head: "ID", Member: "id", Number: true},
		{Head: "VNI", Member: "vni", Default: "-"},
		{Head: "UNKNOWN UNICAST", Member: "unknown_unicast", Default: "drop"},
		{Head: "VIFS", Member: "status.vifs", Number: true},
		{Head: "BINDINGS", Member: "status.bindings", Number: true},
		{Head: "BOXES", Member: "status.boxes", Number: true},
	},
	Max:      always(MaxSegments),
	Refs:     func(o Object) []Ref { return []Ref{{KindTenant, o.(Segment).Tenant}} },
	decode:   decodeSegment,
	validate: (*validator).segments,
	objects:  mapOf[Segment](func(s *State) *map[string]Segment { return &s.Segments }),
}

// decodeSegment refuses the VNI 0, which an absent one is, too.
func decodeSegment(i *Info, n *strict.Node, path, key string) (Object, []strict.Problem) {
	o, ps := i.decodeObject(n, path, key)
	if len(ps) == 0 && n.Get("vni") != nil && o.(Segment).VNI == 0 {
		field := "vni"
		if path != "" {
			field = path + "." + field
		}
		ps = append(ps, strict.Problem{Field: field, Code: CodeInvalid, Message: "0 is not a VNI",
			Hint: fmt.Sprintf("choose a VNI from 1 to %d, or leave it out", MaxVNI)})
	}
	return o, ps
}

func (v *validator) segments() {
	type id struct {
		tenant string
		id     uint32
	}
	owner, network := map[id]string{}, map[uint32]string{}
	for key, s := range v.s.Segments {
		if s.VNI != 0 {
			if o, ok := network[s.VNI]; !ok || v.before(key, o) {
				network[s.VNI] = key
			}
		}
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
		if o := network[s.VNI]; s.VNI > MaxVNI {
			r("vni", CodeInvalid, fmt.Sprintf("choose a VNI from 1 to %d", MaxVNI), "VNI %d is too large", s.VNI)
		} else if s.VNI != 0 && o != key {
			r("vni", CodeDuplicate, "give every segment of the fabric its own VNI",
				"VNI %d belongs to segment %s already", s.VNI, o).about(KindSegment, o)
		}
		v.oneOf(r, "unknown_unicast", s.UnknownUnicast, unicastWords)
		v.oneOf(r, "router_advertisements", s.RouterAdvertisements, advertisementWords)
	}
}
