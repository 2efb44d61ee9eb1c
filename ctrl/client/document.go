package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
)

// Document is a declarative description of tables: a TOML or JSON file with an array for each kind, such as tenants.
// The entries have the fields of the API.
type Document struct {
	objects map[model.Kind]map[string]model.Object
	order   []model.Object
}

// DocumentError holds all faults of a file.
type DocumentError struct {
	File     string
	Problems []strict.Problem
}

// Error returns one line per fault: FILE: FIELD: MESSAGE (HINT).
func (e *DocumentError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		s := e.File + ": "
		if p.Field != "" {
			s += p.Field + ": "
		}
		if s += p.Message; p.Hint != "" {
			s += " (" + p.Hint + ")"
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n")
}

// ParseDocument reads a document; name is the file's name, for errors. A text that starts with '{' is JSON, any other
// is TOML. Errors are a *DocumentError with all faults of form; the box checks references.
func ParseDocument(name string, data []byte) (*Document, error) {
	fail := func(ps ...strict.Problem) error { return &DocumentError{name, ps} }
	if t := bytes.TrimSpace(data); len(t) == 0 || t[0] != '{' {
		var m map[string]any
		if err := toml.Unmarshal(data, &m); err != nil {
			var pe toml.ParseError
			if errors.As(err, &pe) {
				return nil, fail(strict.Problem{Field: fmt.Sprintf("line %d", pe.Position.Line), Code: "syntax",
					Message: pe.Message})
			}
			return nil, fail(strict.Problem{Code: "syntax", Message: err.Error()})
		}
		var err error
		if data, err = json.Marshal(m); err != nil {
			return nil, fail(strict.Problem{Code: "type", Message: err.Error()})
		}
	}
	n, err := strict.ParseFile(data)
	if err != nil {
		return nil, fail(strict.Problem{Code: "syntax", Message: err.Error()})
	}
	if n.Type != strict.Object {
		return nil, fail(strict.Problem{Code: "type",
			Message: fmt.Sprintf("found %s where an object is expected", n.Type)})
	}
	d := &Document{objects: map[model.Kind]map[string]model.Object{}}
	var ps []strict.Problem
	for _, m := range n.Members {
		if !model.Kind(m.Name).Valid() {
			ps = append(ps, strict.Unknown(m.Name, kindNames()))
		}
	}
	for _, kind := range model.Kinds { // a kind comes before the kinds that refer to it
		if part := n.Get(string(kind)); part != nil {
			ps = append(ps, d.read(kind, part)...)
		}
	}
	if len(ps) > 0 {
		return nil, fail(ps...)
	}
	return d, nil
}

func kindNames() []string {
	names := make([]string, len(model.Kinds))
	for i, k := range model.Kinds {
		names[i] = string(k)
	}
	return names
}

func (d *Document) read(kind model.Kind, n *strict.Node) (ps []strict.Problem) {
	if n.Type != strict.Array {
		return []strict.Problem{{Field: string(kind), Code: "type",
			Message: fmt.Sprintf("found %s where a list is expected",
				n.Type), Hint: "in TOML write [[" + string(kind) + "]]"}}
	}
	d.objects[kind] = map[string]model.Object{}
	for i, it := range n.Items {
		field := fmt.Sprintf("%s[%d]", kind, i)
		o, bad := model.Decode(kind, "", it, field)
		if len(bad) > 0 {
			ps = append(ps, bad...)
			continue
		}
		if _, err := model.NormalizeKey(kind, o.Key()); err != nil {
			ps = append(ps, strict.Problem{Field: field, Code: model.CodeInvalid, Message: err.Error()})
			continue
		}
		if _, dup := d.objects[kind][o.Key()]; dup {
			ps = append(ps, strict.Problem{Field: field, Code: model.CodeDuplicate,
				Message: fmt.Sprintf("%s %s occurs twice", kind.One(), o.Key()), Hint: "name every object once"})
			continue
		}
		d.objects[kind][o.Key()] = o
		d.order = append(d.order, o)
	}
	return ps
}

// Len returns the number of objects.
func (d *Document) Len() int { return len(d.order) }

// ApplyOptions of Apply.
type ApplyOptions struct {
	Prune  bool // delete objects of the box that the document does not have, in the collections that the document names
	DryRun bool
}

// Apply makes the tables of the box equal to the document, in one transaction. With Prune the transaction is guarded by
// the revision, and repeated if others have changed the tables in between.
func (c *Client) Apply(ctx context.Context, d *Document, o ApplyOptions) (core.Result, error) {
	for try := 0; ; try++ {
		ops, w, err := c.operations(ctx, d, o)
		if err != nil {
			return core.Result{}, err
		}
		res, err := c.Transaction(ctx, ops, w)
		if try < 5 && Is(err, core.CodeMismatch) {
			continue
		}
		return res, err
	}
}

// Diff returns what Apply would change, with every object before and after.
func (c *Client) Diff(ctx context.Context, d *Document, prune bool) ([]core.Change, error) {
	res, err := c.Apply(ctx, d, ApplyOptions{Prune: prune, DryRun: true})
	return res.Changes, err
}

func (c *Client) operations(ctx context.Context, d *Document, o ApplyOptions) ([]core.Op, WriteOptions, error) {
	w := WriteOptions{DryRun: o.DryRun}
	ops := make([]core.Op, 0, len(d.order))
	for _, obj := range d.order {
		text, err := json.Marshal(obj)
		if err != nil {
			return nil, w, err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: obj.Kind(), Key: obj.Key(), Value: text})
	}
	if !o.Prune {
		return ops, w, nil
	}
	rev, err := c.Revision(ctx)
	if err != nil {
		return nil, w, err
	}
	w.IfMatch = &rev.Revision
	for _, kind := range model.Kinds {
		want, named := d.objects[kind]
		if !named {
			continue
		}
		err := c.each(ctx, kind, "", func(have model.Object) error {
			if _, keep := want[have.Key()]; !keep {
				ops = append(ops, core.Op{Verb: core.Delete, Kind: kind, Key: have.Key()})
			}
			return nil
		})
		if err != nil {
			return nil, w, err
		}
	}
	return ops, w, nil
}
