package compile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// flushRows is after how many rows of a bulk the flood lists are published.
const flushRows = 100_000

// bulkState is what a bulk left to be published.
type bulkState struct {
	open  bool
	load  bool            // of stored rows
	rows  int             // since the last flush
	dirty []uint32        // segments whose flood list changed
	idle  map[uint32]bool // switches that may be unused now

	// Reused from row to row and call to call.
	resolved []resolved
	row, old table.Binding
	sink     uint64 // keeps touches alive

	// The last names resolved: rows come grouped.
	name segName
	seg  uint32
	mac  uint64
	sw   uint32
}

// resolved are a row's indices.
type resolved struct{ seg, sw uint32 }

// BulkBegin makes sure that the push fits, and publishes the edge switches it names: a row must not become visible
// before the switch it refers to. The error wraps ErrCapacity or ErrSwitches and means that nothing was done.
func (c *Compiler) BulkBegin(size core.BulkSize) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	after, room := c.pushed+size.Added-size.Removed, c.cfg.Capacity
	if size.Added > size.Removed && after > room && !size.Stored {
		return fmt.Errorf("%d bindings, room for %d: %w", after, room, ErrCapacity)
	}
	// Of the rows to be removed, those that are held back free no room in the table; the others may come into it.
	if err := c.makeRoom(c.cfg.Bindings.Len() + len(c.held) +
		size.Added - max(0, size.Removed-len(c.held))); err != nil {
		return err
	}
	if err := c.addSwitches(size.Switches); err != nil {
		return err
	}
	c.bulk.load = size.Stored
	return nil
}

// addSwitches gives indices to the edge switches that have none, and publishes them.
func (c *Compiler) addSwitches(macs []model.MAC) error {
	p := c.newPlan()
	for _, mac := range macs {
		if _, err := p.switchIndex(uint64(mac)); err != nil {
			return err
		}
	}
	c.openBulk()
	if !p.snapSwitches.owned {
		return nil
	}
	if err := p.compile(); err != nil {
		return err
	}
	c.apply(p)
	return nil
}

func (c *Compiler) openBulk() {
	if c.bulk.idle == nil {
		c.bulk.idle = map[uint32]bool{}
	}
	c.bulk.open = true
	c.bulk.name, c.bulk.mac = segName{}, ^uint64(0)
	c.version++
}

// BulkPut writes bindings in place: each row is visible whole or not at all, the rows of one call not together. A row
// of an unknown segment or switch number is an error before anything of the call is written. Neither rows nor the
// addresses in it are kept.
func (c *Compiler) BulkPut(rows []model.Binding) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openBulk()
	if err := c.resolve(rows); err != nil {
		return err
	}
	var moves watch
	defer func() { c.report(moves) }()
	for from := 0; from < len(rows); from += ahead {
		to := min(from+ahead, len(rows))
		for i := from; i < to; i++ {
			c.touch(&rows[i], c.bulk.resolved[i].seg)
		}
		for i := from; i < to; i++ {
			c.watchPut(&moves, &rows[i], c.bulk.resolved[i].seg)
			if err := c.putRow(&rows[i], c.bulk.resolved[i]); err != nil {
				b := &rows[i]
				return fail(model.KindBinding, bindingKey(b.Tenant, b.Segment, b.MAC), "", err)
			}
		}
	}
	c.wrote(len(rows))
	return nil
}

// watchPut watches a row that is about to be put.
func (c *Compiler) watchPut(w *watch, b *model.Binding, seg uint32) {
	if !c.watches(seg) {
		return
	}
	row := &c.bulk.row
	row.Seg, row.MAC = seg, uint64(b.MAC)
	row.IP4, row.IP6 = addresses(b.Addresses, row.IP4[:0], row.IP6[:0])
	w.addRow(c, row)
}

// ahead is the number of rows whose buckets are touched together, so that their cache misses overlap.
const ahead = 16

func (c *Compiler) touch(b *model.Binding, seg uint32) {
	t := c.cfg.Bindings
	c.bulk.sink += t.TouchMAC(seg, uint64(b.MAC))
	if len(b.Addresses) > 0 && b.Addresses[0].Is4() {
		c.bulk.sink += t.TouchIP4(seg, ip4(b.Addresses[0]))
	}
}

// BulkDelete removes bindings in place. What is not there is no error.
func (c *Compiler) BulkDelete(keys []model.BindingKey) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openBulk()
	var moves watch
	defer func() { c.report(moves) }()
	for i := range keys {
		if seg, ok := c.lookup(keys[i].Tenant, keys[i].Segment); ok {
			if c.watches(seg) {
				moves.addRow(c, &table.Binding{Seg: seg, MAC: uint64(keys[i].MAC)})
			}
			c.deleteRow(rowKey{seg, uint64(keys[i].MAC)})
		}
	}
	c.wrote(len(keys))
	return nil
}

// BulkEnd publishes what the bulk left pending, frees what it left unused, and returns when that is live.
func (c *Compiler) BulkEnd() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bulk.open = false
	if c.bulk.load {
		c.bulk.load = false
		if err := c.settleAges(); err != nil {
			c.failed = errors.Join(c.failed, err)
		}
	}
	c.flush()
	c.bulk.idle = nil
	c.bulk.resolved = nil
}

// wrote counts rows and flushes now and then, so that no box waits for the end of a long stream to be flooded to.
func (c *Compiler) wrote(n int) {
	if c.bulk.rows += n; c.bulk.rows >= flushRows {
		c.flush()
	}
}

