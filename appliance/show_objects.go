package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// object is a pushed object as the box returns it: its desired state, and its state in the dataplane under "status".
type object map[string]any

func readObject(data json.RawMessage) (object, error) {
	var o object
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // an ID is no floating-point number
	err := d.Decode(&o)
	return o, err
}

// text formats a member for a cell; lists are joined by spaces.
func (o object) text(name string) string {
	switch v := o[name].(type) {
	case nil:
		return ""
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = fmt.Sprint(v[i])
		}
		return strings.Join(parts, " ")
	default:
		return fmt.Sprint(v)
	}
}

// number is the value of a numeric member; 0 if it is absent.
func (o object) number(name string) any {
	if n, ok := o[name].(json.Number); ok {
		return n
	}
	return 0
}

func (o object) status() object {
	s, _ := o["status"].(map[string]any)
	return s
}

// state tells whether the object is live, and if not, why.
func (o object) state() string {
	s := o.status()
	state := s.text("state")
	switch {
	case state != "":
	case s["live"] == true:
		state = "live"
	default:
		state = "not live"
	}
	if reason := s.text("reason"); reason != "" {
		state += ": " + reason
	}
	return state
}

func (o object) key(kind model.Kind) string {
	var parts []string
	for _, p := range kind.Info().Key {
		parts = append(parts, o.text(p.Name))
	}
	return strings.Join(parts, "/")
}

// keyParts is the number of parts of a kind's key.
func keyParts(kind model.Kind) int { return len(kind.Info().Key) }

// cell returns the object's value in a column.
func (o object) cell(kind model.Kind, c model.Column) any {
	from, member := o, c.Member
	if m, ok := strings.CutPrefix(member, "status."); ok {
		from, member = o.status(), m
	}
	switch {
	case member == "key":
		return o.key(kind)
	case c.Number:
		return from.number(member)
	}
	if text := from.text(member); text != "" {
		return text
	}
	return c.Default
}

// objects calls fn for the objects that q selects: all, those below a part of a key, or one. An unknown key is an error
// that lists the known ones; an empty parent is no error.
func objects(q *query, kind model.Kind, fn func(json.RawMessage) error) error {
	if q.arg == "" {
		return q.c.Each(q, kind, q.filter(nil), fn)
	}
	parts := strings.Split(q.arg, "/")
	if len(parts) > keyParts(kind) {
		return usage("%q has more parts than a key of %s", q.arg, kind)
	}
	if len(parts) == keyParts(kind) {
		var raw json.RawMessage
		err := q.c.Object(q, kind, q.arg, &raw)
		if client.Is(err, model.CodeNotFound) {
			return absent(q, kind, parts)
		}
		if err != nil {
			return err
		}
		if o, err := readObject(raw); err != nil || q.origin != "" && o.status().text("origin") != q.origin {
			return err
		}
		return fn(raw)
	}
	filter := q.filter(below(kind, parts))
	n := 0
	err := q.c.Each(q, kind, filter, func(raw json.RawMessage) error { n++; return fn(raw) })
	if err != nil || n > 0 {
		return err
	}
	// No object: the parent is unknown, or empty.
	part := kind.Info().Key[len(parts)-1].Name
	at := slices.IndexFunc(model.Kinds, func(k model.Kind) bool { return k.One() == part })
	if at < 0 {
		return nil
	}
	parent := model.Kinds[at]
	if err := q.c.Object(q, parent, q.arg, nil); client.Is(err, model.CodeNotFound) {
		return absent(q, parent, parts)
	} else if err != nil {
		return err
	}
	return nil
}

// filter adds the flags that select objects to a filter.
func (q *query) filter(f url.Values) url.Values {
	if q.origin != "" {
		if f == nil {
			f = url.Values{}
		}
		f.Set("origin", q.origin)
	}
	return f
}

// below is the filter for the objects below the first parts of a key.
func below(kind model.Kind, parts []string) url.Values {
	filter := url.Values{}
	for p, part := range parts {
		filter.Set(kind.Info().Key[p].Name, part)
	}
	return filter
}

// absent returns an error for an unknown key, with the keys under the same parent.
func absent(q *query, kind model.Kind, parts []string) error {
	var there []string
	filter := below(kind, parts[:len(parts)-1])
	filter.Set("limit", "1000")
	var l api.List
	if err := q.c.Get(q, "/v1/"+string(kind)+"?"+filter.Encode(), &l); err != nil {
		return err
	}
	for _, raw := range l.Items {
		o, err := readObject(raw)
		if err != nil {
			return err
		}
		there = append(there, o.key(kind))
	}
	return missing(kind.One(), strings.Join(parts, "/"), there)
}

// firstPage calls fn for the first objects of a kind.
func firstPage(q *query, kind model.Kind, fn func(object)) error {
	var l api.List
	if err := q.c.Get(q, "/v1/"+string(kind)+"?status=false", &l); err != nil {
		return err
	}
	for _, raw := range l.Items {
		if o, err := readObject(raw); err == nil {
			fn(o)
		}
	}
	return nil
}

// jsonObjects returns {"items": […]} of all selected objects, over all pages.
func jsonObjects(q *query, kind model.Kind) (any, error) {
	l := status.Items[json.RawMessage]{Items: []json.RawMessage{}}
	err := objects(q, kind, func(raw json.RawMessage) error {
		l.Items = append(l.Items, raw)
		return nil
	})
	return l, err
}

func each(q *query, kind model.Kind, fn func(object)) error {
	return objects(q, kind, func(raw json.RawMessage) error {
		o, err := readObject(raw)
		if err == nil {
			fn(o)
		}
		return err
	})
}

// showKind prints the objects of a kind by its columns.
func showKind(kind model.Kind) func(q *query, t *sheet) error {
	return func(q *query, t *sheet) error {
		columns := kind.Info().Columns
		var head []string
		for _, c := range columns {
			head = append(head, c.Head)
		}
		t.head(append(head, "STATE")...)
		return each(q, kind, func(o object) {
			var row []any
			for _, c := range columns {
				row = append(row, o.cell(kind, c))
			}
			t.row(append(row, o.state())...)
		})
	}
}

func showVIFs(q *query, t *sheet) error {
	before, l, per, err := twice(q, stats[status.Items[status.VIF]](q, "vifs"))
	if err != nil {
		return err
	}
	index := func(items []status.VIF) map[string]status.VIF {
		m := make(map[string]status.VIF, len(items))
		for _, v := range items {
			m[v.Key] = v
		}
		return m
	}
	now, then := index(l.Items), index(before.Items)
	if per == nil {
		t.head("VIF", "SEGMENT", "MAC", "ADDRESSES", "PORT", "VLAN", "RX PACKETS", "TX PACKETS", "STATE")
	} else {
		t.head("VIF", "PORT", "VLAN", "RX PACKET/S", "RX MBIT/S", "TX PACKET/S", "TX MBIT/S", "STATE")
	}
	return each(q, model.KindVIF, func(o object) {
		key := o.key(model.KindVIF)
		v, b := now[key], then[key]
		vlan := o.text("vlan")
		if vlan == "" {
			vlan = "untagged"
		}
		if per == nil {
			t.row(key, o.text("segment"), o.text("mac"), o.text("addresses"), o.text("port"), vlan, v.RxPackets,
				v.TxPackets, o.state())
			return
		}
		t.row(key, o.text("port"), vlan, per(v.RxPackets, b.RxPackets), 8e-6*per(v.RxBytes, b.RxBytes),
			per(v.TxPackets, b.TxPackets), 8e-6*per(v.TxBytes, b.TxBytes), o.state())
	})
}
