package rest

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Route is one method of one URL. An error that Do returns becomes the answer, unless it has begun one. A route for GET
// serves HEAD too.
type Route struct {
	Method   string
	Pattern  string        // as of http.ServeMux and OpenAPI alike: {name} is one part
	Write    bool          // takes a body and the permission to write
	Revision bool          // a write that If-Match with a revision can guard
	Object   bool          // a write of one object, with preconditions on its existence
	Streamed bool          // Do reads the body as a stream
	MaxBody  int64         // octets of the body; 0 = Config.MaxBody
	BodyTime time.Duration // for the body as a whole; 0 = 1 min
	Do       func(w http.ResponseWriter, r *http.Request) error
}

// handler answers the requests.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	byPattern := map[string]map[string]Route{}
	for _, rt := range s.cfg.Routes {
		if byPattern[rt.Pattern] == nil {
			byPattern[rt.Pattern] = map[string]Route{}
		}
		byPattern[rt.Pattern][rt.Method] = rt
	}
	for pattern, methods := range byPattern {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.dispatch(methods, w, r) })
	}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, Problem(http.StatusNotFound, CodeNotFound, "", "GET /v1/openapi.json lists all paths",
			"there is nothing at "+Clip(r.URL.Path)))
	}
	mux.HandleFunc("/", nothing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		d := &deadlines{rc: http.NewResponseController(w), idle: s.cfg.IdleTimeout, log: s.cfg.Log, r: r, cut: &s.cut,
			last: started.Add(s.cfg.AnswerTimeout)}
		sw := &slowWriter{ResponseWriter: w, d: d}
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler {
				panic(p)
			}
			if p != nil {
				s.cfg.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "panic", p, "stack",
					string(debug.Stack()))
				if sw.status == 0 {
					s.fail(sw, fmt.Errorf("the request could not be served: %v", p))
				}
			}
			who := PeerOf(r)
			s.cfg.Log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", sw.status, "uid", who.UID,
				"pid",
				who.PID, "took", time.Since(started))
		}()
		if r.ContentLength != 0 { // also for a body that no handler reads: the server drains that body
			_ = d.rc.SetReadDeadline(d.next())
		}
		if connOf(r).reserved { // a connection of the reserve serves one request within reserveTime
			sw.Header().Set("Connection", "close")
			d.last = started.Add(min(reserveTime, s.cfg.AnswerTimeout))
		}
		if !clean(r) {
			nothing(sw, r)
			return
		}
		mux.ServeHTTP(sw, r)
	})
}

// reserveTime is how long a request may take on a connection from the reserve: its body, and then its answer.
const reserveTime = 30 * time.Second

// clean reports whether http.ServeMux accepts the path as it is. It would answer other paths itself, with a redirection
// in HTML or an empty answer.
func clean(r *http.Request) bool {
	p := r.URL.Path
	return r.Method != http.MethodConnect && strings.HasPrefix(p, "/") && !strings.Contains(p, "//") && (p == "/" ||
		path.Clean(p) == strings.TrimSuffix(p, "/"))
}

// bodyTime is how long a body may take as a whole unless the route says otherwise.
const bodyTime = time.Minute

func (s *Server) dispatch(methods map[string]Route, w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt, ok := methods[method]
	if !ok {
		names := slices.Collect(maps.Keys(methods))
		if _, ok := methods[http.MethodGet]; ok {
			names = append(names, http.MethodHead)
		}
		slices.Sort(names)
		allow := strings.Join(names, ", ")
		w.Header().Set("Allow", allow)
		s.fail(w, Problem(http.StatusMethodNotAllowed, CodeMethod, "", "allowed: "+allow,
			"the method "+Clip(r.Method)+" is not allowed here"))
		return
	}
	limit := cmp.Or(rt.MaxBody, s.cfg.MaxBody)
	if !rt.Write {
		limit = 0
	}
	d := w.(*slowWriter).d
	now := time.Now()
	d.end = now.Add(cmp.Or(rt.BodyTime, bodyTime))
	if connOf(r).reserved {
		d.end = now.Add(reserveTime)
	}
	body := &slowBody{ReadCloser: r.Body, d: d}
	r.Body = http.MaxBytesReader(w, body, limit)
	err := s.serve(rt, limit, w, r)
	if err == nil && rt.Write && s.cfg.Observe != nil {
		s.cfg.Observe(rt.Pattern, time.Since(now))
	}
	if err == nil {
		return
	}
	unread := rt.Write && r.ContentLength != 0 && !body.ended
	if unread { // answer at once: net/http would wait for the rest of a short body before it answers
		_ = d.rc.EnableFullDuplex()
		w.Header().Set("Connection", "close")
	}
	s.fail(w, err)
	if unread && !isBodyError(err) {
		_ = http.NewResponseController(w).Flush()
		drain(body)
	}
}

// serve runs a route for a caller who may use it.
func (s *Server) serve(rt Route, limit int64, w http.ResponseWriter, r *http.Request) error {
	if err := s.admit(rt, w, r); err != nil {
		return err
	}
	if _, err := conditions(rt, r); err != nil {
		return err
	}
	if rt.Write && r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	if limit > smallBody && !rt.Streamed && (r.ContentLength < 0 || r.ContentLength > smallBody) {
		leave, err := s.large.Take(r)
		if err != nil {
			return err
		}
		defer leave()
	}
	return rt.Do(w, r)
}

// drain reads some more of a refused body: closing at once would reset the connection of a caller that is still
// sending, before the caller has read the error.
func drain(b *slowBody) {
	b.d.idle = time.Second
	b.d.end = time.Now().Add(2 * time.Second)
	_, _ = io.CopyN(io.Discard, b, 64<<20)
}

// admit decides whether the caller may make this request now.
func (s *Server) admit(rt Route, w http.ResponseWriter, r *http.Request) error {
	p := PeerOf(r)
	if p.Err != nil {
		return Problem(http.StatusForbidden, CodeForbidden, "", "", "the caller cannot be identified: "+p.Err.Error())
	}
	if !rt.Write {
		if !p.Read {
			return Problem(http.StatusForbidden, CodeForbidden, "", p.ReadHint, p.Name+" may not read")
		}
		return nil
	}
	if !p.Write {
		return Problem(http.StatusForbidden, CodeForbidden, "", p.WriteHint, p.Name+" may read here, not write")
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return Problem(http.StatusUnsupportedMediaType, CodeUnsupported, "", "send it uncompressed",
			"the content encoding "+strconv.Quote(Clip(e))+" is not supported")
	}
	writes := &s.writes
	if p.Privileged { // others who write without end do not keep root from a reload
		writes = &s.reserve
	}
	if wait := writes.take(); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(1+int(wait.Seconds())))
		return Problem(http.StatusTooManyRequests, CodeRateLimit, "",
			"put many operations into one transaction, or use the bulk streams",
			fmt.Sprintf("more than %g writes a second", s.cfg.WriteRate))
	}
	return nil
}
