package api

import (
	_ "embed"
	"net/http"
)

// openapiDocument describes every route; openapi_test.go holds it to the routes and to what the handlers answer.
//
//go:embed openapi.json
var openapiDocument []byte

func (s *Server) openapi(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(openapiDocument)
	return err
}
