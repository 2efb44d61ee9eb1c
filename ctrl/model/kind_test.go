package model

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/model/strict"
)

// one is an object of each kind.
var one = map[Kind]Object{
	KindTenant:  Tenant{Name: "red", ID: 7},
	KindSegment: Segment{Tenant: "red", Name: "web", ID: 1},
	KindSubnet:  Subnet{Tenant: "red", Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.0.0.0/24")},
	KindVIF:     VIF{Tenant: "red", Name: "vm1", Segment: "web", MAC: 0x020000000001, Port: "acc0"},
	KindPath:    Path{A: 0x0a, B: 0x0b},
	KindBinding: Binding{Tenant: "red", Segment: "web", MAC: 0x020000000001, SwitchMAC: 0x0b, SwitchPort: 1},
}

// members are the names that the JSON of an object may have.
func members(o Object) (names []string) {
	t := reflect.TypeOf(o)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// TestKinds holds every description to its kind's objects.
func TestKinds(t *testing.T) {
	for _, kind := range Kinds {
		o, i := one[kind], kind.Info()
		if o == nil || i == nil || o.Kind() != kind {
			t.Fatalf("%s: no object or no description", kind)
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
			t.Errorf("%s: the members of the key say %q, Key says %q", kind, got, o.Key())
		}
		if got, err := NormalizeKey(kind, o.Key()); err != nil || got != o.Key() {
			t.Errorf("%s: key %q is normalised to %q, %v", kind, o.Key(), got, err)
		}
		if n := strings.Count(i.KeyForm(), "/"); n != strings.Count(o.Key(), "/") || n != strings.Count(i.KeyPattern(), "/") {
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
				value, ok = MAC(0x0b).String(), true
			}
			if !ok || !f.Match(o, value) || f.Match(o, "another") {
				t.Errorf("%s: filter %s does not tell %q from another value", kind, f.Name, value)
			}
		}
		for _, text := range []string{string(text), `{"status":{"live":true}` + "," + string(text[1:])} {
			n, err := strict.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, ps := Decode(kind, o.Key(), n, ""); len(ps) > 0 || got.Key() != o.Key() {
				t.Errorf("%s: %s is decoded to %v, %v", kind, text, got, ps)
			}
		}
	}
}

// TestRefs: what a kind refers to comes before it, and exists as a kind.
func TestRefs(t *testing.T) {
	for at, kind := range Kinds {
		if refs := kind.Info().Refs; refs != nil {
			for _, r := range refs(one[kind]) {
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
		base.Put(one[kind])
		d := NewDraft(&base.State)
		d.Delete(kind, one[kind].Key())
		if _, ok := d.Get(kind, one[kind].Key()); ok || !d.Changed(kind) || len(d.Keys(kind)) != 0 {
			t.Errorf("%s: deleted, and still in the draft: %v", kind, d.Keys(kind))
		}
		if got, ok := base.Get(kind, one[kind].Key()); !ok || !reflect.DeepEqual(got, one[kind]) {
			t.Errorf("%s: the base has %v, %v after the draft was changed; want %v", kind, got, ok, one[kind])
		}
	}
}
