package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// List is a page of a collection. Next is the "after" of the next page, "" on the last.
type List struct {
	Items    []json.RawMessage `json:"items"`
	Next     string            `json:"next,omitempty"`
	Revision uint64            `json:"revision"`
}

const (
	defaultLimit = 1000
	maxLimit     = 10_000
	maxPage      = 8 << 20 // octets; a larger page ends whatever its limit: one path may have 64 VLANs
)

// listQuery is the decoded query of a listing.
type listQuery struct {
	q       map[string]string
	filters []model.Filter
	after   string
	limit   int
	status  bool
}

func readListQuery(r *http.Request, kind model.Kind) (lq listQuery, err error) {
	info := kind.Info()
	lq.filters = info.Filters
	names := append([]string{"limit", "after", "status"}, info.FilterNames()...)
	if kind == model.KindBinding {
		names = append(names, "origin")
	}
	if lq.q, err = rest.Query(r, names...); err != nil {
		return lq, err
	}
	bad := func(field, hint, message string) error {
		return rest.Problem(http.StatusBadRequest, model.CodeInvalid, field, hint, message)
	}
	lq.limit = defaultLimit
	if v, ok := lq.q["limit"]; ok {
		if lq.limit, err = strconv.Atoi(v); err != nil || lq.limit < 1 || lq.limit > maxLimit {
			return lq, bad("limit", "limits go from 1 to "+strconv.Itoa(maxLimit),
				strconv.Quote(rest.Clip(v))+" is not a limit")
		}
	}
	if lq.status, err = rest.Flag(lq.q, "status", true); err != nil {
		return lq, err
	}
	if v := lq.q["after"]; v != "" {
		if lq.after, err = model.NormalizeKey(kind, v); err != nil {
			return lq, bad("after", "use the \"next\" of the previous page", err.Error())
		}
	}
	if err := normalizeMACs(lq.filters, lq.q); err != nil {
		return lq, err
	}
	return lq, nil
}

// normalizeMACs converts the MACs among the values of filters to the form that objects use.
func normalizeMACs(filters []model.Filter, q map[string]string) error {
	for _, f := range filters {
		v := q[f.Name]
		if !f.MAC || v == "" {
			continue
		}
		m, err := model.ParseMAC(v)
		if err != nil {
			return rest.Problem(http.StatusBadRequest, model.CodeInvalid, f.Name, "", err.Error())
		}
		q[f.Name] = m.String()
	}
	return nil
}

// bindingFilter reads the filters of bindings, which the store applies.
func bindingFilter(q map[string]string) (f core.BindingFilter, err error) {
	f.Tenant, f.Segment = q["tenant"], q["segment"]
	if v := q["switch"]; v != "" {
		if f.Switch, err = model.ParseMAC(v); err != nil {
			return f, rest.Problem(http.StatusBadRequest, model.CodeInvalid, "switch", "", err.Error())
		}
	}
	if f.Segment != "" && f.Tenant == "" {
		return f, rest.Problem(http.StatusBadRequest, model.CodeInvalid, "segment", "name the tenant too",
			"segments are named within a tenant")
	}
	return f, nil
}

// match applies the filters to an object.
func (lq *listQuery) match(o model.Object) bool {
	for _, f := range lq.filters {
		if value, ok := lq.q[f.Name]; ok && !f.Match(o, value) {
			return false
		}
	}
	return true
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, kind model.Kind) error {
	lq, err := readListQuery(r, kind)
	if err != nil {
		return err
	}
	out := List{Items: []json.RawMessage{}}
	octets := 0
	add := func(o model.Object) error {
		var status any
		if lq.status {
			status = s.cfg.Core.Status(kind, o.Key())
		}
		text, err := withStatus(o, status)
		out.Items = append(out.Items, text)
		octets += len(text)
		return err
	}
	if kind == model.KindBinding {
		f, err := bindingFilter(lq.q)
		if err != nil {
			return err
		}
		bs, more, rev, err := s.listBindings(f, &lq)
		if err != nil {
			return err
		}
		for i := range bs {
			if err := add(bs[i]); err != nil {
				return err
			}
		}
		if out.Revision = rev; more {
			out.Next = bs[len(bs)-1].Key()
		}
		return s.page(w, out)
	}
	st, rev := s.cfg.Core.Snapshot()
	keys := s.sorted(st, kind)
	start := 0
	if lq.after != "" {
		start = sort.SearchStrings(keys, lq.after)
		if start < len(keys) && keys[start] == lq.after {
			start++
		}
	}
	last := ""
	for _, key := range keys[start:] {
		o, ok := st.Get(kind, key)
		if !ok || !lq.match(o) {
			continue
		}
		if len(out.Items) == lq.limit || octets > maxPage {
			out.Next = last
			break
		}
		if err := add(o); err != nil {
			return err
		}
		last = key
	}
	out.Revision = rev
	return s.page(w, out)
}

func (s *Server) page(w http.ResponseWriter, l List) error {
	rest.ETag(w, l.Revision)
	rest.Reply(w, http.StatusOK, l)
	return nil
}

