package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/model/strict"
)

// members are the names that the JSON of an object may have.
func members(o Object) (names []string) {
	t := reflect.TypeOf(o)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// hasMember reports whether the JSON of a type has a member; a dot leads into the entries of a list,
// or into an object.
func hasMember(t reflect.Type, name string) bool {
	name, rest, deeper := strings.Cut(name, ".")
	for i := range t.NumField() {
		f := t.Field(i)
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			in := f.Type
			for in.Kind() == reflect.Slice || in.Kind() == reflect.Pointer {
				in = in.Elem()
			}
			return !deeper || in.Kind() == reflect.Struct && hasMember(in, rest)
		}
	}
	return false
}

// beside has the members that a value of a member needs, and the example does not have; "hash=quic" is that value of
// the member.
var beside = map[Kind]map[string]map[string]any{KindService: {
	"hash=quic":      {"protocol": "udp"},
	"check.type=udp": {"protocol": "udp"},
}}

// problemsOf are the problems of an object of the kind with these members, in the state of all examples.
func problemsOf(t *testing.T, kind Kind, values map[string]any) (problems []string) {
	t.Helper()
	d := NewDraft(&State{})
	for _, k := range Kinds {
		from := any(k.Info().Example)
		if k == kind {
			from = values
		}
		text, err := json.Marshal(from)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strict.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		o, ps := Decode(k, "", n, "")
		for _, p := range ps {
			problems = append(problems, p.Field+": "+p.Message)
		}
		if b, ok := o.(Binding); ok && k == kind {
			for _, p := range d.ValidateBinding(&b) {
				problems = append(problems, p.Error())
			}
		}
		d.Put(o)
	}
	opts := Options{Scheme: Scheme24, Ports: []PortRef{{Name: "acc0", Role: "access"}}}
	for _, p := range d.Validate(opts) {
		problems = append(problems, p.Error())
	}
	return problems
}

