package pathprobe

import (
	"slices"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/liveness"
)

const (
	up      = liveness.Up
	down    = liveness.Down
	initial = liveness.Init
)

var usual = Setting{Interval: 300 * ms, Misses: 3, Goods: 5}

// untilDown lets time pass until a path is down, and returns how long that took; a negative number after limit.
func (w *world) untilDown(path int, limit int64) int64 {
	from := w.now
	for w.now < from+limit {
		w.run(turn, true)
		if w.state(path) == down {
			return w.now - from
		}
	}
	return -1
}

// TestPathDies: a path that is lost in one direction is down within misses + 1 intervals, alone; when it is back, it is
// up after five answers and the hold time, which doubles with every fall.
func TestPathDies(t *testing.T) {
	for _, s := range []Setting{usual, {Interval: 50 * ms, Misses: 3, Goods: 5}} {
		for _, boxes := range [][fib.Targets]uint8{{20}, {20, 21}} {
			w := newWorld(t, 4, s, boxes)
			w.run(10*s.Interval+4*idleEvery, true)
			w.wantStates("all answer", up, up, up, up)
			for round, hold := range []int64{1, 2, 4, 8} {
				w.lost = func(path int, _ uint8) bool { return path == 1 }
				took := w.untilDown(1, second*10)
				if most := (int64(s.Misses)+1)*s.Interval*11/10 + 10*ms; took < 0 || took > most {
					t.Errorf("interval %d ms, round %d: down after %d ms, want at most %d", s.Interval/ms, round,
						took/ms, most/ms)
				}
				w.wantStates("one is lost", up, down, up, up)
				w.lost = func(int, uint8) bool { return false }
				from := w.now
				for w.state(1) == down && w.now-from < 60*second {
					w.run(turn, true)
				}
				least := max(hold*second, 5*s.Interval*9/10)
				if back := w.now - from; back < least-turn || back > least+6*s.Interval*11/10 {
					t.Errorf("interval %d ms, round %d: up again after %d ms, want %d and little more",
						s.Interval/ms, round, back/ms, least/ms)
				}
			}
			if n := w.count(BoxDead) + w.count(SwitchSilent); n > 0 {
				t.Errorf("%d boxes or switches were thought dead, want none", n)
			}
			n := 0
			for _, e := range w.events {
				if e.Kind == PathChanged && e.From != e.To {
					n++
				}
			}
			if n != 4+8 {
				t.Errorf("%d changes told, want 12: up, and four times down and up", n)
			}
		}
	}
}

// TestSilentSwitch: a box that dies, the only one, takes no path down; nor does one that never answered.
func TestSilentSwitch(t *testing.T) {
	w := newWorld(t, 4, usual, [fib.Targets]uint8{20})
	w.run(15*second, true)
	w.lost = func(int, uint8) bool { return true }
	w.run(10*second, true)
	for i := range 4 {
		if w.snap.Probes[i].Live.Down.Load() {
			t.Errorf("path %d is down since its only box died", i)
		}
	}
	if w.count(SwitchSilent) != 1 || w.count(SwitchHeard) != 0 {
		t.Errorf("told %d times that the switch is silent, %d times that it is heard: want 1, 0",
			w.count(SwitchSilent), w.count(SwitchHeard))
	}
	w.lost = func(int, uint8) bool { return false }
	w.run(2*second, true)
	w.wantStates("it is back", up, up, up, up)
	if w.count(SwitchHeard) != 1 {
		t.Errorf("told %d times that the switch is heard, want once", w.count(SwitchHeard))
	}

	w = newWorld(t, 4, usual, [fib.Targets]uint8{20, 21})
	w.lost = func(int, uint8) bool { return true }
	w.run(60*second, true)
	w.wantStates("boxes that know no probes", initial, initial, initial, initial)
	if len(w.events) != 0 {
		t.Errorf("told %+v of boxes that know no probes, want nothing", w.events)
	}
}

