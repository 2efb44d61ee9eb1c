package gateway

import (
	"errors"
	"math"
	"testing"
)

// pair returns a group of two members that are up; slot 0 is the preferred one, and active.
func pair(p Policy) (*Machine, *[]Event) {
	events := new([]Event)
	m := New(p, func(e Event) { *events = append(*events, e) })
	m.SetOrder([]uint8{0, 1})
	for s := range uint32(2) {
		m.Add(0, s, true, false)
		m.Answer(0, s)
	}
	return m, events
}

func wantActive(t *testing.T, m *Machine, slot uint32, why Why) {
	t.Helper()
	if a, _, w := m.Active(); a != slot || w != why {
		t.Errorf("member %d is active (%v), want %d (%v)", int32(a), w, int32(slot), why)
	}
}

// TestNoPreemption: the old primary is the standby when it is up again.
func TestNoPreemption(t *testing.T) {
	p := DefaultPolicy()
	m, _ := pair(p)
	wantActive(t, m, 0, WhyAnswers)
	m.Port(1, 0, false, WhyCarrier)
	wantActive(t, m, 1, WhyCarrier)
	m.Port(2, 0, true, WhyNone)
	for i := range int64(1000) {
		m.Answer(3+i, 0)
		m.Tick(3 + i)
	}
	if m.State(0) != Up {
		t.Errorf("the old primary is %v after its return, want up", m.State(0))
	}
	wantActive(t, m, 1, WhyCarrier)
}

func TestPreemption(t *testing.T) {
	p := DefaultPolicy()
	p.Preempt, p.PreemptDelay, p.Recover = true, 1000, 2
	m, _ := pair(p)
	m.Port(1, 0, false, WhyCarrier)
	m.Port(2, 0, true, WhyNone)
	m.Answer(3, 0)
	m.Answer(4, 0)
	m.Miss(500, 0) // a missed probe is no break
	m.Answer(600, 0)
	if n := m.Next(); n != 1004 {
		t.Errorf("the next timer is at %d, want 1004, of the preemption", n)
	}
	m.Tick(1003)
	wantActive(t, m, 1, WhyCarrier)
	m.Tick(1004)
	wantActive(t, m, 0, WhyPreempt)

	// What an operator chooses stays, until it fails.
	if err := m.Switch(2000, 1); err != nil {
		t.Fatal(err)
	}
	m.Tick(1e9)
	wantActive(t, m, 1, WhyOperator)
	m.Port(1e9, 1, false, WhyTransmit)
	wantActive(t, m, 0, WhyTransmit)
	m.Port(1e9, 1, true, WhyNone)
	if n := m.Next(); n != math.MaxInt64 {
		t.Errorf("the next timer is at %d, want none", n)
	}
}

// TestDamping: a member that fails K times in a window is held down, twice as long each time; after a window without
// failure the count starts again.
func TestDamping(t *testing.T) {
	p := DefaultPolicy()
	p.Recover, p.Misses = 1, 1
	p.FlapCount, p.FlapWindow, p.HoldMin, p.HoldMax = 3, 1000, 100, 500
	m, events := pair(p)
	now := int64(10)
	fail := func() {
		m.Miss(now, 0)
		if m.State(0) != Down {
			t.Fatalf("at %d the member is %v after a miss, want down", now, m.State(0))
		}
	}
	// back answers probes every 10 until the member is up, and returns how long that took.
	back := func() int64 {
		from := now
		for m.State(0) != Up {
			now += 10
			if now-from > 10_000 {
				t.Fatal("the member is not up after 1,000 answers, want it up again")
			}
			m.Tick(now)
			m.Answer(now, 0)
		}
		return now - from
	}
	for i, want := range []int64{10, 10, 100, 200, 400, 500, 500} {
		fail()
		if got := back(); got != want {
			t.Errorf("failure %d: up again after %d, want %d", i+1, got, want)
		}
		now += 10
	}
	held := 0
	for _, e := range *events {
		if e.Why == WhyHold {
			held++
		}
	}
	if held != 5 {
		t.Errorf("%d events of hold times, want 5", held)
	}
	now += 1000
	for i, want := range []int64{10, 10, 100} {
		fail()
		if got := back(); got != want {
			t.Errorf("later failure %d: up again after %d, want %d", i+1, got, want)
		}
		now += 10
	}
	// The only one is not held.
	fail()
	m.Answer(now, 0)
	m.Port(now, 1, false, WhyCarrier)
	if m.State(0) != Up {
		t.Errorf("the only member is %v after an answer, want up", m.State(0))
	}
	wantActive(t, m, 0, WhyCarrier)
}

// TestHoldsWithoutEnd: a member is held at every failure: never for less than the first hold time, nor for more than
// the longest.
func TestHoldsWithoutEnd(t *testing.T) {
	const second = 1_000_000_000
	for _, least := range []int64{1, 10 * second, 3600 * second} {
		p := DefaultPolicy()
		p.Recover, p.Misses, p.FlapCount, p.HoldMin, p.HoldMax = 1, 1, 1, least, 86400*second
		m, _ := pair(p)
		now, last := int64(1), int64(0)
		for i := range 200 {
			m.Miss(now, 0)
			_, _, held, _ := m.Detail(0)
			want := p.HoldMax
			if i > 0 && last < p.HoldMax/2 {
				want = 2 * last
			} else if i == 0 {
				want = least
			}
			if held-now != want {
				t.Fatalf("first hold time %d: hold time %d is %d, want %d", least, i+1, held-now, want)
			}
			now, last = held, held-now
			m.Answer(now, 0)
			m.Tick(now)
			if m.State(0) != Up {
				t.Fatalf("the member is %v after the hold time, want up", m.State(0))
			}
			now++
		}
	}
}

