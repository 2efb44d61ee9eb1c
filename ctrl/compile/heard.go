package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// Heard VIFs
//
// An attachment that is open teaches the MACs and addresses of the stations behind it. They are rows of the table like
// the VIFs of this box, but claim their addresses at the lowest rank, and are not stored: a restart hears them again.
// All strangers of an attachment have the location of one fib.VIF, which stands for them: so a station that comes
// changes a row of the table, and no snapshot.

// The bounds of what is heard. A station that changes more often than heardRate allows waits for its next frame.
const (
	maxHeardAt = 1024   // strangers of an attachment
	maxHeard   = 10_000 // of the box
	heardRate  = 50     // changes a second that the stations of an attachment make in the end
	heardSave  = 2 * maxHeardAt
)

// heardVIF is a station that was heard: a stranger, or a VIF of this box with addresses that are not configured.
type heardVIF struct {
	at       attachKey
	sequence uint64 // of its claim
	seen     int64
	addrs    []heardAddr
}

type heardAddr struct {
	key  addrKey
	seen int64
}

func (h *heardVIF) find(a addrKey) int {
	return slices.IndexFunc(h.addrs, func(x heardAddr) bool { return x.key == a })
}

// addTo adds the addresses that were heard to a row.
func (h *heardVIF) addTo(b *table.Binding) {
	keys := make([]addrKey, len(h.addrs))
	for i := range h.addrs {
		keys[i] = h.addrs[i].key
	}
	v4, v6 := splitKeys(keys)
	b.IP4, b.IP6 = append(slices.Clip(b.IP4), v4...), append(slices.Clip(b.IP6), v6...)
}

// heardVIFs are all of them.
type heardVIFs struct {
	rows map[rowKey]*heardVIF
	at   map[attachKey]*heardAt
}

// heardAt is what is behind an attachment.
type heardAt struct {
	keys  map[rowKey]bool
	spent int64 // when the budget of changes, were it used up, would be full again; nanoseconds
}

func (l *heardVIFs) keys() []rowKey {
	return slices.SortedFunc(maps.Keys(l.rows), func(a, b rowKey) int {
		return cmp.Or(cmp.Compare(a.seg, b.seg), cmp.Compare(a.mac, b.mac))
	})
}

func (l *heardVIFs) place(at attachKey) *heardAt {
	x := l.at[at]
	if x == nil {
		if l.at == nil {
			l.rows, l.at = map[rowKey]*heardVIF{}, map[attachKey]*heardAt{}
		}
		x = &heardAt{keys: map[rowKey]bool{}}
		l.at[at] = x
	}
	return x
}

// budget reports whether the stations of an attachment may change what the table says of them.
func (x *heardAt) budget(now int64) bool {
	const each = int64(time.Second) / heardRate
	if at := max(x.spent, now-heardSave*each); at+each <= now {
		x.spent = at + each
		return true
	}
	return false
}

func (l *heardVIFs) add(k rowKey, h *heardVIF) {
	l.place(h.at).keys[k] = true
	l.rows[k] = h
}

func (l *heardVIFs) remove(k rowKey) {
	if h := l.rows[k]; h != nil {
		delete(l.at[h.at].keys, k)
		delete(l.rows, k)
	}
}

// Heard is what a station has sent behind an attachment: its MAC, and an address, unless that is not valid.
type Heard struct {
	FabricKey
	Address   netip.Addr
	Port, VID uint16 // of the attachment
	Held      bool   // the VIF, or the address, is held where it is: nothing changes
}

// HeardVerdict is what became of a station, or of an address of it.
type HeardVerdict uint8

// The verdicts.
const (
	HeardSame    HeardVerdict = iota // it is known
	HeardNew                         // it is new
	HeardMoved                       // another attachment or box had it
	HeardAddress                     // another station had the address
	// HeardTaken: a VIF, a virtual address, a gateway group, or a pushed binding has the MAC or address.
	HeardTaken
	HeardFixed    // a configured VIF of another box has it
	HeardMany     // too many stations or addresses, or too many changes
	HeardHeld     // it is held elsewhere
	HeardLate     // the attachment, or its segment, is none any more that learns
	HeardVerdicts // how many there are, not a verdict
)

// String names the verdict, as metrics do.
func (v HeardVerdict) String() string {
	return [HeardVerdicts]string{HeardSame: "same", HeardNew: "new", HeardMoved: "moved", HeardAddress: "address",
		HeardTaken: "taken", HeardFixed: "fixed", HeardMany: "many", HeardHeld: "held", HeardLate: "late"}[v]
}

