package liveness

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// row is a line of the table in the comment of Target.
type row struct{ state, event, cond, want, why string }

func readTable(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile("target.go")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^//\t(init|up|suspect|down) +` +
		`(answer|data|miss|port-down|port-up|time) +(.*?) {2,}` +
		`(init|up|suspect|down)(?: +([a-z]+))?$`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, row{m[1], m[2], m[3], m[4], m[5]})
	}
	return rows
}

var tablePolicy = Policy{Misses: 3, Recover: 5, FlapCount: 1, FlapWindow: 1 << 40, HoldMin: 1000, HoldMax: 8000}

// build brings a target into the state of a line, with the condition about to be met.
func build(t *testing.T, r row) (x Target, p Policy, now int64) {
	t.Helper()
	p, now = tablePolicy, 1
	if !strings.Contains(r.cond, "hold") && !strings.Contains(r.cond, "held") {
		p.FlapCount = 0
	}
	if r.cond == "N in a row" && r.state == "up" {
		p.Misses = 1 // the only way to fail without having been suspect
	}
	x, _ = New(now, true, false)
	misses := uint32(0)
	switch r.state {
	case "up":
		x.Answer(now, &p)
	case "suspect":
		x.Answer(now, &p)
		x.Miss(now, &p)
		misses = 1
	case "down":
		x.Answer(now, &p)
		x.Port(now, false, Carrier, &p)
		if r.cond != "its port is down" && r.event != "port-up" {
			x.Port(now, true, None, &p)
		}
	}
	switch r.cond {
	case "N in a row":
		for range p.Misses - 1 - misses {
			x.Miss(now, &p)
		}
	case "M in a row", "M in a row, held", "M in a row, hold is over":
		for range p.Recover - 1 {
			x.Answer(now, &p)
		}
	}
	if r.event == "time" {
		x.Answer(now, &p)
		now = x.Next()
	}
	if got := x.Health().String(); got != r.state {
		t.Fatalf("%+v: the target is %s before the event, want %s", r, got, r.state)
	}
	return x, p, now
}

func happen(x *Target, event string, now int64, p *Policy) Change {
	switch event {
	case "answer":
		return x.Answer(now, p)
	case "data":
		return x.Data(now)
	case "miss":
		return x.Miss(now, p)
	case "port-down":
		c, _ := x.Port(now, false, Carrier, p)
		return c
	case "port-up":
		c, _ := x.Port(now, true, None, p)
		return c
	}
	return x.Tick(now, p)
}

// TestTable goes through every line of the table, enabled and disabled.
func TestTable(t *testing.T) {
	rows := readTable(t)
	if len(rows) != 28 {
		t.Fatalf("%d lines were understood, want 28", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r.state+" "+r.event] = true
		x, p, now := build(t, r)
		before := x.Health()
		c := happen(&x, r.event, now, &p)
		if got := x.Health().String(); got != r.want {
			t.Errorf("%+v: the target is %s, want %s", r, got, r.want)
		}
		if _, why, _, _ := x.Detail(); r.why != "" && why.String() != r.why {
			t.Errorf("%+v: the reason is %v, want %s", r, why, r.why)
		}
		told := before != x.Health() || r.why != "" && (r.event == "answer" || r.event == "miss")
		if told != (c.Why != None) || told && (c.From != before || c.To != x.Health()) {
			t.Errorf("%+v: told %+v, want a change from %v to %v: %v", r, c, before, x.Health(), told)
		}

		if strings.Contains(r.cond, "held") {
			continue // failures of what is disabled are not counted
		}
		x, p, now = build(t, r)
		if c := x.SetDisabled(now, true); c.To != Disabled || x.State() != Disabled {
			t.Errorf("%+v: disabling it told %+v, state %v", r, c, x.State())
		}
		if c := happen(&x, r.event, now, &p); c.Why != None || x.State() != Disabled {
			t.Errorf("%+v: told %+v of a disabled target, which is shown as %v", r, c, x.State())
		}
		if c := x.SetDisabled(now, false); c.To.String() != r.want {
			t.Errorf("%+v: it is %v when it is enabled again, want %s", r, c.To, r.want)
		}
	}
	for _, s := range []string{"init", "up", "suspect", "down"} {
		for _, e := range []string{"answer", "data", "miss", "port-down", "port-up"} {
			if !seen[s+" "+e] {
				t.Errorf("the table does not say what %s does to a target that is %s", e, s)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for i, n := range stateNames {
		if State(i).String() != n || n == "" {
			t.Errorf("state %d is called %q, want %q", i, State(i), n)
		}
	}
	for w := range Whys {
		if w.String() == "" {
			t.Errorf("reason %d has no name", w)
		}
	}
	if State(99).String() != "State(99)" || Why(99).String() != "Why(99)" {
		t.Errorf("unknown values are called %q and %q", State(99), Why(99))
	}
}
