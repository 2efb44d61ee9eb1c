package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// route is one method of one URL. The OpenAPI document is tested against this table.
type route struct {
	method  string
	pattern string // as of http.ServeMux and OpenAPI alike: {name} is one part
	write   bool
	bulk    bool
	do      func(s *Server, w http.ResponseWriter, r *http.Request) error
}

// keyPatterns are the URLs of single objects.
var keyPatterns = map[model.Kind]string{
	model.KindTenant:  "{name}",
	model.KindSegment: "{tenant}/{name}",
	model.KindSubnet:  "{tenant}/{name}",
	model.KindVIF:     "{tenant}/{name}",
	model.KindPath:    "{a}/{b}",
	model.KindBinding: "{tenant}/{segment}/{mac}",
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
		{method: "GET", pattern: "/v1/stats/{kind}", do: (*Server).stats},
		{method: "GET", pattern: "/v1/events", do: (*Server).events},
		{method: "GET", pattern: "/v1/alarms", do: (*Server).alarms},
		{method: "GET", pattern: "/v1/alarms/{id}", do: (*Server).alarm},
		{method: "POST", pattern: "/v1/alarms/{id}/acknowledge", write: true, do: (*Server).acknowledge},
		{method: "GET", pattern: "/v1/gateways", do: (*Server).gateways},
		{method: "GET", pattern: "/v1/gateways/{group}", do: (*Server).gatewayGroup},
		{method: "POST", pattern: "/v1/gateways/{group}/switch", write: true, do: (*Server).switchGateway},
		{method: "POST", pattern: "/v1/gateways/{group}/disable", write: true, do: (*Server).disableGateway},
		{method: "POST", pattern: "/v1/gateways/{group}/enable", write: true, do: (*Server).enableGateway},
		{method: "POST", pattern: "/v1/reload", write: true, do: (*Server).reload},
		{method: "POST", pattern: "/v1/transactions", write: true, do: (*Server).transaction},
		{method: "GET", pattern: "/v1/bulk/bindings", do: (*Server).exportBindings},
		{method: "POST", pattern: "/v1/bulk/bindings", write: true, bulk: true, do: (*Server).bulkBindings},
		{method: "GET", pattern: "/v1/bulk/paths", do: (*Server).exportPaths},
		{method: "POST", pattern: "/v1/bulk/paths", write: true, bulk: true, do: (*Server).bulkPaths},
		{method: "DELETE", pattern: "/v1/bindings", write: true, do: (*Server).deleteBindings},
	}
	for _, kind := range model.Kinds {
		base := "/v1/" + string(kind)
		one := base + "/" + keyPatterns[kind]
		rs = append(rs,
			route{method: "GET", pattern: base, do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.list(w, r, kind) }},
			route{method: "GET", pattern: one, do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.get(w, r, kind) }},
			route{method: "PUT", pattern: one, write: true, do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.change(w, r, kind, core.Put) }},
			route{method: "PATCH", pattern: one, write: true, do: func(s *Server, w http.ResponseWriter, r *http.Request) error { return s.change(w, r, kind, core.Patch) }},
			route{method: "DELETE", pattern: one, write: true, do: func(s *Server, w http.ResponseWriter, r *http.Request) error {
				return s.change(w, r, kind, core.Delete)
			}},
		)
	}
	return rs
}

// handler answers the requests of one socket.
func (s *Server) handler(k *socket) http.Handler {
	mux := http.NewServeMux()
	byPattern := map[string]map[string]route{}
	for _, rt := range routes() {
		if byPattern[rt.pattern] == nil {
			byPattern[rt.pattern] = map[string]route{}
		}
		byPattern[rt.pattern][rt.method] = rt
	}
	for pattern, methods := range byPattern {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.dispatch(k, methods, w, r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, problem(http.StatusNotFound, model.CodeNotFound, "", "GET /v1/openapi.json lists what there is", "there is nothing at "+clip(r.URL.Path)))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		d := &deadlines{rc: http.NewResponseController(w), idle: s.cfg.IdleTimeout}
		sw := &slowWriter{ResponseWriter: w, d: d}
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler {
				panic(p)
			}
			if p != nil {
				s.cfg.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if sw.status == 0 {
					s.fail(sw, fmt.Errorf("the request could not be served: %v", p))
				}
			}
			who := peerOf(r)
			s.cfg.Log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", sw.status, "uid", who.uid, "pid", who.pid, "took", time.Since(started))
		}()
		if r.ContentLength != 0 { // also for a body that no handler reads: the server drains it
			_ = d.rc.SetReadDeadline(d.next(time.Time{}))
		}
		if r.Method == http.MethodHead {
			r.Method = http.MethodGet // net/http leaves the body out
		}
		mux.ServeHTTP(sw, r)
	})
}

