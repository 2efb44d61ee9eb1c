package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// The codes of errors that only this package makes.
const (
	codeNotReady = "not_ready"
	codeRefused  = "refused"
	codeCleared  = "cleared"

	codeNotDurable = "not_durable" // the change is in effect but not on disk: a restart may lose it
)

// statusOf is the HTTP status of a code. A code that is not listed is of a value that is well-formed but not accepted:
// 422.
func statusOf(code string) int {
	switch code {
	case "syntax", "trailing", "truncated", "duplicate_key", "depth":
		return http.StatusBadRequest
	case core.CodeMismatch, core.CodeExists, core.CodeMissing:
		return http.StatusPreconditionFailed
	case core.CodeCapacity:
		return http.StatusInsufficientStorage
	case core.CodeStore, core.CodeUnknown, core.CodeInternal:
		return http.StatusInternalServerError
	case core.CodeCanceled:
		return http.StatusBadRequest
	case model.CodeInUse:
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

// toError converts an error of core into an answer; nil for any other error.
func toError(err error) *rest.EnvelopeError {
	var ce *core.Error
	if !errors.As(err, &ce) {
		return nil
	}
	if ce.Code == core.CodeCanceled && errors.Is(err, io.ErrUnexpectedEOF) {
		ce.Code = rest.CodeTruncated
	}
	e := &rest.EnvelopeError{Status: statusOf(ce.Code), Detail: rest.Detail(ce.Detail)}
	for _, d := range ce.Problems {
		e.Problems = append(e.Problems, rest.Detail(d))
	}
	if ce.Count > len(e.Problems) {
		e.ProblemCount = ce.Count
	}
	return e
}

// notDurable is the answer when a change is in effect but not on disk.
func notDurable(done string, err error) error {
	return rest.Problem(http.StatusInternalServerError, codeNotDurable, "",
		"the change is in effect, do not repeat it; check the disk's space and health: the box retries the write",
		fmt.Sprintf("%s, but a restart may forget it: %v", done, err))
}

// withStatus is an object as the API shows it: its fields, and a member "status".
func withStatus(o any, status any) (json.RawMessage, error) {
	text, err := json.Marshal(o)
	if err != nil || status == nil {
		return text, err
	}
	st, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return append(append(append(text[:len(text)-1], `,"status":`...), st...), '}'), nil
}
