package core

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"

	"penstock/ctrl/model"
)

// BindingFilter restricts a listing of bindings; empty fields match everything. Segment needs Tenant.
type BindingFilter struct {
	Tenant, Segment string
	Switch          model.MAC // edge switch
	Origin          string    // of learned bindings: one of model.Origins
}

func (f *BindingFilter) keep() func(*model.Binding) bool {
	if f.Switch == 0 {
		return nil
	}
	return func(b *model.Binding) bool { return b.SwitchMAC == f.Switch }
}

// ListBindings returns up to limit bindings that match f and come behind the key after ("" = from the start), whether
// there are more, and their revision.
func (c *Core) ListBindings(f BindingFilter, after string,
	limit int) (bs []model.Binding, more bool, revision uint64, err error) {
	var k model.BindingKey
	if after != "" {
		if k, err = model.ParseBindingKey(after); err != nil {
			return nil, false, 0, refuse(model.CodeInvalid, "after", "use the \"next\" of the page before", "%v", err)
		}
	}
	p, err := c.cfg.Store.List(f.Tenant, f.Segment, k, limit, f.keep())
	if err != nil {
		return nil, false, 0, storeError(err)
	}
	return p.Bindings, p.More, p.Revision, nil
}

// Binding returns one binding.
func (c *Core) Binding(k model.BindingKey) (model.Binding, bool, error) {
	m, err := c.cfg.Store.Bindings([]model.BindingKey{k})
	if err != nil {
		return model.Binding{}, false, storeError(err)
	}
	b, ok := m[k]
	return b, ok, nil
}

// ExportBindings writes all bindings as NDJSON, in the form that BulkBindings reads. Before it writes it calls begin
// with the revision of the first rows; it returns that of the last. If they are equal, all rows are of one revision; if
// not, each row is as it was when it was read. No transaction of the store is open while w is written to, so that a
// slow writer blocks no other caller.
func (c *Core) ExportBindings(w io.Writer, begin func(revision uint64)) (last uint64, err error) {
	var buf []byte
	scan := c.cfg.Store.Scan()
	for begun := false; ; begun = true {
		bs, err := scan.Next()
		if err != nil {
			return 0, storeError(err)
		}
		if !begun {
			begin(scan.First)
		}
		if len(bs) == 0 {
			return scan.Last, nil
		}
		for len(bs) > 0 {
			n := min(len(bs), exportRows)
			buf = buf[:0]
			for i := range bs[:n] {
				buf = appendBinding(buf, &bs[i])
			}
			if _, err := w.Write(buf); err != nil {
				return 0, err
			}
			bs = bs[n:]
		}
	}
}

// exportRows is the number of rows written at a time: some 150 KB.
const exportRows = 1024

// appendBinding is json.Marshal and a newline, fast; names need no escapes.
func appendBinding(dst []byte, b *model.Binding) []byte {
	dst = append(append(append(dst, `{"tenant":"`...), b.Tenant...), `","segment":"`...)
	dst = append(append(append(dst, b.Segment...), `","mac":"`...), b.MAC.String()...)
	if len(b.Addresses) > 0 {
		dst = append(dst, `","addresses":[`...)
		for i, a := range b.Addresses {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(a.AppendTo(append(dst, '"')), '"')
		}
		dst = append(dst, `],"`...)
	} else {
		dst = append(dst, `","`...)
	}
	if b.VTEP != "" {
		return append(append(append(dst, `vtep":"`...), b.VTEP...), "\"}\n"...)
	}
	dst = append(dst, `switch_mac":"`...)
	dst = append(append(dst, b.SwitchMAC.String()...), `","switch_port":`...)
	return append(strconv.AppendUint(dst, uint64(b.SwitchPort), 10), "}\n"...)
}

// ExportPaths writes all paths as NDJSON, of one revision, in the form that BulkPaths reads, like
// ExportBindings.
func (c *Core) ExportPaths(w io.Writer, begin func(revision uint64)) (last uint64, err error) {
	st, rev := c.Snapshot()
	begin(rev)
	var buf bytes.Buffer
	for _, key := range SortedKeys(st.Paths) {
		text, err := json.Marshal(st.Paths[key])
		if err != nil {
			return 0, err
		}
		buf.Write(append(text, '\n'))
		if buf.Len() >= exportBytes {
			if _, err := w.Write(buf.Bytes()); err != nil {
				return 0, err
			}
			buf.Reset()
		}
	}
	_, err = w.Write(buf.Bytes())
	return rev, err
}

// exportBytes is the amount of paths written at a time, in octets.
const exportBytes = 128 << 10

// SortedKeys returns the keys of a map in order.
func SortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
