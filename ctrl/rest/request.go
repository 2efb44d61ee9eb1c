package rest

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"penstock/ctrl/model/strict"
)

// FixedMemory is the memory in octets that a request may take besides four octets per octet of its body. The tables
// take more for stored objects.
const FixedMemory = 64 << 20

// bodyBlock is how much of a body is read at a time.
const bodyBlock = 256 << 10

// ReadBody reads a whole body. It takes at most twice the memory of the octets that have arrived.
func ReadBody(r *http.Request) ([]byte, error) {
	var blocks [][]byte
	size := int64(bodyBlock)
	if 0 <= r.ContentLength && r.ContentLength < size {
		size = r.ContentLength + 1 // for io.EOF
	}
	for total := 0; ; {
		block := make([]byte, size)
		n, err := io.ReadFull(r.Body, block)
		total += n
		switch {
		case err == nil:
			blocks = append(blocks, block)
			continue
		case err != io.EOF && (err != io.ErrUnexpectedEOF || isBodyError(err)):
			return nil, err
		}
		if len(blocks) == 0 {
			return block[:n], nil
		}
		data := make([]byte, 0, total)
		for _, b := range blocks {
			data = append(data, b...)
		}
		return append(data, block[:n]...), nil
	}
}

// ParseBody reads a body as one JSON value.
func ParseBody(r *http.Request) (*strict.Node, error) {
	data, err := ReadBody(r)
	if err != nil {
		return nil, err
	}
	return ParseJSON(data)
}

// ParseJSON reads one JSON value.
func ParseJSON(data []byte) (*strict.Node, error) {
	n, err := strict.Parse(data)
	return n, SyntaxProblem(err)
}

// SyntaxProblem converts a *strict.SyntaxError into an answer; other errors stay as they are.
func SyntaxProblem(err error) error {
	var se *strict.SyntaxError
	if !errors.As(err, &se) {
		return err
	}
	status, hint := http.StatusBadRequest, "send one JSON object"
	switch se.Code {
	case "duplicate_key":
		hint = "name every member once"
	case "limit":
		status, hint = http.StatusUnprocessableEntity, "send less in one value"
	}
	return Problem(status, se.Code, "", hint, se.Error())
}

// OptionalBody fills *dst from a JSON object; no body at all leaves it as it is.
func OptionalBody(r *http.Request, dst any) error {
	data, err := ReadBody(r)
	if err != nil || len(data) == 0 {
		return err
	}
	n, err := ParseJSON(data)
	if err != nil {
		return err
	}
	return BindProblems(strict.Bind(n, dst, ""))
}

// BindProblems makes an error of the faults of a body; nil if there are none.
func BindProblems(ps []strict.Problem) error {
	if len(ps) == 0 {
		return nil
	}
	e := Problem(http.StatusUnprocessableEntity, ps[0].Code, ps[0].Field, ps[0].Hint, ps[0].Message)
	if len(ps) > 1 {
		for _, p := range ps[:min(len(ps), MaxProblems)] {
			e.Problems = append(e.Problems, Detail{Code: p.Code, Message: p.Message, Field: p.Field, Hint: p.Hint})
		}
	}
	return e
}

// Query reads the query parameters, which must be among those named, each once.
func Query(r *http.Request, names ...string) (map[string]string, error) {
	out := map[string]string{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Problem(http.StatusBadRequest, CodeInvalid, "", "escape special characters with %",
			"the query is malformed: "+err.Error())
	}
next:
	for k, v := range values {
		for _, n := range names {
			if n != k {
				continue
			}
			if len(v) != 1 {
				return nil, Problem(http.StatusBadRequest, CodeDuplicate, k, "name every parameter once",
					"the parameter "+strconv.Quote(k)+" occurs twice")
			}
			out[k] = v[0]
			continue next
		}
		hint := "no parameters are allowed here"
		if len(names) > 0 {
			hint = "allowed: " + strings.Join(names, ", ")
		}
		return nil, Problem(http.StatusBadRequest, CodeUnknown, Clip(k), hint,
			"unknown parameter "+strconv.Quote(Clip(k)))
	}
	return out, nil
}

// Clip shortens a text of the caller that an error repeats.
func Clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return s
}

// Flag reads a parameter that is true or false; def if it is not given.
func Flag(q map[string]string, name string, def bool) (bool, error) {
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
	return false, Problem(http.StatusBadRequest, CodeInvalid, name, "allowed: true, false",
		strconv.Quote(Clip(v))+" is neither true nor false")
}
