package gateway

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"penstock/dataplane/liveness"
)

// history is the record of one member, kept apart from the machine: a letter per verdict (a answer, d data, m miss),
// emptied when the member's port goes down. The machine's counters are checked against the record.
type history struct {
	verdicts string
	there    bool
	portUp   bool
	disabled bool
	fresh    bool  // no verdict yet, and its port was never down
	upAt     int64 // when it last came up from init or down
	held     int64
}

func (h *history) add(v byte) {
	h.verdicts += string(v)
	if len(h.verdicts) > 64 {
		h.verdicts = h.verdicts[len(h.verdicts)-32:]
	}
}

// tail is how many of the last verdicts are v in a row. Data breaks a row of misses; in a row of answers it does not
// count.
func (h *history) tail(v string) int {
	verdicts := h.verdicts
	if v == "a" {
		verdicts = strings.ReplaceAll(verdicts, "d", "")
	}
	return len(verdicts) - len(strings.TrimRight(verdicts, v))
}

// world drives a machine with random events on a virtual clock and checks it against the rules.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	m      *Machine
	p      Policy
	now    int64
	mem    [MaxMembers]history
	order  []uint8
	events []Event
	chosen bool
	log    []string
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nlast events:\n%s", fmt.Sprintf(format, args...), strings.Join(w.log[max(0, len(w.log)-40):], "\n"))
}

// fit reports whether a member may become active: it is healthy and not taken out of service.
func (w *world) fit(s uint32) bool {
	h := w.m.Health(s)
	return w.mem[s].there && !w.mem[s].disabled && (h == Up || h == Suspect)
}

func (w *world) anyFit(except uint32) bool {
	return slices.ContainsFunc(w.order, func(s uint8) bool { return uint32(s) != except && w.fit(uint32(s)) })
}

func (w *world) rank(s uint32) int {
	if s == None {
		return len(w.order)
	}
	return slices.Index(w.order, uint8(s))
}

func (w *world) setOrder() {
	w.rng.Shuffle(len(w.order), func(i, j int) { w.order[i], w.order[j] = w.order[j], w.order[i] })
	w.m.SetOrder(w.order)
}

// step runs one random event and checks the result.
func (w *world) step() {
	w.now += w.rng.Int64N(w.p.Interval)
	s := uint32(w.rng.IntN(4))
	h := &w.mem[s]
	if w.now >= w.m.Next() { // whoever drives a machine does this first
		before := w.snapshot()
		w.events = w.events[:0]
		w.m.Tick(w.now)
		w.check("due", None, nil, before, false)
	}
	before := w.snapshot()
	w.events = w.events[:0]
	op, err, ordered := "", error(nil), false
	switch k := w.rng.IntN(1000); {
	case k < 430:
		op = "answer"
		if h.there && h.portUp {
			h.add('a')
			h.fresh = false
		}
		w.m.Answer(w.now, s)
	case k < 780:
		op = "miss"
		if h.there {
			h.add('m')
			h.fresh = false
		}
		w.m.Miss(w.now, s)
	case k < 830:
		op = "data"
		if h.there && h.portUp {
			h.add('d')
		}
		w.m.Data(w.now, s)
	case k < 860:
		op = "port-down"
		if h.there {
			h.portUp, h.fresh, h.verdicts = false, false, ""
		}
		w.m.Port(w.now, s, false, WhyCarrier)
	case k < 900:
		op = "port-up"
		h.portUp = h.portUp || h.there
		w.m.Port(w.now, s, true, WhyNone)
	case k < 930:
		op = "time"
		if next := w.m.Next(); next != math.MaxInt64 && w.rng.IntN(2) == 0 {
			w.now = max(w.now, next)
		} else {
			w.now += w.rng.Int64N(w.p.HoldMax)
		}
		w.m.Tick(w.now)
	case k < 950:
		op, ordered = "switch", true
		if w.rng.IntN(2) == 0 {
			s = None
		}
		if err = w.m.Switch(w.now, s); err == nil {
			w.chosen = true
		}
	case k < 965:
		op = "disable"
		ordered = true
		if err = w.m.Disable(w.now, s, w.rng.IntN(4) == 0); err == nil {
			h.disabled = h.there
		}
	case k < 985:
		op = "enable"
		if err = w.m.Enable(w.now, s); err == nil {
			h.disabled = false
		}
	case k < 990:
		op = "order"
		w.setOrder()
	case k < 995 && h.there && len(w.order) > 1:
		op, ordered = "remove", true
		*h = history{}
		w.order = slices.DeleteFunc(w.order, func(x uint8) bool { return uint32(x) == s })
		w.m.Remove(w.now, s)
	case !h.there:
		op = "add"
		*h = history{there: true, portUp: w.rng.IntN(3) > 0}
		h.fresh = h.portUp
		w.order = append(w.order, uint8(s))
		w.m.SetOrder(w.order)
		w.m.Add(w.now, s, h.portUp, false)
	default:
		w.p.Preempt = !w.p.Preempt
		w.m.SetPolicy(w.p)
		op = "preempt"
	}
	w.check(op, s, err, before, ordered)
}

