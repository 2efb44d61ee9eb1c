package api

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"penstock/ctrl/model"
)

// schema is the part of JSON Schema (2020-12, as in OpenAPI 3.1) that objects need.
type schema struct {
	Ref                  string   `json:"$ref,omitempty"`
	Type                 string   `json:"type,omitempty"`
	Description          string   `json:"description,omitempty"`
	AdditionalProperties any      `json:"additionalProperties,omitempty"` // false or a *schema
	Required             []string `json:"required,omitempty"`
	Properties           members  `json:"properties,omitempty"`
	Items                *schema  `json:"items,omitempty"`
	Enum                 []string `json:"enum,omitempty"`
	Minimum              *uint64  `json:"minimum,omitempty"`
	Maximum              uint64   `json:"maximum,omitempty"`
	MinItems             int      `json:"minItems,omitempty"`
	MaxItems             int      `json:"maxItems,omitempty"`
	MaxProperties        int      `json:"maxProperties,omitempty"`
}

// members are the members of a JSON object, in the order of output.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (m members) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, v := range m {
		if i > 0 {
			b = append(b, ',')
		}
		text, err := jsonText(v.value)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "%q:%s", v.name, text)
	}
	return append(b, '}'), nil
}

func component(name string) *schema { return &schema{Ref: "#/components/schemas/" + name} }

// keyMember reports whether a member is a part of the kind's key.
func keyMember(i *model.Info, name string) bool {
	return slices.ContainsFunc(i.Key, func(p model.KeyPart) bool { return p.Name == name })
}

// objectSchema describes the objects of a kind: the Go type gives the members, their types and which may be absent;
// Info.Members gives limits and texts. The parts of the key are never required: the URL holds the key.
func objectSchema(i *model.Info) *schema {
	s := structSchema(i, reflect.TypeOf(i.Example), "")
	s.Description = i.Doc
	s.Properties = append(s.Properties, member{"status", component("Status")})
	return s
}

// structSchema describes a struct; prefix precedes the names of its members in i.Members.
func structSchema(i *model.Info, t reflect.Type, prefix string) *schema {
	s := &schema{Type: "object", AdditionalProperties: false}
	for f := range t.NumField() {
		name, opts, _ := strings.Cut(t.Field(f).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		isKey := prefix == "" && keyMember(i, name)
		m := model.Member{Named: isKey}
		if at := slices.IndexFunc(i.Members, func(m model.Member) bool { return m.Name == prefix+name }); at >= 0 {
			m = i.Members[at]
			m.Named = m.Named || isKey
		}
		s.Properties = append(s.Properties, member{name, memberSchema(i, t.Field(f).Type, m, prefix+name)})
		if !isKey && !strings.HasPrefix(opts, "omit") {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// memberSchema describes a member of type t.
func memberSchema(i *model.Info, t reflect.Type, m model.Member, name string) *schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := &schema{Description: m.Doc}
	switch {
	case t == reflect.TypeFor[model.MAC]():
		s.Ref = component("MAC").Ref
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		s.Type = "string"
	case t.Kind() == reflect.String && m.Named:
		s.Ref = component("Name").Ref
	case t.Kind() == reflect.String:
		s.Type, s.Enum = "string", m.Words
	case t.Kind() == reflect.Bool:
		s.Type = "boolean"
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		s.Type, s.Minimum, s.Maximum = "integer", &m.Min, m.Max
	case t.Kind() == reflect.Slice:
		s.Type, s.MinItems, s.MaxItems = "array", m.MinItems, m.MaxItems
		s.Items = memberSchema(i, t.Elem(), model.Member{Words: m.Words, Named: m.Named}, name)
	case t.Kind() == reflect.Map:
		s.Type, s.MaxProperties = "object", m.MaxItems
		s.AdditionalProperties = memberSchema(i, t.Elem(), model.Member{}, name)
	case t.Kind() == reflect.Struct:
		s = structSchema(i, t, name+".")
		s.Description = m.Doc
	default:
		panic(fmt.Sprintf("api: %s %s: no schema for %s", i.Kind, name, t))
	}
	return s
}
