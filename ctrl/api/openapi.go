package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"text/template"

	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// baseDocument describes the routes and schemas that belong to no kind of resources.
//
//go:embed openapi.json
var baseDocument []byte

// kindDocument is the template of the routes and schemas of one kind; a kindPart fills it in.
//
//go:embed openapi_kind.json.tmpl
var kindDocument string

// openapiDocument describes every route. It is assembled once from baseDocument and the kinds. Tests compare the
// document with the routes and with the answers of the handlers.
var openapiDocument = sync.OnceValues(makeDocument)

// kindPart is the data of one kind for kindDocument.
type kindPart struct {
	*model.Info
	Type       string // of its objects: the name of their schema
	ID         string // One, as a part of an operationId
	KeyParts   []string
	Put, Patch members
	Schema     *schema

	Origins []string // of its objects, by which a listing can be restricted

	MaxLimit, DefaultLimit int
	MaxPage                int // MiB
}

func newKindPart(i *model.Info) (*kindPart, error) {
	k := &kindPart{Info: i, Type: reflect.TypeOf(i.Example).Name(), ID: strings.ReplaceAll(i.One, " ", "_"),
		KeyParts: strings.Split(i.Example.Key(), "/"), MaxLimit: maxLimit, DefaultLimit: defaultLimit,
		MaxPage: maxPage >> 20}
	k.Schema = objectSchema(i)
	if i.Kind == model.KindBinding {
		k.Origins = model.Origins
	}
	text, err := json.Marshal(i.Example)
	if err != nil {
		return nil, err
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	for _, p := range k.Schema.Properties { // in their order
		if value, ok := values[p.name]; ok && !keyMember(i, p.name) {
			k.Put = append(k.Put, member{p.name, value})
		}
	}
	k.Patch = k.Put[max(0, len(k.Put)-1):]
	return k, nil
}

// makeDocument assembles the document.
func makeDocument() ([]byte, error) {
	type (
		paths   map[string]map[string]json.RawMessage
		schemas map[string]json.RawMessage
	)
	var doc struct {
		OpenAPI    string          `json:"openapi"`
		Info       json.RawMessage `json:"info"`
		Servers    json.RawMessage `json:"servers"`
		Paths      paths           `json:"paths"`
		Components struct {
			Schemas schemas `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(baseDocument, &doc); err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	form, err := template.New("kind").Funcs(template.FuncMap{"json": jsonText}).Parse(kindDocument)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, kind := range model.Kinds {
		names = append(names, string(kind))
		part, err := newKindPart(kind.Info())
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if err := form.Execute(&text, part); err != nil {
			return nil, err
		}
		var of struct {
			Paths   paths
			Schemas schemas
		}
		if err := json.Unmarshal(text.Bytes(), &of); err != nil {
			return nil, fmt.Errorf("the document of %s: %w", kind, err)
		}
		for path, item := range of.Paths {
			if doc.Paths[path] == nil {
				doc.Paths[path] = map[string]json.RawMessage{}
			}
			if err := add(doc.Paths[path], item); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		if err := add(doc.Components.Schemas, of.Schemas); err != nil {
			return nil, err
		}
	}
	kinds, err := jsonText(&schema{Type: "string", Enum: names})
	if err != nil {
		return nil, err
	}
	if err := add(doc.Components.Schemas, schemas{"Kind": json.RawMessage(kinds)}); err != nil {
		return nil, err
	}
	text, err := jsonText(&doc)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, []byte(text), "", " ")
	return append(out.Bytes(), '\n'), err
}

// add copies the entries of from into to. An entry that to already has is an error.
func add(to, from map[string]json.RawMessage) error {
	for name, value := range from {
		if _, twice := to[name]; twice {
			return fmt.Errorf("%s is described twice", name)
		}
		to[name] = value
	}
	return nil
}

// jsonText is v as JSON without escapes for HTML, readable for people.
func jsonText(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSpace(b.String()), err
}

func (s *Server) openapi(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	text, err := openapiDocument()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(text)
	return err
}
