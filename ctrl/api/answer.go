package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
)

// Envelope is the form of all errors.
type Envelope struct {
	Error EnvelopeError `json:"error"`
}

// EnvelopeError says what was wrong with a request. Problems holds every fault when there is more than one.
type EnvelopeError struct {
	Status int `json:"status"`
	core.Detail
	Problems []core.Detail `json:"problems,omitempty"`
}

// The codes of errors that only this package makes.
const (
	codeForbidden   = "forbidden"
	codeRateLimit   = "rate_limit"
	codeBusy        = "busy"
	codeTooLarge    = "too_large"
	codeTimeout     = "timeout"
	codeMethod      = "method_not_allowed"
	codeNotReady    = "not_ready"
	codeRefused     = "refused"
	codeUnsupported = "unsupported"
	codeCleared     = "cleared"
)

// statusOf is the HTTP status of a code; what is not named is a value that can be read but not accepted: 422.
func statusOf(code string) int {
	switch code {
	case "syntax", "trailing", "truncated", "duplicate_key", "depth":
		return http.StatusBadRequest
	case core.CodeMismatch:
		return http.StatusPreconditionFailed
	case core.CodeCapacity:
		return http.StatusInsufficientStorage
	case core.CodeStore, core.CodeInternal:
		return http.StatusInternalServerError
	case core.CodeCanceled:
		return http.StatusBadRequest
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeTimeout:
		return http.StatusRequestTimeout
	case model.CodeInUse:
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

func problem(status int, code, field, hint, message string) *EnvelopeError {
	return &EnvelopeError{Status: status, Detail: core.Detail{Code: code, Message: message, Field: field, Hint: hint}}
}

// Error implements error, so that an answer can travel as one.
func (e *EnvelopeError) Error() string { return e.Message }

// toEnvelope makes the answer of any error.
func toEnvelope(err error) *EnvelopeError {
	var ee *EnvelopeError
	if errors.As(err, &ee) {
		return ee
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem(http.StatusRequestEntityTooLarge, codeTooLarge, "", "split it, or use the bulk streams, or raise the limit in the configuration",
			"the body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" octets")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem(http.StatusRequestTimeout, codeTimeout, "", "nothing was changed; send it again", "the body did not arrive in time")
	}
	var ce *core.Error
	if errors.As(err, &ce) {
		if ce.Code == core.CodeCanceled && errors.Is(err, io.ErrUnexpectedEOF) {
			ce.Code = "truncated"
		}
		return &EnvelopeError{Status: statusOf(ce.Code), Detail: ce.Detail, Problems: ce.Problems}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return problem(http.StatusBadRequest, "truncated", "", "nothing was changed; send it again", "the body breaks off")
	}
	return problem(http.StatusInternalServerError, core.CodeInternal, "", "", err.Error())
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	e := toEnvelope(err)
	if e.Status == http.StatusRequestTimeout || e.Status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	s.reply(w, e.Status, Envelope{*e})
}

// reply writes v as JSON.
func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		s.cfg.Log.Error("answer that is no JSON", "error", err)
		status = http.StatusInternalServerError
		buf.Reset()
		buf.WriteString(`{"error":{"status":500,"code":"internal","message":"the answer could not be encoded"}}` + "\n")
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // a caller that is gone needs no answer
}

func etag(w http.ResponseWriter, revision uint64) {
	w.Header().Set("ETag", `"`+strconv.FormatUint(revision, 10)+`"`)
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

// readBody reads a whole small body.
func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return data, nil
}

// parseBody reads a body as one JSON value.
func parseBody(r *http.Request) (*strict.Node, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseJSON(data)
}

func parseJSON(data []byte) (*strict.Node, error) {
	n, err := strict.Parse(data)
	var se *strict.SyntaxError
	if errors.As(err, &se) {
		hint := "send one JSON object"
		if se.Code == "duplicate_key" {
			hint = "name every member once"
		}
		return nil, problem(http.StatusBadRequest, se.Code, "", hint, se.Error())
	}
	return n, err
}

// bindProblems makes an error of what does not fit a body; nil if all does.
func bindProblems(ps []strict.Problem) error {
	if len(ps) == 0 {
		return nil
	}
	e := problem(http.StatusUnprocessableEntity, ps[0].Code, ps[0].Field, ps[0].Hint, ps[0].Message)
	if len(ps) > 1 {
		for _, p := range ps[:min(len(ps), core.MaxProblems)] {
			e.Problems = append(e.Problems, core.Detail{Code: p.Code, Message: p.Message, Field: p.Field, Hint: p.Hint})
		}
	}
	return e
}

// query reads the query parameters, which must be among those named, each once.
func query(r *http.Request, names ...string) (map[string]string, error) {
	out := map[string]string{}
	values, err := parseQuery(r)
	if err != nil {
		return nil, problem(http.StatusBadRequest, model.CodeInvalid, "", "escape special characters with %", "the query is malformed: "+err.Error())
	}
next:
	for k, v := range values {
		for _, n := range names {
			if n != k {
				continue
			}
			if len(v) != 1 {
				return nil, problem(http.StatusBadRequest, model.CodeDuplicate, k, "name every parameter once", "the parameter "+strconv.Quote(k)+" occurs twice")
			}
			out[k] = v[0]
			continue next
		}
		hint := "no parameters are allowed here"
		if len(names) > 0 {
			hint = "allowed: " + strings.Join(names, ", ")
		}
		return nil, problem(http.StatusBadRequest, "unknown_field", clip(k), hint, "unknown parameter "+strconv.Quote(clip(k)))
	}
	return out, nil
}

func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return s
}

func flag(q map[string]string, name string, def bool) (bool, error) {
	v, ok := q[name]
	if !ok {
		return def, nil
	}
	switch v {
	case "true", "1", "":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, problem(http.StatusBadRequest, model.CodeInvalid, name, "allowed: true, false", strconv.Quote(clip(v))+" is neither true nor false")
}
