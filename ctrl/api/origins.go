package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// listBindings returns a page of the bindings that were pushed, learned and told by other boxes, in the order of
// their keys, whether there are more, and the revision of the pushed ones.
func (s *Server) listBindings(f core.BindingFilter, lq *listQuery) (list []model.Binding, more bool, revision uint64,
	err error) {
	origin, asked := lq.q["origin"]
	if asked && !slices.Contains(model.Origins, origin) {
		return nil, false, 0, rest.Problem(http.StatusBadRequest, model.CodeInvalid, "origin",
			"use one of "+strings.Join(model.Origins, ", "),
			strconv.Quote(rest.Clip(origin))+" is not an origin of bindings")
	}
	if asked && origin != model.OriginPushed {
		f.Origin = origin
		_, revision = s.cfg.Core.Snapshot()
	} else if list, more, revision, err = s.cfg.Core.ListBindings(f, lq.after, lq.limit); err != nil {
		return nil, false, 0, err
	}
	if origin == model.OriginPushed {
		return list, more, revision, nil
	}
	var after model.BindingKey
	if lq.after != "" {
		if after, err = model.ParseBindingKey(lq.after); err != nil {
			return nil, false, 0, err
		}
	}
	learned := s.cfg.Info.LearnedBindings(f, after, lq.limit+1)
	list = mergeBindings(list, learned)
	if len(list) > lq.limit {
		list, more = list[:lq.limit], true
	}
	return list, more, revision, nil
}

// mergeBindings merges lists in the order of their keys. What was pushed while the other list was made stands in both:
// it counts as pushed.
func mergeBindings(pushed, learned []model.Binding) []model.Binding {
	if len(learned) == 0 {
		return pushed
	}
	compare := func(a, b model.Binding) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.MAC, b.MAC))
	}
	list := append(slices.Clip(pushed), learned...)
	slices.SortStableFunc(list, compare)
	return slices.CompactFunc(list, func(a, b model.Binding) bool { return compare(a, b) == 0 })
}

func (s *Server) releaseBinding(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	text, err := key(r, model.KindBinding)
	if err != nil {
		return err
	}
	k, err := model.ParseBindingKey(text)
	if err != nil {
		return err
	}
	if !s.cfg.Info.ReleaseBinding(k) {
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "", "the alarms vif_flapping name those that are",
			"the binding "+text+" is not held")
	}
	rest.Reply(w, http.StatusOK, map[string]string{"status": "released"})
	return nil
}
