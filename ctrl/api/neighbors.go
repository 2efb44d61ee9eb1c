package api

import (
	"net/http"

	"penstock/ctrl/rest"
	"penstock/ctrl/status"
)

func (s *Server) neighbors(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	rest.Reply(w, http.StatusOK, status.Items[status.Place]{Items: s.cfg.Info.Neighbors()})
	return nil
}
