package rest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"

	"penstock/ctrl/model/strict"
)

// Detail is one fault of a request.
type Detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// location in the request: "operations[3].value.prefix", "line[17].switch_port"
	Field string `json:"field,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Envelope is the form of all errors.
type Envelope struct {
	Error EnvelopeError `json:"error"`
}

// EnvelopeError is the error of a refused request, in the form of the answer. Problems holds every fault when there is
// more than one, at most MaxProblems.
type EnvelopeError struct {
	Status int `json:"status"`
	Detail
	Problems []Detail `json:"problems,omitempty"`
	// ProblemCount is the number of faults found, if it is larger than len(Problems). Reading may have ended before
	// the end of the request.
	ProblemCount int `json:"problem_count,omitempty"`
}

// MaxProblems is the most faults that one answer names.
const MaxProblems = strict.MaxProblems

// The codes of errors that this package makes.
const (
	CodeInvalid     = "invalid"
	CodeDuplicate   = "duplicate"
	CodeNotFound    = "not_found"
	CodeUnknown     = "unknown_field"
	CodeForbidden   = "forbidden"
	CodeRateLimit   = "rate_limit"
	CodeBusy        = "busy"
	CodeTooLarge    = "too_large"
	CodeTimeout     = "timeout"
	CodeTruncated   = "truncated"
	CodeMalformed   = "malformed"
	CodeMethod      = "method_not_allowed"
	CodeUnsupported = "unsupported"
	CodeInternal    = "internal"
)

// Problem makes an EnvelopeError of one fault; field and hint may be "".
func Problem(status int, code, field, hint, message string) *EnvelopeError {
	return &EnvelopeError{Status: status, Detail: Detail{Code: code, Message: message, Field: field, Hint: hint}}
}

// Error implements error.
func (e *EnvelopeError) Error() string { return e.Message }

// answer makes the answer of any error.
func (s *Server) answer(err error) *EnvelopeError {
	var e *EnvelopeError
	if errors.As(err, &e) {
		return e
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		hint := "split it, or use the bulk streams, or raise max_body in the configuration"
		if tooLarge.Limit != s.cfg.MaxBody {
			hint = "send less: this limit is fixed"
		}
		return Problem(http.StatusRequestEntityTooLarge, CodeTooLarge, "", hint,
			"the body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" octets")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Problem(http.StatusRequestTimeout, CodeTimeout, "", "nothing was changed; send it again",
			"the body did not arrive in time")
	}
	if s.cfg.ToError != nil {
		if e := s.cfg.ToError(err); e != nil {
			return e
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return Problem(http.StatusBadRequest, CodeTruncated, "", "nothing was changed; send it again",
			"the body breaks off")
	}
	if isBodyError(err) {
		return Problem(http.StatusBadRequest, CodeMalformed, "",
			"nothing was changed; check the chunks and the length that were sent",
			"the body cannot be read: "+Clip(err.Error()))
	}
	return Problem(http.StatusInternalServerError, CodeInternal, "", "", err.Error())
}

func isBodyError(err error) bool {
	var be *bodyError
	return errors.As(err, &be)
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	e := s.answer(err)
	if e.Status == http.StatusRequestTimeout || e.Status == http.StatusRequestEntityTooLarge || isBodyError(err) {
		w.Header().Set("Connection", "close") // the server does not wait for the rest of the body
	}
	Reply(w, e.Status, Envelope{*e})
}
