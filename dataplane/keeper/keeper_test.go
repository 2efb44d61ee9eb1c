package keeper

import (
	"fmt"
	"testing"

	"penstock/dataplane/fib"
)

// TestBoundedTurn: 10,000 probes due at once take so many turns as there are steps for, each no more than it may; no
// target is probed twice before every target was probed once.
func TestBoundedTurn(t *testing.T) {
	const n, interval = 10_000, 1000 * ms
	b := newBench(t, interval, n)
	f := b.probers[0]
	for round := 1; round <= 3; round++ {
		turns := 0
		for before := f.steps; sum(f.probed) < round*n; turns++ {
			b.turn(1000)
			if took := f.steps - before; took > 2*most {
				t.Fatalf("turn %d took %d steps, want at most %d verdicts and as many probes", turns, took, most)
			}
			before = f.steps
			if turns > 3*n {
				t.Fatalf("round %d: %d probes after %d turns, want %d", round, sum(f.probed), turns, round*n)
			}
			if b.Next() > b.now && sum(f.probed) < round*n && turns > 0 && round == 1 {
				t.Fatalf("the worker may sleep for %d ns while probes are due, want not at all", b.Next()-b.now)
			}
		}
		for id, probed := range f.probed {
			if probed != round {
				t.Fatalf("round %d: target %d was probed %d times, want %d", round, id, probed, round)
			}
		}
		if least := n / most; round == 1 && turns > least+1 {
			t.Errorf("the first probes took %d turns, want %d", turns, least)
		}
		b.turn(f.interval - int64(turns)*1000)
	}
}

// TestBoundedTimers: 10,000 timers expired at once take a bounded number of steps a turn.
func TestBoundedTimers(t *testing.T) {
	const n = 10_000
	b := newBench(t, 1000*ms, n)
	f := b.probers[0]
	for sum(f.probed) < n {
		b.turn(1000)
	}
	for id := range uint32(n) {
		f.q.SetTimer(id, b.now)
	}
	for turns := 0; sum(f.expired) < n; turns++ {
		before := sum(f.expired)
		b.turn(1000)
		if ran := sum(f.expired) - before; ran > most || ran < most && sum(f.expired) < n {
			t.Fatalf("turn %d ran %d timers, want %d", turns, ran, most)
		}
	}
}

// TestFairness: kinds with more probes due than a turn has steps for hold up neither each other nor the first kind,
// whose verdicts fall as if it were alone.
func TestFairness(t *testing.T) {
	const gateways, many, interval = 32, 10_000, 10 * ms
	alone, busy := newBench(t, interval, gateways), newBench(t, interval, gateways, many, many)
	for busy.now < 1000*ms {
		alone.turn(50_000)
		busy.turn(50_000)
	}
	undisturbed := alone.probers[0].judged
	for id, judged := range busy.probers[0].judged {
		if judged < undisturbed[id]-1 {
			t.Errorf("gateway %d was judged %d times, want %d, as without other kinds", id, judged, undisturbed[id])
		}
		if late := busy.probers[0].late[id]; late != 0 {
			t.Errorf("gateway %d counts %d late timers, which others caused; want none", id, late)
		}
	}
	// 20,000 turns of 32 steps, of which the gateways take some 6,400 in all: the rest is for both others.
	for kind, f := range busy.probers[1:] {
		if probed := sum(f.probed); probed < many {
			t.Errorf("kind %d was probed %d times, want at least %d", kind+1, probed, many)
		}
	}
}

// TestFirstKindFirst: what is left of a turn's steps is the first kind's.
func TestFirstKindFirst(t *testing.T) {
	b := newBench(t, 1000*ms, 100, 100)
	b.turn(ms)
	want(t, "of the first kind", sum(b.probers[0].probed), most-share)
	want(t, "of the second", sum(b.probers[1].probed), share)
	b = newBench(t, 1000*ms, 0, 100)
	b.turn(ms)
	want(t, "of the second kind alone", sum(b.probers[1].probed), most)
}

