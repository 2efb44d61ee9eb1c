package gateway

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/event"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
)

// engine is the dataplane with its real state machine, driven by the test on a clock of its own.
type engine struct {
	t       *testing.T
	now     int64
	events  *gateway.Events
	machine *gateway.Machine
	group   Group
	taking  func() // unless nil, called before events are taken
}

func (e *engine) Clock() int64 { return e.now }
func (e *engine) GatewayEvents() *gateway.Events {
	if e.taking != nil {
		e.taking()
	}
	return e.events
}

func (e *engine) SwitchGateway(_, slot uint32) error {
	defer e.show()
	return e.machine.Switch(e.now, slot)
}

func (e *engine) DisableGateway(_, slot uint32, force bool) error {
	defer e.show()
	return e.machine.Disable(e.now, slot, force)
}

func (e *engine) EnableGateway(_, slot uint32) error {
	defer e.show()
	return e.machine.Enable(e.now, slot)
}

// show writes the live states as the dataplane's keeper does.
func (e *engine) show() {
	active, since, why := e.machine.Active()
	l := e.group.Live
	l.Active.Store(active)
	l.Since.Store(since)
	l.Why.Store(uint32(why))
	l.Chosen.Store(e.machine.Chosen())
	for i := range e.group.Members {
		m := &e.group.Members[i]
		since, why, held, fails := e.machine.Detail(m.Slot)
		m.Live.State.Store(uint32(e.machine.State(m.Slot)))
		m.Live.Since.Store(since)
		m.Live.Why.Store(uint32(why))
		m.Live.Held.Store(held)
		m.Live.Fails.Store(fails)
	}
}

type world struct {
	*Service
	t      *testing.T
	engine *engine
	alarms *alarm.Board
	log    *event.Log
	path   string
	groups []Group
}

// newWorld is a group "out" with the gateways isp1 and isp2, in slots 0 and 1.
func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, log: event.New(event.Config{}), path: filepath.Join(dir, "gateways.json")}
	saved, err := Load(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.engine = &engine{t: t, now: 1e9, events: gateway.NewEvents()}
	g := &w.engine.group
	*g = Group{Name: "out", MAC: 0x025053010001, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.254")}, Index: 1,
		Live: fib.NewGroupLive()}
	p := gateway.DefaultPolicy()
	p.FlapCount = 3
	w.engine.machine = gateway.New(p, func(e gateway.Event) {
		e.Group = 1
		if e.Kind == gateway.ActiveChanged {
			g.Live.Switches.Add(1)
		}
		w.engine.events.Put(e)
	})
	w.engine.machine.SetOrder([]uint8{0, 1})
	for i, name := range []string{"isp1", "isp2"} {
		g.Members = append(g.Members,
			Member{Name: name, Port: "up" + string(rune('0'+i)), IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}),
				Address: netip.MustParsePrefix("192.0.2.9/28"), Slot: uint32(i), Live: &fib.MemberLive{}})
		w.engine.machine.Add(w.engine.now, uint32(i), true, slices.Contains(saved.Groups["out"].Disabled, name))
		if saved.Groups["out"].Active == name {
			w.engine.machine.Start(w.engine.now, uint32(i), saved.Groups["out"].Chosen)
		}
	}
	w.groups = []Group{*g}
	if w.alarms, err = alarm.Open(alarm.Config{Path: filepath.Join(dir, "alarms.db"), Events: w.log,
		NoSync: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.alarms.Close() })
	w.Service = New(Config{Engine: w.engine, Groups: func() []Group { return w.groups }, Events: w.log,
		Alarms: w.alarms, Path: w.path, Saved: saved})
	w.engine.show()
	w.Refresh()
	return w
}

// happen runs fn on the machine a second later, and updates the service.
func (w *world) happen(fn func(m *gateway.Machine, now int64)) {
	w.engine.now += 1e9
	fn(w.engine.machine, w.engine.now)
	w.engine.show()
	w.step()
}

func (w *world) answer(slots ...uint32) {
	w.happen(func(m *gateway.Machine, now int64) {
		for range 5 {
			for _, s := range slots {
				m.Answer(now, s)
			}
		}
	})
}

func (w *world) silent(slot uint32) {
	w.happen(func(m *gateway.Machine, now int64) {
		for range 3 {
			m.Miss(now, slot)
		}
	})
}

// expect compares the active alarms, as "kind object".
func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	var got []string
	for _, a := range w.alarms.Active() {
		got = append(got, string(a.Kind)+" "+a.Object)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: alarms %q, want %q", what, got, want)
	}
}

// published returns the gateway events so far.
func (w *world) published() (out []Event) {
	w.t.Helper()
	r := w.log.After(0)
	for r.Ready() {
		evs, err := r.Next(w.t.Context(), 100)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range evs {
			if e.Type == event.TypeGateway {
				out = append(out, e.Data.(Event))
			}
		}
	}
	return out
}