// TestDeadBox: of two boxes one dies: no path is down, and the dead one is probed now and then until it is back. Then a
// path dies, and is found as if there were no dead box.
func TestDeadBox(t *testing.T) {
	w := newWorld(t, 4, usual, [fib.Targets]uint8{20, 21})
	w.run(15*second, true)
	dead := true
	asked := 0
	w.lost = func(path int, number uint8) bool {
		if number == 20 {
			asked++
		}
		return number == 20 && dead
	}
	w.run(10*second, true)
	for i := range 4 {
		if w.snap.Probes[i].Live.Down.Load() {
			t.Errorf("path %d is down since one of two boxes died", i)
		}
	}
	if w.count(BoxDead) != 1 {
		t.Errorf("told %d times of a dead box, want once", w.count(BoxDead))
	}
	asked = 0
	w.run(30*second, true)
	if asked < 8 || asked > 12 {
		t.Errorf("%d probes to the dead box in 30 s, want about 10", asked)
	}
	w.lost = func(path int, number uint8) bool { return number == 20 || path == 2 }
	if took := w.untilDown(2, 10*second); took < 0 || took > 1400*ms {
		t.Errorf("a path beside a dead box is down after %d ms, want at most 1400", took/ms)
	}
	w.wantStates("path 2 is lost", up, up, down, up)
	dead = false
	w.lost = func(int, uint8) bool { return false }
	w.run(10*second, true)
	w.wantStates("all is well", up, up, up, up)
	if w.count(BoxAlive) != 1 || w.count(SwitchSilent) != 0 {
		t.Errorf("told %d times that the box lives, %d times that the switch is silent; want 1, 0",
			w.count(BoxAlive), w.count(SwitchSilent))
	}
	both := func(int, uint8) bool { return true }
	w.lost = both
	w.run(10*second, true)
	i := slices.IndexFunc(w.events, func(e Event) bool { return e.Kind == SwitchSilent })
	if i < 0 || !w.events[i].Both {
		t.Errorf("both boxes are silent: told %+v, want that the switch is, by both", w.events)
	}
}

// TestStandstill: the worker does not run for 10 s; that is held against nobody.
func TestStandstill(t *testing.T) {
	w := newWorld(t, 4, usual, [fib.Targets]uint8{20})
	w.run(15*second, true)
	for range 20 {
		w.now += 10 * second
		w.run(400*ms, true)
	}
	for i := range 4 {
		if w.snap.Probes[i].Live.Down.Load() {
			t.Errorf("path %d is down because the box itself stood still", i)
		}
	}
}

// TestIntervals: a switch in use is probed at the interval, and one that is not every 3 s; data for once keeps it in
// use for a minute.
func TestIntervals(t *testing.T) {
	w := newWorld(t, 4, usual, [fib.Targets]uint8{20})
	w.run(10*second, false)
	rate := func(d int64) int {
		n := w.probes
		w.run(d, false)
		return w.probes - n
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d probes in 30 s, want about %d", what, got, want)
		}
	}
	want("not in use", rate(30*second), 40)
	w.sent[3]++
	w.run(4*second, false)
	want("in use", rate(30*second), 400)
	w.run(40*second, false)
	want("not any more", rate(30*second), 40)
	w.prober.Set(Setting{})
	w.run(second, false)
	if n := rate(30 * second); n != 0 {
		t.Errorf("%d probes although probing is off", n)
	}
}

// TestOverload: intervals stretch above 20,000 probes a second.
func TestOverload(t *testing.T) {
	w := newWorld(t, 2000, Setting{Interval: 50 * ms, Misses: 3, Goods: 5}, [fib.Targets]uint8{20})
	w.keeper.Room = func(uint16) int { return 1 << 20 }
	w.run(4*second, true)
	n := w.probes
	w.run(2*second, true)
	if n = w.probes - n; n > 42_000 {
		t.Errorf("%d probes in 2 s, want 40,000 at most", n)
	}
	if w.count(Overload) != 1 || w.count(OverloadEnd) != 0 {
		t.Errorf("told %d times of overload, %d times of its end, want 1, 0", w.count(Overload), w.count(OverloadEnd))
	}
	w.prober.Set(usual)
	w.run(5*second, true)
	if w.count(OverloadEnd) != 1 {
		t.Errorf("told %d times of the end of overload, want once", w.count(OverloadEnd))
	}
}

// TestFollow: a path keeps its state while others come and go, and one that comes back is unknown.
func TestFollow(t *testing.T) {
	w := newWorld(t, 4, usual, [fib.Targets]uint8{20})
	w.lost = func(path int, _ uint8) bool { return path == 1 }
	w.run(20*second, true)
	w.wantStates("one is lost", up, down, up, up)
	s := *w.snap
	s.Probes = slices.Clone(s.Probes)
	s.Probes[3] = fib.Probe{}
	w.snap, w.env.Snap = &s, &s
	w.run(5*second, true)
	w.wantStates("path 3 is gone", up, down, up)
	n := *w.snap
	n.Probes = slices.Clone(n.Probes)
	n.Probes[3], n.Probes[1].Live = w.snap.Probes[2], &fib.PathLive{}
	n.Probes[3].VID, n.Probes[3].Live = 104, &fib.PathLive{}
	w.snap, w.env.Snap = &n, &n
	w.run(turn, true)
	w.wantStates("new paths", up, initial, up, initial)
	w.run(20*second, true)
	w.wantStates("found again", up, down, up, up)
}
