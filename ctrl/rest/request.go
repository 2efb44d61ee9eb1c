package rest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"penstock/ctrl/model/strict"
)

// ReadBody reads a whole small body.
func ReadBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return data, nil
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
	var se *strict.SyntaxError
	if errors.As(err, &se) {
		hint := "send one JSON object"
		if se.Code == "duplicate_key" {
			hint = "name every member once"
		}
		return nil, Problem(http.StatusBadRequest, se.Code, "", hint, se.Error())
	}
	return n, err
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

// BindProblems makes an error of what does not fit a body; nil if all does.
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
		return nil, Problem(http.StatusBadRequest, CodeInvalid, "", "escape special characters with %", "the query is malformed: "+err.Error())
	}
next:
	for k, v := range values {
		for _, n := range names {
			if n != k {
				continue
			}
			if len(v) != 1 {
				return nil, Problem(http.StatusBadRequest, CodeDuplicate, k, "name every parameter once", "the parameter "+strconv.Quote(k)+" occurs twice")
			}
			out[k] = v[0]
			continue next
		}
		hint := "no parameters are allowed here"
		if len(names) > 0 {
			hint = "allowed: " + strings.Join(names, ", ")
		}
		return nil, Problem(http.StatusBadRequest, CodeUnknown, Clip(k), hint, "unknown parameter "+strconv.Quote(Clip(k)))
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
	return false, Problem(http.StatusBadRequest, CodeInvalid, name, "allowed: true, false", strconv.Quote(Clip(v))+" is neither true nor false")
}

// IfMatch reads the If-Match header: a revision in quotes or bare, or nil for any.
func IfMatch(r *http.Request) (*uint64, error) {
	h := strings.TrimSpace(r.Header.Get("If-Match"))
	if h == "" || h == "*" {
		return nil, nil
	}
	u, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(h, "W/"), `"`), 10, 64)
	if err != nil {
		return nil, Problem(http.StatusBadRequest, CodeInvalid, "If-Match", "send the revision of an ETag, as \"17\", or *",
			fmt.Sprintf("%q is not a revision", h))
	}
	return &u, nil
}
