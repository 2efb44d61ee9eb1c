package main

import (
	"os/user"
	"regexp"
	"strings"
	"testing"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
)

// TestAlarmCommands: from being raised to being acknowledged and cleared, as an operator sees it.
func TestAlarmCommands(t *testing.T) {
	w := newWorld(t, nil)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if a := w.run("show", "alarms"); a.code != exitOK || a.err != "(none)\n" {
		t.Errorf("penstock show alarms without an alarm: got %+v, want exit code 0 and \"(none)\"", a)
	}
	fault := alarm.Report{Kind: alarm.PortDown, Object: "port fab0", Text: "Port fab0 is down: check its cable."}
	w.alarms.Raise(fault)
	w.alarms.Raise(fault)
	w.alarms.Raise(alarm.Report{Kind: alarm.GatewayMAC, Object: "gateway out/a", Text: "Another MAC."})
	got := w.ok("show", "alarms")
	for _, want := range []string{`(?m)^ID  SEVERITY  RAISED +CLEARED  COUNT  ACKNOWLEDGED  OBJECT +WHAT TO DO$`,
		`(?m)^ 1  major +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  - +2  - +port fab0 +Port fab0 is down: check its cable\.$`,
		`(?m)^ 2  warning .* gateway out/a  Another MAC\.$`} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("show alarms lacks %s:\n%s", want, got)
		}
	}
	want := "alarm 1 (port_down, port fab0) acknowledged by " + me.Username + " at "
	if got := w.ok("alarm", "acknowledge", "1", "--comment", "CHG4711"); !strings.HasPrefix(got, want) {
		t.Errorf("penstock alarm acknowledge 1 prints %q, want %q and a time", got, want)
	}
	if a := decode[alarm.Alarm](t, w.ok("alarm", "acknowledge", "2", "-o", "json")); a.Acknowledged == nil ||
		a.Cleared == nil {
		t.Errorf("acknowledging alarm 2: got %+v, want it acknowledged and cleared", a)
	}
	if got := w.ok("show", "alarms"); !strings.Contains(got, me.Username+": CHG4711") ||
		strings.Contains(got, "gateway") {
		t.Error(got)
	}
	if l := decode[api.AlarmList](t, w.ok("show", "alarms", "cleared", "-o", "json")); len(l.Items) != 1 ||
		l.Items[0].ID != 2 {
		t.Errorf("cleared alarms: got %+v, want alarm 2 only", l)
	}
	w.alarms.Clear(alarm.PortDown, "port fab0")
	if l := decode[api.AlarmList](t, w.ok("show", "alarms", "all", "-o", "json")); len(l.Items) != 2 {
		t.Errorf("all alarms: got %+v, want 2", l)
	}
	for args, want := range map[string]string{
		"alarm acknowledge 1": "alarm 1 (port_down, port fab0) was cleared at ",
		"alarm acknowledge 77": "there is no alarm 77, or it was cleared long ago " +
			"(GET /v1/alarms?state=all lists them)",
	} {
		if a := w.run(strings.Fields(args)...); a.code != exitRefused || !strings.Contains(a.err, want) {
			t.Errorf("penstock %s: got %+v, want exit code %d and %q", args, a, exitRefused, want)
		}
	}
	if a := w.run("show", "alarms", "old"); a.code != exitUsage ||
		!strings.Contains(a.err, "there are active, cleared, all") {
		t.Errorf("penstock show alarms old: got %+v, want exit code %d and the valid states", a, exitUsage)
	}
	if err := w.alarms.Flush(); err != nil {
		t.Fatal(err)
	}
	got = w.ok("watch", "--since", "0", "--once", "--type", "alarm")
	for _, want := range []string{"alarm      raise: major 1, port_down, port fab0: Port fab0 is down",
		"repeat: major 1, port_down, port fab0, 2 times",
		"acknowledge: warning 2, gateway_mac_changed, gateway out/a, by " + me.Username,
		"clear: major 1, port_down, port fab0, after "} {
		if !strings.Contains(got, want) {
			t.Errorf("watch lacks %q:\n%s", want, got)
		}
	}
}
