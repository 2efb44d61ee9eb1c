package keeper

import "testing"

// TestProbe: the life of one target's probe. Every step is a turn of 1 ms, unless the step has another time.
func TestProbe(t *testing.T) {
	const interval = 10 * ms
	type step struct {
		what                 string
		do                   func(b *bench)
		time                 int64 // 0 = 1 ms
		probed, judged, late int
	}
	unclean := func(b *bench) { b.clean = 0 }
	clean := func(b *bench) { b.clean = Never }
	stopOnVerdict := func(b *bench) {
		f := b.probers[0]
		f.onJudge = func(id uint32) { f.q.Stop(id) }
	}
	for name, steps := range map[string][]step{
		"answered or not": {
			{"the first", nil, 0, 1, 0, 0},
			{"its time", nil, interval - 1, 1, 0, 0},
			{"its time is up", nil, 1, 1, 0, 0},
			{"the verdict, in the next turn", nil, 0, 2, 1, 0},
			{"the next time is up, counted from the first", nil, interval - ms, 2, 1, 0},
			{"the verdict", nil, 0, 3, 2, 0},
		},
		"not clean": {
			{"the first", nil, 0, 1, 0, 0},
			{"its time is up", unclean, interval, 1, 0, 0},
			{"no verdict", nil, 5 * interval, 1, 0, 0},
			{"the verdict", clean, 0, 2, 1, 0},
		},
		"clean for a part": {
			{"the first", nil, 0, 1, 0, 0},
			{"its time is up", unclean, interval, 1, 0, 0},
			{"clean by just before", func(b *bench) { b.clean = ms + interval - 1 }, 0, 1, 0, 0},
			{"clean by then", func(b *bench) { b.clean = ms + interval }, 0, 2, 1, 0},
		},
		"late": {
			{"the first", nil, 0, 1, 0, 0},
			{"much too late", nil, 30 * interval, 1, 0, 1},
			{"the answer's grace", nil, ms - 1, 1, 0, 1},
			{"its end", nil, 1, 1, 0, 1},
			{"the verdict", nil, 0, 2, 1, 1},
		},
		"late twice": {
			{"the first", nil, 0, 1, 0, 0},
			{"much too late", nil, 30 * interval, 1, 0, 1},
			{"late again: there is one grace", nil, interval, 1, 0, 2},
			{"the verdict", nil, 0, 2, 1, 2},
		},
		"settled before its time": {
			{"the first", nil, 0, 1, 0, 0},
			{"settled", func(b *bench) { b.probers[0].q.Settle(0) }, 0, 1, 0, 0},
			{"the next, without a verdict", nil, interval - ms, 2, 0, 0},
		},
		"settled while it waits": {
			{"the first", nil, 0, 1, 0, 0},
			{"its time is up", unclean, interval, 1, 0, 0},
			{"settled: the next at once", func(b *bench) { b.probers[0].q.Settle(0) }, 0, 2, 0, 0},
			{"its time is up", clean, interval - ms, 2, 0, 0},
			{"the verdict", nil, 0, 3, 1, 0},
		},
		"stopped while it waits": {
			{"the first", nil, 0, 1, 0, 0},
			{"its time is up", unclean, interval, 1, 0, 0},
			{"stopped", func(b *bench) { b.probers[0].q.Stop(0); b.clean = Never }, 0, 1, 0, 0},
			{"for ever", func(b *bench) {
				b.probers[0].q.Hasten(0, 0)
				b.probers[0].q.Settle(0)
				b.probers[0].q.Sent(0)
			}, 9 * interval, 1, 0, 0},
			{"started again", func(b *bench) { b.probers[0].q.Start(0, b.probers[0].q.Now()) }, 0, 2, 0, 0},
			{"its time is up", nil, interval - ms, 2, 0, 0},
			{"the verdict", nil, 0, 3, 1, 0},
		},
		"stopped by its verdict": {
			{"the first", nil, 0, 1, 0, 0},
			{"its time is up", nil, interval, 1, 0, 0},
			{"the verdict", stopOnVerdict, 0, 1, 1, 0},
			{"for ever", nil, 9 * interval, 1, 1, 0},
		},
		"hastened": {
			{"the first", nil, 0, 1, 0, 0},
			{"hastened", func(b *bench) { b.probers[0].q.Hasten(0, b.probers[0].q.Now()+2*ms) }, 0, 1, 0, 0},
			{"its time is up", nil, 0, 1, 0, 0},
			{"the verdict", nil, 0, 2, 1, 0},
		},
		"no room": {
			{"no room for the first", func(b *bench) { b.room = 0 }, 0, 0, 0, 0},
			{"nor later", nil, 0, 0, 0, 0},
			{"room: it goes out as soon as it is tried again", func(b *bench) { b.room = 1 }, 0, 1, 0, 0},
			{"its time", nil, interval - 1, 1, 0, 0},
			{"its time is up", nil, 1, 1, 0, 0},
			{"the verdict", nil, 0, 2, 1, 0},
		},
	} {
		b := newBench(t, interval, 1)
		f := b.probers[0]
		for i, s := range steps {
			if s.do != nil {
				s.do(b)
			}
			if s.time == 0 {
				s.time = ms
			}
			b.turn(s.time)
			if f.probed[0] != s.probed || f.judged[0] != s.judged || f.late[0] != s.late {
				t.Errorf("%s, step %d (%s): probed %d times, judged %d, late %d; want %d, %d, %d",
					name, i, s.what, f.probed[0], f.judged[0], f.late[0], s.probed, s.judged, s.late)
			}
		}
	}
}

