package api_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

const site = `
[[tenants]]
name = "RED"
id = 7

[[segments]]
tenant = "RED"
name = "web"
id = 1

[[vifs]]
tenant = "RED"
name = "vm1"
segment = "web"
mac = "02:00:00:00:00:01"
port = "acc0"
addresses = ["10.0.0.5"]

[[paths]]
a = "02:aa:00:00:00:02"
b = "02:aa:00:00:00:01"
vlans = [{vid = 10}]
`

func TestApply(t *testing.T) {
	w := newWorld(t, nil)
	doc, err := client.ParseDocument("site.toml", []byte(site))
	if err != nil {
		t.Fatal(err)
	}
	diff, err := w.client.Diff(t.Context(), doc, true)
	if err != nil || len(diff) != 4 || diff[0].After == nil || w.core.Revision() != 0 {
		t.Fatalf("difference to an empty box: %+v, %v, want 4 creations and revision 0", diff, err)
	}
	prune := client.ApplyOptions{Prune: true}
	res, err := w.client.Apply(t.Context(), doc, prune)
	if err != nil || len(res.Changes) != 4 || res.Revision != 1 {
		t.Fatalf("applied: %+v, %v, want 4 changes and revision 1", res, err)
	}
	if res, err = w.client.Apply(t.Context(), doc, prune); err != nil || len(res.Changes) != 0 {
		t.Errorf("applied again: %+v, %v, want no changes", res, err)
	}
	// Another user adds objects that are missing from the file.
	w.must("PUT", "/v1/vifs/RED/other", `{"segment":"web","mac":"02:00:00:00:00:02","port":"acc0"}`)
	w.must("PUT", "/v1/subnets/RED/n", `{"segment":"web","prefix":"10.0.0.0/24"}`)
	if res, err = w.client.Apply(t.Context(), doc, client.ApplyOptions{}); err != nil || len(res.Changes) != 0 {
		t.Errorf("without prune: %+v, %v, want no changes", res, err)
	}
	res, err = w.client.Apply(t.Context(), doc, prune)
	if err != nil || len(res.Changes) != 1 || res.Changes[0].Key != "RED/other" || res.Changes[0].Change != "delete" {
		t.Errorf("with prune: %+v, %v, want that only RED/other is deleted, of a collection in the file", res, err)
	}
	js, err := client.ParseDocument("empty.json", []byte(`{"vifs":[],"subnets":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if res, err = w.client.Apply(t.Context(), js, prune); err != nil || len(res.Changes) != 2 {
		t.Errorf("two empty collections with prune: %+v, %v, want 2 changes", res, err)
	}
	if len(w.core.State().Tenants) != 1 {
		t.Error("a collection that the file does not name was pruned")
	}
}

func TestBadDocuments(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[[tenants]]\nname = RED\n", "f: line 2: "},
		{"[[tenant]]\nname = \"RED\"\n", `f: tenant: unknown member "tenant" (did you mean "tenants"?)`},
		{"[tenants]\nname = \"RED\"\n",
			"f: tenants: found an object where a list is expected (in TOML write [[tenants]])"},
		{"[[tenants]]\nname = \"RED\"\nid = \"7\"\n",
			`f: tenants[0].id: found a string ("7") where a whole number is expected`},
		{"[[tenants]]\nname = \"a b\"\nid = 7\n", `f: tenants[0]: "a b" is not a name`},
		{"[[tenants]]\nname = \"A\"\nid = 7\n[[tenants]]\nname = \"A\"\nid = 8\n",
			"f: tenants[1]: tenant A occurs twice"},
		{"[[tenants]]\nid = 7\n", `f: tenants[0]: "" is not a name`},
		{`{"tenants":[{"name":"A","id":7}]`, "f: line 1, column 33: the text ends"},
		{`{"tenants":[{"name":"A","id":7,"id":8}]}`, "occurs twice in one object"},
		{"[[tenants]]\nname = \"A\"\nwhen = 2020-01-01\n[[segments]]\nid = true\n",
			`segments[0].id: found a boolean (true)`},
	} {
		_, err := client.ParseDocument("f", []byte(c.text))
		var de *client.DocumentError
		if !errors.As(err, &de) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("document %q: %v, want the fault %s", c.text, err, c.want)
		}
	}
}

func TestClientErrors(t *testing.T) {
	gone := client.New(filepath.Join(t.TempDir(), "none.sock"))
	if _, err := gone.Revision(t.Context()); !errors.Is(err, client.ErrNotRunning) ||
		!strings.Contains(err.Error(), "none.sock") {
		t.Errorf("a socket that does not exist: %v, want ErrNotRunning with its path", err)
	}
	w := newWorld(t, nil)
	plain := client.WriteOptions{}
	_, err := w.client.Put(t.Context(), model.KindTenant, "X", map[string]any{"id": 1, "color": "red"}, plain)
	var e *client.Error
	if !errors.As(err, &e) || e.Status != 422 || e.Field != "color" || !strings.Contains(err.Error(), "color: ") ||
		!strings.Contains(err.Error(), "allowed here") {
		t.Errorf("an unknown member: %v, want status 422, field color and the allowed members", err)
	}
	old := uint64(9)
	five := map[string]any{"id": 5}
	_, err = w.client.Put(t.Context(), model.KindTenant, "X", five, client.WriteOptions{IfMatch: &old})
	if !client.Is(err, core.CodeMismatch) {
		t.Errorf("a put with another revision: %v, want the code %s", err, core.CodeMismatch)
	}
	_, err = w.client.Patch(t.Context(), model.KindTenant, "X", five, plain)
	if !client.Is(err, model.CodeNotFound) {
		t.Errorf("a patch of an absent tenant: %v, want the code %s", err, model.CodeNotFound)
	}
	if r, err := w.client.Delete(t.Context(), model.KindTenant, "X", plain); err != nil || len(r.Changes) != 0 {
		t.Errorf("a delete of an absent tenant: %+v, %v, want no changes", r, err)
	}
	w.must("POST", "/v1/transactions", base)
	var out bytes.Buffer
	same, err := w.client.Export(t.Context(), model.KindBinding, &out)
	if err != nil || !same || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("export: of one revision %v, %q, %v, want true and one line", same, &out, err)
	}
	bulk, err := w.client.Bulk(t.Context(), model.KindBinding, &out, core.Replace, plain)
	if err != nil || bulk.Unchanged != 1 {
		t.Errorf("a push of the export: %+v, %v, want 1 unchanged", bulk, err)
	}
	red, dry := core.BindingFilter{Tenant: "RED"}, client.WriteOptions{DryRun: true}
	if r, err := w.client.DeleteBindings(t.Context(), red, dry); err != nil || r.Deleted != 1 {
		t.Errorf("a dry deletion of the tenant's bindings: %+v, %v, want 1 deleted", r, err)
	}
	var v struct{ MAC string }
	if err := w.client.Object(t.Context(), model.KindVIF, "RED/vm1", &v); err != nil || v.MAC != "02:00:00:00:00:01" {
		t.Errorf("VIF RED/vm1: %+v, %v, want the MAC 02:00:00:00:00:01", v, err)
	}
}

// TestWatchResumes: a watcher that resumes gets every event once, also when the box restarts.
func TestWatchResumes(t *testing.T) {
	w := newWorld(t, nil)
	got := make(chan client.Event, 100)
	zero := uint64(0)
	go func() {
		_ = w.client.Watch(t.Context(), client.WatchOptions{Since: &zero, Resume: true},
			func(e client.Event) error { got <- e; return nil })
	}()
	next := func(seq uint64) {
		t.Helper()
		select {
		case e := <-got:
			if e.Seq != seq {
				t.Fatalf("the next event is %d, want %d", e.Seq, seq)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("event %d does not come", seq)
		}
	}
	w.must("PUT", "/v1/tenants/A", `{"id":5}`)
	next(1)
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.path); !os.IsNotExist(err) {
		t.Fatalf("the socket is left: %v", err)
	}
	put := core.Op{Verb: core.Put, Kind: model.KindTenant, Key: "B", Value: []byte(`{"id":6}`)}
	if _, err := w.core.Do(t.Context(), core.Transaction{Ops: []core.Op{put}}); err != nil {
		t.Fatal(err)
	}
	again, err := api.New(api.Config{Path: w.path, Group: -1, Core: w.core, Events: w.events, Alarms: w.alarms,
		Gateways: w.gates, Info: w.info})
	if err != nil {
		t.Fatal(err)
	}
	go again.Serve()
	defer again.Shutdown(t.Context())
	next(2)
	w.must("PUT", "/v1/tenants/C", `{"id":7}`)
	next(3)
	stop := errors.New("enough")
	err = w.client.Watch(t.Context(), client.WatchOptions{Since: &zero, Resume: true},
		func(client.Event) error { return stop })
	if err != stop {
		t.Errorf("%v", err)
	}
	n := 0
	err = w.client.Watch(t.Context(), client.WatchOptions{Since: new(uint64), Once: true},
		func(client.Event) error { n++; return nil })
	if err != nil || n != 3 {
		t.Errorf("%d events, %v", n, err)
	}
}
