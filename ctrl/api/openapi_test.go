package api

import (
	"encoding/json"
	"testing"
)

// TestOpenAPIRoutes: every route is in the document, and the document has no other.
func TestOpenAPIRoutes(t *testing.T) {
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	text, err := openapiDocument()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI version %q, want 3.1.0", doc.OpenAPI)
	}
	methods := map[string]string{"get": "GET", "put": "PUT", "post": "POST", "patch": "PATCH", "delete": "DELETE"}
	served := map[string]bool{}
	for _, r := range routes() {
		id := r.method + " " + r.pattern
		if served[id] {
			t.Errorf("%s is served twice, want one route", id)
		}
		served[id] = true
	}
	for path, item := range doc.Paths {
		for name := range item {
			m, ok := methods[name]
			if !ok {
				continue
			}
			if !served[m+" "+path] {
				t.Errorf("%s %s is documented and not served", m, path)
			}
			delete(served, m+" "+path)
		}
	}
	for id := range served {
		t.Errorf("%s is served and not documented", id)
	}
}
