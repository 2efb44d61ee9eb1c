package api

import (
	"cmp"
	"net/http"

	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// codeNoTable is the code of a service without table on this box.
const codeNoTable = "not_live"

// serviceTable answers with the table of servers of a virtual service.
func (s *Server) serviceTable(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	k, err := key(r, model.KindService)
	if err != nil {
		return err
	}
	_, rev, ok, err := s.object(model.KindService, k)
	if err != nil {
		return err
	}
	if !ok {
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "", "GET /v1/services lists what there is",
			"there is no service "+k)
	}
	why := ""
	if s.cfg.ServiceTable != nil {
		t, reason, live := s.cfg.ServiceTable(k)
		if live && reason == "" {
			rest.ETag(w, rev)
			rest.Reply(w, http.StatusOK, t)
			return nil
		}
		why = reason
	}
	if n, ok := s.cfg.Core.Status(model.KindService, k).(interface{ NotLive() string }); ok {
		why = cmp.Or(why, n.NotLive())
	}
	return rest.Problem(http.StatusConflict, codeNoTable, "", "directors of the service's VIP have the table while a "+
		"server is usable", "service "+k+" has no table here: "+cmp.Or(why, "it is not live"))
}
