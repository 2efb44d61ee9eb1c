package core

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"penstock/ctrl/model"
)

// recorder is a Live that keeps the state as plain maps, and checks that it is called as the contract demands.
type recorder struct {
	t  testing.TB
	mu sync.Mutex

	state    *model.State
	bindings map[model.BindingKey]model.Binding
	capacity int
	light    bool   // benchmarks: count rows only
	refuse   error  // of Apply
	dead     string // key of an object that is not live

	bulk    bool
	planned any
	rows    int
}

type recordedPlan struct {
	next *model.State
	ch   model.BindingChanges
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, state: &model.State{}, bindings: map[model.BindingKey]model.Binding{}, capacity: 1 << 20}
}

func (l *recorder) SetAges(func([]model.BindingKey) ([]uint64, error)) {}

func (l *recorder) Plan(next *model.State, ch model.BindingChanges) (Plan, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range ch.Puts {
		if _, ok := next.Segments[b.Tenant+"/"+b.Segment]; !ok {
			l.t.Errorf("Plan: binding %s refers to no segment", b.Key())
		}
	}
	if len(l.bindings)+len(ch.Puts)-len(ch.Deletes) > l.capacity {
		return nil, fmt.Errorf("bindings: %w", ErrCapacity)
	}
	p := &recordedPlan{next, model.BindingChanges{Puts: slices.Clone(ch.Puts), Deletes: slices.Clone(ch.Deletes)}}
	l.planned = p
	return p, nil
}

func (l *recorder) Apply(p Plan) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	if p != l.planned || l.bulk {
		l.t.Error("Apply of a plan that is not the last, or inside a bulk")
	}
	r := p.(*recordedPlan)
	l.state = r.next
	for _, k := range r.ch.Deletes {
		delete(l.bindings, k)
	}
	for _, b := range r.ch.Puts {
		l.put(b)
	}
	return nil
}

func (l *recorder) put(b model.Binding) {
	b.Addresses = slices.Clone(b.Addresses)
	l.bindings[b.BindingKey()] = b
}

func (l *recorder) BulkBegin(s BulkSize) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bulk {
		l.t.Error("BulkBegin inside a bulk")
	}
	if len(l.bindings)+s.Added-s.Removed > l.capacity {
		return fmt.Errorf("bindings: %w", ErrCapacity)
	}
	l.bulk = true
	return nil
}

func (l *recorder) BulkPut(rows []model.Binding) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.bulk {
		l.t.Error("BulkPut outside a bulk")
	}
	l.rows += len(rows)
	if l.light {
		return nil
	}
	for _, b := range rows {
		if _, ok := l.state.Segments[b.Tenant+"/"+b.Segment]; !ok {
			l.t.Errorf("BulkPut: binding %s refers to no segment", b.Key())
		}
		l.put(b)
	}
	return nil
}

func (l *recorder) BulkDelete(keys []model.BindingKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.bulk {
		l.t.Error("BulkDelete outside a bulk")
	}
	for _, k := range keys {
		delete(l.bindings, k)
	}
	return nil
}

func (l *recorder) BulkEnd() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.bulk {
		l.t.Error("BulkEnd outside a bulk")
	}
	l.bulk = false
}

// dead is the status of an object that is not live.
type dead string

func (d dead) NotLive() string { return string(d) }

func (l *recorder) Status(kind model.Kind, key string) any {
	if l.dead == key && key != "" {
		return dead("it leads nowhere")
	}
	if kind == model.KindTenant {
		return map[string]string{"state": "live"}
	}
	return nil
}

func (l *recorder) snapshot() (*model.State, map[model.BindingKey]model.Binding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, maps.Clone(l.bindings)
}
