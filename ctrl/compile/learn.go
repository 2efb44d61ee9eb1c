package compile

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// Learned rows
//
// The fabric's protocol teaches rows of the bindings table: where VIFs of other boxes are. They are not pushed, not
// stored, and rank below everything else; of two that claim an address the one with the larger sequence has it. The
// table has their locations and addresses, known the rest.

// FabricKey names a binding by the IDs that boxes use among each other.
type FabricKey struct {
	Tenant, Segment uint32
	MAC             model.MAC
}

// Compare orders keys as the octets of a message do.
func (k FabricKey) Compare(o FabricKey) int {
	return cmp.Or(cmp.Compare(k.Tenant, o.Tenant), cmp.Compare(k.Segment, o.Segment), cmp.Compare(k.MAC, o.MAC))
}

// FabricRow is a binding as boxes tell each other.
type FabricRow struct {
	FabricKey
	Addresses []netip.Addr
	At        Place
	Sequence  uint64
	Static    bool // configured at its owner
	VTEP      bool
}

// Verdict is what became of a row that was heard.
type Verdict uint8

// The verdicts.
const (
	Taken       Verdict = iota // it is new, or newer than what was known
	Moved                      // as Taken, and another place was known
	Same                       // it is known
	Older                      // a newer one is known
	Pushed                     // the binding was pushed, and leads to the same place
	Contradicts                // it was pushed, and leads elsewhere: what is heard changes nothing
	Local                      // the VIF is on this box
	Virtual                    // the MAC is that of a virtual address or a gateway group
	Unknown                    // the tenant or the segment does not exist here
	Self                       // it leads to this box, which has no such VIF
	Crowded                    // as Taken, and another learned row has given way: the table is full
	Full                       // there is no room, or no memory
	Verdicts                   // how many there are, not a verdict
)

// String names the verdict, as metrics do.
func (v Verdict) String() string {
	return [Verdicts]string{Taken: "taken", Moved: "moved", Same: "same", Older: "older", Pushed: "pushed",
		Contradicts: "contradicts", Local: "local", Virtual: "virtual", Unknown: "unknown", Self: "self",
		Crowded: "crowded", Full: "full"}[v]
}

// learned is what the compiler has of learned rows.
type learned struct {
	known
	time uint32 // counts SweepBegin; a row has that of its last message
	news uint64 // counts changes

	freed   uint64 // counts changes by which rows have gone that learned ones had no place beside
	evicted int    // rows since a time was begun for them
	places  map[fib.Loc]Digest
	// unsettled: what rows have changed beside the table may have to be published, at nextSettled at the earliest.
	unsettled   bool
	nextSettled time.Time

	// displaced are the sequences of rows that VIFs of this box have taken the place of.
	displaced map[rowKey]uint64
}

// LearnRows takes what other boxes say, in place: each row is visible whole or not at all. It returns a verdict for
// each row, valid until the next call. Neither the rows nor their addresses are kept.
func (c *Compiler) LearnRows(rows []FabricRow) []Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	verdicts := make([]Verdict, len(rows))
	if err := c.addLearnedSwitches(rows); err != nil { // a fabric has no 65,536 switches
		for i := range verdicts {
			verdicts[i] = Full
		}
		return verdicts
	}
	var moves watch
	for from := 0; from < len(rows); from += ahead {
		to := min(from+ahead, len(rows))
		for i := from; i < to; i++ {
			c.touchLearned(&rows[i])
		}
		for i := from; i < to; i++ {
			verdicts[i] = c.learnRow(&rows[i], &moves)
		}
	}
	c.learnEnd()
	c.report(moves)
	return verdicts
}

func (c *Compiler) touchLearned(r *FabricRow) {
	seg, ok := c.segmentOf(&r.FabricKey)
	if !ok {
		return
	}
	t := c.cfg.Bindings
	c.bulk.sink += t.TouchMAC(seg, uint64(r.MAC)) + c.learned.touch(rowKey{seg, uint64(r.MAC)})
	if len(r.Addresses) > 0 && r.Addresses[0].Is4() {
		c.bulk.sink += t.TouchIP4(seg, ip4(r.Addresses[0]))
	}
}

func (c *Compiler) addLearnedSwitches(rows []FabricRow) error {
	var unknown []model.MAC
	last := model.MAC(0)
	for i := range rows {
		if mac := rows[i].At.Switch; mac != last {
			if _, ok := c.segmentOf(&rows[i].FabricKey); !ok {
				continue
			}
			last = mac
			if _, ok := c.switches[uint64(mac)]; !ok && mac&vtepKey == 0 && !slices.Contains(unknown, mac) {
				unknown = append(unknown, mac)
			}
		}
	}
	if unknown == nil {
		c.openLearned()
		return nil
	}
	open := c.bulk.open
	err := c.addSwitches(unknown)
	c.bulk.open = open
	return err
}