// flush publishes the flood lists that changed.
func (c *Compiler) flush() {
	p := c.newPlan()
	p.recheck = true
	for _, i := range c.bulk.dirty {
		if s := &c.segs[i]; s.dirty && p.snapSegments.s[i].Tenant != 0 {
			p.snapSegments.at(i).Remote = s.locations()
			s.dirty = false
		}
	}
	maps.Copy(p.idle, c.bulk.idle)
	c.bulk.dirty, c.bulk.rows = c.bulk.dirty[:0], 0
	_ = c.force(p) // Err has it
}

func (c *Compiler) lookup(tenant, segment string) (uint32, bool) {
	name := segName{tenant, segment}
	if name != c.bulk.name {
		seg, ok := c.segments[name]
		if !ok {
			return 0, false
		}
		c.bulk.name, c.bulk.seg = name, seg
	}
	return c.bulk.seg, true
}

// resolve fills bulk.resolved, and makes switches that were not announced known to the dataplane.
func (c *Compiler) resolve(rows []model.Binding) error {
	u := &c.bulk
	u.resolved = slices.Grow(u.resolved[:0], len(rows))[:len(rows)]
	var unknown []model.MAC
	for i := range rows {
		b := &rows[i]
		seg, ok := c.lookup(b.Tenant, b.Segment)
		if !ok {
			return fail(model.KindBinding, bindingKey(b.Tenant, b.Segment, b.MAC), "segment", ErrReference)
		}
		if b.VTEP != "" {
			ref, ok := c.vteps[b.VTEP]
			if !ok {
				return fail(model.KindBinding, bindingKey(b.Tenant, b.Segment, b.MAC), "vtep", ErrReference)
			}
			u.resolved[i] = resolved{seg, ref.sw}
			continue
		}
		if mac := uint64(b.SwitchMAC); mac != u.mac {
			sw, ok := c.switches[mac]
			if !ok {
				unknown = append(unknown, b.SwitchMAC)
				continue
			}
			u.mac, u.sw = mac, sw
		}
		u.resolved[i] = resolved{seg, u.sw}
	}
	if unknown == nil {
		return nil
	}
	if err := c.addSwitches(unknown); err != nil {
		return err
	}
	return c.resolve(rows)
}

// putRow writes one row. The table is changed first: it may be full.
func (c *Compiler) putRow(b *model.Binding, r resolved) error {
	t, k := c.cfg.Bindings, rowKey{r.seg, uint64(b.MAC)}
	loc := fib.RemoteLoc(r.sw, uint8(b.SwitchPort))
	now, inTable := t.FindMAC(k.seg, k.mac)
	if inTable && c.isLearned(k) { // what is pushed takes its place
		c.unlearn(k, now)
		inTable = false
	}
	if c.stranger(k) != nil && !slices.Contains(c.self, loc) { // likewise
		c.unhear(k)
		inTable = false
	}
	local := inTable && (now&fib.LocLocal != 0 || c.isVirtual(k))
	if local || slices.Contains(c.self, loc) {
		c.deleteRow(k)
		delete(c.vtepRows, k)
		row := pushed{loc: loc}
		row.ip4, row.ip6 = addresses(b.Addresses, nil, nil)
		c.held[k] = row
		c.pushed++
		c.segs[k.seg].pushed++
		c.swRows[r.sw]++
		return nil
	}
	row := &c.bulk.row
	row.Seg, row.MAC, row.Loc = k.seg, k.mac, loc
	row.IP4, row.IP6 = addresses(b.Addresses, row.IP4[:0], row.IP6[:0])
	if err := c.makeRoom(t.Len() + 1); err != nil { // learned rows may have taken what BulkBegin made
		return err
	}
	if err := c.upsert(k, inTable, row); err != nil {
		return fmt.Errorf("%w: %w", ErrCapacity, err)
	}
	c.noteVTEP(k, loc)
	if inTable && now == loc {
		return nil
	}
	s := &c.segs[k.seg]
	if inTable {
		c.forget(s, k.seg, now)
	} else if held, ok := c.held[k]; ok {
		delete(c.held, k)
		c.pushed--
		s.pushed--
		c.swRows[switchOf(held.loc)]--
		c.bulk.idle[switchOf(held.loc)] = true
	}
	c.pushed++
	s.pushed++
	c.swRows[r.sw]++
	c.changeRefs(s, k.seg, loc, (*segInfo).ref)
	return nil
}

// deleteRow removes the pushed row of k, wherever it is. A local VIF's row stays.
func (c *Compiler) deleteRow(k rowKey) {
	c.learned.freed++
	s := &c.segs[k.seg]
	if held, ok := c.held[k]; ok {
		delete(c.held, k)
		c.pushed--
		s.pushed--
		c.swRows[switchOf(held.loc)]--
		c.bulk.idle[switchOf(held.loc)] = true
		return
	}
	t := c.cfg.Bindings
	if now, ok := t.FindMAC(k.seg, k.mac); ok && now&fib.LocLocal == 0 && !c.isVirtual(k) && !c.isLearned(k) {
		c.drop(k)
		delete(c.vtepRows, k)
		c.forget(s, k.seg, now)
	}
}

// forget counts one row of the table less.
func (c *Compiler) forget(s *segInfo, seg uint32, loc fib.Loc) {
	c.pushed--
	s.pushed--
	c.swRows[switchOf(loc)]--
	c.bulk.idle[switchOf(loc)] = true
	c.changeRefs(s, seg, loc, (*segInfo).unref)
}

// changeRefs applies f and notes the segment when its flood list changed by it.
func (c *Compiler) changeRefs(s *segInfo, seg uint32, loc fib.Loc, f func(*segInfo, fib.Loc)) {
	was := s.dirty
	if f(s, loc); s.dirty && !was {
		c.bulk.dirty = append(c.bulk.dirty, seg)
	}
}
