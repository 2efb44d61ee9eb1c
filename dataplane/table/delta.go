package table

import "slices"

var _ = slices.Clone[[]int]

// Delta is a small immutable set of changes that is looked at before the big table: how a transaction's
// bindings become visible together with its snapshot.
type Delta struct {
	rows    map[rowKey]int // index into upserts, -1 = deleted
	addrs   map[addrKey]int
	upserts []Binding
}

// NewDelta builds the changes of one transaction on top of t: rows to be upserted and (seg, mac) to be deleted.
// It knows the addresses that vanish with replaced and deleted rows, so that these are not found any more.
func NewDelta(t *Bindings, upserts []Binding, deletes []Binding) *Delta {
	d := &Delta{map[rowKey]int{}, map[addrKey]int{}, upserts}
	gone := func(seg uint32, mac uint64) {
		if old, ok := t.Get(seg, mac); ok {
			old.each(func(a addrKey) { d.addrs[a] = -1 })
		}
	}
	for _, b := range deletes {
		d.rows[rowKey{b.Seg, b.MAC}] = -1
		gone(b.Seg, b.MAC)
	}
	for i, b := range upserts {
		d.rows[rowKey{b.Seg, b.MAC}] = i
		gone(b.Seg, b.MAC)
	}
	for i, b := range upserts {
		b.each(func(a addrKey) {
			if d.rows[rowKey{b.Seg, b.MAC}] == i {
				d.addrs[a] = i
			}
		})
	}
	return d
}

// FindMAC looks the row up in the delta, then in the table. d may be nil.
func FindMAC(t *Bindings, d *Delta, seg uint32, mac uint64) (loc uint32, ok bool) {
	if d != nil {
		if i, ok := d.rows[rowKey{seg, mac}]; ok {
			if i < 0 {
				return 0, false
			}
			return d.upserts[i].Loc, true
		}
	}
	return t.FindMAC(seg, mac)
}

func findAddr(t *Bindings, d *Delta, k addrKey) (mac uint64, loc uint32, ok bool) {
	if d != nil {
		if i, ok := d.addrs[k]; ok {
			if i < 0 {
				return 0, 0, false
			}
			return d.upserts[i].MAC, d.upserts[i].Loc, true
		}
	}
	return t.findAddr(k)
}

// FindIP4 looks the address up in the delta, then in the table. d may be nil.
func FindIP4(t *Bindings, d *Delta, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return findAddr(t, d, addrKey{seg, 0, uint64(ip), true})
}

// FindIP6 see FindIP4.
func FindIP6(t *Bindings, d *Delta, seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	return findAddr(t, d, addrKey{seg, hi, lo, false})
}

// Fold applies the delta to the table; afterwards a snapshot without it says the same.
func (d *Delta) Fold(t *Bindings) error {
	for k, i := range d.rows {
		if i < 0 {
			t.Delete(k.seg, k.mac)
		}
	}
	for i := range d.upserts {
		if b := &d.upserts[i]; d.rows[rowKey{b.Seg, b.MAC}] == i {
			if err := t.Upsert(b); err != nil {
				return err
			}
		}
	}
	return nil
}

type rowKey struct {
	seg uint32
	mac uint64
}

type addrKey struct {
	seg    uint32
	hi, lo uint64
	v4     bool
}

func (b *Binding) each(f func(addrKey)) {
	for _, a := range b.IP4 {
		f(addrKey{b.Seg, 0, uint64(a), true})
	}
	for _, a := range b.IP6 {
		f(addrKey{b.Seg, a[0], a[1], false})
	}
}
func (t *Bindings) findAddr(k addrKey) (mac uint64, loc uint32, ok bool) {
	if k.v4 {
		return t.FindIP4(k.seg, uint32(k.lo))
	}
	return t.FindIP6(k.seg, k.hi, k.lo)
}
