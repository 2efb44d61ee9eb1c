package core

import (
	"strings"
	"testing"

	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

// lower opens the world again with room for fewer bindings than it holds.
func lower(t *testing.T, w *world, room int) *world {
	t.Helper()
	path := w.path
	w.store.Close()
	s, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	n := &world{live: newRecorder(t), store: s, events: w.events, path: path}
	if n.Core, err = New(Config{Store: s, Live: n.live, Options: model.Options{Ports: testPorts},
		Limits: Limits{Bindings: room}}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDeleteAfterLoweredCapacity: the capacity is lowered below what is stored. A deletion of all bindings still
// deletes all.
func TestDeleteAfterLoweredCapacity(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	var lines strings.Builder
	for i := range uint64(5) {
		lines.WriteString(lineOf("RED", "web", 0x020000000100+i, 1))
	}
	if _, err := w.BulkBindings(t.Context(), strings.NewReader(lines.String()), BulkOptions{}); err != nil {
		t.Fatal(err)
	}
	w = lower(t, w, 3)
	res, err := w.DeleteBindings(t.Context(), BindingFilter{Tenant: "RED"}, BulkOptions{})
	if err != nil || res.Deleted != 5 {
		t.Errorf("deletion of 5 bindings with a capacity of 3: got %d deleted, error %v, want 5 and none",
			res.Deleted, err)
	}
	if _, live := w.live.snapshot(); len(live) != 0 || w.total != 0 {
		t.Errorf("after it: %d bindings live, %d counted, want none", len(live), w.total)
	}
}

// TestReviveAfterLoweredCapacity: a segment of more bindings than the lowered capacity is live whole when its tenant
// is corrected, as it is after a start.
func TestReviveAfterLoweredCapacity(t *testing.T) {
	w := newWorld(t)
	w.do(t, put(model.KindTenant, "RED", `{"id":7}`), put(model.KindSegment, "RED/web", `{"id":1}`))
	var lines strings.Builder
	for i := range uint64(5) {
		lines.WriteString(lineOf("RED", "web", 0x020000000100+i, 1))
	}
	if _, err := w.BulkBindings(t.Context(), strings.NewReader(lines.String()), BulkOptions{}); err != nil {
		t.Fatal(err)
	}
	bad := model.Tenant{Name: "RED", ID: 1} // an ID that does not fit
	if _, err := w.store.Commit(&store.Batch{Puts: []model.Object{bad}}, nil); err != nil {
		t.Fatal(err)
	}
	w = lower(t, w, 3)
	if _, live := w.live.snapshot(); len(live) != 0 {
		t.Fatalf("a suspended tenant: %d bindings live, want none", len(live))
	}
	w.do(t, put(model.KindTenant, "RED", `{"id":7}`))
	if _, live := w.live.snapshot(); len(live) != 5 {
		t.Errorf("the corrected tenant: %d bindings live, want all 5", len(live))
	}
}
