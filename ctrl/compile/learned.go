package compile

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// Learned returns a learned row.
func (c *Compiler) Learned(key FabricKey) (r FabricRow, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	seg, ok := c.segmentOf(&key)
	if !ok {
		return r, false
	}
	x, ok := c.learned.get(rowKey{seg, uint64(key.MAC)})
	if !ok {
		return r, false
	}
	var b table.Binding
	return r, c.fabricRow(s, rowKey{seg, uint64(key.MAC)}, x, &b, &r)
}

// LearnedBindings returns up to n bindings that were not pushed, which match a filter and come behind a key, in the
// order of their keys. It looks at all rows, some nanoseconds each.
func (c *Compiler) LearnedBindings(f core.BindingFilter, after model.BindingKey, n int) []model.Binding {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	sw, ok := c.switches[uint64(f.Switch)]
	told := c.learned.count > 0 && f.Origin != model.OriginLearned && (f.Switch == 0 || ok)
	here := len(c.heard.rows) > 0 && (f.Origin == "" || f.Origin == model.OriginLearned) &&
		(f.Switch == 0 || f.Switch == c.ownPlace().Switch)
	if !told && !here || n < 1 {
		return nil
	}
	names := func(a, b segName) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.segment, b.segment))
	}
	from := segName{after.Tenant, after.Segment}
	order := make([]int, len(c.segs)) // of a segment's rows to after: -1 = before it, or not asked for
	for i := range c.segs {
		name := c.segs[i].name
		if order[i] = names(name, from); f.Tenant != "" && name.tenant != f.Tenant ||
			f.Segment != "" && name.segment != f.Segment {
			order[i] = -1
		}
	}
	compare := func(a, b rowKey) int {
		if a.seg != b.seg {
			return names(c.segs[a.seg].name, c.segs[b.seg].name)
		}
		return cmp.Compare(a.mac, b.mac)
	}
	var keys []rowKey
	var last rowKey // of those that may be among the first n
	first := func() {
		slices.SortFunc(keys, compare)
		if len(keys) > n {
			keys = keys[:n]
			last = keys[n-1]
		}
	}
	add := func(k rowKey) {
		if x := order[k.seg]; x < 0 || x == 0 && k.mac <= uint64(after.MAC) || last.mac != 0 && compare(k, last) > 0 {
			return
		}
		if keys = append(keys, k); len(keys) >= 2*n+1000 {
			first()
		}
	}
	if told {
		c.learned.each(func(k rowKey, r knownRow) {
			vtep := fib.IsVTEP(r.loc)
			if f.Origin != "" && vtep != (f.Origin == model.OriginVTEP) {
				return
			}
			if f.Switch == 0 || !vtep && switchOf(r.loc) == sw {
				add(k)
			}
		})
	}
	if here {
		for k := range c.heard.rows {
			if c.stranger(k) != nil {
				add(k)
			}
		}
	}
	first()
	out := make([]model.Binding, 0, len(keys))
	var b table.Binding
	for _, k := range keys {
		if c.stranger(k) != nil {
			out = append(out, c.heardBinding(k))
			continue
		}
		x, _ := c.learned.get(k)
		if r := (FabricRow{}); c.fabricRow(s, k, x, &b, &r) {
			out = append(out, c.learnedBinding(k, &r))
		}
	}
	return out
}

func (c *Compiler) learnedBinding(k rowKey, r *FabricRow) model.Binding {
	name := c.segs[k.seg].name
	slices.SortFunc(r.Addresses, netip.Addr.Compare)
	if r.At.IsVTEP() {
		x, _ := c.learned.get(k)
		return model.Binding{Tenant: name.tenant, Segment: name.segment, MAC: r.MAC, Addresses: r.Addresses,
			VTEP: c.vtepName(x.loc)}
	}
	return model.Binding{Tenant: name.tenant, Segment: name.segment, MAC: r.MAC, Addresses: r.Addresses,
		SwitchMAC: r.At.Switch, SwitchPort: uint16(r.At.Port)}
}

// LearnedBinding returns one learned binding.
func (c *Compiler) LearnedBinding(key model.BindingKey) (b model.Binding, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg, ok := c.segments[segName{key.Tenant, key.Segment}]
	if !ok {
		return b, false
	}
	k := rowKey{seg, uint64(key.MAC)}
	if c.stranger(k) != nil {
		return c.heardBinding(k), true
	}
	x, ok := c.learned.get(k)
	var row table.Binding
	var r FabricRow
	if !ok || !c.fabricRow(c.snap.Load(), k, x, &row, &r) {
		return b, false
	}
	return c.learnedBinding(k, &r), true
}

// LearnedBytes is the memory that learned rows take beside the bindings table, in octets. It waits for nothing.
func (c *Compiler) LearnedBytes() int { return c.learned.bytes() }

// Freed changes when pushed rows or rows of this box go: what other boxes told of the same VIFs was not kept, and may
// be taken now.
func (c *Compiler) Freed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.learned.freed
}

// FabricKeyOf returns the key by which boxes name a binding.
func (c *Compiler) FabricKeyOf(key model.BindingKey) (k FabricKey, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg, ok := c.segments[segName{key.Tenant, key.Segment}]
	if !ok {
		return k, false
	}
	g := &c.snap.Load().Segments[seg]
	return FabricKey{g.Tenant, g.ID, key.MAC}, true
}

// FabricKeyOfVIF returns the key by which boxes name a VIF of this box, by its key TENANT/NAME.
func (c *Compiler) FabricKeyOfVIF(key string) (k FabricKey, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.vifs[key]
	if !ok {
		return k, false
	}
	return c.fabricKey(v.row), true
}

// OwnVIFs returns the live VIFs of this box, the stations that were heard, and those behind VTEPs which it owns towards
// other boxes, in the order of their keys. At is not set. Sequence is that of the claim, if something was heard of the
// VIF, else that of the row of another box that the VIF has taken the place of, or 0.
func (c *Compiler) OwnVIFs() (rows []FabricRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.learned.displaced {
		if _, own := c.vifRows[k]; !own {
			delete(c.learned.displaced, k)
		}
	}
	for k := range c.vifRows {
		if x, ok := c.ownVIF(k); ok {
			rows = append(rows, x)
		}
	}
	for k := range c.heard.rows {
		if c.stranger(k) == nil {
			continue
		}
		if x, ok := c.ownVIF(k); ok {
			rows = append(rows, x)
		}
	}
	rows = append(rows, c.behindVTEPs(c.snap.Load())...)
	slices.SortFunc(rows, func(a, b FabricRow) int { return a.FabricKey.Compare(b.FabricKey) })
	return rows
}

// String is the row for people.
func (r *FabricRow) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d/%d %s at %s/%d, sequence %d", r.Tenant, r.Segment, r.MAC, r.At.Switch, r.At.Port, r.Sequence)
	for _, a := range r.Addresses {
		fmt.Fprintf(&b, " %s", a)
	}
	return b.String()
}
