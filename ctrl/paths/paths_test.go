package paths

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane/fib"
	"penstock/dataplane/liveness"
	"penstock/dataplane/pathprobe"
)

const farSwitch = model.MAC(0x0200000000b0)

// world is a box with two paths to one switch.
type world struct {
	*Service
	ring    *pathprobe.Events
	boxes   []pathprobe.Boxes
	infos   []compile.PathInfo
	snap    *fib.Snapshot
	refresh int
	events  []event.Path
	clock   int64
}

func (w *world) Clock() int64                    { return w.clock }
func (w *world) PathEvents() *pathprobe.Events   { return w.ring }
func (w *world) SetProbeBoxes(b pathprobe.Boxes) { w.boxes = append(w.boxes, b) }
func (w *world) RefreshPaths()                   { w.refresh++ }
func (w *world) PathStats() []compile.PathInfo   { return w.infos }
func (w *world) Snapshot() *fib.Snapshot         { return w.snap }

func newWorld(t *testing.T) *world {
	t.Helper()
	board, err := alarm.Open(alarm.Config{Path: filepath.Join(t.TempDir(), "alarms.db"),
		Events: event.New(event.Config{}), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { board.Close() })
	w := &world{ring: pathprobe.NewEvents(), clock: 1e12, snap: &fib.Snapshot{}}
	for vid := uint16(101); vid <= 102; vid++ {
		w.infos = append(w.infos, compile.PathInfo{Port: "fab0", VID: vid, Switch: farSwitch, PortUp: true, Used: true,
			Probe: &fib.PathLive{}})
	}
	board.Raise(alarm.Report{Kind: alarm.SwitchSilent, Object: "switch from before the restart", Text: "x"})
	w.Service = New(Config{Engine: w, Tables: w, Alarms: board, Log: slog.New(slog.DiscardHandler),
		Publish: func(e event.Path) { w.events = append(w.events, e) }})
	return w
}

// become is a path's change of state, as the prober tells it.
func (w *world) become(path int, from, to liveness.State) {
	l := w.infos[path].Probe
	l.Down.Store(to == liveness.Down)
	l.State.Store(uint32(to))
	w.ring.Put(pathprobe.Event{Kind: pathprobe.PathChanged, Time: w.clock, Path: l, From: from, To: to,
		Why: liveness.Silent, Switch: uint64(farSwitch)})
	w.take()
}

func (w *world) wantAlarms(t *testing.T, what string, want ...string) {
	t.Helper()
	var got []string
	for _, a := range w.cfg.Alarms.Active() {
		got = append(got, string(a.Kind)+" "+a.Object)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: alarms %q, want %q", what, got, want)
	}
}

// TestVerdicts: a verdict is live before it is told, kept, and raises an alarm when it is the last path.
func TestVerdicts(t *testing.T) {
	w := newWorld(t)
	w.wantAlarms(t, "after the start")
	w.become(0, liveness.Init, liveness.Up)
	if w.refresh != 0 {
		t.Errorf("the tables were made anew %d times when a path was found up, want not at all", w.refresh)
	}
	w.become(0, liveness.Up, liveness.Down)
	w.wantAlarms(t, "one is down")
	w.become(1, liveness.Up, liveness.Down)
	w.wantAlarms(t, "both are down", "paths_all_down switch 02:00:00:00:00:b0")
	w.become(0, liveness.Down, liveness.Up)
	w.wantAlarms(t, "one is up again")
	if w.refresh != 3 {
		t.Errorf("the tables were made anew %d times, want 3", w.refresh)
	}
	want := event.Path{Kind: event.PathState, Switch: "02:00:00:00:00:b0", Port: "fab0", VID: 101,
		From: "unknown", To: "up", Reason: "silent"}
	if len(w.events) != 4 || w.events[0] != want {
		t.Errorf("published %+v, want 4 events, the first %+v", w.events, want)
	}
	for range 40 {
		w.become(0, liveness.Up, liveness.Down)
		w.become(0, liveness.Down, liveness.Up)
	}
	var s status.Path
	w.Fill(&s, &w.infos[0])
	if n := len(s.Changes); n != Changes || s.Changes[n-1].To != "up" || s.State != "up" {
		t.Errorf("state %q, %d changes, want up, %d, the last to up", s.State, n, Changes)
	}
	w.infos = w.infos[1:]
	for range keepEvery {
		w.forget()
	}
	if len(w.history) != 1 {
		t.Errorf("the history of %d paths is kept, want 1: the other is gone", len(w.history))
	}
}

// TestWholeSwitch: alarms about a switch, and about too many probes.
func TestWholeSwitch(t *testing.T) {
	w := newWorld(t)
	put := func(e pathprobe.Event) {
		e.Switch, e.Time = uint64(farSwitch), w.clock
		w.ring.Put(e)
		w.take()
	}
	put(pathprobe.Event{Kind: pathprobe.SwitchSilent, Number: 20})
	w.wantAlarms(t, "the only box is silent", "switch_silent switch 02:00:00:00:00:b0")
	put(pathprobe.Event{Kind: pathprobe.SwitchHeard})
	w.wantAlarms(t, "it is heard")
	put(pathprobe.Event{Kind: pathprobe.SwitchSilent, Both: true})
	w.wantAlarms(t, "both boxes are silent", "paths_all_down switch 02:00:00:00:00:b0")
	put(pathprobe.Event{Kind: pathprobe.SwitchHeard})
	put(pathprobe.Event{Kind: pathprobe.Overload, Rate: 30_000})
	w.wantAlarms(t, "too many probes", "probe_overload probes")
	put(pathprobe.Event{Kind: pathprobe.OverloadEnd})
	w.wantAlarms(t, "at the end")
}

// TestBoxes: two boxes behind each switch are probed; those that are stay while they have bindings.
func TestBoxes(t *testing.T) {
	w := newWorld(t)
	tables := func(locs ...fib.Loc) {
		w.snap = &fib.Snapshot{
			Switches: []fib.Switch{{MAC: uint64(farSwitch)}, {MAC: 0x0200000000c0}},
			Segments: []fib.Segment{{Remote: locs}, {Remote: []fib.Loc{fib.RemoteLoc(1, 9)}}},
		}
		w.place()
	}
	for _, tc := range []struct {
		locs  []fib.Loc
		want  [fib.Targets]uint8
		calls int
	}{
		{[]fib.Loc{fib.RemoteLoc(0, 40)}, [fib.Targets]uint8{40}, 1},
		{[]fib.Loc{fib.RemoteLoc(0, 40), fib.RemoteLoc(0, 3), fib.RemoteLoc(0, 255)}, [fib.Targets]uint8{40, 3}, 2},
		{[]fib.Loc{fib.RemoteLoc(0, 1), fib.RemoteLoc(0, 3), fib.RemoteLoc(0, 40)}, [fib.Targets]uint8{40, 3}, 2},
		{[]fib.Loc{fib.RemoteLoc(0, 255), fib.RemoteLoc(0, 3)}, [fib.Targets]uint8{3, 255}, 3},
		{nil, [fib.Targets]uint8{}, 4},
	} {
		tables(tc.locs...)
		got := w.boxes[len(w.boxes)-1]
		if len(w.boxes) != tc.calls || got[uint64(farSwitch)] != tc.want ||
			got[0x0200000000c0] != [fib.Targets]uint8{9} {
			t.Errorf("locations %v: boxes %v, told %d times, want %v, 4, and 9 behind the other switch", tc.locs, got,
				len(w.boxes), tc.want)
		}
	}
	w.place()
	if len(w.boxes) != 4 {
		t.Errorf("told %d times, want 4: nothing changed", len(w.boxes))
	}
}

// TestDeadBox: another box takes the place of a dead one, as long as there is one; the dead one is not forgotten for
// ten minutes.
func TestDeadBox(t *testing.T) {
	w := newWorld(t)
	want := func(what string, boxes ...uint8) {
		t.Helper()
		w.place()
		if got := w.boxes[len(w.boxes)-1][uint64(farSwitch)]; !slices.Equal(got[:], boxes) {
			t.Errorf("%s: probed are %v, want %v", what, got, boxes)
		}
	}
	put := func(kind pathprobe.Kind, number uint8) {
		w.ring.Put(pathprobe.Event{Kind: kind, Switch: uint64(farSwitch), Number: number, Time: w.clock})
		w.take()
	}
	behind := func(numbers ...uint8) {
		var locs []fib.Loc
		for _, x := range numbers {
			locs = append(locs, fib.RemoteLoc(0, x))
		}
		w.snap = &fib.Snapshot{Switches: []fib.Switch{{MAC: uint64(farSwitch)}},
			Segments: []fib.Segment{{Remote: locs}}}
	}
	behind(3, 5, 7)
	want("at first", 3, 5)
	put(pathprobe.BoxDead, 3)
	want("one is dead", 5, 7)
	put(pathprobe.BoxDead, 7)
	want("two of three are dead", 5, 7)
	w.clock += int64(deadFor) + 1
	behind(3, 5, 7, 9)
	want("ten minutes later", 5, 7)
	put(pathprobe.BoxDead, 7)
	put(pathprobe.BoxAlive, 7)
	want("it was dead, and answers", 5, 7)
}

// TestFill: loss, round trips, times.
func TestFill(t *testing.T) {
	w := newWorld(t)
	l := w.infos[0].Probe
	l.Answers.Store(30)
	l.Missed.Store(10)
	l.Lost.Store(0b1011)
	l.Trips.Store(100)
	for i := range l.RTT {
		l.RTT[i].Store(uint32(1000 * (64 - i)))
	}
	l.Since.Store(w.clock - 5e9)
	l.Held.Store(w.clock + 5e9)
	var s status.Path
	w.Fill(&s, &w.infos[0])
	want := status.RTT{Count: 100, Min: 1000, P50: 32_000, P90: 57_000, P99: 63_000, Max: 64_000}
	if s.RTT == nil || *s.RTT != want || s.Loss != 3.0/40 {
		t.Errorf("loss %v, round trips %+v, want %v, %+v", s.Loss, s.RTT, 3.0/40, want)
	}
	if d := time.Since(*s.Since); d < 4*time.Second || s.Held == nil || s.Held.Before(time.Now()) {
		t.Errorf("since %v, held until %v, want 5 s ago, in 5 s", s.Since, s.Held)
	}
	var fresh status.Path
	if w.Fill(&fresh, &w.infos[1]); fresh.RTT != nil || fresh.Held != nil || fresh.State != "unknown" {
		t.Errorf("a new path is %+v, want unknown, without round trips", fresh)
	}
}