// bodyTime is how long a body may take as a whole.
func bodyTime(bulk bool) time.Duration {
	if bulk {
		return 10 * time.Minute
	}
	return time.Minute
}

func (s *Server) dispatch(k *socket, methods map[string]route, w http.ResponseWriter, r *http.Request) {
	rt, ok := methods[r.Method]
	if !ok {
		allow := strings.Join(core.SortedKeys(methods), ", ")
		w.Header().Set("Allow", allow)
		s.fail(w, problem(http.StatusMethodNotAllowed, codeMethod, "", "allowed: "+allow, "the method "+clip(r.Method)+" is not allowed here"))
		return
	}
	if err := s.admit(rt, w, r); err != nil {
		s.fail(w, err)
		return
	}
	limit := s.cfg.MaxBody
	if rt.bulk {
		limit = s.cfg.MaxBulk
	}
	if !rt.write {
		limit = 0
	}
	d := w.(*slowWriter).d
	d.end = time.Now().Add(bodyTime(rt.bulk))
	body := &slowBody{r.Body, d}
	r.Body = http.MaxBytesReader(w, body, limit)
	ctx := context.WithValue(r.Context(), socketKey{}, k)
	start := time.Now()
	err := rt.do(s, w, r.WithContext(ctx))
	if err == nil && rt.write && s.cfg.Observe != nil {
		s.cfg.Observe(rt.pattern, time.Since(start))
	}
	if err != nil {
		s.fail(w, err)
		if rt.write {
			_ = http.NewResponseController(w).Flush()
			drain(body)
		}
	}
}

// drain takes some more of a body that was refused: closing at once would reset the connection of a caller who is still
// sending, before they read why.
func drain(b *slowBody) {
	b.d.idle = time.Second
	b.d.end = time.Now().Add(2 * time.Second)
	_, _ = io.CopyN(io.Discard, b, 64<<20)
}

type socketKey struct{}

// admit decides whether the caller may do this now.
func (s *Server) admit(rt route, w http.ResponseWriter, r *http.Request) error {
	p := peerOf(r)
	if p.err != nil {
		return problem(http.StatusForbidden, codeForbidden, "", "", "the caller cannot be told: "+p.err.Error())
	}
	if !rt.write {
		if !p.read {
			return problem(http.StatusForbidden, codeForbidden, "", "become a member of the socket's group, or set readers_any in the configuration", fmt.Sprintf("user %d may not read", p.uid))
		}
		return nil
	}
	if !p.write {
		return problem(http.StatusForbidden, codeForbidden, "", "write as root, as the socket's owner or as a member of its group, on the control socket", fmt.Sprintf("user %d may read here, not write", p.uid))
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return problem(http.StatusUnsupportedMediaType, codeUnsupported, "", "send it uncompressed", "the content encoding "+strconv.Quote(clip(e))+" is not supported")
	}
	if wait := s.writes.take(); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(1+int(wait.Seconds())))
		return problem(http.StatusTooManyRequests, codeRateLimit, "", "put many operations into one transaction, or use the bulk streams",
			fmt.Sprintf("more than %g writes a second", s.cfg.WriteRate))
	}
	return nil
}

// parseQuery is URL.Query with its error.
func parseQuery(r *http.Request) (url.Values, error) { return url.ParseQuery(r.URL.RawQuery) }