// TestNext: a worker that sleeps until the time of Next, and takes no turn between, probes and judges every target in
// time.
func TestNext(t *testing.T) {
	const interval = 100 * ms
	b := newBench(t, interval, 3, 5)
	b.turn(ms)
	turns := 0
	for ; b.now < 10_000*ms; turns++ {
		b.turn(max(b.Next()-b.now, 1000))
	}
	for kind, f := range b.probers {
		for id, judged := range f.judged {
			if judged < 98 || judged > 100 || f.late[id] != 0 {
				t.Errorf("kind %d, target %d: judged %d times in 100 intervals, %d timers late; want 98 to 100, none",
					kind, id, judged, f.late[id])
			}
		}
	}
	if turns > 1000 {
		t.Errorf("%d turns for 100 intervals, want at most 1000", turns)
	}
	b = newBench(t, interval, 1)
	b.turn(ms)
	b.probers[0].q.SetTimer(0, b.now+3*ms)
	want(t, "ms to the timer", int(b.Next()-b.now)/ms, 3)
	b.probers[0].q.SetTimer(0, Never)
	want(t, "ms to the probe", int(b.Next()-b.now)/ms, 100)
	b.probers[0].q.Stop(0)
	if b.Next() != Never {
		t.Errorf("the next turn is in %d ns, want never", b.Next()-b.now)
	}
}

// TestNews: what workers report reaches the probers that it is for, once, in the next turn.
func TestNews(t *testing.T) {
	b := newBench(t, 100*ms, 1, 1)
	b.snap.Ports[0].Up = true
	b.turn(ms)
	h, first, second := b.shared, b.probers[0], b.probers[1]
	ports, news := [2]int{1, 1}, [2]int{} // the tables' ports are the first
	check := func(what string) {
		t.Helper()
		if b.turn(ms); b.News() {
			t.Errorf("%s: there is news after the turn, want none", what)
		}
		gotPorts, gotNews := [2]int{first.ports, second.ports}, [2]int{first.news, second.news}
		if gotPorts != ports || gotNews != news {
			t.Errorf("%s: calls of Ports %v, of News %v; want %v, %v", what, gotPorts, gotNews, ports, news)
		}
	}
	check("nothing")
	woken := 0
	h.Wake = func() { woken++ }
	h.Notify(0)
	news[0]++
	if !b.News() {
		t.Error("there is no news after Notify, want some")
	}
	check("the first kind")
	h.Notify(1)
	h.Notify(1)
	news[1]++
	check("the second kind, twice")
	h.Open(0, true)
	ports = [2]int{2, 2}
	check("a port opens")
	h.Fault(0, true)
	ports = [2]int{3, 3}
	check("a fault")
	if !b.Open(0) || b.Open(1) || b.Up(0) || !b.Faulty(0) {
		t.Errorf("port 0: open %v, up %v, faulty %v; port 1: open %v; want true, false, true; false",
			b.Open(0), b.Up(0), b.Faulty(0), b.Open(1))
	}
	want(t, "woken", woken, 5)
}

