package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// objects is the storage of one kind's objects in a State.
type objects interface {
	get(s *State, key string) (Object, bool)
	keys(s *State) []string // sorted
	count(s *State) int
	each(s *State, fn func(Object))
	load(s *State, rows func(fn func(key, value []byte) error) error) error
	put(d *Draft, o Object)
	delete(d *Draft, key string)
}

// mapOf stores objects in a map of the State.
type mapOf[T Object] func(*State) *map[string]T

func (m mapOf[T]) get(s *State, key string) (Object, bool) {
	v, ok := (*m(s))[key]
	if !ok {
		return nil, false
	}
	return v, true
}

func (m mapOf[T]) keys(s *State) []string { return slices.Sorted(maps.Keys(*m(s))) }

func (m mapOf[T]) count(s *State) int { return len(*m(s)) }

func (m mapOf[T]) each(s *State, fn func(Object)) {
	for _, o := range *m(s) {
		fn(o)
	}
}

func (m mapOf[T]) load(s *State, rows func(fn func(key, value []byte) error) error) error {
	out := map[string]T{}
	*m(s) = out
	return rows(func(key, value []byte) error {
		var o T
		if err := json.Unmarshal(value, &o); err != nil {
			return err
		}
		if o.Key() != string(key) {
			return fmt.Errorf("it holds the object %s", o.Key())
		}
		out[string(key)] = o
		return nil
	})
}

func (m mapOf[T]) put(d *Draft, o Object) {
	v := o.(T)
	m.own(d)[v.Key()] = v
}

func (m mapOf[T]) delete(d *Draft, key string) { delete(m.own(d), key) }

// own returns the draft's own copy of the map.
func (m mapOf[T]) own(d *Draft) map[string]T {
	var zero T
	at := m(&d.State)
	if kind := zero.Kind(); !d.owned[kind] {
		d.owned[kind] = true
		if *at = maps.Clone(*at); *at == nil {
			*at = map[string]T{}
		}
	}
	return *at
}

// held returns the storage of a kind's objects in a State; nil if a State does not hold the kind.
func (k Kind) held() objects {
	if i := k.Info(); i != nil {
		return i.objects
	}
	return nil
}

// Held reports whether a State holds the objects of the kind: all but the bindings.
func (k Kind) Held() bool { return k.held() != nil }

// Get returns an object by its normalised key.
func (s *State) Get(kind Kind, key string) (Object, bool) {
	if h := kind.held(); h != nil {
		return h.get(s, key)
	}
	return nil, false
}

// Keys returns the keys of a kind, sorted.
func (s *State) Keys(kind Kind) []string {
	if h := kind.held(); h != nil {
		return h.keys(s)
	}
	return nil
}

// Count returns how many objects of a kind there are.
func (s *State) Count(kind Kind) int {
	if h := kind.held(); h != nil {
		return h.count(s)
	}
	return 0
}

// Each calls fn for every object of a kind, in no order.
func (s *State) Each(kind Kind, fn func(Object)) {
	if h := kind.held(); h != nil {
		h.each(s, fn)
	}
}

// Load reads the objects of a kind from rows of keys and JSON, in the form of json.Marshal. Different kinds may be
// loaded at the same time. An error concerns the row at which fn returned it.
func (s *State) Load(kind Kind, rows func(fn func(key, value []byte) error) error) error {
	return kind.held().load(s, rows)
}

// Draft is a State being changed. It copies a map of its base at the first write to the map.
type Draft struct {
	State
	owned map[Kind]bool
}

// NewDraft returns a draft of base. The draft does not change base.
func NewDraft(base *State) *Draft { return &Draft{State: *base, owned: map[Kind]bool{}} }

// Changed reports whether objects of kind were written.
func (d *Draft) Changed(kind Kind) bool { return d.owned[kind] }

// Put creates or replaces an object, which must not be a Binding.
func (d *Draft) Put(o Object) {
	if h := o.Kind().held(); h != nil {
		h.put(d, o)
	}
}

// Delete removes an object, if present.
func (d *Draft) Delete(kind Kind, key string) {
	if h := kind.held(); h != nil {
		h.delete(d, key)
	}
}
