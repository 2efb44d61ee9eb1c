package api_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"penstock/ctrl/status"
	dpgateway "penstock/dataplane/gateway"
)

func TestGateways(t *testing.T) {
	w := newWorld(t, nil)
	group := func(text string) (g status.GatewayGroup) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			t.Fatal(err)
		}
		return g
	}
	if text := w.must("GET", "/v1/gateways", ""); !strings.HasPrefix(text, `{"items":[{"name":"out",`) {
		t.Errorf("the list of groups: %s, want the group out first", text)
	}
	if g := group(w.must("GET", "/v1/gateways/out", "")); g.Active != "isp1" || len(g.Members) != 3 {
		t.Errorf("group out: %+v, want 3 members, isp1 active", g)
	}
	if g := group(w.must("POST", "/v1/gateways/out/switch", "")); g.Active != "isp2" {
		t.Errorf("after a switch to the first other member: %+v, want isp2 active", g)
	}
	back := `{"member":"isp1","expect_active":"isp2"}`
	if g := group(w.must("POST", "/v1/gateways/out/switch", back)); g.Active != "isp1" {
		t.Errorf("after a switch to isp1: %+v, want isp1 active", g)
	}
	w.must("POST", "/v1/gateways/out/disable", `{"member":"isp2"}`)
	w.must("POST", "/v1/gateways/out/disable", `{"member":"isp9","force":true}`)
	w.must("POST", "/v1/gateways/out/enable", `{"member":"isp2","expect_active":"isp1"}`)
	for _, tc := range []struct {
		method, url, body string
		err               error // of the group itself
		status            int
		code, text        string
	}{
		{"GET", "/v1/gateways/in", "", nil, 404, "not_found", "there is no gateway group in"},
		{"GET", "/v1/gateways?x=1", "", nil, 400, "unknown_field", ""},
		{"POST", "/v1/gateways/in/switch", "", nil, 404, "not_found", "gateway groups: out"},
		{"POST", "/v1/gateways/out/switch", `{"member":"x"}`,
			dpgateway.ErrNoMember, 404, "not_found", "members: isp1, isp2, isp3"},
		{"POST", "/v1/gateways/out/switch", `{"member":"isp3"}`,
			dpgateway.ErrNotUp, 409, "not_up", "healthy members: isp1, isp2"},
		{"POST", "/v1/gateways/out/switch", "", dpgateway.ErrNoOther, 409, "not_up", "no other member of out is up"},
		{"POST", "/v1/gateways/out/switch", `{"expect_active":"isp2"}`, nil, 412, "active_mismatch", "isp1"},
		{"POST", "/v1/gateways/out/switch", `{"member":7}`, nil, 422, "type", ""},
		{"POST", "/v1/gateways/out/switch", `{"to":"isp1"}`, nil, 422, "unknown_field", ""},
		{"POST", "/v1/gateways/out/switch", `{`, nil, 400, "truncated", ""},
		{"POST", "/v1/gateways/out/disable", "", nil, 422, "required", "the member is missing"},
		{"POST", "/v1/gateways/out/enable", "{}", nil, 422, "required", "the member is missing"},
		{"POST", "/v1/gateways/out/disable", `{"member":"isp9"}`, nil, 409, "last", "without it out has no gateway"},
		{"POST", "/v1/gateways/out/enable", `{"member":"isp1"}`,
			errors.New("disk on fire"), 500, "internal", "disk on fire"},
		{"DELETE", "/v1/gateways/out", "", nil, 405, "method_not_allowed", ""},
	} {
		w.gates.invalid = tc.err
		e := w.refused(tc.method, tc.url, tc.body)
		if e.Status != tc.status || e.Code != tc.code || !strings.Contains(e.Message+" "+e.Hint, tc.text) {
			t.Errorf("%s %s %s: status %d, code %s, %s (%s), want %d, %s, %s", tc.method, tc.url, tc.body,
				e.Status, e.Code, e.Message, e.Hint, tc.status, tc.code, tc.text)
		}
	}
}
