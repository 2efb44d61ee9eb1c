package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"penstock/conf"
)

// reader walks the tree of a profile and collects what is wrong with it.
type reader struct {
	doc  *conf.Document
	errs conf.Errors
	keys map[string][]string // by table: the names of its keys
	seed uint64              // of the options
	set  map[string]string   // what the options set, by path: "size=70"
}

func (r *reader) failf(path, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	for at := path; at != ""; {
		if text, ok := r.set[at]; ok {
			r.errs = append(r.errs, conf.Error{File: text, Key: path, Message: message})
			return
		}
		cut := strings.LastIndexAny(at, ".[")
		if cut < 0 {
			break
		}
		at = at[:cut]
	}
	r.errs = append(r.errs, r.doc.Error(path, message))
}

// section is one table of the tree.
type section struct {
	*reader
	path  string // "stream[0].ipv4"
	table string // "ipv4", as in Key.Table
	m     map[string]any
}

func (s *section) at(name string) string {
	if s.path == "" {
		return name
	}
	return s.path + "." + name
}

// open checks the names of a table's keys; others are those of the tables below it.
func (r *reader) open(path, table string, m map[string]any, others ...string) *section {
	s := &section{r, path, table, m}
	known := slices.Concat(r.keys[table], others)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, name) {
			r.failf(s.at(name), "unknown key%s", conf.Suggest(name, known, "the keys here are "))
		}
	}
	return s
}

func (s *section) has(name string) bool { _, ok := s.m[name]; return ok }

// sub opens a table below this one; nil if it is not there.
func (s *section) sub(name string) *section {
	v, ok := s.m[name]
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		s.failf(s.at(name), "found %s, want a table: write [stream.%s] and its keys below", conf.Describe(v), name)
		return nil
	}
	return s.open(s.at(name), name, m)
}

// tables returns the elements of an array of tables.
func (s *section) tables(name string) []map[string]any {
	switch v := s.m[name].(type) {
	case nil:
		return nil
	case []map[string]any:
		return v
	case []any:
		var out []map[string]any
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				s.failf(fmt.Sprintf("%s[%d]", s.at(name), i), "found %s, want a table", conf.Describe(e))
				continue
			}
			out = append(out, m)
		}
		return out
	default:
		s.failf(s.at(name), "found %s, want an array of tables: write [[%s]] with double brackets",
			conf.Describe(v), indexless(s.at(name)))
		return nil
	}
}

// indexless is a path as a header has it: "stream.vlan" for "stream[1].vlan".
func indexless(path string) string {
	var b []byte
	in := false
	for i := range len(path) {
		switch c := path[i]; {
		case c == '[':
			in = true
		case c == ']':
			in = false
		case !in:
			b = append(b, c)
		}
	}
	return string(b)
}

func (s *section) text(name string) string {
	v, ok := s.m[name]
	if !ok {
		return ""
	}
	t, ok := v.(string)
	if !ok {
		s.failf(s.at(name), "found %s, want a string", conf.Describe(v))
	}
	return t
}

func (s *section) boolean(name string, def bool) bool {
	v, ok := s.m[name]
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		s.failf(s.at(name), "found %s, want true or false, without quotes", conf.Describe(v))
	}
	return b
}

func (s *section) enum(name, def string, allowed ...string) string {
	v, ok := s.m[name]
	if !ok {
		return def
	}
	t, ok := v.(string)
	if !ok || !slices.Contains(allowed, t) {
		s.failf(s.at(name), "found %s, want one of %q", conf.Describe(v), allowed)
		return def
	}
	return t
}

// need reports whether a required key is there, and complains if not.
func (s *section) need(name, want string) bool {
	if s.has(name) {
		return true
	}
	s.failf(s.at(name), "missing, and required here: want %s", want)
	return false
}

func (s *section) integer(name string, k kind, def uint64) uint64 {
	v, ok := s.m[name]
	if !ok {
		return def
	}
	_, lo, ok := k.parse(v)
	if !ok {
		s.failf(s.at(name), "found %s, want %s", conf.Describe(v), k.want)
		return def
	}
	return lo
}