func (w *world) check(op string, s uint32, err error, before snap, ordered bool) {
	active := int32(w.m.active)
	w.log = append(w.log, fmt.Sprintf("%d %s %d (%v): active %d, %v", w.now, op, int32(s), err, active, w.events))
	if len(w.log) > 1000 {
		w.log = w.log[500:]
	}
	w.checkEvents(before, ordered)
	w.checkMembers(s)
	w.checkGroup()
}

// snap is the group before an event.
type snap struct {
	active uint32
	health [MaxMembers]State
	fit    [MaxMembers]bool
}

func (w *world) snapshot() (s snap) {
	s.active = w.m.active
	for i := range uint32(MaxMembers) {
		s.health[i], s.fit[i] = w.m.Health(i), w.fit(i)
	}
	return s
}

// checkEvents: the events match the changes, and each change has its reason.
func (w *world) checkEvents(b snap, ordered bool) {
	active := b.active
	for _, e := range w.events {
		switch e.Kind {
		case ActiveChanged:
			if e.Old != active || e.Member == active {
				w.failf("event of a switch %d → %d, want from %d to another", int32(e.Old), int32(e.Member),
					int32(active))
			}
			w.checkSwitch(b, e, ordered)
			active = e.Member
			w.chosen = w.chosen && (e.Why == WhyOperator || e.Why == WhyStart)
		case MemberChanged:
			if e.From != Disabled && e.To != Disabled && !w.mem[e.Member].disabled && e.Why != WhyAdded {
				w.checkChange(b, e)
			}
		}
	}
	if active != w.m.active {
		w.failf("member %d is active, want %d, as in the events", int32(w.m.active), int32(active))
	}
}

func (w *world) checkSwitch(b snap, e Event, ordered bool) {
	if e.Old != None && b.fit[e.Old] && w.fit(e.Old) {
		switch e.Why {
		case WhyOperator:
			if !ordered {
				w.failf("a switch by an operator without a command, want none")
			}
		case WhyPreempt:
			if !w.p.Preempt || w.rank(e.Member) > w.rank(e.Old) || w.now-w.mem[e.Member].upAt < w.p.PreemptDelay {
				w.failf("preemption against the policy: %+v, want none", e)
			}
		default:
			w.failf("switch away from a member that is fit: %+v, want none", e)
		}
	}
	if e.Why == WhyPreempt && w.chosen {
		w.failf("preemption of an operator's choice, want none")
	}
	if e.Member == None && w.anyFit(None) {
		w.failf("no active member, want the one that is fit")
	}
	if e.Member != None && e.Why != WhyOperator {
		for _, s := range w.order {
			c := uint32(s)
			better := w.fit(c) && w.m.Health(c) == Up
			if better && w.m.Health(e.Member) != Up {
				w.failf("member %d took over, want %d, which is up", e.Member, c)
			}
			if better && w.rank(c) < w.rank(e.Member) && c != e.Old {
				w.failf("member %d took over, want %d, which is up and precedes it", e.Member, c)
			}
		}
	}
}

// checkChange: the history has the reason of the change.
func (w *world) checkChange(b snap, e Event) {
	h := &w.mem[e.Member]
	n, m := int(w.p.Misses), int(w.p.Recover)
	ok := false
	switch e.To {
	case Up:
		ok = h.portUp && h.tail("a") > 0
		if e.Why == WhyData {
			ok = h.portUp && h.tail("d") > 0 && e.From == Suspect
		}
		if e.From == Down {
			proven := h.tail("a") >= m && w.now >= h.held
			ok = ok && (proven || !w.anyFitBefore(b, e.Member))
		}
		if e.From != Suspect {
			h.upAt, h.held = w.now, 0
		}
	case Suspect:
		ok = e.From == Up && h.portUp && h.tail("m") > 0 && h.tail("m") < n
	case Down:
		ok = !h.portUp || h.tail("m") >= n
		if e.From == Down {
			ok = e.Why == WhyHold && h.tail("a") >= m && w.now < h.held ||
				e.Why == WhySilent && h.portUp && h.tail("m") >= n
		} else {
			_, _, h.held, _ = w.m.Detail(e.Member)
			if h.held > w.now+w.p.HoldMax {
				w.failf("hold time %d, want at most %d", h.held-w.now, w.p.HoldMax)
			}
		}
	}
	if !ok {
		w.failf("event %+v, want a reason in the history %q, port up %v, held until %d", e, h.verdicts, h.portUp,
			h.held)
	}
}

