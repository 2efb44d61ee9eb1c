package rest

import (
	"net/http"
	"strconv"
	"strings"
)

// Conditions are the preconditions of a write (RFC 9110, clause 13). Reads have none: their content changes
// without the revision.
type Conditions struct {
	Revision *uint64 // If-Match: "17": the revision that the caller has read; nil = any
	Exists   bool    // If-Match: *, on an object: it must exist
	Absent   bool    // If-None-Match: *, on a PUT of an object: it must not exist
}

// ConditionsOf returns the preconditions of a request. The dispatch has refused those that its route does not honour.
func ConditionsOf(r *http.Request) Conditions {
	c, _ := conditions(Route{Write: true, Revision: true, Object: true}, r)
	return c
}

// conditions reads the preconditions and refuses those that the route cannot honour: an ignored precondition protects
// nothing.
func conditions(rt Route, r *http.Request) (c Conditions, err error) {
	if !rt.Write {
		return c, nil
	}
	bad := func(field, hint, message string) error {
		return Problem(http.StatusBadRequest, CodeInvalid, field, hint, message)
	}
	const revisionHint = "send the revision of one ETag, as \"17\", or *"
	if h, given := header(r, "If-Match"); given {
		switch {
		case !rt.Revision:
			return c, bad("If-Match", "leave the header out",
				"If-Match is not supported here: this resource has no revision")
		case h == "*":
			c.Exists = rt.Object
		default:
			u, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(h, "W/"), `"`), 10, 64)
			if err != nil {
				return c, bad("If-Match", revisionHint, strconv.Quote(Clip(h))+" is not a revision")
			}
			c.Revision = &u
		}
	}
	if h, given := header(r, "If-None-Match"); given {
		if h != "*" || !rt.Object || r.Method != http.MethodPut {
			return c, bad("If-None-Match", "leave the header out; * is for PUT of an object that must not exist yet",
				"If-None-Match "+strconv.Quote(Clip(h))+" is not supported here")
		}
		c.Absent = true
	}
	if _, given := header(r, "Content-Range"); given {
		return c, bad("Content-Range", "send the whole body",
			"Content-Range is not supported here: a body is always whole")
	}
	return c, nil
}

// header returns a header; several of one name are joined, as one list.
func header(r *http.Request, name string) (string, bool) {
	vs, ok := r.Header[name]
	return strings.TrimSpace(strings.Join(vs, ", ")), ok
}
