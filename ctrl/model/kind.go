package model

import (
	"fmt"
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
	KindBinding Kind = "bindings" // key: TENANT/SEGMENT/MAC
	KindPath    Kind = "paths"    // key: MAC/MAC, the smaller first
)

// Info describes a kind of resources once, for all that deals with kinds: routes, the state, validation, documents, the
// command line. Each kind has a file of its own.
type Info struct {
	Kind    Kind
	One     string    // a single object, as in "segment RED/web"
	Key     []KeyPart // the parts of the key, in order
	Filters []Filter  // by what a listing can be restricted
	Max     func(Scheme) int
	Columns []Column // what a table for people shows of it, before the state
	Short   string   // what such a table has, in one sentence

	// Refs are the objects that o cannot be live without; nil = none.
	Refs func(o Object) []Ref

	decode   func(n *strict.Node, path, key string) (Object, []strict.Problem)
	validate func(v *validator)
	objects  objects // nil: the state does not hold them (bindings)
}

// KeyPart is one part of a key: the member that it comes from.
type KeyPart struct {
	Name string
	MAC  bool // a MAC, not a name
}

// Filter restricts a listing to the objects for which Match holds.
type Filter struct {
	Name  string // of the query parameter
	MAC   bool   // its value is a MAC
	Match func(o Object, value string) bool
}

// Column is one column of a table for people.
type Column struct {
	Head    string
	Member  string // of the object's JSON; "status.x" is a member of its status, "key" the whole key
	Number  bool   // an absent member is 0
	Default string // what an absent member stands for
}

// Ref names an object.
type Ref struct {
	Kind Kind
	Key  string
}

// kinds are all kinds, in the order in which one refers to the one before.
var kinds = [...]*Info{&tenantKind, &segmentKind, &subnetKind, &vifKind, &pathKind, &bindingKind}

// Kinds are all kinds, in the order in which one refers to the one before.
var Kinds = func() (list []Kind) {
	for _, i := range kinds {
		list = append(list, i.Kind)
	}
	return list
}()

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

// One is the kind's word for a single object, as in "segment RED/web".
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

// NormalizeKey checks the form of a key and returns it as the maps have it: MACs in lower case with colons, the
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
	if kind == KindPath && parts[1] < parts[0] {
		parts[0], parts[1] = parts[1], parts[0]
	}
	return strings.Join(parts, "/"), nil
}

// Decode makes an object of its JSON. key must be normalised; it fills the members that make up the key, and the
// value may leave them out but not contradict them. key "" takes the key from the value. A member "status" is
// ignored, so that what was read can be written back. Fields of problems are prefixed with path.
func Decode(kind Kind, key string, n *strict.Node, path string) (Object, []strict.Problem) {
	i := kind.Info()
	if i == nil {
		return nil, []strict.Problem{{Field: path, Code: CodeInvalid, Message: fmt.Sprintf("unknown kind %q", string(kind))}}
	}
	if n.Type == strict.Object && n.Get("status") != nil {
		c := strict.Node{Type: n.Type}
		for _, m := range n.Members {
			if m.Name != "status" {
				c.Members = append(c.Members, m)
			}
		}
		n = &c
	}
	return i.decode(n, path, key)
}

// byMember makes the filter that compares a member with the value.
func byMember[T Object](name string, member func(T) string) Filter {
	return Filter{Name: name, Match: func(o Object, value string) bool { return member(o.(T)) == value }}
}

// always is the limit of a kind whatever the scheme.
func always(n int) func(Scheme) int { return func(Scheme) int { return n } }