// TestPorts: a port can be used if it has carrier and no worker is refused; what SetCarrier says outdoes the tables.
func TestPorts(t *testing.T) {
	b := newBench(t, 100*ms, 1)
	table := func(up bool) {
		b.snap = &fib.Snapshot{Ports: []fib.Port{{Up: up}, {}}}
		b.turn(ms)
	}
	for i, tc := range []struct {
		do    func()
		up    bool
		ports int // calls of Prober.Ports
	}{
		{func() { table(false) }, false, 0},
		{func() { table(true) }, true, 1},
		{func() { table(true) }, true, 1},
		{func() { b.shared.Fault(0, true); b.shared.Fault(0, true); b.turn(ms) }, false, 2},
		{func() { b.shared.Fault(0, false); b.turn(ms) }, false, 3},
		{func() { b.shared.Fault(0, false); b.turn(ms) }, true, 4},
		{func() { b.SetCarrier(b.now, 0, false) }, false, 5},
		{func() { table(false); table(true) }, false, 7},
		{func() { b.SetCarrier(b.now, 0, true) }, true, 8},
		{func() { table(false) }, true, 9},
		{func() { b.SetCarrier(b.now, 2, false); b.SetCarrier(b.now, -1, false) }, true, 9},
	} {
		tc.do()
		if up, ports := b.Up(0), b.probers[0].ports; up != tc.up || ports != tc.ports {
			t.Errorf("step %d: up %v, %d calls; want %v, %d", i, up, ports, tc.up, tc.ports)
		}
	}
	if b.Up(2) || b.Open(2) || b.Faulty(2) {
		t.Errorf("a port that is not there: up %v, open %v, faulty %v; want all false", b.Up(2), b.Open(2), b.Faulty(2))
	}
}

// TestNoAllocation: nothing allocates once there is room: probes, verdicts, timers, stops and starts.
func TestNoAllocation(t *testing.T) {
	const n = 10_000
	b := newBench(t, 50*ms, 16, n)
	b.turn(ms)
	id := uint32(0)
	if got := testing.AllocsPerRun(2000, func() {
		for _, f := range b.probers {
			i := id % uint32(f.n)
			f.q.SetTimer(i, b.now+3*ms)
			f.q.Stop((i + 7) % uint32(f.n))
			f.q.Start((i+7)%uint32(f.n), f.q.Now()+ms)
			f.q.Settle((i + 9) % uint32(f.n))
			f.q.Hasten((i+11)%uint32(f.n), f.q.Now())
		}
		b.shared.Notify(0)
		b.turn(100_000)
		id++
	}); got != 0 {
		t.Errorf("%v allocations a turn, want 0", got)
	}
	if sum(b.probers[1].judged) == 0 || sum(b.probers[1].expired) == 0 {
		t.Errorf("%d verdicts, %d timers, want some of both: the test shows nothing",
			sum(b.probers[1].judged), sum(b.probers[1].expired))
	}
}

// BenchmarkKeeperTurn is a turn of 10 µs with so many targets: with nothing due, and with 100 due per second (two steps
// each: its time is up, the verdict and the next probe).
func BenchmarkKeeperTurn(b *testing.B) {
	const turn = 10_000
	for _, n := range []int{16, 10_000} {
		for _, bc := range []struct {
			name     string
			interval int64
		}{{"due=0", Never / 2}, {"due=100", int64(n) * 10 * ms}} {
			b.Run(fmt.Sprintf("targets=%d/%s", n, bc.name), func(b *testing.B) {
				k := newBench(b, bc.interval, n)
				f := k.probers[0]
				for sum(f.probed) < n {
					k.turn(ms)
				}
				if bc.interval < Never/2 { // spread over the interval
					for i := range n {
						f.q.Hasten(uint32(i), f.q.Now()+int64(i+1)*10*ms)
					}
				}
				steps := f.steps
				b.ReportAllocs()
				for b.Loop() {
					k.turn(turn)
				}
				b.ReportMetric(float64(f.steps-steps)/2/float64(b.N)*1e9/turn, "due/s")
			})
		}
	}
	for _, n := range []int{16, 10_000} {
		b.Run(fmt.Sprintf("targets=%d/each", n), func(b *testing.B) { // one target is due in every turn
			k := newBench(b, int64(n)*turn, n)
			f := k.probers[0]
			for sum(f.probed) < n {
				k.turn(turn)
			}
			for i := range n {
				f.q.Hasten(uint32(i), f.q.Now()+int64(i+1)*turn)
			}
			b.ReportAllocs()
			for b.Loop() {
				k.turn(turn)
			}
		})
	}
}