// anyFitBefore: another member was fit before the event and still is. (The event itself may have been its failure.)
func (w *world) anyFitBefore(b snap, except uint32) bool {
	for s := range uint32(MaxMembers) {
		if s != except && b.fit[s] && w.fit(s) {
			return true
		}
	}
	return false
}

// checkMembers: no member is in a state that its history contradicts.
func (w *world) checkMembers(slot uint32) {
	if slot == None || !w.mem[slot].there {
		return
	}
	h, state := &w.mem[slot], w.m.Health(slot)
	_, _, held, _ := w.m.Detail(slot)
	switch {
	case !h.portUp && state != Down:
		w.failf("member %d is %v without a port, want down", slot, state)
	case h.tail("m") >= int(w.p.Misses) && state != Down:
		w.failf("member %d is %v after %q, want down", slot, state, h.verdicts)
	case h.tail("a") > 0 && (state == Init || state == Suspect):
		w.failf("member %d is %v after an answer, want up or down", slot, state)
	case h.tail("a") >= int(w.p.Recover) && state != Up && w.now >= held:
		w.failf("member %d is %v after %q, held until %d, want up", slot, state, h.verdicts, held)
	case h.fresh && h.verdicts == "" && state != Init:
		w.failf("member %d is %v without a verdict, want init", slot, state)
	}
}

// checkGroup: never none when a healthy one exists, never one that is not healthy.
func (w *world) checkGroup() {
	active, _, _ := w.m.Active()
	switch {
	case active == None:
		for _, s := range w.order {
			h := &w.mem[s]
			if w.fit(uint32(s)) || !h.disabled && h.portUp && h.tail("a") > 0 {
				w.failf("no active member, want %d, which answers", s)
			}
		}
	case !w.fit(active):
		h := &w.mem[active]
		if !w.m.starts || !h.there || h.disabled || w.m.Health(active) != Init {
			w.failf("the active member %d is %v, want it fit", active, w.m.State(active))
		}
	}
}

// TestRandom: a million random events. Never two active members, never none if a healthy one exists, never a change
// without a reason, and no member in a state that its history contradicts.
func TestRandom(t *testing.T) {
	const runs, events = 100, 10_000
	switches := uint64(0)
	for run := range runs {
		w := &world{t: t, rng: rand.New(rand.NewPCG(uint64(run), 7))}
		w.p = Policy{
			Interval: 100, DataLiveness: true, Preempt: run%2 == 0, PreemptDelay: w.rng.Int64N(1000),
			Policy: liveness.Policy{
				Misses: 1 + uint32(w.rng.IntN(4)), Recover: 1 + uint32(w.rng.IntN(6)), FlapCount: uint32(w.rng.IntN(4)),
				FlapWindow: 1 + w.rng.Int64N(5000), HoldMin: 1 + w.rng.Int64N(500), HoldMax: 500 + w.rng.Int64N(3000),
			},
		}
		w.m = New(w.p, func(e Event) {
			w.events = append(w.events, e)
			if e.Kind == ActiveChanged {
				switches++
			}
		})
		for s := range 2 + w.rng.IntN(3) {
			w.order = append(w.order, uint8(s))
			w.mem[s] = history{there: true, portUp: w.rng.IntN(5) > 0}
			w.mem[s].fresh = w.mem[s].portUp
		}
		w.setOrder()
		for s := range w.mem {
			if w.mem[s].there {
				w.m.Add(0, uint32(s), w.mem[s].portUp, false)
			}
		}
		if w.rng.IntN(2) == 0 {
			chosen := w.rng.IntN(2) == 0
			w.m.Start(0, uint32(w.order[w.rng.IntN(len(w.order))]), chosen)
			w.chosen = chosen && w.m.active != None
		}
		for range events {
			w.step()
		}
	}
	if switches < 10_000 {
		t.Errorf("%d changes of the active member in %d events, want at least 10,000", switches, runs*events)
	}
}
