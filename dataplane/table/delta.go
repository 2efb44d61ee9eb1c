package table

import (
	"fmt"
	"math/bits"
)

// Delta is a small immutable set of changes that is looked at before the big table: how a transaction's
// bindings become visible together with its snapshot. While it is in use nothing but Fold of it may change the table.
// It works as well with a hundred thousand rows.
type Delta struct {
	keys       *keys
	rows       []deltaRow // open addressing, at most half full
	addrs      []deltaAddr
	rowFilter  filter
	addrFilter filter
	nAddrs     int
	deletes    []rowID
	upserts    []Binding
	growth     int
}

// filter has 16 to 32 bits for each entry: nearly all packets have nothing to do with a delta, and learn so from one
// bit, which is set for them too seldom for a mispredicted branch to count.
type filter []uint64

func newFilter(n int) filter { return make(filter, 1<<bits.Len(uint(n/4))) }

func (f filter) add(h uint64)      { f[int(h>>38)&(len(f)-1)] |= 1 << (h >> 32 & 63) }
func (f filter) has(h uint64) bool { return f[int(h>>38)&(len(f)-1)]>>(h>>32&63)&1 != 0 }

// verdict is what an entry of a delta says: there is a MAC in the low 48 bits, and above them whether it is there.
type verdict uint64

const (
	gone  verdict = 1 << 48
	there verdict = 1 << 49
)

func (v verdict) mac() uint64 { return uint64(v) & (1<<48 - 1) }
func (v verdict) there() bool { return v&there != 0 }
func (v verdict) empty() bool { return v>>48 == 0 }

type rowID struct {
	mac uint64
	seg uint32
}

// deltaRow says where the row of (seg, MAC) is, or that it is gone.
type deltaRow struct {
	verdict
	seg, loc uint32
}

// deltaAddr says whose an address is and where, or that it is nobody's.
type deltaAddr struct {
	hi, lo uint64
	verdict
	seg, loc uint32
	kind     kind
}

// NewDelta builds the changes of one transaction on top of t: rows to be upserted and (seg, mac) to be deleted.
// It knows the addresses that vanish with replaced and deleted rows, so that these are not found any more.
//
// The deletes come first, then the upserts in their order: of rows with equal keys the last one counts, and of rows
// that claim one address the last one gets it. The delta keeps the upserts' slices of addresses; they must not change.
func NewDelta(t *Bindings, upserts []Binding, deletes []Binding) *Delta {
	d := &Delta{keys: &t.keys, rows: make([]deltaRow, sizeFor(len(upserts)+len(deletes)))}
	last := make([]int32, len(d.rows)) // of the upserts, by place in d.rows
	for i := range deletes {
		at := d.placeRow(deletes[i].Seg, deletes[i].MAC)
		d.rows[at] = deltaRow{gone | verdict(deletes[i].MAC), deletes[i].Seg, 0}
	}
	for i := range upserts {
		at := d.placeRow(upserts[i].Seg, upserts[i].MAC)
		d.rows[at] = deltaRow{there | verdict(upserts[i].MAC), upserts[i].Seg, upserts[i].Loc}
		last[at] = int32(i)
	}
	d.addrs = make([]deltaAddr, sizeFor(2*len(upserts)+len(deletes)))
	d.vanish(t)
	d.upserts = make([]Binding, 0, len(upserts))
	for i := range upserts {
		b := &upserts[i]
		if last[d.placeRow(b.Seg, b.MAC)] != int32(i) {
			continue
		}
		d.upserts = append(d.upserts, *b)
		for _, ip := range b.IP4 {
			d.put(extraKey{kind: kind4, seg: b.Seg, lo: uint64(ip)}, there|verdict(b.MAC), b.Loc)
		}
		for _, ip := range b.IP6 {
			d.put(extraKey{kind: kind6, seg: b.Seg, hi: ip[0], lo: ip[1]}, there|verdict(b.MAC), b.Loc)
		}
	}
	d.fillFilters()
	return d
}

func (d *Delta) fillFilters() {
	d.rowFilter, d.addrFilter = newFilter(len(d.rows)/2), newFilter(d.nAddrs)
	for i := range d.rows {
		if e := &d.rows[i]; !e.empty() {
			d.rowFilter.add(d.keys.row(e.seg, e.mac()))
		}
	}
	for i := range d.addrs {
		if e := &d.addrs[i]; !e.empty() {
			d.addrFilter.add(d.keys.extra(e.key()))
		}
	}
}

