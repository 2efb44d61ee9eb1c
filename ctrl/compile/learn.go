package compile

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/cespare/xxhash/v2"

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
	Same                       // it is known
	Older                      // a newer one is known
	Pushed                     // the binding was pushed, and leads to the same place
	Contradicts                // it was pushed, and leads elsewhere: what is heard changes nothing
	Local                      // the VIF is on this box
	Virtual                    // the MAC is that of a virtual address or a gateway group
	Unknown                    // the tenant or the segment does not exist here
	Self                       // it leads to this box, which has no such VIF
	Full                       // there is no room
	Verdicts                   // how many there are, not a verdict
)

// learned is what the compiler has of learned rows.
type learned struct {
	known
	time uint32 // counts SweepBegin; a row has that of its last message
	news uint64 // counts changes
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
	for i := range rows {
		verdicts[i] = c.learnRow(&rows[i], &moves)
	}
	c.learnEnd()
	c.report(moves)
	return verdicts
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
			if _, ok := c.switches[uint64(mac)]; !ok && !slices.Contains(unknown, mac) {
				unknown = append(unknown, mac)
			}
		}
	}
	open := c.bulk.open
	defer func() { c.bulk.open = open }()
	if unknown == nil {
		c.openBulk()
		return nil
	}
	return c.addSwitches(unknown)
}

// learnEnd publishes what the rows have changed beside the table.
func (c *Compiler) learnEnd() {
	if len(c.bulk.dirty) > 0 || len(c.bulk.idle) > 0 || len(c.state.Servers)+len(c.state.VIPs) > 0 {
		c.flush()
		if !c.bulk.open {
			c.bulk.idle = nil
		}
	}
}

// displace forgets a learned row for a plan that is applied.
func (c *Compiler) displace(k rowKey) {
	if _, own := c.vifRows[k]; own {
		if c.learned.displaced == nil {
			c.learned.displaced = map[rowKey]uint64{}
		}
		c.learned.displaced[k] = c.sequenceOf(k)
	}
	c.learned.remove(k)
	c.learned.news++
}

func (c *Compiler) isLearned(k rowKey) bool {
	_, ok := c.learned.get(k)
	return ok
}

func (c *Compiler) sequenceOf(k rowKey) uint64 {
	r, _ := c.learned.get(k)
	return r.sequence
}

// dropLearned lists the learned rows of segments that go or get another ID: boxes tell each other IDs.
func (p *plan) dropLearned() {
	if p.c.learned.count == 0 || !p.snapSegments.owned && !p.snapRouters.owned {
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
	if _, own := c.vifRows[k]; own {
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
			r.Sequence == had.sequence && now != loc && c.placeOf(now).compare(r.At) > 0:
			return Older
		case had.flags&knownFixed != 0 && !r.Static && now != loc:
			return Older // what is only learned does not displace what is configured
		case r.Sequence == had.sequence && now == loc && c.sameAddresses(k, r.Addresses):
			had.time = c.learned.time
			_ = c.learned.put(k, had) // it is there: no memory is needed
			return Same
		}
	} else if c.pushed+c.learned.count >= c.cfg.Capacity {
		return Full
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
	rec := knownRow{sequence: r.Sequence, time: c.learned.time}
	if r.Static {
		rec.flags |= knownFixed
	}
	if r.VTEP {
		rec.flags |= knownVTEP
	}
	if err := c.learned.put(k, rec); err != nil {
		return Full
	}
	if err := c.upsert(k, inTable, row); err != nil {
		if !wasLearned {
			c.learned.remove(k)
		}
		return Full
	}
	c.learned.news++
	s := &c.segs[seg]
	if inTable && now == loc {
		return Taken
	}
	if inTable {
		c.unlearned(s, seg, now)
	}
	c.swRows[sw]++
	c.changeRefs(s, seg, loc, (*segInfo).ref)
	return Taken
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

func (a Place) compare(b Place) int {
	return cmp.Or(cmp.Compare(a.Switch, b.Switch), cmp.Compare(a.Port, b.Port))
}

// Compare orders places: by switch, then by port.
func (a Place) Compare(b Place) int { return a.compare(b) }

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
	_ = c.addLearnedSwitches(nil) // opens
	c.unlearn(k, now)
	c.learnEnd()
	return true
}

func (c *Compiler) unlearn(k rowKey, loc fib.Loc) {
	c.drop(k)
	c.learned.remove(k)
	c.learned.news++
	c.unlearned(&c.segs[k.seg], k.seg, loc)
}

// SweepBegin begins a time: rows that are heard from now on outlive SweepEnd with what it returns.
func (c *Compiler) SweepBegin() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learned.time++
	return c.learned.time
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
	c.learned.each(func(k rowKey, r knownRow) {
		if r.time < begin {
			if now, ok := c.cfg.Bindings.FindMAC(k.seg, k.mac); ok && now == loc {
				gone = append(gone, k)
			}
		}
	})
	_ = c.addLearnedSwitches(nil) // opens
	for _, k := range gone {
		c.unlearn(k, loc)
	}
	c.learnEnd()
	return len(gone)
}

// Digest is the number of the bindings at a place, and the sum of their hashes.
type Digest struct {
	Count int
	Sum   uint64
}

// Add adds a binding.
func (d *Digest) Add(r *FabricRow) {
	d.Count++
	d.Sum += r.hash()
}

// hash is the sum, modulo 2⁶⁴, of XXH64 over octets 8–31 of each HERE of the row, and its IPv6 address
// (PROTOCOL.md#binding-messages).
func (r *FabricRow) hash() (sum uint64) {
	r.Heres(func(v4 netip.Addr, v6 netip.Addr, _ bool) {
		var b [40]byte
		binary.BigEndian.PutUint64(b[0:], r.Sequence)
		binary.BigEndian.PutUint64(b[8:], uint64(r.Tenant)<<40|uint64(r.Segment)<<16|uint64(r.MAC)>>32)
		binary.BigEndian.PutUint32(b[16:], uint32(r.MAC))
		n := 24
		if v4.IsValid() {
			a := v4.As4()
			copy(b[20:], a[:])
		}
		if v6.IsValid() {
			a := v6.As16()
			n += copy(b[24:], a[:])
		}
		sum += xxhash.Sum64(b[:n])
	})
	return sum
}

// Heres calls f for each HERE that tells the row: with an address of each family at most, in the order of the
// addresses. more is true for all but the first.
func (r *FabricRow) Heres(f func(v4, v6 netip.Addr, more bool)) {
	slices.SortFunc(r.Addresses, netip.Addr.Compare) // IPv4 comes first
	n4 := slices.IndexFunc(r.Addresses, netip.Addr.Is6)
	if n4 < 0 {
		n4 = len(r.Addresses)
	}
	v4, v6 := r.Addresses[:n4], r.Addresses[n4:]
	for i := range max(1, len(v4), len(v6)) {
		var a, b netip.Addr
		if i < len(v4) {
			a = v4[i]
		}
		if i < len(v6) {
			b = v6[i]
		}
		f(a, b, i > 0)
	}
}

// Digests returns the digests of the learned rows by place. It looks at all of them, some 100 ns each. version changes
// with any row.
func (c *Compiler) Digests() (digests map[Place]Digest, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	digests = map[Place]Digest{}
	var r FabricRow
	var b table.Binding
	c.learned.each(func(k rowKey, x knownRow) {
		if c.fabricRow(s, k, x, &b, &r) {
			d := digests[r.At]
			d.Add(&r)
			digests[r.At] = d
		}
	})
	return digests, c.learned.news
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
