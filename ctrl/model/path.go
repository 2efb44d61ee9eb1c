package model

import (
	"fmt"
	"slices"
	"strings"

	"penstock/ctrl/model/strict"
)

// Path lists the VLANs that connect a pair of edge switches, in both directions. A and B may be the same switch.
type Path struct {
	A     MAC        `json:"a"`
	B     MAC        `json:"b"`
	VLANs []PathVLAN `json:"vlans"`
}

// PathVLAN is one VLAN of a path entry.
type PathVLAN struct {
	VID    uint16 `json:"vid"`
	Weight uint16 `json:"weight,omitempty"` // 1 (default) … 100
}

// Kind implements Object.
func (Path) Kind() Kind { return KindPath }

// Key implements Object.
func (p Path) Key() string {
	if p.B < p.A {
		p.A, p.B = p.B, p.A
	}
	return p.A.String() + "/" + p.B.String()
}

var pathKind = Info{
	Kind: KindPath, One: "path", Doc: "The VLANs that connect a pair of edge switches.",
	Key:     []KeyPart{{Name: "a", MAC: true}, {Name: "b", MAC: true}},
	Example: Path{A: 0x02aa00000001, B: 0x02aa00000002, VLANs: []PathVLAN{{VID: 10}, {VID: 20, Weight: 5}}},
	Members: []Member{
		{Name: "vlans", MinItems: 1, MaxItems: MaxPathVLANs},
		{Name: "vlans.vid", Min: 1, Max: MaxVLAN},
		{Name: "vlans.weight", Min: 1, Max: MaxWeight, Doc: "Default 1."},
	},
	Filters: []Filter{bySwitch(func(o Object, value string) bool {
		p := o.(Path)
		return p.A.String() == value || p.B.String() == value
	})},
	Short:     "VLAN paths between edge switches",
	Columns:   []Column{{Head: "EDGE SWITCHES", Member: "key"}, {Head: "VLANS", Member: "vlans"}},
	Max:       always(MaxPaths),
	unordered: true,
	decode:    decodePath,
	validate:  (*validator).paths,
	objects:   mapOf[Path](func(s *State) *map[string]Path { return &s.Paths }),
}

// decodePath puts the smaller MAC first, whatever the order in the value.
func decodePath(i *Info, n *strict.Node, path, key string) (Object, []strict.Problem) {
	o, ps := i.decodeObject(n, path, "")
	p := o.(Path)
	if key != "" {
		ka, kb, _ := strings.Cut(key, "/")
		a, _ := ParseMAC(ka)
		b, _ := ParseMAC(kb)
		if n.Get("a") == nil && n.Get("b") == nil {
			p.A, p.B = a, b
		} else if p.Key() != key && len(ps) == 0 {
			ps = append(ps, contradiction(path, "a", p.Key(), key))
		}
	}
	if p.B < p.A {
		p.A, p.B = p.B, p.A
	}
	for i := range p.VLANs {
		if p.VLANs[i].Weight == 0 && absentWeight(n, i) {
			p.VLANs[i].Weight = 1
		}
	}
	return p, ps
}

func absentWeight(n *strict.Node, i int) bool {
	return n.Get("vlans").Items[i].Get("weight") == nil
}

func (v *validator) paths() {
	for key, p := range v.s.Paths {
		if v.scope != nil && !v.scope.Objects[KindPath][key] {
			continue
		}
		r := v.at(KindPath, key)
		v.unicast(r, "a", p.A, "the edge switch's MAC address")
		v.unicast(r, "b", p.B, "the edge switch's MAC address")
		if p.B < p.A {
			r("a", CodeInvalid, "the smaller MAC address goes first", "the edge switches are in the wrong order")
		}
		if len(p.VLANs) == 0 {
			r("vlans", CodeRequired, "name at least one VLAN, or delete the path", "the path has no VLAN")
		}
		if len(p.VLANs) > MaxPathVLANs {
			r("vlans", CodeLimit, "", "%d VLANs are more than the %d allowed", len(p.VLANs), MaxPathVLANs)
		}
		for i, l := range p.VLANs {
			field := fmt.Sprintf("vlans[%d].", i)
			if l.VID < 1 || l.VID > MaxVLAN {
				r(field+"vid", CodeInvalid, "VLAN IDs go from 1 to 4094", "%d is not a VLAN ID", l.VID)
			} else if j := slices.IndexFunc(p.VLANs, func(o PathVLAN) bool { return o.VID == l.VID }); j < i {
				r(field+"vid", CodeDuplicate, "name every VLAN once", "VLAN %d is at vlans[%d] already", l.VID, j)
			}
			if l.Weight < 1 || l.Weight > MaxWeight {
				r(field+"weight", CodeInvalid, "weights go from 1 (the default) to 100", "%d is not a weight", l.Weight)
			}
		}
	}
}
