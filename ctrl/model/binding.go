package model

import (
	"net/netip"
	"strings"
)

// Binding is the location of a VIF: its edge switch and port, or the VTEP that it is behind. A local VIF is its own
// binding and takes precedence over a pushed one.
type Binding struct {
	Tenant     string       `json:"tenant"`
	Segment    string       `json:"segment"`
	MAC        MAC          `json:"mac"`
	Addresses  []netip.Addr `json:"addresses,omitempty"`
	SwitchMAC  MAC          `json:"switch_mac,omitzero"`
	SwitchPort uint16       `json:"switch_port,omitempty"` // 1 … 255
	VTEP       string       `json:"vtep,omitempty"`        // instead of both: the name of a VTEP
}

// BindingKey identifies a binding.
type BindingKey struct {
	Tenant, Segment string
	MAC             MAC
}

// Where bindings come from.
const (
	OriginPushed = "pushed"
	OriginFabric = "fabric" // another box has told it
	OriginVTEP   = "vtep"   // learned from the frames of a VTEP
	// OriginLearned: its station was heard behind an attachment of this box.
	OriginLearned = "learned"
)

// Origins are the origins of bindings, by which a listing can be restricted.
var Origins = []string{OriginPushed, OriginLearned, OriginFabric, OriginVTEP}

// BindingChanges are the changes of one transaction to the bindings.
type BindingChanges struct {
	Puts    []Binding
	Deletes []BindingKey
}

// Kind implements Object.
func (Binding) Kind() Kind { return KindBinding }

// Key implements Object.
func (b Binding) Key() string { return b.BindingKey().String() }

// BindingKey returns the key in parts.
func (b *Binding) BindingKey() BindingKey { return BindingKey{b.Tenant, b.Segment, b.MAC} }

// String returns the key in the form of URLs: TENANT/SEGMENT/MAC.
func (k BindingKey) String() string { return k.Tenant + "/" + k.Segment + "/" + k.MAC.String() }

// ParseBindingKey reads TENANT/SEGMENT/MAC.
func ParseBindingKey(key string) (BindingKey, error) {
	key, err := NormalizeKey(KindBinding, key)
	if err != nil {
		return BindingKey{}, err
	}
	p := strings.Split(key, "/")
	m, err := ParseMAC(p[2])
	return BindingKey{p[0], p[1], m}, err
}

// The state does not hold bindings: up to a million are kept, in the store and in the dataplane's table only.
var bindingKind = Info{
	Kind: KindBinding, One: "binding", Doc: "The location of a VIF: its edge switch and port, or its VTEP.",
	Key: []KeyPart{{Name: "tenant"}, {Name: "segment"}, {Name: "mac", MAC: true}},
	Example: Binding{Tenant: "RED", Segment: "web", MAC: 0x020000000101,
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.9")}, SwitchMAC: 0x02aa00000001, SwitchPort: 3},
	Members: []Member{
		{Name: "addresses", MaxItems: MaxAddresses, Doc: "IPv4 first when read."},
		{Name: "switch_port", Min: 1, Max: MaxSwitchPort},
		{Name: "vtep", Named: true, Doc: "Instead of switch_mac and switch_port: the VTEP that the VIF is behind. " +
			"The segment has a VNI."},
	},
	Filters: []Filter{
		byTenant(func(b Binding) string { return b.Tenant }), bySegment(func(b Binding) string { return b.Segment }),
		bySwitch(func(o Object, value string) bool { return o.(Binding).SwitchMAC.String() == value }),
	},
	Short:    "Bindings: where the VIFs hang, pushed, learned or told by other boxes",
	ShowArgs: []string{"red/web", "red/web/02:00:00:00:00:01 -o json", "--origin fabric"},
	Columns: []Column{
		{Head: "TENANT", Member: "tenant"}, {Head: "SEGMENT", Member: "segment"}, {Head: "MAC", Member: "mac"},
		{Head: "ADDRESSES", Member: "addresses"}, {Head: "EDGE SWITCH", Member: "switch_mac"},
		{Head: "SWITCH PORT", Member: "switch_port", Number: true}, {Head: "VTEP", Member: "vtep", Default: "-"},
		{Head: "ORIGIN", Member: "status.origin", Default: "-"},
	},
	Refs: func(o Object) []Ref { b := o.(Binding); return []Ref{{KindSegment, b.Tenant + "/" + b.Segment}} },
}
