package compile

import (
	"errors"
	"fmt"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/table"
)

// Disputes in a bulk, whose rows are written in place: the rows of a push come sorted by MAC and are younger than all
// that is there, so the order of the claims follows from the order of the rows. The rows of a load come sorted, too,
// and their ages are asked for at its end.

// SetAges tells the compiler where the ages of pushed bindings are to be had: the revisions that changed them last, in
// the order of the keys. Without it all are of one age.
func (c *Compiler) SetAges(f func([]model.BindingKey) ([]uint64, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ages = f
}

// agesOf asks for the ages of rows.
func (c *Compiler) agesOf(rows []rowKey) ([]uint64, error) {
	if c.ages == nil {
		return make([]uint64, len(rows)), nil
	}
	keys := make([]model.BindingKey, len(rows))
	for i, k := range rows {
		keys[i] = model.BindingKey{Tenant: c.segs[k.seg].name.tenant, Segment: c.segs[k.seg].name.segment,
			MAC: model.MAC(k.mac)}
	}
	return c.ages(keys)
}

// disputed reports whether a row claims an address that others claim as well, or did so. next is the row after the
// change, nil if it goes.
func (c *Compiler) disputed(k rowKey, inTable bool, next *table.Binding) bool {
	if len(c.contested) == 0 {
		return false
	}
	if _, ok := c.lost[k]; ok {
		return true
	}
	contested := func(b *table.Binding) bool {
		for _, ip := range b.IP4 {
			if _, ok := c.contested[addrKey{seg: k.seg, lo: uint64(ip)}]; ok {
				return true
			}
		}
		for _, ip := range b.IP6 {
			if _, ok := c.contested[addrKey{seg: k.seg, v6: true, hi: ip[0], lo: ip[1]}]; ok {
				return true
			}
		}
		return false
	}
	if next != nil && contested(next) {
		return true
	}
	return inTable && c.cfg.Bindings.GetInto(k.seg, k.mac, &c.bulk.old) && contested(&c.bulk.old)
}

// upsert writes a pushed row in place.
func (c *Compiler) upsert(k rowKey, inTable bool, row *table.Binding) error {
	if !c.disputed(k, inTable, row) {
		contested, err := c.cfg.Bindings.UpsertApart(row)
		if err != nil || !contested {
			return err
		}
	}
	return c.settle(func(d *dispute) { d.put(row, true) })
}

// drop deletes a pushed row of the table in place.
func (c *Compiler) drop(k rowKey) {
	if c.disputed(k, true, nil) {
		if err := c.settle(func(d *dispute) { d.remove(k) }); err != nil {
			c.failed = errors.Join(c.failed, fmt.Errorf("give back the addresses of a binding: %w", err))
		}
	}
	c.cfg.Bindings.Delete(k.seg, k.mac)
}

// settle decides a change of claims and writes the rows.
func (c *Compiler) settle(change func(*dispute)) error {
	d := newDispute(c, c.agesOf)
	change(&d)
	if err := d.settle(); err != nil {
		return err
	}
	for i := range d.upserts {
		if err := c.cfg.Bindings.Upsert(&d.upserts[i]); err != nil {
			return err
		}
	}
	d.commit()
	return nil
}

// settleAges puts the claims of all addresses in order after a load, whose rows did not come in the order of their age.
func (c *Compiler) settleAges() error {
	d := newDispute(c, nil)
	var keys []rowKey
	at := map[rowKey]int{}
	addrs := make([]addrKey, 0, len(c.contested))
	for a, list := range c.contested {
		addrs = append(addrs, a)
		for _, x := range list {
			if k := (rowKey{a.seg, x.mac}); x.rank == rankPushed {
				if _, seen := at[k]; !seen {
					at[k] = len(keys)
					keys = append(keys, k)
				}
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ages, err := c.agesOf(keys)
	if err != nil {
		return fmt.Errorf("ages of bindings that claim one address: %w", err)
	}
	gains := map[rowKey][]addrKey{}
	for _, a := range addrs {
		old := c.contested[a]
		list := make([]entry, len(old))
		for i, x := range old {
			list[i].claim = x
			switch k := (rowKey{a.seg, x.mac}); x.rank {
			case rankPushed:
				list[i].age = ages[at[k]]
			case rankLearned, rankFabric:
				list[i].age = c.sequenceOf(k)
			}
		}
		next := sortClaims(list, false)
		if slices.Equal(old, next) {
			continue
		}
		d.note(a, old, next, true)
		if old[0] != next[0] {
			k := rowKey{a.seg, next[0].mac}
			gains[k] = append(gains[k], a)
		}
	}
	for k, list := range gains {
		b, _ := c.cfg.Bindings.Get(k.seg, k.mac)
		d.write(k, b.Loc, append(addrKeys(nil, k.seg, b.IP4, b.IP6), list...))
	}
	for i := range d.upserts {
		if err := c.cfg.Bindings.Upsert(&d.upserts[i]); err != nil {
			return err
		}
	}
	d.commit()
	return nil
}
