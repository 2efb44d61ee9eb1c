package model

import (
	"fmt"
	"strings"

	"penstock/ctrl/model/strict"
)

// Object is a resource: a Tenant, Segment, Subnet, VIF, Binding or Path (by value).
type Object interface {
	Kind() Kind
	Key() string
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
