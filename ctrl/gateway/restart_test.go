package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"penstock/ctrl/alarm"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
)

// A restart keeps the active alarms, and clears those whose fault is over or whose object was removed.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	w.answer(0, 1)
	w.silent(0)
	w.expect("one is down", "gateway_down gateway out/isp1")
	if err := errors.Join(w.save.flush(), w.alarms.Close()); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, dir)
	w.expect("nothing is known again", "gateway_down gateway out/isp1")
	w.silent(0)
	w.expect("still down", "gateway_down gateway out/isp1")
	if a := w.alarms.Active()[0]; a.Count != 2 {
		t.Errorf("alarm %+v, want count 2", a)
	}
	w.answer(1)
	g := w.groups[0]
	g.Members = g.Members[1:]
	w.groups = []Group{g}
	w.Refresh()
	w.expect("the member is taken out of the configuration")
	w.silent(1)
	w.expect("none is left", "gateway_down gateway out/isp2", "gateway_all_down gateway_group out")
	w.groups = nil
	w.Refresh()
	w.expect("the group is taken out")
}

// A member that is removed from the configuration and added again is a new member, without its former state.
func TestPutBack(t *testing.T) {
	for _, whole := range []bool{false, true} {
		w := newWorld(t, t.TempDir())
		w.answer(0, 1)
		w.silent(0)
		w.silent(1)
		w.expect("both are silent", "gateway_down gateway out/isp1", "gateway_down gateway out/isp2",
			"gateway_all_down gateway_group out")
		was := w.groups
		g := was[0]
		g.Members = g.Members[1:]
		if w.groups = []Group{g}; whole {
			w.groups = nil
		}
		w.Refresh()
		if whole {
			w.expect("the group is out")
		} else {
			w.expect("the member is out", "gateway_down gateway out/isp2", "gateway_all_down gateway_group out")
		}
		w.groups = was
		w.Refresh()
		if whole {
			w.expect("the group is back", "gateway_standby_down gateway out/isp1",
				"gateway_standby_down gateway out/isp2", "gateway_all_down gateway_group out")
		} else {
			w.expect("the member is back", "gateway_standby_down gateway out/isp1", "gateway_down gateway out/isp2",
				"gateway_all_down gateway_group out")
		}
	}
}

// An alarm for which there was no room is raised once there is some.
func TestRefused(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	n := 0
	for ; w.alarms.Totals().Refused == 0; n++ {
		w.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: fmt.Sprint(n)})
	}
	w.silent(1)
	for i := range n {
		w.alarms.Clear(alarm.PortDown, fmt.Sprint(i))
	}
	w.step()
	w.expect("there is room", "gateway_standby_down gateway out/isp2")
}

// A critical alarm stays active over a restart until a gateway has answered, with its ID and acknowledgement.
func TestRestartAllDown(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	w.answer(0, 1)
	w.silent(1)
	w.silent(0)
	before := w.alarms.Active()[0]
	if _, err := w.alarms.Acknowledge(before.ID, "alice", ""); err != nil || before.Kind != alarm.GatewayAllDown {
		t.Fatalf("acknowledged alarm %+v, error %v, want gateway_all_down", before, err)
	}
	if err := errors.Join(w.save.flush(), w.alarms.Close()); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, dir)
	if st := w.Status()[0]; st.Active != "isp1" || st.Why != "start" {
		t.Fatalf("group after a restart: %+v, want isp1 active since the start", st)
	}
	same := func(what string) {
		t.Helper()
		if a, err := w.alarms.Get(before.ID); err != nil || a.Cleared != nil || a.Acknowledged == nil {
			t.Errorf("%s: alarm %+v, error %v, want it active and acknowledged", what, a, err)
		}
	}
	same("nothing is known yet")
	w.silent(0)
	w.silent(1)
	same("both are silent still")
	w.answer(1)
	if a, err := w.alarms.Get(before.ID); err != nil || a.Cleared == nil {
		t.Errorf("after one member is up: alarm %+v, error %v, want it cleared", a, err)
	}
}

// A command that was acknowledged as durable survives a restart, also if no gateway has been active since the start.
func TestDisabledWithoutActive(t *testing.T) {
	dir := t.TempDir()
	if err := (State{map[string]GroupState{"out": {Disabled: []string{"isp1"}}}}).Store(filepath.Join(dir,
		"gateways.json")); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dir)
	if _, err := w.Enable("out", "isp1", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Disable("out", "isp2", "", false); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(w.path); err != nil ||
		!reflect.DeepEqual(got.Groups["out"], GroupState{Disabled: []string{"isp2"}}) {
		t.Errorf("saved state %+v, error %v, want isp2 disabled", got, err)
	}
	for i := range w.groups[0].Members { // the dataplane has not read their states yet
		*w.groups[0].Members[i].Live = fib.MemberLive{}
	}
	w.step()
	if got := w.State(); !reflect.DeepEqual(got.Groups["out"], GroupState{Disabled: []string{"isp2"}}) {
		t.Errorf("state with members in init: %+v, want the saved one", got)
	}
}

// An operator's choice suspends preemption over a restart too, for as long as without a restart.
func TestChosen(t *testing.T) {
	dir := t.TempDir()
	restart := func(w *world) *world {
		t.Helper()
		if err := errors.Join(w.save.flush(), w.alarms.Close()); err != nil {
			t.Fatal(err)
		}
		w = newWorld(t, dir)
		p := gateway.DefaultPolicy()
		p.Preempt = true
		w.engine.machine.SetPolicy(p)
		return w
	}
	active := func(w *world, what, want string) {
		t.Helper()
		w.happen(func(m *gateway.Machine, now int64) {
			w.engine.now += 2 * gateway.DefaultPolicy().PreemptDelay
			m.Tick(w.engine.now)
		})
		if st := w.Status()[0]; st.Active != want {
			t.Errorf("%s: %s is active (%s), want %s", what, st.Active, st.Why, want)
		}
	}
	w := restart(newWorld(t, dir))
	w.answer(0, 1)
	if _, err := w.Switch("out", "isp2", ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w = restart(w)
		w.answer(1)
		w.answer(0)
		active(w, "chosen", "isp2")
	}
	w.silent(1)
	w.answer(1)
	w = restart(w)
	w.answer(0, 1)
	active(w, "it has failed since", "isp1")
	w.silent(0) // isp2 is active, not by an operator's choice
	w = restart(w)
	w.answer(0, 1)
	active(w, "not chosen", "isp1")
}

// The last change is saved, even if the saver has ended before it.
func TestSavedAtStop(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	taken := false
	w.engine.taking = func() { // the last step, or the first: the saver has ended before this step
		for stacks := make([]byte, 1<<20); bytes.Contains(stacks[:runtime.Stack(stacks, true)],
			[]byte("gateway.(*Service).Run.func1")); runtime.Gosched() {
		}
		if !taken {
			taken = true
			w.engine.now++
			if err := w.engine.SwitchGateway(1, 1); err != nil {
				t.Error(err)
			}
		}
	}
	w.Run(ctx)
	if got, err := Load(w.path); err != nil || got.Groups["out"].Active != "isp2" {
		t.Errorf("saved state %+v, error %v, want isp2 active", got, err)
	}
}