// openLearned is openBulk for learned rows: whether a bulk of pushed rows is open stays as it is.
func (c *Compiler) openLearned() {
	open := c.bulk.open
	c.openBulk()
	c.bulk.open = open
}

// learnEnd publishes what the rows have changed beside the table, or leaves it to SettleLearned.
func (c *Compiler) learnEnd() {
	c.learned.unsettled = true
	c.settleLearned()
}

// SettleLearned publishes what learned rows have left, when it is time. Call it some times a second.
func (c *Compiler) SettleLearned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLearned()
}

func (c *Compiler) settleLearned() {
	begin := time.Now()
	if !c.learned.unsettled || c.cfg.LearnPause > 0 && begin.Before(c.learned.nextSettled) {
		return
	}
	c.learned.unsettled = false
	if len(c.bulk.dirty) > 0 || len(c.bulk.idle) > 0 || len(c.state.Servers)+len(c.state.VIPs) > 0 {
		c.flush()
		if !c.bulk.open {
			c.bulk.idle = nil
		}
		end := time.Now()
		c.learned.nextSettled = end.Add(max(c.cfg.LearnPause, 4*end.Sub(begin)))
	}
}

// displace forgets a learned row, which has a sum, for a plan that is applied.
func (c *Compiler) displace(k rowKey, sum uint64) {
	if _, own := c.vifRows[k]; own {
		if c.learned.displaced == nil {
			c.learned.displaced = map[rowKey]uint64{}
		}
		c.learned.displaced[k] = c.sequenceOf(k)
	}
	had, _ := c.learned.get(k)
	c.learned.digest(had.loc, -1, -sum)
	c.learned.remove(k)
}

func (c *Compiler) isLearned(k rowKey) bool {
	_, ok := c.learned.get(k)
	return ok
}

func (c *Compiler) toldRow(k rowKey) (told, fixed bool) {
	r, ok := c.learned.get(k)
	return ok, r.flags&knownFixed != 0
}

// sequenceOf is that of a row which another box has told, or which was heard here.
func (c *Compiler) sequenceOf(k rowKey) uint64 {
	if r, ok := c.learned.get(k); ok {
		return r.sequence
	}
	if h := c.heard.rows[k]; h != nil {
		return h.sequence
	}
	return 0
}

// dropLearned lists the learned rows of segments that go or get another ID: boxes tell each other IDs.
func (p *plan) dropLearned() {
	for loc := range p.goneVTEPs {
		p.c.learned.eachAt(loc, func(k rowKey, _ knownRow) { p.touch(k) })
	}
	if p.c.learned.count+len(p.c.heard.rows) == 0 || !p.snapSegments.owned && !p.snapRouters.owned {
		return
	}
	old := p.c.snap.Load()
	for i := range old.Segments {
		a := &old.Segments[i]
		if i >= len(p.snapSegments.s) || p.snapSegments.s[i].Tenant != a.Tenant || p.snapSegments.s[i].ID != a.ID {
			p.outdated[uint32(i)] = true
		}
	}
	for _, i := range p.goneSegs {
		p.outdated[i] = true
	}
	if len(p.outdated) > 0 {
		p.c.learned.each(func(k rowKey, _ knownRow) {
			if p.outdated[k.seg] {
				p.touch(k)
			}
		})
		for _, k := range p.c.heard.keys() {
			if p.outdated[k.seg] {
				p.touch(k)
			}
		}
	}
}

func (c *Compiler) segmentOf(k *FabricKey) (uint32, bool) {
	return c.snap.Load().SegmentByID.Get(fib.SegmentKey(k.Tenant, k.Segment))
}

