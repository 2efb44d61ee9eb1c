package gateway

import (
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/alarm"
	"penstock/dataplane/gateway"
)

// text returns the text of an active alarm, and its count.
func (w *world) text(kind alarm.Kind, object string) (string, uint64) {
	w.t.Helper()
	for _, a := range w.alarms.Active() {
		if a.Kind == kind && a.Object == object {
			return a.Text, a.Count
		}
	}
	w.t.Fatalf("no alarm %s %s is active", kind, object)
	return "", 0
}

// The text of an alarm follows the state of the group, without another raise of the alarm.
func TestAlarmTextsFollow(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	says := func(what string, kind alarm.Kind, object string, count uint64, want string, not ...string) {
		t.Helper()
		text, n := w.text(kind, object)
		if n != count || !strings.Contains(text, want) {
			t.Errorf("%s: count %d, %q; want count %d, with %q", what, n, text, count, want)
		}
		for _, s := range not {
			if strings.Contains(text, s) {
				t.Errorf("%s: %q, want it without %q", what, text, s)
			}
		}
	}
	cut := func(slot uint32) {
		w.happen(func(m *gateway.Machine, now int64) { m.Port(now, slot, false, gateway.WhyCarrier) })
	}
	const isp1, isp2, out = "gateway out/isp1", "gateway out/isp2", "gateway_group out"
	cut(0)
	says("isp1 is cut", alarm.GatewayDown, isp1, 1, "isp2 carries its traffic now", "No other member")
	cut(1)
	says("both are", alarm.GatewayDown, isp1, 1, "No other member is healthy", "isp2 carries")
	says("both are", alarm.GatewayDown, isp2, 1, "No other member is healthy", "isp1 carries")
	says("both are", alarm.GatewayAllDown, out, 1, "isp1: port up0 is down; isp2: port up1 is down")
	w.happen(func(m *gateway.Machine, now int64) { m.Port(now, 0, true, gateway.WhyCarrier) })
	says("isp1's link is back", alarm.GatewayAllDown, out, 1,
		"isp1: port up0 is back, the gateway has yet to prove itself; isp2: port up1 is down")
	w.answer(0)
	says("isp1 carries again", alarm.GatewayDown, isp2, 1, "isp1 carries its traffic now", "No other member")
	var updates []string
	r := w.log.After(0)
	if err := w.alarms.Flush(); err != nil {
		t.Fatal(err)
	}
	for r.Ready() {
		evs, err := r.Next(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range evs {
			if a, ok := e.Data.(alarm.Event); ok && a.Action == alarm.ActionUpdate {
				updates = append(updates, a.Alarm.Object)
			}
		}
	}
	for _, object := range []string{isp1, isp2, out} {
		if !slices.Contains(updates, object) {
			t.Errorf("updates of %q were published, want %q among them", updates, object)
		}
	}
	n := len(updates)
	w.step()
	w.step()
	if text, _ := w.text(alarm.GatewayDown, isp2); !strings.Contains(text, "isp1") || n > 4 {
		t.Errorf("%d updates, then %q: want one for each change", n, text)
	}
}

// A hold time is given as its end, which does not change; a longer hold time is another failure, and counts.
func TestHoldTextStays(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.answer(0, 1)
	for range 3 {
		w.silent(0)
		w.answer(0)
	}
	first, _ := w.text(alarm.GatewayFlapping, "gateway out/isp1")
	for range 5 {
		w.happen(func(*gateway.Machine, int64) {})
	}
	if now, n := w.text(alarm.GatewayFlapping, "gateway out/isp1"); now != first || n != 1 ||
		!strings.Contains(now, "until 2") || !strings.Contains(now, "failed 3 times") {
		t.Errorf("count %d, %q; want count 1, %q, with the time of its end", n, now, first)
	}
}
