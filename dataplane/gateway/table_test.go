package gateway

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"penstock/dataplane/liveness"
)

// row is a line of the table in machine.go's comment.
type row struct{ state, event, cond, want, why string }

// readTable takes the table of member states out of the comments of liveness.Target and of Machine.
func readTable(t *testing.T) (rows []row) {
	t.Helper()
	var text []byte
	for _, name := range []string{"../liveness/target.go", "machine.go"} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	cols := regexp.MustCompile(`^(?://)?\s*(init|up|suspect|down) +(answer|data|miss|port-down|port-up|time) +` +
		`(.*?) {2,}(init|up|suspect|down)(?: +([a-z]+))?$`)
	for _, line := range strings.Split(string(text), "\n") {
		if m := cols.FindStringSubmatch(strings.TrimRight(line, " ")); m != nil {
			rows = append(rows, row{m[1], m[2], m[3], m[4], m[5]})
		}
	}
	return rows
}

var tablePolicy = Policy{
	Policy:   liveness.Policy{Misses: 3, Recover: 5, FlapCount: 1, FlapWindow: 1 << 40, HoldMin: 1000, HoldMax: 8000},
	Interval: 100, DataLiveness: true,
}

const other = 1 // a second member, always up, so that the first one is not the only one

// build brings a member in slot 0 into a state in which the condition is about to be met.
func build(t *testing.T, r row, events *[]Event) (m *Machine, now int64) {
	t.Helper()
	p := tablePolicy
	m = New(p, func(e Event) { *events = append(*events, e) })
	m.SetOrder([]uint8{1, 0})
	m.Add(0, other, true, false)
	m.Add(0, 0, true, false)
	m.Answer(1, other)
	now = 1
	held := strings.Contains(r.cond, "hold") || strings.Contains(r.cond, "held")
	if !held {
		p.FlapCount = 0
	}
	if strings.HasPrefix(r.cond, "N in a row") && r.state == "up" {
		p.Misses = 1 // the only way to fail without having been suspect
	}
	m.SetPolicy(p)
	misses := uint32(0) // so far
	switch r.state {
	case "init":
	case "up":
		m.Answer(now, 0)
	case "suspect":
		m.Answer(now, 0)
		m.Miss(now, 0)
		misses = 1
	case "down":
		m.Answer(now, 0)
		m.Port(now, 0, false, WhyCarrier)
		if r.cond != "its port is down" && r.event != "port-up" {
			m.Port(now, 0, true, WhyNone)
		}
	}
	switch r.cond {
	case "N in a row":
		for range p.Misses - 1 - misses {
			m.Miss(now, 0)
		}
	case "no other member is fit":
		m.Port(now, other, false, WhyCarrier)
	case "M in a row", "M in a row, held", "M in a row, hold is over":
		for range p.Recover - 1 {
			m.Answer(now, 0)
		}
	}
	if r.event == "time" {
		m.Answer(now, 0)
		now = m.Next()
	}
	if got := m.Health(0).String(); got != r.state {
		t.Fatalf("%+v: the member is %s before the event, want %s", r, got, r.state)
	}
	return m, now
}

// TestTable goes through every line of the table in the comments.
func TestTable(t *testing.T) {
	rows := readTable(t)
	if len(rows) != 29 {
		t.Fatalf("%d lines of the tables are read, want 29", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r.state+" "+r.event] = true
		t.Run(strings.ReplaceAll(strings.Join([]string{r.state, r.event, r.cond}, " "), " ", "-"), func(t *testing.T) {
			var events []Event
			m, now := build(t, r, &events)
			before := m.Health(0)
			events = nil
			switch r.event {
			case "answer":
				m.Answer(now, 0)
			case "data":
				m.Data(now, 0)
			case "miss":
				m.Miss(now, 0)
			case "port-down":
				m.Port(now, 0, false, WhyCarrier)
			case "port-up":
				m.Port(now, 0, true, WhyNone)
			case "time":
				m.Tick(now)
			}
			if got := m.Health(0).String(); got != r.want {
				t.Errorf("%+v: the member is %s, want %s", r, got, r.want)
			}
			if _, why, _, _ := m.Detail(0); r.why != "" && why.String() != r.why {
				t.Errorf("%+v: the reason is %v, want %s", r, why, r.why)
			}
			reports := 0
			for _, e := range events {
				if e.Kind == MemberChanged && e.Member == 0 {
					reports++
					if e.From != before || e.To != m.Health(0) {
						t.Errorf("%+v: the event is of %v → %v, want %v → %v", r, e.From, e.To, before, m.Health(0))
					}
				}
			}
			changed := before != m.Health(0) || r.why != "" && (r.event == "answer" || r.event == "miss")
			if changed != (reports == 1) || reports > 1 {
				t.Errorf("%+v: %d events, want one if there is a change (%v), else none", r, reports, changed)
			}
		})
	}
	// Every event is in the table for every state.
	for _, s := range []string{"init", "up", "suspect", "down"} {
		for _, e := range []string{"answer", "data", "miss", "port-down", "port-up"} {
			if !seen[s+" "+e] {
				t.Errorf("the tables have no line of event %s in state %s, want one", e, s)
			}
		}
	}
}

// TestTableDisabled: a disabled member goes through the same states without events: every line again.
func TestTableDisabled(t *testing.T) {
	for _, r := range readTable(t) {
		if r.cond == "no other member is fit" || strings.Contains(r.cond, "held") {
			continue // what is disabled is never the last resort, and its failures are not counted
		}
		var events []Event
		m, now := build(t, r, &events)
		if err := m.Disable(now, 0, false); err != nil {
			t.Fatal(err)
		}
		events = nil
		switch r.event {
		case "answer":
			m.Answer(now, 0)
		case "data":
			m.Data(now, 0)
		case "miss":
			m.Miss(now, 0)
		case "port-down":
			m.Port(now, 0, false, WhyCarrier)
		case "port-up":
			m.Port(now, 0, true, WhyNone)
		case "time":
			m.Tick(now)
		}
		if m.State(0) != Disabled || len(events) > 0 {
			t.Errorf("%+v: a disabled member has the state %v and the events %v, want disabled and none", r, m.State(0),
				events)
		}
		if err := m.Enable(now, 0); err != nil {
			t.Fatal(err)
		}
		if got := m.State(0).String(); got != r.want {
			t.Errorf("%+v: the member is %s after it was enabled, want %s", r, got, r.want)
		}
	}
}