func TestAlarms(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.expect("nothing is known yet")
	w.answer(0, 1)
	w.expect("both answer")
	w.silent(1)
	w.expect("the standby is silent", "gateway_standby_down gateway out/isp2")
	w.silent(0)
	w.expect("both are", "gateway_standby_down gateway out/isp2", "gateway_down gateway out/isp1",
		"gateway_all_down gateway_group out")
	all := w.alarms.Active()[0]
	if all.Severity != alarm.Critical || !strings.Contains(all.Text,
		"No gateway of group out is healthy (isp1: it does not answer; isp2: it does not answer)") {
		t.Errorf("alarm %+v, want a critical one that names the cause of both members", all)
	}
	w.answer(1)
	w.expect("the second is back", "gateway_down gateway out/isp1")
	if a := w.alarms.Active()[0]; a.Count != 1 ||
		!strings.Contains(a.Text, "Gateway isp1 of group out (192.0.2.1 on port up0) failed: it does not answer.") ||
		!strings.Contains(a.Text, "answers ARP from 192.0.2.9") {
		t.Errorf("alarm %+v, want count 1, with the cause and the remedy", a)
	}
	w.happen(func(m *gateway.Machine, now int64) { m.Port(now, 0, false, gateway.WhyCarrier) })
	if a := w.alarms.Active()[0]; a.Count != 2 || !strings.Contains(a.Text, "port up0 is down") ||
		!strings.Contains(a.Text, "cable and transceiver of port up0") {
		t.Errorf("alarm after another cause: %+v, want it raised again", a)
	}
	w.step()
	w.step()
	if a := w.alarms.Active()[0]; a.Count != 2 {
		t.Errorf("alarm after an update without a change: %+v, want the same count", a)
	}
	w.happen(func(m *gateway.Machine, now int64) { m.Port(now, 0, true, gateway.WhyCarrier) })
	w.answer(0)
	w.expect("all is well")
	if got := w.Status()[0]; got.Active != "isp2" || got.Members[0].State != "up" || got.Members[1].Active != true ||
		got.Why == "" || got.Since == nil {
		t.Errorf("group %+v, want isp2 active and isp1 up", got)
	}
}

func TestFlapping(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	for range 3 {
		w.silent(0)
		w.answer(0)
	}
	w.expect("held down", "gateway_standby_down gateway out/isp1", "gateway_flapping gateway out/isp1")
	if st := w.Status()[0].Members[0]; st.State != "down" || st.Held == nil || st.Failures != 3 {
		t.Errorf("member %+v, want it held down after 3 failures", st)
	}
	w.happen(func(m *gateway.Machine, now int64) {
		w.engine.now += 60e9
		m.Tick(w.engine.now)
	})
	w.expect("the hold is over")
}

func TestMACs(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	for _, e := range []gateway.Event{{Kind: gateway.MACLearned, MAC: 0x020000000001},
		{Kind: gateway.MACChanged, MAC: 0x020000000002, OldMAC: 0x020000000001},
		{Kind: gateway.MACConflict, MAC: 0x020000000003, OldMAC: 0x020000000002}, {Kind: gateway.MACShared,
			MAC: 0x020000000002, Other: 1}} {
		e.Group, e.Member, e.Old = 1, 0, gateway.None
		w.engine.events.Put(e)
	}
	w.step()
	for _, tc := range []struct {
		kind alarm.Kind
		want string
	}{
		{alarm.GatewayMAC, "answered with the MAC 02:00:00:00:00:02 and no longer with 02:00:00:00:00:01"},
		{alarm.GatewayConflict,
			"02:00:00:00:00:02, which was in use and stayed so, and 02:00:00:00:00:03, which was not taken"},
		{alarm.GatewayShared, "answered with one MAC, 02:00:00:00:00:02"},
	} {
		if text, _ := w.text(tc.kind, "gateway out/isp1"); !strings.Contains(text, tc.want) {
			t.Errorf("%s: %q, want it with %q", tc.kind, text, tc.want)
		}
	}
	w.expect("MACs", "gateway_mac_changed gateway out/isp1", "gateway_mac_conflict gateway out/isp1",
		"gateway_mac_shared gateway out/isp1")
	for _, a := range w.alarms.Active() {
		if _, err := w.alarms.Acknowledge(a.ID, "alice", ""); err != nil {
			t.Error(err)
		}
	}
	w.step()
	w.expect("acknowledged")
}

