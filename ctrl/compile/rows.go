package compile

import (
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
	out := make([]fib.Loc, len(s.refs))
	for i, r := range s.refs {
		out[i] = fib.Loc(r >> 32)
	}
	return out
}

// touch lists a row as one to be decided.
func (p *plan) touch(k rowKey) {
	if _, seen := p.local[k]; seen {
		return
	}
	if _, seen := p.pushes[k]; !seen {
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
		sw, err := p.switchIndex(uint64(b.SwitchMAC))
		if err != nil {
			return fail(model.KindBinding, bindingKey(b.Tenant, b.Segment, b.MAC), "switch_mac", err)
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
	for _, k := range p.touched {
		p.decide(k)
	}
	return nil
}

func (p *plan) decide(k rowKey) {
	t := p.cfg.Bindings
	now, inTable := t.FindMAC(k.seg, k.mac)
	wasLocal := inTable && now&fib.LocLocal != 0

	// The pushed row before and after.
	var old, row *pushed
	held, wasHeld := p.held.get(k)
	switch {
	case wasHeld:
		old = &held
	case inTable && !wasLocal:
		old = &pushed{loc: now}
	}
	row, repushed := p.pushes[k]
	if !repushed {
		row = old
	}

	// The owner.
	vif, relocated := p.local[k]
	if !relocated {
		vif = fib.None
		if wasLocal {
			vif = now &^ fib.LocLocal
		}
	}
	hold := row != nil && (vif != fib.None || slices.Contains(p.self, row.loc))
	if hold && row == old && !wasHeld {
		g, _ := t.Get(k.seg, k.mac)
		row = &pushed{now, g.IP4, g.IP6}
	}

	switch {
	case vif != fib.None:
		if relocated {
			body := p.bodies[vif]
			if vif&fib.LocGateway != 0 {
				body = p.stationRows[k]
			}
			p.upsert(*body, inTable)
		}
	case row != nil && !hold:
		if repushed || wasHeld {
			p.upsert(table.Binding{Seg: k.seg, MAC: k.mac, Loc: row.loc, IP4: row.ip4, IP6: row.ip6}, inTable)
		}
	case inTable:
		p.deletes = append(p.deletes, table.Binding{Seg: k.seg, MAC: k.mac})
	}
	if hold {
		p.held.set(k, *row)
	} else if wasHeld {
		p.held.remove(k)
	}
	p.count(k.seg, old, wasHeld, row, hold)
}

func (p *plan) upsert(b table.Binding, inTable bool) {
	p.upserts = append(p.upserts, b)
	if !inTable {
		p.newRows++
	}
}

// count brings the counts into line with a pushed row that changed from old to row.
func (p *plan) count(seg uint32, old *pushed, wasHeld bool, row *pushed, hold bool) {
	if old == nil && row == nil {
		return
	}
	s := p.seg(seg)
	if old != nil {
		s.pushed--
		p.swRows[switchOf(old.loc)]--
		p.idle[switchOf(old.loc)] = true
		if !wasHeld {
			s.unref(old.loc)
		}
	}
	if row != nil {
		s.pushed++
		p.swRows[switchOf(row.loc)]++
		if !hold {
			s.ref(row.loc)
		}
	}
}

// checkCapacity makes sure that folding cannot fail.
func (p *plan) checkCapacity() error {
	t := p.cfg.Bindings
	room := p.cfg.capacity()
	if n := t.Len() - len(p.deletes) + p.newRows; p.newRows > 0 && n > room && !p.forced {
		return fmt.Errorf("%d bindings, room for %d: %w", n, room, ErrCapacity)
	}
	return nil
}

// capacity returns how many rows may be in the table.
func (c *Config) capacity() int {
	if n := c.Bindings.Capacity(); c.Capacity == 0 || n < c.Capacity {
		return n
	}
	return c.Capacity
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
