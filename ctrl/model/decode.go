package model

import (
	"fmt"
	"reflect"
	"strings"

	"penstock/ctrl/model/strict"
)

// Decode decodes an object from its JSON. key must be normalised; Decode sets the members of the key from it. The value
// may leave these members out but not contradict the key. With key "" the key is taken from the value. A member
// "status" is ignored, so that the JSON of a GET can be sent with a PUT. Fields of problems are prefixed with path.
func Decode(kind Kind, key string, n *strict.Node, path string) (Object, []strict.Problem) {
	i := kind.Info()
	if i == nil {
		message := fmt.Sprintf("unknown kind %q", string(kind))
		return nil, []strict.Problem{{Field: path, Code: CodeInvalid, Message: message}}
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
	if i.decode != nil {
		return i.decode(i, n, path, key)
	}
	return i.decodeObject(n, path, key)
}

// decodeObject decodes an object whose key consists of its members, in the order and form of the key's parts.
func (i *Info) decodeObject(n *strict.Node, path, key string) (Object, []strict.Problem) {
	v := reflect.New(reflect.TypeOf(i.Example))
	ps := strict.Bind(n, v.Interface(), path)
	if key != "" && n.Type == strict.Object {
		for p, part := range strings.Split(key, "/") {
			name := i.Key[p].Name
			member := memberOf(v.Elem(), name)
			if n.Get(name) == nil {
				setText(member, part)
			} else if got := fmt.Sprint(member.Interface()); got != part && len(ps) == 0 {
				ps = append(ps, contradiction(path, name, got, part))
			}
		}
	}
	return v.Elem().Interface().(Object), ps
}

// memberOf returns the field of a struct that has the name in JSON.
func memberOf(v reflect.Value, name string) reflect.Value {
	for f := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(f).Tag.Get("json"), ","); tag == name {
			return v.Field(f)
		}
	}
	panic("model: " + v.Type().String() + " has no member " + name)
}

// setText sets a member of a key, a MAC or a string, from normalised text.
func setText(v reflect.Value, text string) {
	if m, ok := v.Addr().Interface().(*MAC); ok {
		*m, _ = ParseMAC(text)
		return
	}
	v.SetString(text)
}

func contradiction(path, name, value, key string) strict.Problem {
	if path != "" {
		name = path + "." + name
	}
	return strict.Problem{Field: name, Code: CodeConflict, Hint: "leave the member out, or make both equal",
		Message: fmt.Sprintf("the value says %q, the key says %q", value, key)}
}