// TestStart: the box starts with the member that was active, and verifies it.
func TestStart(t *testing.T) {
	for _, tc := range []struct {
		name   string
		then   func(m *Machine)
		active uint32
		why    Why
	}{
		{"no frame received yet", func(*Machine) {}, 1, WhyStart},
		{"it answers", func(m *Machine) { m.Answer(1, 1) }, 1, WhyStart},
		{"the other answers first", func(m *Machine) { m.Answer(1, 0); m.Answer(2, 1) }, 1, WhyStart},
		{"it is silent", func(m *Machine) {
			m.Answer(1, 0)
			m.Miss(2, 1)
			m.Miss(3, 1)
			wantActive(t, m, 1, WhyStart)
			m.Miss(4, 1)
		}, 0, WhySilent},
		{"its port is down", func(m *Machine) { m.Port(1, 1, false, WhyCarrier); m.Answer(2, 0) }, 0, WhyAnswers},
	} {
		m := New(DefaultPolicy(), func(Event) {})
		m.SetOrder([]uint8{0, 1})
		m.Add(0, 0, true, false)
		m.Add(0, 1, true, false)
		m.Start(0, 1, false)
		tc.then(m)
		if a, _, w := m.Active(); a != tc.active || w != tc.why {
			t.Errorf("%s: member %d is active (%v), want %d (%v)", tc.name, int32(a), w, tc.active, tc.why)
		}
	}
	// Members that a group cannot start with: disabled, without port, absent.
	m := New(DefaultPolicy(), func(Event) {})
	m.SetOrder([]uint8{0, 1})
	m.Add(0, 0, true, true)
	m.Add(0, 1, false, false)
	for s := range uint32(3) {
		m.Start(0, s, false)
	}
	wantActive(t, m, None, WhyNone)
}

// TestStartChosen: an operator's choice before a restart is not preempted after it; another active member is.
func TestStartChosen(t *testing.T) {
	for _, chosen := range []bool{false, true} {
		p := DefaultPolicy()
		p.Preempt = true
		m := New(p, func(Event) {})
		m.SetOrder([]uint8{0, 1})
		m.Add(0, 0, true, false)
		m.Add(0, 1, true, false)
		m.Start(0, 1, chosen)
		m.Answer(1, 1)
		m.Answer(1, 0)
		m.Tick(1 + p.PreemptDelay)
		if a, _, why := m.Active(); chosen != (a == 1) || chosen != m.Chosen() {
			t.Errorf("chosen %v: member %d is active (%v), chosen %v, want 1 and true if chosen", chosen, int32(a), why,
				m.Chosen())
		}
	}
}

func TestCommands(t *testing.T) {
	m, _ := pair(DefaultPolicy())
	check := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: error %v, want %v", what, got, want)
		}
	}
	check("switch to nobody", m.Switch(1, 7), ErrNoMember)
	check("disable nobody", m.Disable(1, 7, true), ErrNoMember)
	check("enable nobody", m.Enable(1, 7), ErrNoMember)
	check("switch to the next", m.Switch(1, None), nil)
	wantActive(t, m, 1, WhyOperator)
	check("switch to itself", m.Switch(1, 1), nil)
	check("disable the active", m.Disable(2, 1, false), nil)
	wantActive(t, m, 0, WhyDisabled)
	check("switch to a disabled one", m.Switch(3, 1), ErrNotUp)
	check("switch to the next, but there is none", m.Switch(3, None), ErrNoOther)
	check("disable the last", m.Disable(3, 0, false), ErrLast)
	check("disable the last by force", m.Disable(3, 0, true), nil)
	wantActive(t, m, None, WhyDisabled)
	check("enable", m.Enable(4, 1), nil)
	wantActive(t, m, 1, WhyEnabled)
	check("enable again", m.Enable(4, 1), nil)
	m.Remove(5, 1)
	wantActive(t, m, None, WhyRemoved)
	if m.State(0) != Disabled || m.Health(0) != Up {
		t.Errorf("the last member: state %v, health %v, want disabled and up", m.State(0), m.Health(0))
	}
}

func TestEvents(t *testing.T) {
	r := NewEvents()
	for i := range uint64(1500) {
		r.Put(Event{Count: i})
	}
	<-r.Wake()
	n := uint64(0)
	r.Take(func(e Event) {
		if e.Count != n {
			t.Fatalf("the next event has the number %d, want %d", e.Count, n)
		}
		n++
	})
	if n != 1024 || r.Lost() != 476 {
		t.Errorf("%d events, %d lost, want 1024 and 476", n, r.Lost())
	}
	r.Put(Event{Count: 7})
	<-r.Wake()
	r.Take(func(e Event) { n += e.Count })
	if n != 1031 {
		t.Errorf("the sum after one more event is %d, want 1031", n)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for w := range whys {
		if n := w.String(); n == "" || seen[n] {
			t.Errorf("reason %d has the name %q, want one that is not empty and unique", w, n)
		}
		seen[w.String()] = true
	}
	for i, n := range kindNames {
		if Kind(i).String() != n || n == "" {
			t.Errorf("kind %d has the name %q, want %q", i, Kind(i), n)
		}
	}
	if Why(99).String() == "" || Kind(99).String() != "unknown" {
		t.Errorf("unknown values have the names %q and %q, want one and \"unknown\"", Why(99), Kind(99))
	}
}