// LearnVIFs takes what stations have sent, in place. now is in nanoseconds since 1970, and the sequence of what is
// claimed is that or more. It returns a verdict for each, and the VIFs whose claim has changed.
func (c *Compiler) LearnVIFs(list []Heard, now int64) (verdicts []HeardVerdict, changed []FabricKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var moves watch
	c.openLearned()
	verdicts = make([]HeardVerdict, len(list))
	for i := range list {
		v, other := c.hear(&list[i], now, &moves)
		if verdicts[i] = v; v >= HeardNew && v <= HeardAddress {
			changed = append(changed, list[i].FabricKey)
		}
		changed = append(changed, other...)
	}
	c.learnEnd()
	c.report(moves)
	return verdicts, changed
}

// hear takes one station. other are the VIFs that have lost to it.
func (c *Compiler) hear(x *Heard, now int64, moves *watch) (v HeardVerdict, other []FabricKey) {
	seg, ok := c.segmentOf(&x.FabricKey)
	at := attachKey{x.Port, x.VID}
	ref, there := c.attach[at]
	if !ok || !there || ref.strangers == 0 || c.snap.Load().Attachments[ref.index].Seg != seg || x.MAC == 0 ||
		x.MAC.IsGroup() {
		return HeardLate, nil
	}
	k := rowKey{seg, uint64(x.MAC)}
	own, isOwn := c.vifRows[k]
	_, station := c.stationRows[k]
	switch _, held := c.held[k]; {
	case station || c.isVirtual(k):
		return HeardTaken, nil
	case isOwn:
		if f := &c.snap.Load().VIFs[own.vif]; f.Attach != ref.index || f.Policy != fib.PolicyOff {
			return HeardTaken, nil
		}
	case held && !slices.Contains(c.self, c.held[k].loc):
		return HeardTaken, nil
	default:
		if v = c.mayHear(k); v != HeardSame {
			return v, nil
		}
	}
	h := c.heard.rows[k]
	switch {
	case h != nil && h.at == at:
		h.seen = now
	case isOwn && !x.Address.IsValid():
		return HeardSame, nil
	case x.Held:
		return HeardHeld, nil
	default:
		v, other = c.hearAt(k, h, at, isOwn, now, moves)
		if v > HeardAddress {
			return v, other
		}
		h = c.heard.rows[k]
	}
	if x.Address.IsValid() {
		w, more := c.hearAddress(k, h, keyOf(seg, x.Address), x.Held, now, moves)
		if other = append(other, more...); v == HeardSame {
			v = w
		}
	}
	return v, other
}

// mayHear reports whether a stranger may have a row: what was pushed, and what is configured elsewhere, stays.
func (c *Compiler) mayHear(k rowKey) HeardVerdict {
	loc, inTable := c.cfg.Bindings.FindMAC(k.seg, k.mac)
	if told, fixed := c.toldRow(k); fixed {
		return HeardFixed
	} else if inTable && !told && loc&fib.LocLocal == 0 {
		return HeardTaken
	}
	return HeardSame
}

// hearAt brings a station to an attachment, from another one or another box if it was there.
func (c *Compiler) hearAt(k rowKey, h *heardVIF, at attachKey, isOwn bool, now int64, moves *watch) (HeardVerdict,
	[]FabricKey) {
	x := c.heard.place(at)
	if !isOwn && len(x.keys) >= maxHeardAt || !x.budget(now) {
		return HeardMany, nil
	}
	var gone []FabricKey
	if h == nil && len(c.heard.rows) >= maxHeard {
		key, ok := c.forgetStranger(len(x.keys), moves)
		if !ok {
			return HeardMany, nil
		}
		gone = append(gone, key)
	}
	loc, inTable := c.cfg.Bindings.FindMAC(k.seg, k.mac)
	told, wasTold := c.learned.get(k)
	next := &heardVIF{at: at, sequence: max(uint64(now), c.sequenceOf(k)+1), seen: now}
	v := HeardNew
	if h != nil {
		next.addrs, v = h.addrs, HeardMoved
		c.heard.remove(k)
	}
	if isOwn { // the row is there
		c.heard.add(k, next)
		return HeardSame, gone
	}
	sum := uint64(0)
	if wasTold {
		sum = c.sumOf(k, told.sequence)
		v = HeardMoved
	}
	c.heard.add(k, next)
	if err := c.writeHeard(k, next, inTable, moves); err != nil {
		c.heard.remove(k)
		if h != nil {
			c.heard.add(k, h)
		}
		return HeardMany, gone
	}
	if wasTold {
		c.learned.digest(told.loc, -1, -sum)
		c.learned.remove(k)
		c.unlearned(&c.segs[k.seg], k.seg, loc)
	}
	return v, gone
}