// key reads the key of an object from the URL.
func key(r *http.Request, kind model.Kind) (string, error) {
	var parts []string
	for _, p := range strings.Split(kind.Info().KeyPattern(), "/") {
		parts = append(parts, r.PathValue(strings.Trim(p, "{}")))
	}
	k, err := model.NormalizeKey(kind, strings.Join(parts, "/"))
	if err != nil {
		return "", rest.Problem(http.StatusUnprocessableEntity, model.CodeInvalid, "key", "", err.Error())
	}
	return k, nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, kind model.Kind) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	k, err := key(r, kind)
	if err != nil {
		return err
	}
	o, rev, ok, err := s.object(kind, k)
	if err != nil {
		return err
	}
	if !ok {
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "", "GET /v1/"+string(kind)+" lists what there is",
			"there is no "+kind.One()+" "+k)
	}
	text, err := withStatus(o, s.cfg.Core.Status(kind, k))
	if err != nil {
		return err
	}
	rest.ETag(w, rev)
	rest.Reply(w, http.StatusOK, text)
	return nil
}

func (s *Server) object(kind model.Kind, key string) (o model.Object, rev uint64, ok bool, err error) {
	st, rev := s.cfg.Core.Snapshot()
	if kind != model.KindBinding {
		o, ok = st.Get(kind, key)
		return o, rev, ok, nil
	}
	k, err := model.ParseBindingKey(key)
	if err != nil {
		return nil, rev, false, err
	}
	b, ok, err := s.cfg.Core.Binding(k)
	if !ok && err == nil {
		b, ok = s.cfg.Info.LearnedBinding(k)
	}
	return b, rev, ok, err
}

// change serves PUT, PATCH and DELETE of one object: a transaction of one operation.
func (s *Server) change(w http.ResponseWriter, r *http.Request, kind model.Kind, verb core.Verb) error {
	t, err := s.writeOptions(r)
	if err != nil {
		return err
	}
	k, err := key(r, kind)
	if err != nil {
		return err
	}
	op := core.Op{Verb: verb, Kind: kind, Key: k}
	switch cond := rest.ConditionsOf(r); {
	case cond.Exists && cond.Absent:
		return rest.Problem(http.StatusBadRequest, model.CodeInvalid, "If-Match", "send one of the two",
			"the object cannot both exist (If-Match) and not exist (If-None-Match)")
	case cond.Exists:
		op.Only = core.IfExists
	case cond.Absent:
		op.Only = core.IfAbsent
	}
	if verb != core.Delete {
		if op.Node, err = rest.ParseBody(r); err != nil {
			return err
		}
	}
	t.Ops = []core.Op{op}
	res, err := s.cfg.Core.Do(r.Context(), t)
	if err != nil {
		return oneOperation(err, verb)
	}
	rest.ETag(w, res.Revision)
	status := http.StatusOK
	if len(res.Changes) == 1 && res.Changes[0].Change == "create" && !res.DryRun {
		status = http.StatusCreated
	}
	rest.Reply(w, status, res)
	return nil
}

// oneOperation removes the transaction from the fields of an error: the body of the request is the value alone.
func oneOperation(err error, verb core.Verb) error {
	var ce *core.Error
	if !errors.As(err, &ce) {
		return err
	}
	short := func(f string) string {
		f = strings.TrimPrefix(f, "operations[0]")
		return strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(f, ".value"), "."), "operations")
	}
	out := *ce
	out.Field = short(out.Field)
	out.Problems = append([]core.Detail(nil), ce.Problems...)
	for i := range out.Problems {
		out.Problems[i].Field = short(out.Problems[i].Field)
	}
	e := toError(&out)
	if verb == core.Patch && out.Field == "key" && out.Code == model.CodeNotFound {
		e.Status = http.StatusNotFound
	}
	return e
}

// writeOptions reads the options that all writes have.
func (s *Server) writeOptions(r *http.Request, more ...string) (t core.Transaction, err error) {
	q, err := rest.Query(r, append([]string{"dry_run"}, more...)...)
	if err != nil {
		return t, err
	}
	if t.DryRun, err = rest.Flag(q, "dry_run", false); err != nil {
		return t, err
	}
	t.IfMatch = rest.ConditionsOf(r).Revision
	return t, nil
}

// deleteBindings serves DELETE on the collection: the bindings that the filter selects are deleted. A request without a
// filter is refused.
func (s *Server) deleteBindings(w http.ResponseWriter, r *http.Request) error {
	t, err := s.writeOptions(r, model.KindBinding.Info().FilterNames()...)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	for _, name := range model.KindBinding.Info().FilterNames() {
		if q.Has(name) && q.Get(name) == "" { // a script's unset variable would select more than was meant
			return rest.Problem(http.StatusBadRequest, model.CodeRequired, name,
				"give the filter a value, or leave it out", "the filter "+name+" has no value, and nothing was deleted")
		}
	}
	f, err := bindingFilter(map[string]string{"tenant": q.Get("tenant"), "segment": q.Get("segment"),
		"switch": q.Get("switch")})
	if err != nil {
		return err
	}
	if f == (core.BindingFilter{}) {
		return rest.Problem(http.StatusBadRequest, model.CodeRequired, "tenant",
			"to delete all bindings, send an empty stream: POST /v1/bulk/bindings?mode=replace", "a filter is missing")
	}
	res, err := s.cfg.Core.DeleteBindings(r.Context(), f, core.BulkOptions{DryRun: t.DryRun, IfMatch: t.IfMatch})
	if err != nil {
		return err
	}
	rest.ETag(w, res.Revision)
	rest.Reply(w, http.StatusOK, res)
	return nil
}
