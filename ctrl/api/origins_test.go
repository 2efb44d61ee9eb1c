package api_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/api"
	"penstock/ctrl/model"
)

// TestOrigins: bindings that other boxes have told are listed among the pushed ones, in the order of their keys and
// over all pages; a filter has them alone; one of them can be read; and nothing else takes them for pushed ones.
func TestOrigins(t *testing.T) {
	w := conformWorld(t)
	w.must("DELETE", "/v1/bindings?tenant=RED", "")
	var lines string
	var pushed, learned, all []string
	for i := range 40 {
		k := model.BindingKey{Tenant: "RED", Segment: []string{"db", "web"}[i%2], MAC: model.MAC(0x020000000200 + i/2)}
		all = append(all, k.String())
		if i%3 > 0 {
			pushed = append(pushed, k.String())
			lines += bindingLine(k.Segment, k.MAC, 3)
			continue
		}
		learned = append(learned, k.String())
		w.info.learned = append(w.info.learned, model.Binding{Tenant: k.Tenant, Segment: k.Segment, MAC: k.MAC,
			Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.9")}, SwitchMAC: 0x02aa00000002, SwitchPort: 7})
	}
	for _, list := range [][]string{pushed, learned, all} {
		slices.Sort(list)
	}
	slices.SortFunc(w.info.learned, func(a, b model.Binding) int { return strings.Compare(a.Key(), b.Key()) })
	w.must("POST", "/v1/bulk/bindings?mode=merge", lines)
	for query, want := range map[string][]string{"": all, "&origin=pushed": pushed, "&origin=fabric": learned,
		"&tenant=RED": all, "&tenant=BLUE": nil, "&origin=fabric&tenant=RED": learned} {
		for _, limit := range []int{1, 7, len(want) + 1} {
			var got []string
			for after := ""; ; {
				var l api.List
				text := w.must("GET", fmt.Sprintf("/v1/bindings?limit=%d&after=%s%s", limit, after, query), "")
				if err := json.Unmarshal([]byte(text), &l); err != nil {
					t.Fatal(err)
				}
				for _, it := range l.Items {
					var b model.Binding
					if err := json.Unmarshal(it, &b); err != nil {
						t.Fatal(err)
					}
					got = append(got, b.Key())
				}
				if after = l.Next; after == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("query %q, %d a page: got %v, want %v", query, limit, got, want)
			}
		}
	}
	if got := dig(decode(t, w.must("GET", "/v1/bindings/"+learned[0], "")), "switch_port"); fmt.Sprint(got) != "7" {
		t.Errorf("one learned binding: got switch port %v, want 7", got)
	}
	if text := w.must("GET", "/v1/bulk/bindings", ""); strings.Count(text, "\n") != len(pushed) {
		t.Errorf("the export has %d lines, want the %d pushed bindings", strings.Count(text, "\n"), len(pushed))
	}
	for _, query := range []string{"GET /v1/bindings?origin=told", "GET /v1/bindings?origin=",
		"DELETE /v1/bindings?origin=fabric", "GET /v1/vifs?origin=pushed"} {
		method, url, _ := strings.Cut(query, " ")
		status, h, text := w.exchange(method, url, "")
		isEnvelope(t, query, status, h, text, 400, "origin")
	}
}

// TestReleaseBinding: the hold of a binding ends by its key, in any form of the MAC.
func TestReleaseBinding(t *testing.T) {
	w := conformWorld(t)
	status, _, text := w.exchange("DELETE", "/v1/bindings/RED/web/02-00-00-00-01-01/hold", "")
	if got := dig(decode(t, text), "status"); status != 200 || got != "released" {
		t.Errorf("a binding that is held: got %d, %s; want 200, released", status, text)
	}
	status, h, text := w.exchange("DELETE", "/v1/bindings/RED/web/02:00:00:00:01:02/hold", "")
	isEnvelope(t, "one that is not held", status, h, text, 404, "")
	status, h, text = w.exchange("DELETE", "/v1/bindings/RED/web/02:00/hold", "")
	isEnvelope(t, "no MAC", status, h, text, 422, "key")
	status, h, text = w.exchange("DELETE", "/v1/bindings/RED/web/02:00:00:00:01:01/hold?force=1", "")
	isEnvelope(t, "an unknown parameter", status, h, text, 400, "force")
}
