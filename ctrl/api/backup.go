package api

import (
	"errors"
	"net/http"
	"syscall"

	"penstock/ctrl/backup"
	"penstock/ctrl/rest"
)

const codeNoSpace = "no_space"

// backup streams an archive. If it fails half-way, the connection is reset, so that no reader takes a part for the
// whole.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	if s.cfg.Backup == nil {
		return rest.Problem(http.StatusNotFound, rest.CodeNotFound, "", "", "this box keeps nothing")
	}
	leave, err := s.backups.Take(r)
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "application/x-tar")
	began := &countingWriter{w: w}
	err = s.cfg.Backup(r.Context(), began)
	var full *backup.SpaceError
	switch {
	case err == nil:
		return nil
	case began.n > 0:
		s.cfg.Log.Warn("backup broke off", "error", err)
		panic(http.ErrAbortHandler)
	case errors.As(err, &full), errors.Is(err, syscall.ENOSPC):
		return rest.Problem(http.StatusInsufficientStorage, codeNoSpace, "",
			"the box copies its state to its own disk first: make room there", err.Error())
	}
	return err
}
