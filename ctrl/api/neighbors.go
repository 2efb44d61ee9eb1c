package api

import (
	"fmt"
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

func (s *Server) boxes(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	rest.Reply(w, http.StatusOK, status.Items[status.FabricBox]{Items: s.cfg.Info.Boxes()})
	return nil
}

func (s *Server) sync(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	place := r.PathValue("place")
	if !s.cfg.Info.Sync(place) {
		return rest.Problem(http.StatusNotFound, rest.CodeNotFound, "place", "GET /v1/boxes lists the places",
			fmt.Sprintf("no box is heard at the place %q", place))
	}
	rest.Reply(w, http.StatusOK, map[string]string{"status": "pulling"})
	return nil
}
