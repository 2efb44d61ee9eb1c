package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// schema checks values against the part of JSON Schema that the document uses. An unknown keyword is an error, so that
// none goes unchecked.
type schema struct {
	t    *testing.T
	defs map[string]any
}

var noted = []string{"description", "default", "example"}

func (s *schema) check(where string, sch map[string]any, v any) {
	s.t.Helper()
	if ref, ok := sch["$ref"].(string); ok {
		def, ok := s.defs[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any)
		if !ok {
			s.t.Errorf("%s: %s does not exist", where, ref)
			return
		}
		s.check(where, def, v)
		return
	}
	num, _ := v.(float64)
	str, _ := v.(string)
	list, _ := v.([]any)
	obj, _ := v.(map[string]any)
	for k, arg := range sch {
		good := true
		switch k {
		case "type":
			switch arg {
			case "object":
				good = obj != nil
			case "array":
				good = list != nil
			case "string":
				_, good = v.(string)
			case "boolean":
				_, good = v.(bool)
			case "integer":
				_, isNum := v.(float64)
				good = isNum && num == math.Trunc(num)
			default:
				s.t.Errorf("%s: the check does not know the type %v", where, arg)
			}
		case "minimum":
			good = num >= arg.(float64)
		case "maximum":
			good = num <= arg.(float64)
		case "minItems":
			good = len(list) >= int(arg.(float64))
		case "maxItems":
			good = len(list) <= int(arg.(float64))
		case "maxProperties":
			good = len(obj) <= int(arg.(float64))
		case "pattern":
			good = regexp.MustCompile(arg.(string)).MatchString(str)
		case "enum":
			good = slices.Contains(arg.([]any), v)
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := obj[name.(string)]; !ok {
					s.t.Errorf("%s: %v is missing in %v", where, name, v)
				}
			}
		case "oneOf": // by the discriminator
		case "discriminator":
			d := arg.(map[string]any)
			def, ok := d["mapping"].(map[string]any)[fmt.Sprint(obj[d["propertyName"].(string)])]
			if good = ok; ok {
				s.check(where, map[string]any{"$ref": def}, v)
			}
		case "items":
			for i, it := range list {
				s.check(fmt.Sprintf("%s[%d]", where, i), arg.(map[string]any), it)
			}
		case "properties":
			for name, p := range arg.(map[string]any) {
				if it, ok := obj[name]; ok {
					s.check(where+"."+name, p.(map[string]any), it)
				}
			}
		case "additionalProperties":
			props, _ := sch["properties"].(map[string]any)
			for name, it := range obj {
				if _, ok := props[name]; ok {
					continue
				}
				if arg == false {
					s.t.Errorf("%s: %s is not documented", where, name)
				} else {
					s.check(where+"."+name, arg.(map[string]any), it)
				}
			}
		default:
			if !slices.Contains(noted, k) {
				s.t.Errorf("%s: keyword %s is not known", where, k)
			}
		}
		if !good {
			s.t.Errorf("%s: the value %v does not conform to %s %v", where, v, k, arg)
		}
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v, want JSON", text, err)
	}
	return v
}

// dig walks into a decoded JSON value.
func dig(v any, path ...string) any {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

// TestDocument: every example of the document conforms to its schema, the box accepts it, and the box answers as
// documented.
func TestDocument(t *testing.T) {
	w := conformWorld(t)
	doc := decode(t, w.must("GET", "/v1/openapi.json", "")).(map[string]any)
	s := &schema{t, dig(doc, "components", "schemas").(map[string]any)}
	paths := doc["paths"].(map[string]any)
	var urls []string
	for p := range paths {
		urls = append(urls, p)
	}
	slices.Sort(urls)
	checked := 0
	for _, method := range []string{"get", "put", "patch", "post"} { // deletes last: see below
		for _, p := range urls {
			op, ok := dig(paths[p], method).(map[string]any)
			if !ok {
				continue
			}
			where := method + " " + p
			for code, resp := range dig(op, "responses").(map[string]any) {
				for media, c := range dig(resp, "content").(map[string]any) {
					if ex := dig(c, "example"); ex != nil && media == "application/json" {
						s.check(where+" example "+code, dig(c, "schema").(map[string]any), ex)
					}
				}
			}
			url := p
			params, _ := dig(paths[p], "parameters").([]any)
			for _, prm := range params {
				url = strings.ReplaceAll(url, "{"+dig(prm, "name").(string)+"}", dig(prm, "example").(string))
			}
			if p == "/v1/events" {
				url += "?since=0&follow=false"
			}
			body := ""
			if ex := dig(op, "requestBody", "content", "application/json", "example"); ex != nil {
				sch := dig(op, "requestBody", "content", "application/json", "schema").(map[string]any)
				s.check(where+" request", sch, ex)
				text, _ := json.Marshal(ex)
				body = string(text)
			} else if ex := dig(op, "requestBody", "content", "application/x-ndjson", "example"); ex != nil {
				body = ex.(string)
			}
			status, h, text := w.send(strings.ToUpper(method), url, body)
			resp := dig(op, "responses", fmt.Sprint(status))
			if status >= 300 || resp == nil {
				t.Errorf("%s: status %d, want a documented one below 300: %s", where, status, text)
				continue
			}
			checked++
			media := h.Get("Content-Type")
			content := dig(resp, "content", media)
			if content == nil {
				t.Errorf("%s: the media type %s is not documented", where, media)
				continue
			}
			switch {
			case media == "application/json":
				s.check(where, dig(content, "schema").(map[string]any), decode(t, text))
			case p == "/v1/events":
				for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
					s.check(where, dig(content, "schema").(map[string]any), decode(t, l))
				}
			}
		}
	}
	del := func(url, schemaName string) {
		text := w.must("DELETE", url, "")
		s.check("delete "+url, map[string]any{"$ref": "#/components/schemas/" + schemaName}, decode(t, text))
	}
	del("/v1/bindings?tenant=RED", "BulkResult")
	del("/v1/vifs/RED/vm1", "Result")
	_, _, text := w.send("DELETE", "/v1/tenants/RED", "")
	s.check("refusal", map[string]any{"$ref": "#/components/schemas/Error"}, decode(t, text))
	if checked < 35 {
		t.Errorf("%d answers were checked, want at least 35", checked)
	}
}
