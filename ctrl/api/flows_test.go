package api_test

import (
	"net/netip"
	"testing"

	"penstock/ctrl/api"
)

// TestFlows: what the query selects reaches the box, and a wrong one is refused with its place.
func TestFlows(t *testing.T) {
	w := conformWorld(t)
	text := w.must("GET", "/v1/flows?service=RED/http&server=RED/http/web1&client=10.1.0.0/24&state=udp&limit=7"+
		"&after=0.5", "")
	want := api.FlowQuery{Service: "RED/http", Server: "RED/http/web1", Client: netip.MustParsePrefix("10.1.0.0/24"),
		State: "udp", Limit: 7, After: "0.5"}
	if got := *w.info.asked.Load(); got != want {
		t.Errorf("the box was asked for %+v, want %+v", got, want)
	}
	if got := dig(decode(t, text), "next"); got != "0.5" {
		t.Errorf("next is %v, want 0.5 in %s", got, text)
	}
	w.must("GET", "/v1/flows?client=fd00::1", "")
	if got := w.info.asked.Load(); got.Client.String() != "fd00::1/128" || got.Limit != 1000 {
		t.Errorf("the box was asked for %+v, want client fd00::1/128 and limit 1000", got)
	}
	for _, tc := range []struct {
		query  string
		status int
		field  string
	}{
		{"limit=0", 400, "limit"}, {"limit=10001", 400, "limit"}, {"limit=x", 400, "limit"},
		{"state=open", 400, "state"}, {"client=here", 400, "client"}, {"client=10.0.0.0/33", 400, "client"},
		{"service=RED/none", 404, "service"}, {"server=RED/http/none", 404, "server"}, {"after=x", 400, "after"},
		{"colour=red", 400, "colour"},
	} {
		status, h, text := w.exchange("GET", "/v1/flows?"+tc.query, "")
		isEnvelope(t, tc.query, status, h, text, tc.status, tc.field)
	}
}
