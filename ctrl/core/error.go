package core

import (
	"errors"
	"fmt"
	"strings"

	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/store"
)

// The codes of errors, besides those of model and strict.
const (
	CodeMismatch = "revision_mismatch" // If-Match names another revision
	CodeExists   = "exists"            // If-None-Match: *, and the object exists
	CodeMissing  = "missing"           // If-Match: *, and the object does not exist
	CodeCapacity = "capacity"          // a table of the dataplane would overflow
	CodeStore    = "store"             // the disk
	CodeUnknown  = "outcome_unknown"   // the disk failed at the end of a write: a restart may find the write on disk
	CodeCanceled = "canceled"          // the caller disconnected or the body broke off
	CodeInternal = "internal"
)

// Detail is one fault of a request.
type Detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// location in the request: "operations[3].value.prefix", "line[17].switch_port"
	Field string `json:"field,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Error is the refusal of a request: nothing was changed, except that after CodeUnknown a restart may find the change
// on disk. The embedded Detail is the first fault.
type Error struct {
	Detail
	Problems []Detail // the faults if there are several, at most MaxProblems
	Count    int      // faults found, of which Problems may be the first ones
	Err      error    // the underlying error; nil = none
}

// MaxProblems is the most faults that one Error names.
const MaxProblems = strict.MaxProblems

func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	if n := max(e.Count, len(e.Problems)); n > 1 {
		s += fmt.Sprintf(" and %d more", n-1)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(code, field, hint, format string, args ...any) *Error {
	return &Error{Detail: Detail{code, clip(fmt.Sprintf(format, args...), maxMessage), clip(field, maxField), hint}}
}

// faults collects details: the first MaxProblems, and how many there are.
type faults struct {
	list []Detail
	n    int
}

// The longest texts of a fault, in octets: messages repeat what the caller sent.
const (
	maxMessage = 1024
	maxField   = 256
)

func (f *faults) add(d Detail) {
	if f.n++; len(f.list) < MaxProblems {
		d.Message, d.Field, d.Hint = clip(d.Message, maxMessage), clip(d.Field, maxField), clip(d.Hint, maxMessage)
		f.list = append(f.list, d)
	}
}

// full reports whether more faults would only be counted.
func (f *faults) full() bool { return len(f.list) >= MaxProblems }

// join adds the faults of another list.
func (f *faults) join(o *faults) {
	for _, d := range o.list {
		f.add(d)
	}
	f.n += o.n - len(o.list)
}

func (f *faults) strict(ps []strict.Problem, what string) {
	for _, p := range ps {
		f.add(Detail{p.Code, what + p.Message, p.Field, p.Hint})
	}
}

// clip shortens a text to n octets, and copies it so that it does not hold the whole request in memory.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(strings.Clone(s[:n]), "") + "…"
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	e := &Error{Detail: f.list[0]}
	if len(f.list) > 1 {
		e.Problems, e.Count = f.list, f.n
	}
	return e
}

// storeError makes an Error of an error of the store.
func storeError(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	code, hint := CodeStore, "nothing was changed; check the disk's space and health, then try again"
	var ue *store.UnknownError
	if errors.As(err, &ue) && !ue.Earlier {
		code = CodeUnknown
		hint = "nothing was changed in the dataplane, but a restart may find the change on disk; writes are refused " +
			"until the disk answers: see the alarm store_failing, then read the tables and try again"
	}
	var ce *store.CorruptError
	if errors.As(err, &ce) {
		hint = "the dataplane goes on with its tables; see the message for the remedy"
	}
	return &Error{Detail: Detail{Code: code, Message: err.Error(), Hint: hint}, Err: err}
}

// planError makes an Error of an error of Live.
func planError(err error) error {
	if errors.Is(err, ErrCapacity) {
		return &Error{Detail: Detail{Code: CodeCapacity, Message: err.Error(),
			Hint: "delete what is not used, or raise the table's size in the configuration"}, Err: err}
	}
	return &Error{Detail: Detail{Code: model.CodeInvalid, Message: err.Error()}, Err: err}
}

// label is the prefix of a message about an object: "segment RED/web: ".
func label(kind model.Kind, key string) string {
	if key == "" {
		return ""
	}
	return kind.One() + " " + key + ": "
}
