package compile

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// ForgetRow removes a learned row if it is at a place and its sequence is not above a given one. It reports whether
// there was one.
func (c *Compiler) ForgetRow(key FabricKey, at Place, sequence uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg, ok := c.segmentOf(&key)
	if !ok {
		return false
	}
	k := rowKey{seg, uint64(key.MAC)}
	had, ok := c.learned.get(k)
	now, inTable := c.cfg.Bindings.FindMAC(k.seg, k.mac)
	if !ok || !inTable || had.sequence > sequence || c.placeOf(now) != at {
		return false
	}
	c.openLearned()
	c.unlearn(k, now)
	c.learnEnd()
	return true
}

func (c *Compiler) unlearn(k rowKey, loc fib.Loc) {
	c.learned.digest(loc, -1, -c.sumOf(k, c.sequenceOf(k)))
	c.drop(k)
	c.learned.remove(k)
	delete(c.vtepRows, k)
	c.unlearned(&c.segs[k.seg], k.seg, loc)
}

const (
	// evictFrom is how many rows one is chosen from that gives way: the one that was heard longest ago.
	evictFrom = 5
	// evictTimes is how many times pass while rows give way as often as there is room for rows.
	evictTimes = 16
)

// evict makes room for one learned row, and for a second one if what was pushed has left too little: other learned rows
// give way. It reports whether there was one.
func (c *Compiler) evict(moves *watch) bool {
	over := c.pushed + c.learned.count + 1 - c.cfg.Capacity
	if over > c.learned.count {
		return false
	}
	for range min(over, 2) {
		k, r := c.learned.oldest(evictFrom)
		if c.watches(k.seg) {
			moves.addRow(c, &table.Binding{Seg: k.seg, MAC: k.mac})
		}
		c.unlearn(k, r.loc)
		if c.learned.evicted++; c.learned.evicted*evictTimes >= c.cfg.Capacity {
			c.learned.evicted = 0
			c.learned.next()
		}
	}
	return true
}

// SweepBegin begins a time: rows that are heard from now on outlive SweepEnd with what it returns.
func (c *Compiler) SweepBegin() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.learned.next()
}

// next begins a time.
func (l *learned) next() uint32 {
	if l.time++; l.time-l.base >= knownTimes {
		l.rebase(l.base + knownTimes/2)
	}
	return l.time
}

// SweepEnd removes the learned rows at a place that were not heard since begin, and returns their number.
func (c *Compiler) SweepEnd(at Place, begin uint32) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sw, ok := c.switches[uint64(at.Switch)]
	if !ok {
		return 0
	}
	loc := fib.RemoteLoc(sw, at.Port)
	var gone []rowKey
	c.learned.eachAt(loc, func(k rowKey, r knownRow) {
		if r.time < begin {
			gone = append(gone, k)
		}
	})
	c.openLearned()
	for _, k := range gone {
		c.unlearn(k, loc)
	}
	c.learnEnd()
	return len(gone)
}
