package model

import (
	"fmt"
	"slices"
	"strings"

	"penstock/ctrl/model/strict"
)

// Kind names a collection of resources, as it appears in URLs, transactions and events.
type Kind string

// The kinds. The key of a resource is its path below the collection.
const (
	KindTenant  Kind = "tenants"  // key: NAME
	KindSegment Kind = "segments" // key: TENANT/NAME
	KindSubnet  Kind = "subnets"  // key: TENANT/NAME
	KindVIF     Kind = "vifs"     // key: TENANT/NAME
	KindVIP     Kind = "vips"     // key: TENANT/NAME
	KindService Kind = "services" // key: TENANT/NAME
	KindServer  Kind = "servers"  // key: TENANT/SERVICE/NAME
	KindBinding Kind = "bindings" // key: TENANT/SEGMENT/MAC
	KindPath    Kind = "paths"    // key: MAC/MAC, the smaller first
	KindVTEP    Kind = "vteps"    // key: NAME
)

// Info describes a kind of resources once, for all users of kinds: routes, the API's document, the state, validation,
// the store, documents, metrics, the command line. Each kind has a file of its own.
type Info struct {
	Kind Kind
	One  string    // a single object, as in "segment RED/web"
	Doc  string    // what such an object is, in one sentence
	Key  []KeyPart // the parts of the key, in order

	// Example is the object of the API's document and the tests. Its Go type is the kind's type. The examples of all
	// kinds together are a valid state.
	Example Object
	Members []Member // descriptions of the members beyond the Go type, in any order

	Filters []Filter         // of a listing
	Max     func(Scheme) int // the most objects of one box; nil: the configuration sets the limit (bindings)

	Columns  []Column // of a table for people, before the state of the object
	Short    string   // the content of such a table, in one sentence
	ShowArgs []string // arguments of `penstock show KIND`, for its help

	// Refs are the objects that o cannot be live without; nil = none.
	Refs func(o Object) []Ref

	unordered bool // the parts of the key are MACs, the smallest first
	// decode decodes an object from its JSON; nil = decodeObject.
	decode   func(i *Info, n *strict.Node, path, key string) (Object, []strict.Problem)
	validate func(v *validator)
	objects  objects // nil: the state does not hold them (bindings)
}

// KeyPart is one part of a key, the value of a member.
type KeyPart struct {
	Name string
	MAC  bool // a MAC, not a name
}

// Member describes a member of an object's JSON beyond its Go type.
type Member struct {
	Name  string // "vlans.vid" is the member vid of the entries of the list vlans
	Doc   string
	Named bool     // the value is the name of another object
	Words []string // the values allowed; of a list, the entries allowed

	Min, Max           uint64 // of a number
	MinItems, MaxItems int    // of a list; of a map, members
}

// Filter restricts a listing to the objects for which Match holds.
type Filter struct {
	Name  string // of the query parameter
	Doc   string // the effect, in one sentence
	MAC   bool   // the value is a MAC
	Match func(o Object, value string) bool
}

// Column is one column of a table for people.
type Column struct {
	Head    string
	Member  string // of the object's JSON; "status.x" is a member of the status, "key" the whole key
	Number  bool   // an absent member is 0
	Default string // shown for an absent member
}

// Ref names an object.
type Ref struct {
	Kind Kind
	Key  string
}

// Tenant returns the tenant that the object is or belongs to; ok is false for kinds without a tenant (paths, VTEPs).
func (r Ref) Tenant() (name string, ok bool) {
	i := r.Kind.Info()
	if i == nil || r.Kind != KindTenant && i.Key[0].Name != "tenant" {
		return "", false
	}
	name, _, _ = strings.Cut(r.Key, "/")
	return name, true
}

// kinds are all kinds. A kind refers to kinds before it only.
var kinds = [...]*Info{&tenantKind, &segmentKind, &subnetKind, &vifKind, &vipKind, &serviceKind, &serverKind,
	&pathKind, &vtepKind, &bindingKind}

// Kinds are all kinds. A kind refers to kinds before it only.
var Kinds = func() (list []Kind) {
	for _, i := range kinds {
		list = append(list, i.Kind)
	}
	return list
}()

// KindList returns the names of all kinds, for help and errors.
func KindList() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// Info returns the description of the kind, or nil if there is no such kind.
func (k Kind) Info() *Info {
	for _, i := range kinds {
		if i.Kind == k {
			return i
		}
	}
	return nil
}

// Valid reports whether k is one of Kinds.
func (k Kind) Valid() bool { return k.Info() != nil }

// One returns the noun for a single object of the kind, such as "segment".
func (k Kind) One() string {
	if i := k.Info(); i != nil {
		return i.One
	}
	return strings.TrimSuffix(string(k), "s")
}

// KeyForm is the form of the kind's keys, as TENANT/NAME.
func (i *Info) KeyForm() string {
	parts := make([]string, len(i.Key))
	for p, k := range i.Key {
		parts[p] = strings.ToUpper(k.Name)
		if k.MAC {
			parts[p] = "MAC"
		}
	}
	return strings.Join(parts, "/")
}

// KeyPattern is the pattern of the kind's keys in URLs, as {tenant}/{name}.
func (i *Info) KeyPattern() string {
	parts := make([]string, len(i.Key))
	for p, k := range i.Key {
		parts[p] = "{" + k.Name + "}"
	}
	return strings.Join(parts, "/")
}

// FilterNames are the query parameters that restrict a listing.
func (i *Info) FilterNames() []string {
	names := make([]string, len(i.Filters))
	for p, f := range i.Filters {
		names[p] = f.Name
	}
	return names
}

// NormalizeKey checks the form of a key and returns the form that the maps use: MACs in lower case with colons, the
// smaller MAC of a path first.
func NormalizeKey(kind Kind, key string) (string, error) {
	i := kind.Info()
	if i == nil {
		return "", fmt.Errorf("unknown kind %q", string(kind))
	}
	parts := strings.Split(key, "/")
	if len(parts) != len(i.Key) {
		return "", fmt.Errorf("%q is not a key of %s: the form is %s", key, kind, i.KeyForm())
	}
	for p, k := range i.Key {
		if k.MAC {
			m, err := ParseMAC(parts[p])
			if err != nil {
				return "", err
			}
			parts[p] = m.String()
		} else if !ValidName(parts[p]) {
			return "", fmt.Errorf("%q is not a name: %s", parts[p], nameHint)
		}
	}
	if i.unordered {
		slices.Sort(parts)
	}
	return strings.Join(parts, "/"), nil
}

// byMember makes the filter that compares a member with the value.
func byMember[T Object](name, doc string, member func(T) string) Filter {
	return Filter{Name: name, Doc: doc, Match: func(o Object, value string) bool { return member(o.(T)) == value }}
}

func byTenant[T Object](tenant func(T) string) Filter {
	return byMember("tenant", "Only of this tenant.", tenant)
}

func bySegment[T Object](segment func(T) string) Filter {
	return byMember("segment", "Only of this segment.", segment)
}

// bySwitch makes the filter by edge switch.
func bySwitch(match func(o Object, mac string) bool) Filter {
	return Filter{Name: "switch", Doc: "Only with this edge switch (MAC).", MAC: true, Match: match}
}

// always is the limit of a kind whatever the scheme.
func always(n int) func(Scheme) int { return func(Scheme) int { return n } }
