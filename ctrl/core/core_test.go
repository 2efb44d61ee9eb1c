package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

var testPorts = []model.PortRef{{Name: "acc0", Role: "access"}, {Name: "acc1", Role: "access"},
	{Name: "fab0", Role: "fabric"}}

type world struct {
	*Core
	live   *recorder
	store  *store.Store
	events *event.Log
	path   string
}

func open(t testing.TB, path string, opts model.Options) *world {
	t.Helper()
	s, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{live: newRecorder(t), store: s, events: event.New(event.Config{}), path: path}
	if w.Core, err = New(Config{Store: s, Live: w.live, Events: w.events, Options: opts,
		Limits: Limits{Bindings: 100_000}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return w
}

func newWorld(t testing.TB) *world {
	return open(t, filepath.Join(t.TempDir(), "db"), model.Options{Ports: testPorts})
}

func put(kind model.Kind, key, value string) Op {
	return Op{Verb: Put, Kind: kind, Key: key, Value: []byte(value)}
}

func (w *world) do(t testing.TB, ops ...Op) Result {
	t.Helper()
	r, err := w.Do(t.Context(), Transaction{Ops: ops})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) base(t testing.TB) {
	t.Helper()
	w.do(t, put(model.KindTenant, "RED", `{"id":7}`), put(model.KindSegment, "RED/web", `{"id":1}`),
		put(model.KindSegment, "RED/db", `{"id":2}`),
		put(model.KindVIF, "RED/vm", `{"segment":"web","mac":"02:00:00:00:00:01","port":"acc1"}`))
}

// code returns the code of a refusal.
func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func lineOf(tenant, segment string, mac uint64, port int) string {
	return fmt.Sprintf(
		`{"tenant":"%s","segment":"%s","mac":"%s","addresses":["10.0.%d.%d"],`+
			`"switch_mac":"02:aa:00:00:00:01","switch_port":%d}`+"\n",
		tenant, segment, model.MAC(mac), mac>>8&255, mac&255, port)
}

// check fails unless the store, the dataplane and a new Core on the store hold the same state.
func (w *world) check(t *testing.T) {
	t.Helper()
	st, live := w.live.snapshot()
	if p := w.state.Load(); p.effective != st {
		t.Error("the live state differs from the current state, want them equal")
	}
	stored := map[model.BindingKey]model.Binding{}
	if err := w.store.EachBinding(func(bs []model.Binding) error {
		for _, b := range bs {
			b.Addresses = append(b.Addresses[:0:0], b.Addresses...)
			stored[b.BindingKey()] = b
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(stored) != len(live) || len(stored) > 0 && !reflect.DeepEqual(stored, live) {
		t.Errorf("%d bindings stored, %d live, want the same ones in both", len(stored), len(live))
	}
	if w.total != len(stored) {
		t.Errorf("%d bindings counted, want %d as stored", w.total, len(stored))
	}
	loaded, err := w.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range model.Kinds {
		a, b := reflect.ValueOf(*loaded), reflect.ValueOf(*w.State())
		for i := range a.NumField() {
			if a.Field(i).Len() != b.Field(i).Len() || a.Field(i).Len() > 0 &&
				!reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
				t.Errorf("%s: the stored tables differ from the state, want them equal", k)
			}
		}
	}
}

func TestTransaction(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	if w.Revision() != 1 {
		t.Errorf("revision %d after one transaction, want 1", w.Revision())
	}
	r := w.do(t, put(model.KindTenant, "RED", `{"id":7}`))
	if r.Revision != 1 || len(r.Changes) != 0 {
		t.Errorf("a transaction that changes nothing: %+v, want revision 1 and no changes", r)
	}
	r = w.do(t, Op{Verb: Patch, Kind: model.KindTenant, Key: "RED", Value: []byte(`{"labels":{"a":"b","c":"d"}}`)},
		Op{Verb: Patch, Kind: model.KindTenant, Key: "RED", Value: []byte(`{"labels":{"a":null}}`)},
		put(model.KindBinding, "RED/web/02:00:00:00:01:01",
			`{"switch_mac":"02:aa:00:00:00:01","switch_port":3,"addresses":["fd00::1","10.0.0.9"]}`))
	if r.Revision != 2 || len(r.Changes) != 2 || r.Changes[0].Change != "update" || r.Changes[1].Change != "create" {
		t.Errorf("result %+v, want revision 2, an update and a create", r)
	}
	if got := w.State().Tenants["RED"].Labels; !reflect.DeepEqual(got, map[string]string{"c": "d"}) {
		t.Errorf("labels %v, want c=d alone", got)
	}
	r = w.do(t, Op{Verb: Patch, Kind: model.KindBinding, Key: "RED/web/02-00-00-00-01-01",
		Value: []byte(`{"switch_port":4}`)})
	if len(r.Changes) != 1 || r.Changes[0].Key != "RED/web/02:00:00:00:01:01" {
		t.Errorf("result %+v, want one change, of RED/web/02:00:00:00:01:01", r)
	}
	w.check(t)
	// An object that is created and deleted in one transaction is no change.
	if r = w.do(t, put(model.KindTenant, "X", `{"id":9}`),
		Op{Verb: Delete, Kind: model.KindTenant, Key: "X"}); len(r.Changes) != 0 {
		t.Errorf("result %+v, want no changes", r)
	}
	// IDs may be exchanged, and a whole tenant may be deleted at once.
	w.do(t, put(model.KindTenant, "BLUE", `{"id":8}`))
	w.do(t, put(model.KindTenant, "BLUE", `{"id":7}`), put(model.KindTenant, "RED", `{"id":8}`))
	w.do(t, Op{Verb: Delete, Kind: model.KindTenant, Key: "RED"},
		Op{Verb: Delete, Kind: model.KindSegment, Key: "RED/web"},
		Op{Verb: Delete, Kind: model.KindSegment, Key: "RED/db"}, Op{Verb: Delete, Kind: model.KindVIF, Key: "RED/vm"},
		Op{Verb: Delete, Kind: model.KindBinding, Key: "RED/web/02:00:00:00:01:01"})
	w.check(t)
	if len(w.State().Tenants) != 1 || w.total != 0 {
		t.Errorf("left: %+v, %d bindings, want one tenant and no bindings", w.State(), w.total)
	}
	again := open(t, filepath.Join(t.TempDir(), "other"), model.Options{})
	if again.Revision() != 0 {
		t.Error("a store without a commit has another revision than 0")
	}
}

func TestDryRunAndIfMatch(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	r, err := w.Do(t.Context(), Transaction{DryRun: true, Ops: []Op{put(model.KindTenant, "X", `{"id":9}`),
		{Verb: Patch, Kind: model.KindTenant, Key: "RED", Value: []byte(`{"id":10}`)}, {Verb: Delete,
			Kind: model.KindVIF, Key: "RED/vm"}}})
	if err != nil || len(r.Changes) != 3 || !r.DryRun {
		t.Fatalf("dry run: result %+v, error %v, want three changes", r, err)
	}
	if c := r.Changes[1]; c.Change != "update" || string(c.Before) != `{"name":"RED","id":7}` ||
		string(c.After) != `{"name":"RED","id":10}` {
		t.Errorf("change %+v: %s → %s, want an update of the ID 7 to 10", c, c.Before, c.After)
	}
	if c := r.Changes[2]; c.Change != "delete" || c.Before == nil || c.After != nil {
		t.Errorf("change %+v, want a delete with the object before", c)
	}
	if w.Revision() != 1 || len(w.State().Tenants) != 1 {
		t.Error("a dry run changed the state, want no change")
	}
	res, err := w.BulkBindings(t.Context(), strings.NewReader(lineOf("RED", "web", 0x020000000101, 1)),
		BulkOptions{DryRun: true})
	if err != nil || res.Created != 1 || w.total != 0 || w.Revision() != 1 {
		t.Errorf("dry run of one binding: result %+v, error %v, want one created and nothing stored", res, err)
	}
	old := uint64(0)
	if _, err := w.Do(t.Context(),
		Transaction{IfMatch: &old, Ops: []Op{put(model.KindTenant, "X", `{"id":9}`)}}); code(err) != CodeMismatch {
		t.Errorf("%v", err)
	}
	if _, err := w.BulkBindings(t.Context(), strings.NewReader(""),
		BulkOptions{IfMatch: &old}); code(err) != CodeMismatch {
		t.Errorf("%v", err)
	}
	w.check(t)
}

// Of many writers with the same If-Match revision, one succeeds.
func TestIfMatchRace(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for round := range 10 {
		rev := w.Revision()
		var mu sync.Mutex
		won := 0
		for i := range 8 {
			wg.Go(func() {
				_, err := w.Do(t.Context(), Transaction{IfMatch: &rev, Ops: []Op{put(model.KindTenant,
					fmt.Sprintf("t%d-%d", round, i), fmt.Sprintf(`{"id":%d}`, 10+round*8+i))}})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if code(err) != CodeMismatch {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("round %d: %d writers succeeded, want 1", round, won)
		}
	}
}

func TestBulk(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	var text strings.Builder
	for i := range 30_000 {
		text.WriteString(lineOf("RED", []string{"web", "db"}[i%2], 0x020000010000+uint64(i*7%30_011), 1+i%200))
	}
	res, err := w.BulkBindings(t.Context(), strings.NewReader(text.String()), BulkOptions{Mode: Merge})
	if err != nil || res.Created != 30_000 || res.Lines != 30_000 || res.Revision != 2 {
		t.Fatalf("30,000 new bindings: result %+v, error %v, want all created in revision 2", res, err)
	}
	w.check(t)
	var out bytes.Buffer
	if last, err := w.ExportBindings(&out, func(uint64) {}); err != nil || last != 2 {
		t.Fatalf("revision %d, want 2: %v", last, err)
	}
	if res, err = w.BulkBindings(t.Context(), &out, BulkOptions{Mode: Replace}); err != nil ||
		res.Unchanged != 30_000 || res.Revision != 2 {
		t.Fatalf("the export, pushed back: result %+v, error %v, want all unchanged", res, err)
	}
	// Of two lines with one key the last one is stored.
	two := lineOf("RED", "web", 0x02000000ff01, 1) + "\r\n \n" + lineOf("RED", "web", 0x02000000ff01, 2)
	if res, err = w.BulkBindings(t.Context(), strings.NewReader(two), BulkOptions{}); err != nil ||
		res.Created != 1 || res.Lines != 2 {
		t.Fatalf("two lines with one key: result %+v, error %v, want one created of 2 lines", res, err)
	}
	if b, ok, _ := w.Binding(model.BindingKey{Tenant: "RED", Segment: "web", MAC: 0x02000000ff01}); !ok ||
		b.SwitchPort != 2 {
		t.Errorf("binding %+v, want port 2, of the last line", b)
	}
	// One bad line refuses the whole stream.
	if _, err = w.BulkBindings(t.Context(), strings.NewReader(lineOf("RED", "web", 0x02000000ff02, 1)+lineOf("RED",
		"no", 0x02000000ff03, 1)), BulkOptions{Mode: Replace}); code(err) != model.CodeNotFound {
		t.Errorf("%v", err)
	}
	w.check(t)
	if _, err = w.Do(t.Context(), Transaction{Ops: []Op{{Verb: Delete, Kind: model.KindSegment, Key: "RED/db"}}}); code(
		err) != model.CodeInUse || !strings.Contains(err.Error(), "15000 bindings") {
		t.Errorf("%v", err)
	}
	if res, err = w.DeleteBindings(t.Context(), BindingFilter{Tenant: "RED", Segment: "db"},
		BulkOptions{}); err != nil || res.Deleted != 15_000 {
		t.Errorf("delete of RED/db: result %+v, error %v, want 15,000 deleted", res, err)
	}
	w.check(t)
	w.do(t, Op{Verb: Delete, Kind: model.KindSegment, Key: "RED/db"})
	if res, err = w.BulkBindings(t.Context(), strings.NewReader(two), BulkOptions{Mode: Replace}); err != nil ||
		res.Deleted != 15_000 || res.Unchanged != 1 {
		t.Errorf("replace by one binding: result %+v, error %v, want 15,000 deleted, 1 unchanged", res, err)
	}
	w.check(t)
	// A stream that breaks off changes nothing, even if it ends behind a whole line or if the caller has disconnected.
	whole := lineOf("RED", "web", 0x02000000ff09, 1)
	for _, part := range []string{whole, whole + whole[:30], text.String()[:100_000], ""} {
		for _, end := range []error{io.ErrUnexpectedEOF, errors.New("connection reset")} {
			if _, err = w.BulkBindings(t.Context(), &brokenReader{[]byte(part), end},
				BulkOptions{Mode: Replace}); code(err) != CodeCanceled || !errors.Is(err, end) {
				if code(err) != model.CodeNotFound { // the segment db of the first lines is deleted
					t.Errorf("%v", err)
				}
			}
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if _, err = w.BulkBindings(gone, strings.NewReader(whole),
			BulkOptions{Mode: Replace}); code(err) != CodeCanceled {
			t.Fatalf("%v", err)
		}
	}
	w.check(t)
}

type brokenReader struct {
	text []byte
	end  error
}

func (b *brokenReader) Read(p []byte) (int, error) {
	if len(b.text) == 0 {
		return 0, b.end
	}
	n := copy(p, b.text)
	b.text = b.text[n:]
	return n, nil
}

func TestCapacity(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	w.live.capacity = 10
	var text string
	for i := range 11 {
		text += lineOf("RED", "web", 0x020000010000+uint64(i), 1)
	}
	if _, err := w.BulkBindings(t.Context(), strings.NewReader(text), BulkOptions{}); code(err) != CodeCapacity ||
		!errors.Is(err, ErrCapacity) {
		t.Errorf("%v", err)
	}
	var ops []Op
	for i := range 11 {
		ops = append(ops, put(model.KindBinding, "RED/web/"+model.MAC(0x020000010000+i).String(),
			`{"switch_mac":"02:aa:00:00:00:01","switch_port":1}`))
	}
	if _, err := w.Do(t.Context(), Transaction{Ops: ops}); code(err) != CodeCapacity {
		t.Errorf("%v", err)
	}
	w.cfg.Limits.Bindings = 5
	w.live.capacity = 1000
	if _, err := w.BulkBindings(t.Context(), strings.NewReader(text[:len(text)/2]), BulkOptions{}); err != nil &&
		code(err) != "truncated" {
		t.Errorf("%v", err)
	}
	if _, err := w.BulkBindings(t.Context(), strings.NewReader(text), BulkOptions{}); code(err) != CodeCapacity ||
		!strings.Contains(err.Error(), "10 lines") {
		t.Errorf("%v", err)
	}
	w.check(t)
	if w.Revision() != 1 {
		t.Errorf("revision %d after refused pushes", w.Revision())
	}
}

func TestPaths(t *testing.T) {
	w := newWorld(t)
	var text string
	for i := range 300 {
		text += fmt.Sprintf(`{"a":"%s","b":"%s","vlans":[{"vid":%d},{"vid":4000,"weight":3}]}`+"\n",
			model.MAC(0x02bb00000000+i), model.MAC(0x02aa00000000+i), 1+i)
	}
	res, err := w.BulkPaths(t.Context(), strings.NewReader(text), BulkOptions{})
	if err != nil || res.Created != 300 {
		t.Fatalf("300 new paths: result %+v, error %v, want all created", res, err)
	}
	w.check(t)
	var out bytes.Buffer
	if _, err := w.ExportPaths(&out, func(uint64) {}); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(out.String(), "\n")
	if res, err = w.BulkPaths(t.Context(), strings.NewReader(out.String()), BulkOptions{Mode: Replace}); err != nil ||
		res.Unchanged != 300 {
		t.Fatalf("the exported paths: result %+v, error %v, want all unchanged", res, err)
	}
	if res, err = w.BulkPaths(t.Context(), strings.NewReader(first), BulkOptions{Mode: Replace}); err != nil ||
		res.Unchanged != 1 || res.Deleted != 299 {
		t.Fatalf("replace by one path: result %+v, error %v, want 1 unchanged, 299 deleted", res, err)
	}
	w.check(t)
}

// A configuration that does not fit stored objects suspends these objects and no others. They are live again when it
// fits again, or when the objects are corrected.
// Writers, readers and watchers at once; at the end the events add up to the state.
