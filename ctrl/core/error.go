package core

import (
	"errors"
	"fmt"

	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/store"
)

// The codes of errors, besides those of model and strict.
const (
	CodeMismatch = "revision_mismatch" // If-Match names another revision
	CodeCapacity = "capacity"          // a table of the dataplane would overflow
	CodeStore    = "store"             // the disk
	CodeCanceled = "canceled"          // the caller went away or the body broke off
	CodeInternal = "internal"
)

// Detail is one fault of a request.
type Detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // place in the request: "operations[3].value.prefix", "line[17].switch_port"
	Hint    string `json:"hint,omitempty"`
}

// Error is the refusal of a request: nothing was changed. The embedded Detail is the first fault.
type Error struct {
	Detail
	Problems []Detail // all faults if there are several, at most MaxProblems
	Err      error    // what caused it, if that was an error
}

// MaxProblems is the most faults that one Error names.
const MaxProblems = 100

func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	if n := len(e.Problems); n > 1 {
		s += fmt.Sprintf(" and %d more", n-1)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(code, field, hint, format string, args ...any) *Error {
	return &Error{Detail: Detail{code, fmt.Sprintf(format, args...), field, hint}}
}

// faults collects details.
type faults struct{ list []Detail }

func (f *faults) add(d Detail) {
	if len(f.list) < MaxProblems {
		f.list = append(f.list, d)
	}
}

func (f *faults) strict(ps []strict.Problem, what string) {
	for _, p := range ps {
		f.add(Detail{p.Code, what + p.Message, p.Field, p.Hint})
	}
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	e := &Error{Detail: f.list[0]}
	if len(f.list) > 1 {
		e.Problems = f.list
	}
	return e
}

// storeError makes an Error of what the store returned.
func storeError(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	hint := "nothing was changed; look at the disk's space and health, then try again"
	var ce *store.CorruptError
	if errors.As(err, &ce) {
		hint = "the dataplane goes on with its tables; see the message for the remedy"
	}
	return &Error{Detail: Detail{Code: CodeStore, Message: err.Error(), Hint: hint}, Err: err}
}

// planError makes an Error of what Live returned.
func planError(err error) error {
	if errors.Is(err, ErrCapacity) {
		return &Error{Detail: Detail{Code: CodeCapacity, Message: err.Error(), Hint: "delete what is not used, or raise the table's size in the configuration"}, Err: err}
	}
	return &Error{Detail: Detail{Code: model.CodeInvalid, Message: err.Error()}, Err: err}
}

// line words an object in a message: "segment RED/web: ".
func label(kind model.Kind, key string) string {
	if key == "" {
		return ""
	}
	return kind.One() + " " + key + ": "
}