func (c *Compiler) learnRow(r *FabricRow, moves *watch) Verdict {
	seg, ok := c.segmentOf(&r.FabricKey)
	if !ok {
		return Unknown
	}
	k := rowKey{seg, uint64(r.MAC)}
	if _, own := c.vifRows[k]; own || c.heard.rows[k] != nil {
		return Local
	}
	if _, station := c.stationRows[k]; station || c.isVirtual(k) {
		return Virtual
	}
	t := c.cfg.Bindings
	now, inTable := t.FindMAC(k.seg, k.mac)
	had, wasLearned := c.learned.get(k)
	sw, indexed := c.switches[uint64(r.At.Switch)]
	loc := fib.RemoteLoc(sw, r.At.Port)
	if held, ok := c.held[k]; ok || inTable && !wasLearned {
		if ok {
			now = held.loc
		}
		if now != loc {
			return Contradicts
		}
		return Pushed
	}
	if !indexed {
		return Full
	}
	if slices.Contains(c.self, loc) {
		return Self
	}
	if wasLearned {
		switch {
		case r.Sequence < had.sequence,
			r.Sequence == had.sequence && now != loc && c.placeOf(now).Compare(r.At) > 0:
			return Older
		case had.flags&knownFixed != 0 && !r.Static && now != loc:
			return Older // what is only learned does not displace what is configured
		case r.Sequence == had.sequence && now == loc && c.sameAddresses(k, r.Addresses):
			had.time = c.learned.time
			_ = c.learned.put(k, had) // at worst the time stays
			return Same
		}
	}
	verdict := Taken
	if !wasLearned && c.pushed+c.learned.count >= c.cfg.Capacity {
		if !c.evict(moves) {
			return Full
		}
		verdict = Crowded
	}
	row := &c.bulk.row
	row.Seg, row.MAC, row.Loc = k.seg, k.mac, loc
	row.IP4, row.IP6 = addresses(r.Addresses, row.IP4[:0], row.IP6[:0])
	if c.watches(seg) {
		moves.addRow(c, row)
	}
	if err := c.makeRoom(t.Len() + 1); err != nil {
		return Full
	}
	rec, sum := knownRow{sequence: r.Sequence, loc: loc, time: c.learned.time}, uint64(0)
	if r.Static {
		rec.flags |= knownFixed
	}
	if r.VTEP {
		rec.flags |= knownVTEP
	}
	if wasLearned {
		sum = c.sumOf(k, had.sequence)
	}
	if err := c.learned.put(k, rec); err != nil {
		return Full
	}
	if err := c.upsert(k, inTable, row); err != nil {
		if wasLearned {
			_ = c.learned.put(k, had) // it is there: no memory is needed
		} else {
			c.learned.remove(k)
		}
		return Full
	}
	if wasLearned {
		c.learned.digest(now, -1, -sum)
	}
	c.learned.digest(loc, 1, c.sum(k, r.Sequence, row.IP4, row.IP6))
	c.noteVTEP(k, loc)
	s := &c.segs[seg]
	if inTable && now == loc {
		return Taken
	}
	if inTable {
		c.unlearned(s, seg, now)
		verdict = Moved
	}
	c.swRows[sw]++
	c.changeRefs(s, seg, loc, (*segInfo).ref)
	return verdict
}

// unlearned counts one learned row of the table less.
func (c *Compiler) unlearned(s *segInfo, seg uint32, loc fib.Loc) {
	c.swRows[switchOf(loc)]--
	c.bulk.idle[switchOf(loc)] = true
	c.changeRefs(s, seg, loc, (*segInfo).unref)
}

// placeOf returns the place of a remote location.
func (c *Compiler) placeOf(loc fib.Loc) Place {
	return Place{model.MAC(c.snap.Load().Switches[switchOf(loc)].MAC), uint8(loc)}
}

// Compare orders places: by switch, then by port.
func (a Place) Compare(b Place) int {
	return cmp.Or(cmp.Compare(a.Switch, b.Switch), cmp.Compare(a.Port, b.Port))
}

// sameAddresses reports whether a row claims just these addresses.
func (c *Compiler) sameAddresses(k rowKey, list []netip.Addr) bool {
	old := &c.bulk.old
	if !c.cfg.Bindings.GetInto(k.seg, k.mac, old) {
		return false
	}
	lost := c.lost[k]
	if len(list) != len(old.IP4)+len(old.IP6)+len(lost) {
		return false
	}
	for _, a := range list {
		var found bool
		if a.Is4() {
			found = slices.Contains(old.IP4, ip4(a)) || slices.Contains(lost, addrKey{seg: k.seg, lo: uint64(ip4(a))})
		} else {
			w := ip6(a)
			found = slices.Contains(old.IP6, w) ||
				slices.Contains(lost, addrKey{seg: k.seg, v6: true, hi: w[0], lo: w[1]})
		}
		if !found {
			return false
		}
	}
	return true
}

// LearnedVersion changes with any learned row.
func (c *Compiler) LearnedVersion() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.learned.news
}

// fabricRow fills r with a learned row.
func (c *Compiler) fabricRow(s *fib.Snapshot, k rowKey, x knownRow, b *table.Binding, r *FabricRow) bool {
	if uint(k.seg) >= uint(len(s.Segments)) || !c.cfg.Bindings.GetInto(k.seg, k.mac, b) || b.Loc&fib.LocLocal != 0 {
		return false
	}
	g := &s.Segments[k.seg]
	r.FabricKey = FabricKey{g.Tenant, g.ID, model.MAC(k.mac)}
	r.At, r.Sequence = c.placeOf(b.Loc), x.sequence
	r.Static, r.VTEP = x.flags&knownFixed != 0, x.flags&knownVTEP != 0
	r.Addresses = r.Addresses[:0]
	for _, a := range append(addrKeys(nil, k.seg, b.IP4, b.IP6), c.lost[k]...) {
		r.Addresses = append(r.Addresses, a.addr())
	}
	return true
}
