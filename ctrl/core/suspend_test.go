package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
)

func TestSuspend(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	w.do(t, put(model.KindTenant, "BIG", `{"id":9}`), put(model.KindSegment, "BIG/s", `{"id":1}`),
		put(model.KindBinding, "BIG/s/02:00:00:00:01:01", `{"switch_mac":"02:aa:00:00:00:01","switch_port":3}`))
	problems, err := w.Reconfigure(model.Options{Ports: testPorts[:1]})
	if err != nil || len(problems) != 1 || problems[0].Key != "RED/vm" {
		t.Fatalf("reload without acc1: problems %v, error %v, want one, of RED/vm", problems, err)
	}
	if st, _ := w.live.snapshot(); len(st.VIFs) != 0 || len(w.State().VIFs) != 1 {
		t.Error("the VIF of a removed port is live or deleted, want it stored and suspended")
	}
	if s, ok := w.Status(model.KindVIF, "RED/vm").(suspension); !ok || s.State != "suspended" ||
		!strings.Contains(s.Reason, "acc1") {
		t.Errorf("status %+v, want suspended because of acc1", w.Status(model.KindVIF, "RED/vm"))
	}
	w.do(t, put(model.KindTenant, "RED", `{"id":77}`)) // other objects can change
	if _, err := w.Do(t.Context(), Transaction{Ops: []Op{{Verb: Patch, Kind: model.KindVIF, Key: "RED/vm",
		Value: []byte(`{"vlan":5}`)}}}); code(err) != model.CodeNotFound {
		t.Errorf("the suspended VIF itself must be put right: %v", err)
	}
	w.do(t, Op{Verb: Patch, Kind: model.KindVIF, Key: "RED/vm", Value: []byte(`{"port":"acc0"}`)})
	if st, _ := w.live.snapshot(); len(st.VIFs) != 1 || len(w.Suspended()) != 0 {
		t.Error("the corrected VIF is not live, want it live")
	}
	w.check(t)
	if _, err := w.Reconfigure(model.Options{Ports: testPorts, Scheme: model.Scheme24}); err == nil {
		t.Error("the scheme was changed by a reload, want an error")
	}
	w.store.Close()

	// A tenant that does not fit the scheme is suspended together with its segments and their bindings.
	w24 := open(t, filepath.Join(t.TempDir(), "db"), model.Options{Ports: testPorts, Scheme: model.Scheme24})
	w24.do(t, put(model.KindTenant, "BIG", `{"id":70000}`), put(model.KindSegment, "BIG/s", `{"id":1}`),
		put(model.KindTenant, "RED", `{"id":7}`), put(model.KindSegment, "RED/s", `{"id":1}`))
	if _, err := w24.BulkBindings(t.Context(), strings.NewReader(lineOf("BIG", "s", 0x020000000101, 1)+lineOf("RED",
		"s", 0x020000000102, 1)), BulkOptions{}); err != nil {
		t.Fatal(err)
	}
	path := w24.path
	w24.store.Close()
	w16 := open(t, path, model.Options{Ports: testPorts})
	if st, live := w16.live.snapshot(); len(st.Tenants) != 1 || len(st.Segments) != 1 || len(live) != 1 {
		t.Errorf("live: %+v, %d bindings, want the tenant RED and its binding alone", st, len(live))
	}
	if len(w16.State().Tenants) != 2 || w16.total != 2 {
		t.Error("a suspended object is not stored, want it kept")
	}
	w16.do(t, Op{Verb: Delete, Kind: model.KindBinding, Key: "RED/s/02:00:00:00:01:02"})
	w16.do(t, put(model.KindTenant, "BIG", `{"id":70}`))
	if _, live := w16.live.snapshot(); len(live) != 1 {
		t.Errorf("%d bindings live after the tenant was corrected, want both", len(live))
	}
	w16.check(t)
}

func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	reader := w.events.After(w.events.Last())
	start := w.Revision()
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				st, _ := w.Snapshot()
				for _, s := range st.Segments {
					if _, ok := st.Tenants[s.Tenant]; !ok {
						t.Error("a reader saw a segment without its tenant, want a consistent state")
						return
					}
				}
				if _, _, _, err := w.ListBindings(BindingFilter{Tenant: "RED"}, "", 50); err != nil {
					t.Error(err)
					return
				}
				w.Status(model.KindVIF, "RED/vm")
			}
		})
	}
	for i := range 4 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			name := fmt.Sprint("T", i)
			for range 40 {
				var err error
				switch rnd.IntN(3) {
				case 0:
					_, err = w.Do(ctx,
						Transaction{Ops: []Op{put(model.KindTenant, name, fmt.Sprintf(`{"id":%d}`, 100+i)),
							put(model.KindSegment, name+"/s", fmt.Sprintf(`{"id":%d}`, 1+rnd.IntN(1000)))}})
				case 1:
					_, err = w.Do(ctx, Transaction{Ops: []Op{{Verb: Delete, Kind: model.KindTenant, Key: name},
						{Verb: Delete, Kind: model.KindSegment, Key: name + "/s"}}})
				case 2:
					var text string
					for range 20 {
						text += lineOf("RED", "web", 0x020000000100+uint64(rnd.IntN(100)), 1+rnd.IntN(200))
					}
					_, err = w.BulkBindings(ctx, strings.NewReader(text), BulkOptions{})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	w.check(t)
	rev := start
	for rev < w.Revision() {
		evs, err := reader.Next(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range evs {
			got := uint64(0)
			switch d := e.Data.(type) {
			case event.Change:
				got = d.Revision
			case event.Bulk:
				got = d.Revision
			}
			if rev++; got != rev {
				t.Fatalf("event %+v, want revision %d", e, rev)
			}
		}
	}
}
