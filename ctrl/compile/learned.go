package compile

import (
	"bytes"
	"fmt"
	"slices"

	"penstock/ctrl/model"
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

// LearnedRows returns up to n learned rows of a tenant's segment, or of all ("" = all), in the order of their keys.
func (c *Compiler) LearnedRows(tenant, segment string, after FabricKey, n int) (rows []FabricRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	var b table.Binding
	c.learned.each(func(k rowKey, x knownRow) {
		name := c.segs[k.seg].name
		if tenant != "" && name.tenant != tenant || segment != "" && name.segment != segment {
			return
		}
		var r FabricRow
		if c.fabricRow(s, k, x, &b, &r) && r.FabricKey.Compare(after) > 0 {
			rows = append(rows, r)
		}
	})
	slices.SortFunc(rows, func(a, b FabricRow) int { return a.FabricKey.Compare(b.FabricKey) })
	return rows[:min(n, len(rows))]
}

// SegmentName returns the names of a tenant and a segment by their IDs.
func (c *Compiler) SegmentName(key FabricKey) (tenant, segment string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg, ok := c.segmentOf(&key)
	if !ok {
		return "", "", false
	}
	return c.segs[seg].name.tenant, c.segs[seg].name.segment, true
}

// OwnVIFs returns the live VIFs of this box in the order of their keys. At is not set. Sequence is that of the row of
// another box that the VIF has taken the place of, or 0.
func (c *Compiler) OwnVIFs() (rows []FabricRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	for k := range c.learned.displaced {
		if _, own := c.vifRows[k]; !own {
			delete(c.learned.displaced, k)
		}
	}
	for k, r := range c.vifRows {
		if c.isVirtual(k) {
			continue
		}
		if _, station := c.stationRows[k]; station {
			continue
		}
		g, v := &s.Segments[k.seg], &s.VIFs[r.vif]
		x := FabricRow{FabricKey: FabricKey{g.Tenant, g.ID, model.MAC(k.mac)}, Static: true,
			Sequence: c.learned.displaced[k]}
		for _, a := range addrKeys(nil, k.seg, v.IP4[:r.ip4], v.IP6[:r.ip6]) {
			x.Addresses = append(x.Addresses, a.addr())
		}
		rows = append(rows, x)
	}
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