// exampleValues is the JSON of a kind's example, as a map of its own.
func exampleValues(t *testing.T, kind Kind) (values map[string]any) {
	t.Helper()
	text, err := json.Marshal(kind.Info().Example)
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestExamples: the examples of all kinds together are a valid state.
func TestExamples(t *testing.T) {
	for _, kind := range Kinds {
		if ps := problemsOf(t, kind, exampleValues(t, kind)); len(ps) > 0 {
			t.Errorf("%s: the example has the problems %q, want none", kind, ps)
		}
	}
}

// values returns values at the limits of a member's description, and values beyond the limits.
func (m *Member) values() (right, wrong []any) {
	if m.Max > 0 {
		right, wrong = append(right, m.Min, m.Max), append(wrong, m.Max+1)
	}
	if m.Min > 0 {
		wrong = append(wrong, m.Min-1)
	}
	for _, w := range m.Words {
		if m.MaxItems > 0 {
			right = append(right, []string{w})
		} else {
			right = append(right, w)
		}
	}
	switch {
	case m.Words != nil && m.MaxItems > 0:
		wrong = append(wrong, []string{"nonsense"})
	case m.Words != nil:
		wrong = append(wrong, "nonsense")
	case m.Named:
		wrong = append(wrong, "no name")
	}
	if m.MinItems > 0 {
		wrong = append(wrong, []any{})
	}
	return right, wrong
}

// inner returns the members of an object, or of the first entry of a list.
func inner(v any) map[string]any {
	if list, ok := v.([]any); ok {
		v = list[0]
	}
	return v.(map[string]any)
}

// TestMembersAreHeld: validation accepts the numbers and words of a member's description, and no others.
func TestMembersAreHeld(t *testing.T) {
	for _, kind := range Kinds {
		for _, m := range kind.Info().Members {
			with := func(value any) []string {
				values := exampleValues(t, kind)
				in, name := values, m.Name
				if outer, member, deeper := strings.Cut(m.Name, "."); deeper {
					if values[outer] == nil {
						values[outer] = map[string]any{}
					}
					in, name = inner(values[outer]), member
				}
				in[name] = value
				maps.Copy(values, beside[kind][fmt.Sprintf("%s=%v", m.Name, value)])
				return problemsOf(t, kind, values)
			}
			right, wrong := m.values()
			for _, value := range right {
				if ps := with(value); len(ps) > 0 {
					t.Errorf("%s: %s = %v is refused, want it accepted (%+v): %q", kind, m.Name, value, m, ps)
				}
			}
			for _, value := range wrong {
				if ps := with(value); len(ps) == 0 {
					t.Errorf("%s: %s = %v is accepted, want it refused (%+v)", kind, m.Name, value, m)
				}
			}
		}
	}
}

// TestKinds holds every description to its kind's objects.
func TestKinds(t *testing.T) {
	for _, kind := range Kinds {
		i := kind.Info()
		o := i.Example
		if o == nil || o.Kind() != kind || i.One == "" || i.Doc == "" || i.Short == "" {
			t.Fatalf("%s: the description lacks example, names or sentences: %+v", kind, i)
		}
		names := members(o)
		var values map[string]any
		text, err := json.Marshal(o)
		if err == nil {
			err = json.Unmarshal(text, &values)
		}
		if err != nil {
			t.Fatal(err)
		}
		var key []string
		for _, p := range i.Key {
			if !slices.Contains(names, p.Name) {
				t.Errorf("%s: the key has %q, which is no member: %v", kind, p.Name, names)
			}
			key = append(key, values[p.Name].(string))
		}
		if got := strings.Join(key, "/"); got != o.Key() {
			t.Errorf("%s: the members of the key give %q, want %q, the key", kind, got, o.Key())
		}
		if got, err := NormalizeKey(kind, o.Key()); err != nil || got != o.Key() {
			t.Errorf("%s: key %q is normalised to %q, %v, want no change", kind, o.Key(), got, err)
		}
		n := strings.Count(o.Key(), "/")
		if n != strings.Count(i.KeyForm(), "/") || n != strings.Count(i.KeyPattern(), "/") {
			t.Errorf("%s: forms %s and %s do not fit the key %s", kind, i.KeyForm(), i.KeyPattern(), o.Key())
		}
		for _, c := range i.Columns {
			if c.Member != "key" && !strings.HasPrefix(c.Member, "status.") && !slices.Contains(names, c.Member) {
				t.Errorf("%s: column %s shows %q, which is no member: %v", kind, c.Head, c.Member, names)
			}
		}
		for _, f := range i.Filters {
			value, ok := values[f.Name].(string)
			if f.Name == "switch" {
				value, ok = MAC(0x02aa00000001).String(), true
			}
			if !ok || f.Doc == "" || !f.Match(o, value) || f.Match(o, "another") {
				t.Errorf("%s: filter %s does not distinguish %q from another value", kind, f.Name, value)
			}
		}
		for _, m := range i.Members {
			if !hasMember(reflect.TypeOf(o), m.Name) {
				t.Errorf("%s: %q is described, and the type has no such member", kind, m.Name)
			}
		}
		for _, text := range []string{string(text), `{"status":{"live":true}` + "," + string(text[1:])} {
			n, err := strict.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, ps := Decode(kind, o.Key(), n, ""); len(ps) > 0 || got.Key() != o.Key() {
				t.Errorf("%s: %s is decoded to %v, %v, want the object %s", kind, text, got, ps, o.Key())
			}
		}
	}
}

// TestRefs: what a kind refers to comes before it, and exists as a kind.
func TestRefs(t *testing.T) {
	for at, kind := range Kinds {
		if refs := kind.Info().Refs; refs != nil {
			for _, r := range refs(kind.Info().Example) {
				if before := slices.Index(Kinds, r.Kind); before < 0 || before >= at {
					t.Errorf("%s refer to %s, which come later or are no kind", kind, r.Kind)
				}
				if _, err := NormalizeKey(r.Kind, r.Key); err != nil {
					t.Errorf("%s refer to %s %s: %v", kind, r.Kind, r.Key, err)
				}
			}
		}
	}
}

// TestDraft: a draft changes nothing of its base, for every kind that a state holds.
func TestDraftOfEveryKind(t *testing.T) {
	for _, kind := range Kinds {
		if !kind.Held() {
			continue
		}
		base := NewDraft(&State{})
		base.Put(kind.Info().Example)
		d := NewDraft(&base.State)
		d.Delete(kind, kind.Info().Example.Key())
		if _, ok := d.Get(kind, kind.Info().Example.Key()); ok || !d.Changed(kind) || len(d.Keys(kind)) != 0 {
			t.Errorf("%s: the draft has the keys %v after the deletion, want none", kind, d.Keys(kind))
		}
		if got, ok := base.Get(kind, kind.Info().Example.Key()); !ok || !reflect.DeepEqual(got, kind.Info().Example) {
			t.Errorf("%s: the base has %v, %v after the draft was changed; want %v", kind, got, ok, kind.Info().Example)
		}
	}
}