// hearAddress gives an address to a station. It takes the address from another one that was learned, here or there.
func (c *Compiler) hearAddress(k rowKey, h *heardVIF, a addrKey, held bool, now int64, moves *watch) (HeardVerdict,
	[]FabricKey) {
	d := newDispute(c, nil)
	owner := d.owner(a)
	i := h.find(a)
	switch {
	case len(owner) > 0 && owner[0].mac == k.mac:
		if i >= 0 {
			h.addrs[i].seen = now
		}
		return HeardSame, nil
	case len(owner) > 0 && owner[0].rank > rankFabric:
		return HeardTaken, nil
	case len(owner) > 0 && owner[0].rank == rankFabric:
		return HeardFixed, nil
	case held:
		return HeardHeld, nil
	case !c.heard.place(h.at).budget(now):
		return HeardMany, nil
	}
	v := HeardNew
	var lost []FabricKey
	next := max(uint64(now), h.sequence+1)
	if len(owner) > 0 {
		v = HeardAddress
		o := rowKey{a.seg, owner[0].mac}
		next = max(next, c.sequenceOf(o)+1)
		if was := c.heard.rows[o]; was != nil {
			if j := was.find(a); j >= 0 {
				was.addrs = slices.Delete(was.addrs, j, j+1)
				was.sequence = max(uint64(now), was.sequence+1)
				_ = c.writeHeard(o, was, true, moves) // it becomes smaller
				lost = append(lost, c.fabricKey(o))
			}
		}
	}
	if i < 0 {
		if most := model.MaxAddresses - c.configured(k); len(h.addrs) >= most {
			if most < 1 {
				return HeardMany, lost
			}
			oldest := 0
			for j := range h.addrs {
				if h.addrs[j].seen < h.addrs[oldest].seen {
					oldest = j
				}
			}
			h.addrs = slices.Delete(h.addrs, oldest, oldest+1)
		}
		h.addrs = append(h.addrs, heardAddr{key: a})
		i = len(h.addrs) - 1
	}
	h.addrs[i].seen, h.sequence = now, next
	if err := c.writeHeard(k, h, true, moves); err != nil {
		h.addrs = slices.Delete(h.addrs, i, i+1)
		return HeardMany, lost
	}
	return v, lost
}

// configured is the number of addresses that a VIF of this box is configured with, 0 of a stranger.
func (c *Compiler) configured(k rowKey) int {
	r := c.vifRows[k]
	return r.ip4 + r.ip6
}

// writeHeard writes the row of a VIF that was heard.
func (c *Compiler) writeHeard(k rowKey, h *heardVIF, inTable bool, moves *watch) error {
	row := &table.Binding{Seg: k.seg, MAC: k.mac, Loc: fib.LocLocal | (c.attach[h.at].strangers - 1)}
	if r, ok := c.vifRows[k]; ok {
		v := &c.snap.Load().VIFs[r.vif]
		row.Loc, row.IP4, row.IP6 = fib.LocLocal|r.vif, v.IP4[:r.ip4], v.IP6[:r.ip6]
	}
	h.addTo(row)
	if c.watches(k.seg) {
		moves.addRow(c, row)
	}
	if err := c.makeRoom(c.cfg.Bindings.Len() + 1); err != nil {
		return err
	}
	return c.upsert(k, inTable, row)
}

// forgetStranger makes room for a stranger of an attachment that has n, if another one has more: the one there that was
// heard longest ago goes.
func (c *Compiler) forgetStranger(n int, moves *watch) (key FabricKey, ok bool) {
	var most *heardAt
	for _, x := range c.heard.at {
		if len(x.keys) > n+1 && (most == nil || len(x.keys) > len(most.keys)) {
			most = x
		}
	}
	if most == nil {
		return key, false
	}
	var oldest rowKey
	for k := range most.keys {
		if h := c.heard.rows[k]; oldest.mac == 0 || h.seen < c.heard.rows[oldest].seen {
			oldest = k
		}
	}
	key = c.fabricKey(oldest)
	c.unhearMoved(oldest, moves)
	return key, true
}

// stranger returns what was heard of a station that is no configured VIF, nil if nothing was.
func (c *Compiler) stranger(k rowKey) *heardVIF {
	if _, own := c.vifRows[k]; own {
		return nil
	}
	return c.heard.rows[k]
}

// unhear forgets what was heard of a station; its row says what is configured, or goes.
func (c *Compiler) unhear(k rowKey) { c.unhearMoved(k, &watch{}) }

func (c *Compiler) unhearMoved(k rowKey, moves *watch) {
	h := c.heard.rows[k]
	if h == nil {
		return
	}
	if _, own := c.vifRows[k]; own {
		h.addrs = nil
		_ = c.writeHeard(k, h, true, moves) // it becomes smaller
	} else {
		if c.watches(k.seg) {
			moves.addRow(c, &table.Binding{Seg: k.seg, MAC: k.mac})
		}
		c.drop(k)
	}
	c.heard.remove(k)
}

func (c *Compiler) heardAddress(k rowKey, a addrKey) bool {
	h := c.heard.rows[k]
	return h != nil && h.find(a) >= 0
}

func (c *Compiler) fabricKey(k rowKey) FabricKey {
	g := &c.snap.Load().Segments[k.seg]
	return FabricKey{g.Tenant, g.ID, model.MAC(k.mac)}
}
