package api_test

import (
	"encoding/json"
	"slices"
	"testing"

	"penstock/ctrl/status"
)

// TestServiceTable: the table of a service, or why there is none.
func TestServiceTable(t *testing.T) {
	w := conformWorld(t)
	var got status.ServiceTable
	text := w.must("GET", "/v1/services/RED/http/table", "")
	if err := json.Unmarshal([]byte(text), &got); err != nil || !slices.Equal(got.Servers, []string{"web1", "web2"}) ||
		!slices.Equal(got.Entries, []uint16{0, 1, 0}) {
		t.Errorf("table %s (%v), want the servers web1 and web2, and the entries 0, 1, 0", text, err)
	}
	w.must("PUT", "/v1/services/RED/dns", `{"vip":"www","id":8,"port":53}`)
	for url, want := range map[string]int{"/v1/services/RED/none/table": 404, "/v1/services/RED/dns/table": 409,
		"/v1/services/RED/http/table?x=1": 400} {
		if code, _, text := w.send("GET", url, ""); code != want {
			t.Errorf("GET %s: %d %s, want %d", url, code, text, want)
		}
	}
}