// vanish enters the addresses that the rows of the delta have in the table: they are gone unless the delta says more.
func (d *Delta) vanish(t *Bindings) {
	var old Binding
	for at := range d.rows {
		e := &d.rows[at]
		if e.empty() {
			continue
		}
		was := t.GetInto(e.seg, e.mac(), &old)
		switch {
		case e.there() && !was:
			d.growth++
		case !e.there() && was:
			d.growth--
			d.deletes = append(d.deletes, rowID{e.mac(), e.seg})
		}
		if !was {
			continue
		}
		for _, ip := range old.IP4 {
			d.put(extraKey{kind: kind4, seg: e.seg, lo: uint64(ip)}, gone, 0)
		}
		for _, ip := range old.IP6 {
			d.put(extraKey{kind: kind6, seg: e.seg, hi: ip[0], lo: ip[1]}, gone, 0)
		}
	}
}

// sizeFor returns the size of a hash table for n keys: a power of two, at most half full.
func sizeFor(n int) int { return 1 << bits.Len(uint(max(2*n-1, 1))) }

// start is where the search for hash h begins among n places.
func start(h uint64, n int) int { return int(h>>32) & (n - 1) }

// placeRow returns where the row is or belongs.
func (d *Delta) placeRow(seg uint32, mac uint64) int {
	for i := start(d.keys.row(seg, mac), len(d.rows)); ; i++ {
		i &= len(d.rows) - 1
		if e := &d.rows[i]; e.empty() || e.mac() == mac && e.seg == seg {
			return i
		}
	}
}

// put enters what holds for an address.
func (d *Delta) put(k extraKey, v verdict, loc uint32) {
	if 2*(d.nAddrs+1) > len(d.addrs) {
		old := d.addrs
		d.addrs = make([]deltaAddr, 2*len(old))
		for i := range old {
			if !old[i].empty() {
				*d.placeAddr(old[i].key()) = old[i]
			}
		}
	}
	e := d.placeAddr(k)
	if e.empty() {
		d.nAddrs++
	}
	*e = deltaAddr{k.hi, k.lo, v, k.seg, loc, k.kind}
}

func (e *deltaAddr) key() extraKey { return extraKey{e.kind, e.seg, e.hi, e.lo} }

// placeAddr returns where the address is or belongs.
func (d *Delta) placeAddr(k extraKey) *deltaAddr {
	return d.placeAddrAt(d.keys.extra(k), k)
}

func (d *Delta) placeAddrAt(h uint64, k extraKey) *deltaAddr {
	for i := start(h, len(d.addrs)); ; i++ {
		i &= len(d.addrs) - 1
		if e := &d.addrs[i]; e.empty() || e.key() == k {
			return e
		}
	}
}

// row returns what the delta says of a row with hash h, nil for nothing.
func (d *Delta) row(h uint64, seg uint32, mac uint64) *deltaRow {
	if !d.rowFilter.has(h) {
		return nil
	}
	for i := start(h, len(d.rows)); ; i++ {
		e := &d.rows[i&(len(d.rows)-1)]
		switch {
		case e.empty():
			return nil
		case e.mac() == mac && e.seg == seg:
			return e
		}
	}
}

// addr returns what the delta says of an address, nil for nothing.
func (d *Delta) addr(k extraKey) *deltaAddr {
	h := d.keys.extra(k)
	if !d.addrFilter.has(h) {
		return nil
	}
	if e := d.placeAddrAt(h, k); !e.empty() {
		return e
	}
	return nil
}

// Growth returns how many rows more (or fewer, when negative) the table has after Fold: whether they fit must be
// known before the delta is published.
func (d *Delta) Growth() int {
	if d == nil {
		return 0
	}
	return d.growth
}

// Len returns the number of rows that the delta upserts and deletes.
func (d *Delta) Len() (upserts, deletes int) {
	if d == nil {
		return 0, 0
	}
	return len(d.upserts), len(d.deletes)
}

// Fold applies the delta to the table; afterwards a snapshot without it says the same. It fails with ErrFull if the
// rows do not fit (see Growth), in the middle: the delta then must stay in use until a Fold after a Grow succeeds.
// A nil delta folds to nothing.
func (d *Delta) Fold(t *Bindings) error {
	if d == nil {
		return nil
	}
	for _, k := range d.deletes {
		t.Delete(k.seg, k.mac)
	}
	if n, err := t.UpsertAll(d.upserts); err != nil {
		return fmt.Errorf("fold row %d of %d: %w", n+1, len(d.upserts), err)
	}
	return nil
}
