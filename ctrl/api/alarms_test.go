package api_test

import (
	"encoding/json"
	"os/user"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
)

func TestAlarms(t *testing.T) {
	w := newWorld(t, nil)
	list := func(query string) []alarm.Alarm {
		t.Helper()
		var l api.AlarmList
		if err := w.client.Get(t.Context(), "/v1/alarms"+query, &l); err != nil {
			t.Fatal(err)
		}
		return l.Items
	}
	if text := w.must("GET", "/v1/alarms", ""); strings.TrimSpace(text) != `{"items":[]}` {
		t.Errorf("without alarms: %s, want an empty list", text)
	}
	for _, p := range []string{"a", "b", "c"} {
		w.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: "port " + p, Text: "x"})
	}
	w.alarms.Clear(alarm.PortDown, "port b")
	if l := list(""); len(l) != 2 || l[0].Object != "port c" {
		t.Errorf("active alarms: %+v, want those of port c and port a", l)
	}
	if l := list("?state=cleared&limit=1"); len(l) != 1 || l[0].Object != "port b" || l[0].Cleared == nil {
		t.Errorf("cleared alarms: %+v, want that of port b", l)
	}
	if l := list("?state=all"); len(l) != 3 || l[2].Object != "port b" {
		t.Errorf("all alarms: %+v, want 3, that of port b last", l)
	}
	var a alarm.Alarm
	text := w.must("POST", "/v1/alarms/1/acknowledge", `{"comment":"mine"}`)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Acknowledged == nil ||
		a.Acknowledged.By != me.Username || a.Acknowledged.Comment != "mine" {
		t.Errorf("acknowledged: %s, %v, want by %s with the comment \"mine\"", text, err, me.Username)
	}
	w.must("POST", "/v1/alarms/3/acknowledge", "")
	if err := w.client.Get(t.Context(), "/v1/alarms/3", &a); err != nil || a.Acknowledged == nil {
		t.Errorf("acknowledged without a body: %+v, %v, want an acknowledgement", a, err)
	}
	for _, tc := range []struct {
		method, url, body string
		status            int
		code              string
	}{
		{"GET", "/v1/alarms/99", "", 404, "not_found"},
		{"GET", "/v1/alarms/x", "", 404, "not_found"},
		{"GET", "/v1/alarms?state=old", "", 400, "invalid"},
		{"GET", "/v1/alarms?limit=0", "", 400, "invalid"},
		{"GET", "/v1/alarms?limit=99999", "", 400, "invalid"},
		{"GET", "/v1/alarms?kind=x", "", 400, "unknown_field"},
		{"POST", "/v1/alarms/2/acknowledge", "", 409, "cleared"},
		{"POST", "/v1/alarms/99/acknowledge", "", 404, "not_found"},
		{"POST", "/v1/alarms/-1/acknowledge", "", 404, "not_found"},
		{"POST", "/v1/alarms/1/acknowledge", "{", 400, "truncated"},
		{"POST", "/v1/alarms/1/acknowledge", `{"note":"x"}`, 422, "unknown_field"},
		{"POST", "/v1/alarms/1/acknowledge", `{"comment":7}`, 422, "type"},
		{"POST", "/v1/alarms/1/acknowledge", `[]`, 422, "type"},
		{"DELETE", "/v1/alarms/1", "", 405, "method_not_allowed"},
	} {
		if e := w.refused(tc.method, tc.url, tc.body); e.Status != tc.status || e.Code != tc.code {
			t.Errorf("%s %s %s: status %d, code %s, want %d, %s: %s", tc.method, tc.url, tc.body, e.Status, e.Code,
				tc.status, tc.code, e.Message)
		}
	}
	const cleared = "alarm 2 (port_down, port b) was cleared at "
	if e := w.refused("POST", "/v1/alarms/2/acknowledge", ""); !strings.Contains(e.Message, cleared) {
		t.Errorf("acknowledging a cleared alarm: %q, want %q", e.Message, cleared)
	}
	events := w.must("GET", "/v1/events?since=0&follow=false&type=alarm", "")
	if n := strings.Count(events, `"action":`); n != 6 {
		t.Errorf("%d alarm events, want 6: %s", n, events)
	}
}

// TestAlarmKinds: the document names every kind of alarm.
func TestAlarmKinds(t *testing.T) {
	w := newWorld(t, nil)
	doc := decode(t, w.must("GET", "/v1/openapi.json", ""))
	named := dig(doc, "components", "schemas", "Alarm", "properties", "kind", "enum").([]any)
	for _, k := range alarm.Kinds() {
		if !slices.Contains(named, any(string(k.Kind))) {
			t.Errorf("openapi.json lacks %s", k.Kind)
		}
	}
	if len(named) != len(alarm.Kinds()) {
		t.Errorf("openapi.json has the kinds %v, want %d", named, len(alarm.Kinds()))
	}
}
