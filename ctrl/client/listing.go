package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/BurntSushi/toml"

	"penstock/ctrl/model"
)

// Listing is objects without status, as the box lists them. It is written as a document that ParseDocument reads. A
// kind with an empty list is named in the document.
type Listing map[model.Kind][]json.RawMessage

// WriteJSON writes the document as JSON.
func (l Listing) WriteJSON(w io.Writer) error {
	doc := make(map[model.Kind][]json.RawMessage, len(l))
	for kind, list := range l {
		doc[kind] = append([]json.RawMessage{}, list...) // an empty list is [], not null
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// WriteTOML writes the document as TOML, under a comment of one line.
func (l Listing) WriteTOML(w io.Writer, comment string) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "# %s\n", comment)
	for _, kind := range model.Kinds { // before the first table
		if list, named := l[kind]; named && len(list) == 0 {
			fmt.Fprintf(&text, "%s = []\n", kind)
		}
	}
	enc := toml.NewEncoder(&text)
	enc.Indent = ""
	for _, kind := range model.Kinds {
		if len(l[kind]) == 0 {
			continue
		}
		list := make([]any, len(l[kind]))
		for i, raw := range l[kind] {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			if err := d.Decode(&list[i]); err != nil {
				return err
			}
			list[i] = plain(list[i])
		}
		text.WriteByte('\n')
		if err := enc.Encode(map[string]any{string(kind): list}); err != nil {
			return fmt.Errorf("%s cannot be written as TOML: %w", kind, err)
		}
	}
	_, err := w.Write(text.Bytes())
	return err
}

// plain makes values of JSON those that the TOML encoder knows: numbers as such, and no null.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // it was read as a number
		return f
	case map[string]any:
		for name, inner := range v {
			if inner == nil {
				delete(v, name)
			} else {
				v[name] = plain(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