func TestEvents(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	w.silent(0)
	w.engine.events.Put(gateway.Event{Kind: gateway.AnnounceFinish, Group: 1, Member: 1, Old: gateway.None, Count: 7,
		Time: w.engine.now - 2e9})
	w.engine.events.Put(gateway.Event{Kind: gateway.MemberChanged, Group: 9, Member: 0}) // of no group: ignored
	w.step()
	var got []string
	for _, e := range w.published() {
		got = append(got, strings.Join([]string{e.Kind, e.Group, e.Member, e.Old, e.From, e.To, e.Why}, " "))
	}
	want := []string{"member out isp1  init init added", "member out isp2  init init added",
		"member out isp1  init up answers", "active out isp1    answers", "member out isp2  init up answers",
		"member out isp1  up suspect miss", "member out isp1  suspect down silent", "active out isp2 isp1   " +
			"silent", "announced out isp2    "}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
	if n := w.Counters().Switches[Switches{"out", "silent"}]; n != 1 {
		t.Errorf("%d switches counted, want those of the events", n)
	}
	if age := time.Since(w.published()[8].At); age < 2*time.Second || age > 3*time.Minute {
		t.Errorf("an event of two seconds ago is %v old, want 2 s", age)
	}
}

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	w.answer(0, 1)
	st, err := w.Switch("out", "isp2", "isp1")
	if err != nil || st.Active != "isp2" || st.Why != "operator" {
		t.Fatalf("switch to isp2: %+v, error %v, want it active by the operator", st, err)
	}
	if st, err = w.Switch("out", "", ""); err != nil || st.Active != "isp1" {
		t.Errorf("switch without a member: %+v, error %v, want isp1 active", st, err)
	}
	for _, tc := range []struct {
		err  error
		want error
		text string
	}{
		{err: second(w.Switch("out", "isp2", "isp2")), want: ErrChanged, text: "isp1"},
		{err: second(w.Switch("in", "", "")), want: ErrNoGroup, text: "in"},
		{err: second(w.Switch("out", "isp3", "")), want: gateway.ErrNoMember, text: "isp3"},
		{err: second(w.Disable("out", "", "", false)), want: gateway.ErrNoMember},
	} {
		if !errors.Is(tc.err, tc.want) || !strings.Contains(tc.err.Error(), tc.text) {
			t.Errorf("error %v, want %v", tc.err, tc.want)
		}
	}
	if st, err = w.Disable("out", "isp1", "", false); err != nil || st.Active != "isp2" ||
		st.Members[0].State != "disabled" {
		t.Errorf("disable isp1: %+v, error %v, want it disabled and isp2 active", st, err)
	}
	if _, err = w.Switch("out", "isp1", ""); !errors.Is(err, gateway.ErrNotUp) {
		t.Error(err)
	}
	if _, err = w.Disable("out", "isp2", "", false); !errors.Is(err, gateway.ErrLast) {
		t.Error(err)
	}
	w.expect("disabled is no fault")
	want := State{map[string]GroupState{"out": {Active: "isp2", Disabled: []string{"isp1"}}}}
	if got, err := Load(w.path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("saved state %+v, error %v, want %+v", got, err, want)
	}
	w.alarms.Close()

	w = newWorld(t, dir) // the box restarts
	if st := w.Status()[0]; st.Active != "isp2" || st.Why != "start" || st.Members[0].State != "disabled" {
		t.Errorf("group after a restart: %+v, want isp2 active and isp1 disabled", st)
	}
	if _, err = w.Disable("out", "isp2", "", true); err != nil {
		t.Error(err)
	}
	w.expect("all disabled", "gateway_all_down gateway_group out")
	if st, err = w.Enable("out", "isp1", ""); err != nil || st.Members[0].State == "disabled" {
		t.Errorf("enable isp1: %+v, error %v, want it not disabled", st, err)
	}
	w.answer(0)
	w.expect("one is back")
	if err := w.save.flush(); err != nil {
		t.Fatal(err)
	}
	if got, _ := Load(w.path); !reflect.DeepEqual(got,
		State{map[string]GroupState{"out": {Active: "isp1", Disabled: []string{"isp2"}}}}) {
		t.Errorf("saved state %+v, want isp1 active and isp2 disabled", got)
	}
}

func second[T any](_ T, err error) error { return err }

// A full ring loses events, not alarms.
func TestLost(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	for range 3000 {
		w.engine.events.Put(gateway.Event{Kind: gateway.AnnounceFinish, Group: 1, Member: 0})
	}
	w.silent(0)
	if w.lost == 0 {
		t.Fatal("no event was lost, want a full ring")
	}
	w.expect("after losing events", "gateway_standby_down gateway out/isp1") // the event that isp1 was active is lost
	w.answer(0)
	w.silent(1)
	w.expect("the next failure", "gateway_down gateway out/isp2")
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.json")
	if s, err := Load(path); err != nil || s.Groups != nil {
		t.Errorf("missing file: %+v, error %v, want an empty state", s, err)
	}
	for _, text := range []string{"", "{", `{"groups":[]}`, "\x00", strings.Repeat(" ", maxState+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Load(path); err == nil || s.Groups != nil {
			t.Errorf("%.20q is read as %+v, want an empty state and an error", text, s)
		}
	}
	want := State{map[string]GroupState{"a": {Active: "x"}, "b": {Disabled: []string{"y", "z"}}}}
	if err := want.Store(path); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(path); err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("loaded state %+v, error %v, want it as stored", s, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("files left: %v, want the state alone", entries)
	}
	if err := want.Store(filepath.Join(dir, "none", "s.json")); err == nil {
		t.Error("stored in a missing directory, want an error")
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"groups":{"out":{"active":"isp1","disabled":["isp2"]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(text)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "s")
		if err := s.Store(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err != nil {
			t.Errorf("the stored state cannot be read: %v", err)
		}
	})
}
