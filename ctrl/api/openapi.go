package api

import (
	_ "embed"
	"net/http"

	"penstock/ctrl/rest"
)

// openapiDocument describes every route; openapi_test.go holds it to the routes and to what the handlers answer.
//
//go:embed openapi.json
var openapiDocument []byte

func (s *Server) openapi(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(openapiDocument)
	return err
}
