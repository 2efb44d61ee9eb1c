package compile

import (
	"cmp"
	"slices"
	"strconv"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// AgeVIFs forgets the stations, and the addresses of stations, that were not heard since a time, in nanoseconds since
// 1970. It returns the VIFs whose claim has changed, or that are none any more.
func (c *Compiler) AgeVIFs(since int64) (changed []FabricKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var moves watch
	c.openLearned()
	for _, k := range c.heard.keys() {
		h := c.heard.rows[k]
		old := func(a heardAddr) bool { return a.seen < since }
		switch {
		case h.seen < since:
			c.unhearMoved(k, &moves)
		case slices.ContainsFunc(h.addrs, old):
			h.addrs = slices.DeleteFunc(h.addrs, old)
			h.sequence++
			_ = c.writeHeard(k, h, true, &moves) // it becomes smaller
		default:
			continue
		}
		changed = append(changed, c.fabricKey(k))
	}
	c.learnEnd()
	c.report(moves)
	return changed
}

// GiveWay forgets a stranger that was heard here, for a newer claim of another box, which it takes.
func (c *Compiler) GiveWay(r *FabricRow) Verdict {
	c.mu.Lock()
	if seg, ok := c.segmentOf(&r.FabricKey); ok {
		if k := (rowKey{seg, uint64(r.MAC)}); c.stranger(k) != nil {
			c.unhear(k)
		}
	}
	c.mu.Unlock()
	return c.LearnRows([]FabricRow{*r})[0]
}

// OwnVIF returns a VIF of this box as OwnVIFs does; false if it is none.
func (c *Compiler) OwnVIF(key FabricKey) (r FabricRow, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg, ok := c.segmentOf(&key)
	if !ok {
		return r, false
	}
	return c.ownVIF(rowKey{seg, uint64(key.MAC)})
}

func (c *Compiler) ownVIF(k rowKey) (x FabricRow, ok bool) {
	_, station := c.stationRows[k]
	own, isOwn := c.vifRows[k]
	h := c.heard.rows[k]
	if station || c.isVirtual(k) || !isOwn && h == nil {
		return x, false
	}
	x = FabricRow{FabricKey: c.fabricKey(k)}
	if isOwn {
		v := &c.snap.Load().VIFs[own.vif]
		x.Static, x.Sequence = true, c.learned.displaced[k]
		for _, a := range addrKeys(nil, k.seg, v.IP4[:own.ip4], v.IP6[:own.ip6]) {
			x.Addresses = append(x.Addresses, a.addr())
		}
	}
	if h == nil {
		return x, true
	}
	x.Sequence = max(x.Sequence, h.sequence)
	for i := range h.addrs { // those that belong to another one are not claimed
		if a := h.addrs[i].key; !slices.Contains(c.lost[k], a) {
			x.Addresses = append(x.Addresses, a.addr())
		}
	}
	return x, true
}

// strangers gives each attachment that learns the fib.VIF that stands for its strangers, and takes it from those that
// do not any more.
func (p *plan) strangers() error {
	var keys []attachKey
	for at, ref := range p.attach.changes {
		if ref != nil {
			keys = append(keys, at)
		}
	}
	slices.SortFunc(keys, func(a, b attachKey) int {
		return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.vid, b.vid))
	})
	for _, at := range keys {
		ref, _ := p.attach.get(at)
		learns := ref.open > 0 && p.cfg.MessageVLAN != 0
		seg := p.snapAttachments.s[ref.index].Seg
		switch was := ref.strangers; {
		case learns && was == 0:
			ref.strangers = p.vifIDs.alloc() + 1
		case !learns && was != 0:
			ref.strangers = 0
			*p.snapVIFs.at(was - 1) = fib.VIF{Attach: fib.None, Seg: fib.None}
			p.vifIDs.release(was - 1)
		}
		p.attach.set(at, ref)
		if ref.strangers != 0 {
			v := fib.VIF{Attach: ref.index, Seg: seg, Policy: fib.PolicyOff}
			if i := ref.strangers - 1; uint(i) >= uint(len(p.snapVIFs.s)) || p.snapVIFs.s[i].Seg != seg ||
				p.snapVIFs.s[i].Attach != ref.index {
				*p.snapVIFs.at(i) = v
			}
		}
		if x := p.c.heard.at[at]; x != nil {
			for k := range x.keys {
				if ref.strangers == 0 || k.seg != seg {
					p.touch(k)
				}
			}
		}
	}
	return nil
}

// staysHeard reports whether a station that was heard is a VIF with this change; own: nothing else has its row.
func (p *plan) staysHeard(k rowKey, own bool) bool {
	h := p.c.heard.rows[k]
	if h == nil || !own || p.outdated[k.seg] {
		return false
	}
	_, changed := p.vifRows.changes[k]
	_, station := p.stationRows.get(k)
	_, virtual := p.vipRows.get(k)
	ref, ok := p.attach.get(h.at)
	if changed || station || virtual || !ok || ref.strangers == 0 || p.snapAttachments.s[ref.index].Seg != k.seg {
		return false
	}
	r, configured := p.vifRows.get(k)
	if !configured {
		return true
	}
	v := &p.snapVIFs.s[r.vif]
	return v.Attach == ref.index && v.Policy == fib.PolicyOff
}

// strangerRow returns the row of a stranger that was heard.
func (p *plan) strangerRow(k rowKey) (*table.Binding, bool) {
	if _, configured := p.vifRows.get(k); configured || !p.staysHeard(k, true) {
		return nil, false
	}
	h := p.c.heard.rows[k]
	ref, _ := p.attach.get(h.at)
	b := &table.Binding{Seg: k.seg, MAC: k.mac, Loc: fib.LocLocal | (ref.strangers - 1)}
	h.addTo(b)
	return b, true
}

// heardBinding returns the binding of a stranger that was heard: it leads to this box.
func (c *Compiler) heardBinding(k rowKey) model.Binding {
	x, _ := c.ownVIF(k)
	x.At = c.ownPlace()
	return c.learnedBinding(k, &x)
}

// ownPlace is the place of the first fabric port that has one.
func (c *Compiler) ownPlace() Place {
	for i := range c.ports {
		if c.ports[i].at.Known() {
			return c.ports[i].at
		}
	}
	return Place{}
}

// AttachmentName names an attachment for people: PORT, or PORT/VLAN.
func (c *Compiler) AttachmentName(port, vid uint16) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := strconv.Itoa(int(port))
	if int(port) < len(c.ports) {
		name = c.ports[port].Name
	}
	if vid != 0 {
		name += "/" + strconv.Itoa(int(vid))
	}
	return name
}
