package compile

import (
	"reflect"
	"slices"
	"strings"

	"penstock/dataplane/stats"
)

// edit is a map under change: its readers see the changes, the map itself only when they are committed.
type edit[K comparable, V any] struct {
	base    map[K]V
	changes map[K]*V // nil = removed
}

func (e *edit[K, V]) get(k K) (v V, ok bool) {
	if p, changed := e.changes[k]; changed {
		if p == nil {
			return v, false
		}
		return *p, true
	}
	v, ok = e.base[k]
	return v, ok
}

func (e *edit[K, V]) set(k K, v V) { e.put(k, &v) }

func (e *edit[K, V]) remove(k K) { e.put(k, nil) }

func (e *edit[K, V]) put(k K, v *V) {
	if e.changes == nil {
		e.changes = map[K]*V{}
	}
	e.changes[k] = v
}

func (e *edit[K, V]) commit() {
	for k, v := range e.changes {
		if v == nil {
			delete(e.base, k)
		} else {
			e.base[k] = *v
		}
	}
}

// cow is a slice that is copied before its first change: the original belongs to a published snapshot.
type cow[T any] struct {
	s     []T
	owned bool
}

// at returns entry i for writing; the slice grows up to it.
func (w *cow[T]) at(i uint32) *T {
	n := int(i) + 1
	switch {
	case n > cap(w.s) || n > len(w.s) && !w.owned:
		s := make([]T, n, n+n/4)
		copy(s, w.s)
		w.s, w.owned = s, true
	case !w.owned:
		w.s, w.owned = slices.Clone(w.s), true
	case n > len(w.s):
		w.s = w.s[:n]
	}
	return &w.s[i]
}

// ids hands out dense indices. Freed ones wait in a queue.
type ids struct {
	next uint32
	free []uint32
}

// idEdit is ids under change: what is freed here is not handed out here.
type idEdit struct {
	of    *ids
	taken int    // of of.free
	grown uint32 // beyond of.next
	freed []uint32
}

func (e *idEdit) alloc() uint32 {
	if e.taken < len(e.of.free) {
		e.taken++
		return e.of.free[e.taken-1]
	}
	e.grown++
	return e.of.next + e.grown - 1
}

// reused returns the indices that were another object's before.
func (e *idEdit) reused() []uint32 { return e.of.free[:e.taken] }

// used returns the indices that are in use with this change.
func (e *idEdit) used() stats.Used {
	return stats.Used{N: int(e.of.next + e.grown), Reused: e.reused()}
}

func (e *idEdit) release(i uint32) { e.freed = append(e.freed, i) }

func (e *idEdit) commit() {
	e.of.next += e.grown
	if e.taken > 0 || len(e.freed) > 0 {
		e.of.free = append(slices.Clone(e.of.free[e.taken:]), e.freed...)
	}
}

// change is one object that differs between two states; old or new is nil when it is not there.
type change[V any] struct {
	key      string
	old, new *V
}

// diff lists what differs between two maps, sorted by key. One map in both states means no change, at no cost.
func diff[V any](old, next map[string]V, same func(a, b V) bool) []change[V] {
	if reflect.ValueOf(old).Pointer() == reflect.ValueOf(next).Pointer() {
		return nil
	}
	var out []change[V]
	added := 0
	for k, n := range next {
		o, ok := old[k]
		switch {
		case !ok:
			added++
			out = append(out, change[V]{k, nil, at(n)})
		case !same(o, n):
			out = append(out, change[V]{k, at(o), at(n)})
		}
	}
	if len(old)+added != len(next) {
		for k, o := range old {
			if _, ok := next[k]; !ok {
				out = append(out, change[V]{k, at(o), nil})
			}
		}
	}
	slices.SortFunc(out, func(a, b change[V]) int { return strings.Compare(a.key, b.key) })
	return out
}

// at keeps a copy of v: only what changed is to be allocated, not every object that is looked at.
func at[V any](v V) *V { return &v }
