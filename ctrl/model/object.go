package model

import (
	"fmt"
	"maps"
	"strings"

	"penstock/ctrl/model/strict"
)

// Kinds are all kinds, in the order in which one refers to the one before.
var Kinds = [...]Kind{KindTenant, KindSegment, KindSubnet, KindVIF, KindPath, KindBinding}

// One is the kind's word for a single object, as in "segment RED/web".
func (k Kind) One() string {
	if k == KindVIF {
		return "VIF"
	}
	return strings.TrimSuffix(string(k), "s")
}

// Valid reports whether k is one of Kinds.
func (k Kind) Valid() bool {
	for _, x := range Kinds {
		if x == k {
			return true
		}
	}
	return false
}

// Object is a resource: a Tenant, Segment, Subnet, VIF, Binding or Path (by value).
type Object interface {
	Kind() Kind
	Key() string
}

// Kind implements Object.
func (Tenant) Kind() Kind { return KindTenant }

// Key implements Object.
func (t Tenant) Key() string { return t.Name }

// Kind implements Object.
func (Segment) Kind() Kind { return KindSegment }

// Key implements Object.
func (s Segment) Key() string { return s.Tenant + "/" + s.Name }

// Kind implements Object.
func (Subnet) Kind() Kind { return KindSubnet }

// Key implements Object.
func (s Subnet) Key() string { return s.Tenant + "/" + s.Name }

// Kind implements Object.
func (VIF) Kind() Kind { return KindVIF }

// Key implements Object.
func (v VIF) Key() string { return v.Tenant + "/" + v.Name }

// Kind implements Object.
func (Binding) Kind() Kind { return KindBinding }

// Key implements Object.
func (b Binding) Key() string { return b.BindingKey().String() }

// BindingKey returns the key in parts.
func (b *Binding) BindingKey() BindingKey { return BindingKey{b.Tenant, b.Segment, b.MAC} }

// String returns the key as URLs have it: TENANT/SEGMENT/MAC.
func (k BindingKey) String() string { return k.Tenant + "/" + k.Segment + "/" + k.MAC.String() }

// Kind implements Object.
func (Path) Kind() Kind { return KindPath }

// Key implements Object.
func (p Path) Key() string {
	if p.B < p.A {
		p.A, p.B = p.B, p.A
	}
	return p.A.String() + "/" + p.B.String()
}

// DescribeJSON implements strict.Described.
func (MAC) DescribeJSON() string { return "a MAC address like \"02:00:00:00:00:01\"" }

// MaxName is the length of the longest name.
const MaxName = 63

// ValidName reports whether s can name an object: 1 … 63 of a–z A–Z 0–9 . _ - and not only dots.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return dots < len(s)
}

const nameHint = "names are 1 to 63 letters, digits, '.', '_' or '-', and not dots only"

// NormalizeKey checks the form of a key and returns it as the maps have it: MACs in lower case with colons, the
// smaller MAC of a path first.
func NormalizeKey(kind Kind, key string) (string, error) {
	parts := strings.Split(key, "/")
	form := map[Kind]string{KindTenant: "NAME", KindSegment: "TENANT/NAME", KindSubnet: "TENANT/NAME",
		KindVIF: "TENANT/NAME", KindBinding: "TENANT/SEGMENT/MAC", KindPath: "MAC/MAC"}[kind]
	if form == "" {
		return "", fmt.Errorf("unknown kind %q", string(kind))
	}
	if strings.Count(form, "/")+1 != len(parts) {
		return "", fmt.Errorf("%q is not a key of %s: the form is %s", key, kind, form)
	}
	for i, f := range strings.Split(form, "/") {
		if f == "MAC" {
			m, err := ParseMAC(parts[i])
			if err != nil {
				return "", err
			}
			parts[i] = m.String()
		} else if !ValidName(parts[i]) {
			return "", fmt.Errorf("%q is not a name: %s", parts[i], nameHint)
		}
	}
	if kind == KindPath && parts[1] < parts[0] {
		parts[0], parts[1] = parts[1], parts[0]
	}
	return strings.Join(parts, "/"), nil
}

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

