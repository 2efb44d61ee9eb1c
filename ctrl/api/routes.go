package api

import (
	"net/http"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/rest"
)

// route is one method of one URL. The OpenAPI document is tested against this table.
type route struct {
	method  string
	pattern string // in the form of http.ServeMux and of OpenAPI: {name} is one part
	write   bool
	tables  bool // a write that If-Match with the tables' revision can guard
	object  bool // a write of one object
	bulk    bool
	do      func(s *Server, w http.ResponseWriter, r *http.Request) error
}

func routes() []route {
	rs := []route{
		{method: "GET", pattern: "/healthz", do: (*Server).healthz},
		{method: "GET", pattern: "/readyz", do: (*Server).readyz},
		{method: "GET", pattern: "/v1/openapi.json", do: (*Server).openapi},
		{method: "GET", pattern: "/v1/revision", do: (*Server).revision},
		{method: "GET", pattern: "/v1/box", do: (*Server).box},
		{method: "GET", pattern: "/v1/ports", do: (*Server).ports},
		{method: "GET", pattern: "/v1/ports/{name}", do: (*Server).port},
		{method: "GET", pattern: "/v1/neighbors", do: (*Server).neighbors},
		{method: "GET", pattern: "/v1/boxes", do: (*Server).boxes},
		{method: "POST", pattern: "/v1/boxes/{place}/sync", write: true, do: (*Server).sync},
		{method: "GET", pattern: "/v1/stats/{kind}", do: (*Server).stats},
		{method: "GET", pattern: "/v1/flows", do: (*Server).flows},
		{method: "GET", pattern: "/v1/events", do: (*Server).events},
		{method: "GET", pattern: "/v1/alarms", do: (*Server).alarms},
		{method: "GET", pattern: "/v1/alarms/{id}", do: (*Server).alarm},
		{method: "POST", pattern: "/v1/alarms/{id}/acknowledge", write: true, do: (*Server).acknowledge},
		{method: "GET", pattern: "/v1/gateways", do: (*Server).gateways},
		{method: "GET", pattern: "/v1/gateways/{group}", do: (*Server).gatewayGroup},
		{method: "POST", pattern: "/v1/gateways/{group}/switch", write: true, do: (*Server).switchGateway},
		{method: "POST", pattern: "/v1/gateways/{group}/disable", write: true, do: (*Server).disableGateway},
		{method: "POST", pattern: "/v1/gateways/{group}/enable", write: true, do: (*Server).enableGateway},
		{method: "POST", pattern: "/v1/backup", write: true, do: (*Server).backup},
		{method: "POST", pattern: "/v1/reload", write: true, do: (*Server).reload},
		{method: "POST", pattern: "/v1/transactions", write: true, tables: true, do: (*Server).transaction},
		{method: "GET", pattern: "/v1/bulk/bindings", do: (*Server).exportBindings},
		{method: "POST", pattern: "/v1/bulk/bindings", write: true, tables: true, bulk: true,
			do: (*Server).bulkBindings},
		{method: "GET", pattern: "/v1/bulk/paths", do: (*Server).exportPaths},
		{method: "POST", pattern: "/v1/bulk/paths", write: true, tables: true, bulk: true, do: (*Server).bulkPaths},
		{method: "DELETE", pattern: "/v1/bindings", write: true, tables: true, do: (*Server).deleteBindings},
		{method: "DELETE", pattern: "/v1/bindings/{tenant}/{segment}/{mac}/hold", write: true,
			do: (*Server).releaseBinding},
		{method: "GET", pattern: "/v1/services/{tenant}/{name}/table", do: (*Server).serviceTable},
	}
	for _, kind := range model.Kinds {
		base := "/v1/" + string(kind)
		one := base + "/" + kind.Info().KeyPattern()
		change := func(method string, verb core.Verb) route {
			return route{method: method, pattern: one, write: true, tables: true, object: true,
				do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.change(w, r, kind, verb) }}
		}
		rs = append(rs,
			route{method: "GET", pattern: base,
				do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.list(w, r, kind) }},
			route{method: "GET", pattern: one,
				do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.get(w, r, kind) }},
			change("PUT", core.Put), change("PATCH", core.Patch), change("DELETE", core.Delete))
	}
	return rs
}

// table converts the routes for the REST server.
func (s *Server) table() []rest.Route {
	var out []rest.Route
	for _, rt := range routes() {
		r := rest.Route{Method: rt.method, Pattern: rt.pattern, Write: rt.write, Revision: rt.tables, Object: rt.object}
		r.Do = func(w http.ResponseWriter, q *http.Request) error { return rt.do(s, w, q) }
		switch {
		case rt.bulk:
			r.MaxBody, r.BodyTime, r.Streamed = s.cfg.MaxBulk, bulkTime, true
		case rt.pattern != "/v1/transactions": // the body is one value
			r.MaxBody = min(s.cfg.MaxBody, strict.MaxText)
		}
		out = append(out, r)
	}
	return out
}
