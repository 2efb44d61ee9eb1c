package core

import (
	"context"
	"errors"
	"strings"
	"testing"

	"penstock/ctrl/model"
)

// A push that is durable and could not be made live is not acknowledged: the answer is an error that states both.
func TestNotLiveIsNotAcknowledged(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	w.live.refuse = errors.New("no room")
	_, err := w.Do(t.Context(), Transaction{Ops: []Op{put(model.KindTenant, "LATE", `{"id":99}`)}})
	if code(err) != CodeInternal || !strings.Contains(err.Error(), "stored, but not all of it is live") {
		t.Errorf("a transaction that did not become live was answered with %v, want %s", err, CodeInternal)
	}
	if _, ok := w.State().Tenants["LATE"]; !ok {
		t.Error("the durable tenant is not in the state, want it there")
	}
	if _, err := w.Reconfigure(w.opts); err == nil {
		t.Error("a reload that did not become live was accepted, want an error")
	}
	w.live.refuse = nil
	w.do(t, put(model.KindTenant, "NEXT", `{"id":98}`))
	if st, _ := w.live.snapshot(); len(st.Tenants) != len(w.State().Tenants) {
		t.Errorf("%d tenants are live after the next change, want %d", len(st.Tenants), len(w.State().Tenants))
	}
}

// What runs exclusively does not come between a plan and its being applied, and waits no longer than its caller.
func TestExclusive(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	err := w.Exclusive(t.Context(), func() error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Do(ctx,
			Transaction{Ops: []Op{put(model.KindTenant, "LATE", `{"id":99}`)}}); code(err) != CodeCanceled {
			t.Errorf("a push beside an exclusive run: %v, want %s", err, CodeCanceled)
		}
		if err := w.Exclusive(ctx, func() error { return nil }); code(err) != CodeCanceled {
			t.Errorf("a second exclusive run: %v, want %s", err, CodeCanceled)
		}
		return errors.New("its own")
	})
	if err == nil || err.Error() != "its own" {
		t.Errorf("Exclusive returned %v, want what the function returned", err)
	}
	w.do(t, put(model.KindTenant, "LATE", `{"id":99}`))
}

// The answer to a transaction names the changed objects on which the dataplane does not act.
func TestAnswerSaysNotLive(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	w.live.dead = "GREEN"
	res := w.do(t, put(model.KindTenant, "GREEN", `{"id":97}`), put(model.KindTenant, "BLACK", `{"id":96}`))
	for _, ch := range res.Changes {
		if want := map[string]string{"GREEN": "it leads nowhere"}[ch.Key]; ch.NotLive != want {
			t.Errorf("%s %s is not live because of %q, want %q", ch.Kind, ch.Key, ch.NotLive, want)
		}
	}
	if res = w.do(t, Op{Verb: Delete, Kind: model.KindTenant, Key: "GREEN"}); res.Changes[0].NotLive != "" {
		t.Errorf("a deleted tenant is not live because of %q", res.Changes[0].NotLive)
	}
}
