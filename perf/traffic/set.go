package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"penstock/conf"
)

// What Options.Set may hold, beside the keys of the profile: short names.
var shortNames = map[string]string{"flows": "flows.count", "tenants": "overlay.tenant"}

// apply replaces keys of the tree:
//
//	size=1518            a key of [[stream]], of the streams that have it, or else of all
//	ipv4.dst=10.0.0.9    a key of a table, of the streams that have the table
//	web:size=570         of the stream "web" alone
//	flows=17             flows.count=17
//	tenants=100          overlay.tenant={ from = 2, to = 101 }
//
// A value is TOML, or else text.
func (r *reader) apply(set map[string]string) {
	var streams []map[string]any
	switch v := r.doc.Tree["stream"].(type) {
	case []map[string]any:
		streams = v
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				streams = append(streams, m)
			}
		}
	}
	r.set = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		r.setting(streams, name, set[name])
	}
}

func (r *reader) refuse(name, value, format string, args ...any) {
	r.errs = append(r.errs, conf.Error{File: name + "=" + value, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) setting(streams []map[string]any, name, text string) {
	only, key, prefixed := strings.Cut(name, ":")
	if !prefixed {
		only, key = "", name
	}
	value := settingValue(text)
	if key == "tenants" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			r.refuse(name, text, "found %q, want a number of tenants from 1", text)
			return
		}
		value = map[string]any{"from": int64(firstTenant), "to": int64(firstTenant + n - 1)}
		if n == 1 {
			value = int64(firstTenant)
		}
	}
	if long, ok := shortNames[key]; ok {
		key = long
	}
	table, last, nested := strings.Cut(key, ".")
	if !nested {
		table, last = "stream", key
	}
	if !slices.Contains(r.keys[table], last) || last == "name" {
		known := slices.Sorted(maps.Keys(shortNames))
		for _, k := range Keys() {
			switch {
			case k.Table == "" || k.Name == "name":
			case k.Table == "stream":
				known = append(known, k.Name)
			default:
				known = append(known, k.Table+"."+k.Name)
			}
		}
		r.refuse(name, text, "no such key%s", conf.Suggest(key, known, "the keys are "))
		return
	}
	hits := r.targets(streams, only, table, last)
	if len(hits) == 0 {
		what := "a key " + last
		if nested {
			what = "a table [stream." + table + "]"
		}
		if only != "" {
			r.refuse(name, text, "there is no stream %q with %s", only, what)
		} else {
			r.refuse(name, text, "no stream has %s", what)
		}
		return
	}
	for path, m := range hits {
		m[last] = value
		r.set[path+"."+last] = name + "=" + text
	}
}

// targets finds the tables that a setting is for, by path.
func (r *reader) targets(streams []map[string]any, only, table, key string) map[string]map[string]any {
	hits := map[string]map[string]any{}
	for pass := range 2 {
		for i, m := range streams {
			if only != "" && m["name"] != only {
				continue
			}
			path := fmt.Sprintf("stream[%d]", i)
			if table == "stream" {
				if _, has := m[key]; has || pass == 1 {
					hits[path] = m
				}
				continue
			}
			switch t := m[table].(type) {
			case map[string]any:
				hits[path+"."+table] = t
			case []map[string]any:
				for j, e := range t {
					hits[fmt.Sprintf("%s.%s[%d]", path, table, j)] = e
				}
			}
		}
		if len(hits) > 0 {
			break
		}
	}
	return hits
}

// settingValue reads TOML, or takes the text as it is.
func settingValue(text string) any {
	if doc, errs := conf.ReadDocument("", []byte("x = "+text)); len(errs) == 0 && len(doc.Tree) == 1 {
		switch v := doc.Tree["x"].(type) {
		case int64, bool, string, map[string]any, []any:
			return v
		}
	}
	return text
}
