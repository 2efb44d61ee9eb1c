package liveness

import (
	"math/rand/v2"
	"testing"
)

// model is a target's history, from which its state follows without counters.
type model struct {
	verdicts []byte  // since its port was last up: a answer, m miss
	failures []int64 // when it failed
	state    State
	portUp   bool
	upAt     int64
	held     int64
	holds    int // in a row
}

// tail counts the verdicts of a kind at the end.
func (h *model) tail(kind byte) (n uint32) {
	for i := len(h.verdicts) - 1; i >= 0 && h.verdicts[i] == kind; i-- {
		n++
	}
	return n
}

func (h *model) fail(now int64, p *Policy) {
	counts := h.state != Init
	h.state, h.verdicts = Down, nil
	if !counts {
		return
	}
	h.failures = append(h.failures, now)
	k := int(min(p.FlapCount, MaxFlaps))
	if k == 0 {
		return
	}
	if h.holds == 0 || now-h.upAt >= p.FlapWindow {
		h.holds = 0
		if len(h.failures) < k || now-h.failures[len(h.failures)-k] > p.FlapWindow {
			return
		}
	}
	hold := p.HoldMin
	for range h.holds {
		hold = min(2*hold, p.HoldMax)
	}
	h.holds++
	h.held = now + min(hold, p.HoldMax)
}

func (h *model) up(now int64) {
	if h.state != Suspect {
		h.upAt = now
	}
	h.state, h.held = Up, 0
}

// TestRandom holds a target against a naive model over random events.
func TestRandom(t *testing.T) {
	ups, holds := 0, 0
	for run := range uint64(200) {
		r := rand.New(rand.NewPCG(run, 1))
		p := Policy{
			Misses: 1 + r.Uint32N(4), Recover: 1 + r.Uint32N(5), FlapCount: r.Uint32N(4),
			FlapWindow: 1 + r.Int64N(2000), HoldMin: 1 + r.Int64N(200), HoldMax: 200 + r.Int64N(2000),
		}
		x, _ := New(0, true, false)
		h := model{portUp: true}
		now := int64(0)
		for range 2000 {
			now += r.Int64N(20)
			if h.state == Down && h.held != 0 && now >= h.held {
				h.held = 0
				if h.portUp && h.tail('a') >= p.Recover {
					h.up(now)
				}
			}
			x.Tick(now, &p)
			event := r.IntN(20)
			switch {
			case event == 0 && h.portUp:
				h.portUp, h.verdicts = false, nil
				if h.state != Down {
					h.fail(now, &p)
				}
				x.Port(now, false, Carrier, &p)
			case event == 0:
				h.portUp = true
				x.Port(now, true, None, &p)
			case !h.portUp:
				x.Answer(now, &p) // late: it does not count
			case event < 13:
				h.verdicts = append(h.verdicts, 'a')
				back := h.state == Down && h.tail('a') >= p.Recover && now >= h.held
				if h.state == Init || h.state == Suspect || back {
					ups++
					h.up(now)
				}
				x.Answer(now, &p)
			default:
				h.verdicts = append(h.verdicts, 'm')
				switch n := h.tail('m'); {
				case h.state == Down:
				case n >= p.Misses:
					h.fail(now, &p)
				case h.state == Up:
					h.state = Suspect
				}
				x.Miss(now, &p)
			}
			_, _, held, fails := x.Detail()
			if held != 0 {
				holds++
			}
			if x.State() != h.state || held != h.held || fails != uint64(len(h.failures)) {
				t.Fatalf("run %d at %d, policy %+v: %v, held until %d, %d failures; want %v, %d, %d",
					run, now, p, x.State(), held, fails, h.state, h.held, len(h.failures))
			}
		}
	}
	if ups < 10_000 || holds < 1000 {
		t.Errorf("%d times up, %d events while held: the test shows little", ups, holds)
	}
}