// TestStartInLateTurn: a target that is started in a turn that is late is probed in that turn, and is not late itself.
func TestStartInLateTurn(t *testing.T) {
	b := newBench(t, 10*ms, 2)
	f := b.probers[0]
	b.turn(ms)
	f.q.Stop(1)
	f.onPorts = func() { f.q.Start(1, f.q.Now()) }
	b.shared.Open(0, true)
	b.turn(500 * ms)
	want(t, "late timers of the target that was there", f.late[0], 1)
	want(t, "late timers of the one that is started", f.late[1], 0)
	want(t, "probes of the one that is started", f.probed[1], 2)
}

// TestAdmit: a full ring is no missing answer, however long it is full, unless the kernel takes nothing for an
// interval.
func TestAdmit(t *testing.T) {
	const interval = 5 * ms
	b := newBench(t, interval, 1)
	b.turn(ms)
	q := b.probers[0].q
	b.room, b.stuck, b.taken = 0, true, 7
	for i, tc := range []struct {
		do   func()
		want Admission
	}{
		{nil, Delayed}, // the first check of the ring
		{nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Stuck},
		{nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Stuck}, // another interval
		{nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Delayed},
		{func() { b.taken++ }, Delayed}, // it moves: from the beginning
		{nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Stuck},
		{nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Delayed},
		{func() { b.stuck = false }, Delayed}, // nothing waits
		{func() { b.stuck = true }, Delayed},
		{nil, Delayed}, {nil, Delayed}, {nil, Delayed},
		{func() { b.room = 1 }, Admitted},
		{func() { b.room = 0 }, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Delayed}, {nil, Stuck},
		{func() { q.Stop(0); b.room = 1 }, Delayed}, // no target is to be probed
	} {
		if tc.do != nil {
			tc.do()
		}
		if got := q.Admit(0, 0, 1, interval); got != tc.want {
			t.Errorf("call %d: admission %d, want %d", i, got, tc.want)
		}
	}
}

// TestTimers: a timer expires once, at its time, and not after it was stopped.
func TestTimers(t *testing.T) {
	b := newBench(t, 10*ms, 2)
	b.turn(ms)
	f := b.probers[0]
	f.q.SetTimer(0, b.now+2*ms)
	f.q.SetTimer(1, b.now+2*ms)
	f.q.SetTimer(1, Never)
	for i, n := range []int{0, 1, 1, 1} {
		b.turn(ms)
		if f.expired[0] != n || f.expired[1] != 0 {
			t.Errorf("after %d ms: expired %d and %d times, want %d and 0", i+1, f.expired[0], f.expired[1], n)
		}
	}
	f.q.SetTimer(0, b.now-5*ms) // past
	b.turn(0)
	want(t, "expired at once", f.expired[0], 2)
}
