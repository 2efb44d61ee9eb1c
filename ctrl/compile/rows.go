package compile

import (
	"errors"
	"fmt"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// maxSwitches is how many edge switches fit into a fib.Loc.
const maxSwitches = 1 << 16

// rowKey is the key of a row of the bindings table.
type rowKey struct {
	seg uint32
	mac uint64
}

// pushed is a pushed binding by index.
type pushed struct {
	loc fib.Loc
	ip4 []uint32
	ip6 [][2]uint64

	learned bool // it was told by another box
}

func switchOf(l fib.Loc) uint32 { return l >> 8 & (maxSwitches - 1) }

// ref counts one row more at loc.
func (s *segInfo) ref(loc fib.Loc) {
	i, found := s.find(loc)
	if found {
		s.refs[i]++
		return
	}
	s.refs = slices.Insert(s.refs, i, uint64(loc)<<32|1)
	s.dirty = true
}

// unref counts one row less at loc.
func (s *segInfo) unref(loc fib.Loc) {
	i, found := s.find(loc)
	if !found {
		return
	}
	s.refs[i]--
	if uint32(s.refs[i]) == 0 {
		s.refs = slices.Delete(s.refs, i, i+1)
		s.dirty = true
	}
}

func (s *segInfo) find(loc fib.Loc) (int, bool) {
	return slices.BinarySearchFunc(s.refs, loc, func(r uint64, l fib.Loc) int { return int(int64(r>>32) - int64(l)) })
}

// locations lists where the segment's remote rows are: the flood list.
func (s *segInfo) locations() []fib.Loc {
	if len(s.refs) == 0 {
		return nil
	}
	out := make([]fib.Loc, 0, len(s.refs))
	for _, r := range s.refs {
		if loc := fib.Loc(r >> 32); !fib.IsVTEP(loc) { // those have no VIF
			out = append(out, loc)
		}
	}
	return out
}

// touch lists a row as one to be decided.
func (p *plan) touch(k rowKey) {
	if !p.seen[k] {
		p.seen[k] = true
		p.touched = append(p.touched, k)
	}
}

// resolveBindings turns the changes of the bindings into indices. What is deleted may belong to a segment that goes.
func (p *plan) resolveBindings() error {
	for _, b := range p.ch.Deletes {
		if i, ok := p.c.segments[segName{b.Tenant, b.Segment}]; ok {
			k := rowKey{i, uint64(b.MAC)}
			p.touch(k)
			p.pushes[k] = nil
		}
	}
	for i := range p.ch.Puts {
		b := &p.ch.Puts[i]
		seg, ok := p.segments.get(segName{b.Tenant, b.Segment})
		if !ok {
			return fail(model.KindBinding, bindingKey(b.Tenant, b.Segment, b.MAC), "segment", ErrReference)
		}
		var sw uint32
		var err error
		if b.VTEP == "" {
			sw, err = p.switchIndex(uint64(b.SwitchMAC))
		} else if ref, ok := p.vteps.get(b.VTEP); ok {
			sw = ref.sw
		} else {
			err = fmt.Errorf("VTEP %q: %w", b.VTEP, ErrReference)
		}
		if err != nil {
			return fail(model.KindBinding, bindingKey(b.Tenant, b.Segment, b.MAC), "", err)
		}
		k := rowKey{seg, uint64(b.MAC)}
		p.touch(k)
		row := &pushed{loc: fib.RemoteLoc(sw, uint8(b.SwitchPort))}
		row.ip4, row.ip6 = addresses(b.Addresses, nil, nil)
		p.pushes[k] = row
	}
	return nil
}

// decideRows works out, for every touched row, who owns it now, and what the table, the rows held back, the flood
// lists and the counts of the switches have to say.
func (p *plan) decideRows() error {
	p.dropLearned()
	for _, k := range p.touched {
		p.decide(k)
	}
	if err := p.dispute.settle(); err != nil {
		return err
	}
	for i := range p.upserts {
		if _, inTable := p.t.FindMAC(p.upserts[i].Seg, p.upserts[i].MAC); !inTable {
			p.newRows++
		}
	}
	return nil
}

func (p *plan) decide(k rowKey) {
	now, inTable := p.t.FindMAC(k.seg, k.mac)

	// The pushed row before and after.
	var old *pushed
	held, wasHeld := p.held.get(k)
	switch {
	case wasHeld:
		old = &held
	case inTable && now&fib.LocLocal == 0 && !p.c.isVirtual(k):
		old = &pushed{loc: now, learned: p.c.isLearned(k)}
		_, list := p.claimsOf(k)
		old.ip4, old.ip6 = splitKeys(list)
	}
	row, fresh := p.pushes[k]
	if !fresh || row == nil && old != nil && old.learned {
		row, fresh = old, false
	}

	// The owner.
	own, isOwn := p.ownRow(k)
	if !isOwn && (row == nil || row.learned || slices.Contains(p.self, row.loc)) {
		own, isOwn = p.strangerRow(k)
	}
	if p.c.heard.rows[k] != nil && !p.staysHeard(k, isOwn) {
		p.unheard[k] = true
	}
	if row != nil && row.learned && (isOwn || p.outdated[k.seg] || p.goneVTEPs[row.loc] != "" ||
		slices.Contains(p.self, row.loc)) {
		row = nil
	}
	if inTable && now&fib.LocLocal != 0 && !isOwn || old != nil && !old.learned && row == nil {
		p.freed = true
	}
	if old != nil && old.learned && row != old {
		p.forgotten[k] = p.c.sumOf(k, p.c.sequenceOf(k))
	}
	p.vtepRows[k] = row != nil && !isOwn && fib.IsVTEP(row.loc)
	hold := row != nil && (isOwn || slices.Contains(p.self, row.loc))
	switch {
	case isOwn:
		p.dispute.put(own, false)
	case row != nil && !hold:
		p.dispute.put(&table.Binding{Seg: k.seg, MAC: k.mac, Loc: row.loc, IP4: row.ip4, IP6: row.ip6}, fresh)
	case inTable:
		p.dispute.remove(k)
		p.deletes = append(p.deletes, table.Binding{Seg: k.seg, MAC: k.mac})
	}
	if hold {
		p.held.set(k, *row)
	} else if wasHeld {
		p.held.remove(k)
	}
	p.count(k.seg, old, wasHeld, row, hold)
}

// ownRow returns the row of the gateway group that is a station at k, or else of the virtual address, or else of this
// box's VIF.
func (p *plan) ownRow(k rowKey) (*table.Binding, bool) {
	if s, ok := p.stationRows.get(k); ok {
		return &table.Binding{Seg: k.seg, MAC: k.mac, Loc: fib.GroupLoc(s.group), IP4: s.ip4, IP6: s.ip6}, true
	}
	if r, ok := p.vipRows.get(k); ok {
		b := &table.Binding{Seg: k.seg, MAC: k.mac, Loc: r.loc}
		b.IP4, b.IP6 = splitKeys([]addrKey{r.addr})
		return b, true
	}
	if r, ok := p.vifRows.get(k); ok {
		v := &p.snapVIFs.s[r.vif]
		b := &table.Binding{Seg: k.seg, MAC: k.mac, Loc: fib.LocLocal | r.vif, IP4: v.IP4[:r.ip4], IP6: v.IP6[:r.ip6]}
		if p.staysHeard(k, true) {
			p.c.heard.rows[k].addTo(b)
		}
		return b, true
	}
	return nil, false
}

// count brings the counts into line with a pushed row that changed from old to row.
func (p *plan) count(seg uint32, old *pushed, wasHeld bool, row *pushed, hold bool) {
	if old == nil && row == nil {
		return
	}
	s := p.seg(seg)
	if old != nil {
		if !old.learned {
			s.pushed--
			p.pushed--
		}
		p.swRows[switchOf(old.loc)]--
		p.idle[switchOf(old.loc)] = true
		if !wasHeld {
			s.unref(old.loc)
		}
	}
	if row != nil {
		if !row.learned {
			s.pushed++
			p.pushed++
		}
		p.swRows[switchOf(row.loc)]++
		if !hold {
			s.ref(row.loc)
		}
	}
}

// checkCapacity holds the pushed rows to the capacity, and makes sure that folding cannot fail.
func (p *plan) checkCapacity() error {
	if n, room := p.c.pushed+p.pushed, p.cfg.Capacity; p.pushed > 0 && n > room && !p.forced {
		return fmt.Errorf("%d bindings, room for %d: %w", n, room, ErrCapacity)
	}
	return p.c.makeRoom(p.t.Len() - len(p.deletes) + p.newRows)
}

// makeRoom makes the table large enough for n rows.
func (c *Compiler) makeRoom(n int) error {
	t := c.cfg.Bindings
	if n <= t.Capacity() {
		return nil
	}
	release, err := t.Grow(n + n/64 + 64)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCapacity, err)
	}
	c.retired = append(c.retired, release)
	return nil
}

// release gives back what makeRoom replaced, when every worker uses a snapshot that is younger, and every Read that may
// have begun before has returned.
func (c *Compiler) release() {
	if c.cfg.Publish == nil || len(c.retired) == 0 {
		return // without Publish the end of the workers' reads is unknown: Close releases the memory
	}
	c.readers.Lock()
	defer c.readers.Unlock()
	for _, f := range c.retired {
		if err := f(); err != nil {
			c.failed = errors.Join(c.failed, fmt.Errorf("give back the memory of the bindings table: %w", err))
		}
	}
	c.retired = nil
}

// switchIndex returns the index of an edge switch, a new one if it is not known yet.
func (p *plan) switchIndex(mac uint64) (uint32, error) {
	if i, ok := p.switches.get(mac); ok {
		return i, nil
	}
	i := p.switchIDs.alloc()
	if i >= maxSwitches {
		return 0, fmt.Errorf("%w: %d at most", ErrSwitches, maxSwitches)
	}
	p.switches.set(mac, i)
	*p.snapSwitches.at(i) = fib.Switch{MAC: mac}
	p.idle[i] = true
	return i, nil
}