// Decode makes an object of its JSON. key must be normalised; it fills the members that make up the key, and the
// value may leave them out but not contradict them. key "" takes the key from the value. A member "status" is
// ignored, so that what was read can be written back. Fields of problems are prefixed with path.
func Decode(kind Kind, key string, n *strict.Node, path string) (Object, []strict.Problem) {
	if n.Type == strict.Object && n.Get("status") != nil {
		c := strict.Node{Type: n.Type}
		for _, m := range n.Members {
			if m.Name != "status" {
				c.Members = append(c.Members, m)
			}
		}
		n = &c
	}
	switch kind {
	case KindTenant:
		return decode(n, path, key, func(t *Tenant) []ident { return []ident{str("name", &t.Name)} })
	case KindSegment:
		return decode(n, path, key, func(s *Segment) []ident { return []ident{str("tenant", &s.Tenant), str("name", &s.Name)} })
	case KindSubnet:
		return decode(n, path, key, func(s *Subnet) []ident { return []ident{str("tenant", &s.Tenant), str("name", &s.Name)} })
	case KindVIF:
		return decode(n, path, key, func(v *VIF) []ident { return []ident{str("tenant", &v.Tenant), str("name", &v.Name)} })
	case KindBinding:
		return decode(n, path, key, func(b *Binding) []ident {
			return []ident{str("tenant", &b.Tenant), str("segment", &b.Segment), mac("mac", &b.MAC)}
		})
	case KindPath:
		o, ps := decode(n, path, "", func(p *Path) []ident { return []ident{mac("a", &p.A), mac("b", &p.B)} })
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
	return nil, []strict.Problem{{Field: path, Code: CodeInvalid, Message: fmt.Sprintf("unknown kind %q", string(kind))}}
}

func absentWeight(n *strict.Node, i int) bool {
	return n.Get("vlans").Items[i].Get("weight") == nil
}

// ident is one part of an object's key: the member's name, its text as the value has it, and how to set it.
type ident struct {
	name string
	get  func() string
	set  func(string)
}

func str(name string, p *string) ident {
	return ident{name, func() string { return *p }, func(s string) { *p = s }}
}

func mac(name string, p *MAC) ident {
	return ident{name, func() string { return p.String() }, func(s string) { *p, _ = ParseMAC(s) }}
}

func decode[T Object](n *strict.Node, path, key string, idents func(*T) []ident) (Object, []strict.Problem) {
	var v T
	ps := strict.Bind(n, &v, path)
	if key != "" && n.Type == strict.Object {
		for i, part := range strings.Split(key, "/") {
			id := idents(&v)[i]
			if n.Get(id.name) == nil {
				id.set(part)
			} else if id.get() != part && len(ps) == 0 {
				ps = append(ps, contradiction(path, id.name, id.get(), part))
			}
		}
	}
	return v, ps
}

func contradiction(path, name, value, key string) strict.Problem {
	if path != "" {
		name = path + "." + name
	}
	return strict.Problem{Field: name, Code: CodeConflict, Message: fmt.Sprintf("the value says %q, the key says %q", value, key),
		Hint: "leave the member out, or make both equal"}
}

// Get returns an object by its normalised key.
func (s *State) Get(kind Kind, key string) (Object, bool) {
	switch kind {
	case KindTenant:
		return get(s.Tenants, key)
	case KindSegment:
		return get(s.Segments, key)
	case KindSubnet:
		return get(s.Subnets, key)
	case KindVIF:
		return get(s.VIFs, key)
	case KindPath:
		return get(s.Paths, key)
	}
	return nil, false
}

func get[T Object](m map[string]T, key string) (Object, bool) {
	v, ok := m[key]
	if !ok {
		return nil, false
	}
	return v, true
}

// Draft is a State being changed: it copies a map of its base when that is first written to.
type Draft struct {
	State
	owned map[Kind]bool
}

// NewDraft starts from base, which stays as it is.
func NewDraft(base *State) *Draft { return &Draft{State: *base, owned: map[Kind]bool{}} }

func own[T any](d *Draft, kind Kind, m *map[string]T) map[string]T {
	if !d.owned[kind] {
		d.owned[kind] = true
		if *m = maps.Clone(*m); *m == nil {
			*m = map[string]T{}
		}
	}
	return *m
}

// Changed reports whether objects of kind were written.
func (d *Draft) Changed(kind Kind) bool { return d.owned[kind] }

// Put creates or replaces an object, which must not be a Binding.
func (d *Draft) Put(o Object) {
	switch o := o.(type) {
	case Tenant:
		own(d, KindTenant, &d.Tenants)[o.Key()] = o
	case Segment:
		own(d, KindSegment, &d.Segments)[o.Key()] = o
	case Subnet:
		own(d, KindSubnet, &d.Subnets)[o.Key()] = o
	case VIF:
		own(d, KindVIF, &d.VIFs)[o.Key()] = o
	case Path:
		own(d, KindPath, &d.Paths)[o.Key()] = o
	}
}

// Delete removes an object if it is there.
func (d *Draft) Delete(kind Kind, key string) {
	switch kind {
	case KindTenant:
		delete(own(d, kind, &d.Tenants), key)
	case KindSegment:
		delete(own(d, kind, &d.Segments), key)
	case KindSubnet:
		delete(own(d, kind, &d.Subnets), key)
	case KindVIF:
		delete(own(d, kind, &d.VIFs), key)
	case KindPath:
		delete(own(d, kind, &d.Paths), key)
	}
}
