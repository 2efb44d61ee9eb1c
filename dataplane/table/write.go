package table

import (
	"fmt"
	"slices"
)

// The writing side: one writer at a time.

// row is a place in arrays.rows.
type row struct {
	b    *bucket
	i    int
	slot uint32
}

func (a *arrays) at(slot uint32) row {
	return row{&a.rows[slot/rowSlots], int(slot % rowSlots), slot}
}

func (a *arrays) place(bucket uint64, i int) row {
	return row{&a.rows[bucket], i, uint32(bucket)*rowSlots + uint32(i)}
}

func (r row) more() bool { return r.b.more(r.i) }

// lookup finds the row of (seg, mac), whose hash is h.
func (a *arrays) lookup(h uint64, seg uint32, mac uint64) (row, bool) {
	first, second := pair(h, len(a.rows))
	w := rowWord(seg, mac)
	for _, bi := range [2]uint64{first, second} {
		b := &a.rows[bi]
		for m := zeroBytes((b[0] | noMarks) ^ mark(h)*(eachByte&^noMarks)); m != 0; m &= m - 1 {
			if i := trailing(m) >> 3; b.word(i) == w && b.segHigh(i) == seg>>16 {
				return a.place(bi, i), true
			}
		}
	}
	return row{}, false
}

// lookupIP4 finds the place of an address in the index.
func (a *arrays) lookupIP4(k *keys, seg, ip uint32) (*bucket, int, bool) {
	first, second := pair(k.ip4(seg, ip), len(a.ips))
	tag := ip ^ k.mask(seg)
	for _, bi := range [2]uint64{first, second} {
		b := &a.ips[bi]
		for m := b.matchTags(tag); m != 0; m &= m - 1 {
			i := tagSlot(m)
			if b.tag(i) != tag || b[0]>>uint(i)&1 == 0 {
				continue
			}
			r := a.at(b.ref(i))
			if s, _ := r.b.rowKey(r.i); s == seg {
				return b, i, true
			}
		}
	}
	return nil, 0, false
}

// Upsert inserts or replaces a row. Readers see the location flip at once; an address that the row had under its old
// location is never seen with the new one unless it keeps it, and the other way round. An address that another row
// of the segment holds changes over to this one, without a gap. The order of the addresses is not kept, and they may
// not be changed while Upsert runs.
//
// It fails with ErrFull when Capacity rows are in the table.
func (t *Bindings) Upsert(b *Binding) error {
	_, err := t.upsert(b, true)
	return err
}

// UpsertApart is Upsert but for the addresses that another row of the segment holds: these stay where they are.
// It reports whether there was one.
func (t *Bindings) UpsertApart(b *Binding) (contested bool, err error) { return t.upsert(b, false) }

// upsert takes addresses over from other rows if take, and reports whether it left one to another row.
func (t *Bindings) upsert(b *Binding, take bool) (left bool, err error) {
	if b.MAC>>48 != 0 {
		return false, fmt.Errorf("binding of segment %d: MAC %#x has more than 48 bits", b.Seg, b.MAC)
	}
	h := t.keys.row(b.Seg, b.MAC)
	r, ok := t.cur.Load().lookup(h, b.Seg, b.MAC)
	if ok {
		t.dropAddrs(r, b)
		r.b.setLoc(r.i, b.Loc)
	} else {
		if t.Len() >= t.Capacity() {
			t.count(&t.counts.refused, 1)
			return false, fmt.Errorf("binding %012x of segment %d: %w", b.MAC, b.Seg, ErrFull)
		}
		if r, err = t.insert(h, b); err != nil {
			return false, err
		}
		t.count(&t.counts.rows, 1)
	}
	for _, ip := range b.IP4 {
		left = !t.addIP4(r, b, ip, take) || left
	}
	for _, ip := range b.IP6 {
		left = !t.addExtra(r, b, extraKey{kind: kind6, seg: b.Seg, hi: ip[0], lo: ip[1]}, take) || left
	}
	return left, nil
}

// insert finds a slot for a new row.
func (t *Bindings) insert(h uint64, b *Binding) (row, error) {
	for {
		a := t.cur.Load()
		if r, ok := t.room(a, h); ok {
			r.b.putRow(r.i, mark(h), b.Seg, b.MAC, b.Loc, false)
			return r, nil
		}
		// Too many keys fell on too few buckets, below capacity: next to impossible, and a few buckets more solve it.
		if err := t.rebuild(len(a.rows) + len(a.rows)/16 + 16); err != nil {
			return row{}, err
		}
	}
}

// dropAddrs takes from row r the addresses that b does not have.
func (t *Bindings) dropAddrs(r row, b *Binding) {
	a := t.cur.Load()
	if ip := a.ip4[r.slot]; ip != 0 && !slices.Contains(b.IP4, ip) {
		t.dropIndexed(a, r, b.Seg)
	}
	if !r.more() {
		return
	}
	x, left := t.extra.Load(), false
	for i := x.first(&t.keys, b.Seg, b.MAC); i >= 0; {
		next := x.after(i, b.Seg, b.MAC)
		if k := x.entry(i).key(); k.kind == kind4 && slices.Contains(b.IP4, uint32(k.lo)) ||
			k.kind == kind6 && slices.Contains(b.IP6, [2]uint64{k.hi, k.lo}) {
			left = true
		} else {
			x.remove(&t.keys, i)
		}
		i = next
	}
	r.b.setMore(r.i, left)
}

// dropIndexed removes the address of r from the index.
func (t *Bindings) dropIndexed(a *arrays, r row, seg uint32) {
	if b, i, ok := a.lookupIP4(&t.keys, seg, a.ip4[r.slot]); ok {
		b.clearIP(i)
		t.count(&t.counts.indexed, -1)
	}
	a.ip4[r.slot] = 0
}

// addIP4 gives row r an IPv4 address: in the index if it has none there. 0.0.0.0 marks an empty place in arrays.ip4,
// so that one is always extra. It is false if another row keeps the address, which is so only without take.
func (t *Bindings) addIP4(r row, b *Binding, ip uint32, take bool) bool {
	a := t.cur.Load()
	k := extraKey{kind: kind4, seg: b.Seg, lo: uint64(ip)}
	if have := a.ip4[r.slot]; have != 0 || ip == 0 {
		return have == ip && ip != 0 || t.addExtra(r, b, k, take)
	}
	// Another row may hold it in either table; this one among its extra addresses.
	x := t.extra.Load()
	at, inExtra := 0, false
	if x != nil && x.ip4s.Load() != 0 {
		if at, _, inExtra = x.find(t.keys.extra(k), k); inExtra && x.entry(at).owner() != rowWord(b.Seg, b.MAC) {
			if !take {
				return false
			}
			t.count(&t.counts.takeovers, 1)
		}
	}
	if ib, i, ok := a.lookupIP4(&t.keys, b.Seg, ip); ok {
		if !take {
			return false
		}
		old := a.at(ib.ref(i))
		ib.setRef(i, r.slot)
		a.ip4[old.slot] = 0
		t.count(&t.counts.takeovers, 1)
	} else if t.index(a, b.Seg, ip, r.slot) {
		t.count(&t.counts.indexed, 1)
	} else {
		return t.addExtra(r, b, k, take)
	}
	a.ip4[r.slot] = ip
	if inExtra {
		x.remove(&t.keys, at)
	}
	return true
}

// index enters an address that is not there into the index; it fails when there is no room to be made.
func (t *Bindings) index(a *arrays, seg, ip, slot uint32) bool {
	b, i, ok := t.roomIP(a, t.keys.ip4(seg, ip))
	if ok {
		b.putIP(i, ip^t.keys.mask(seg), slot)
	}
	return ok
}

// addExtra gives row r an address in the extra table; false as with addIP4.
func (t *Bindings) addExtra(r row, b *Binding, k extraKey, take bool) bool {
	if x := t.extra.Load(); x != nil {
		if i, _, ok := x.find(t.keys.extra(k), k); ok {
			if x.entry(i).owner() != rowWord(b.Seg, b.MAC) {
				if !take {
					return false
				}
				r.b.setMore(r.i, true)
				x.give(&t.keys, i, b.MAC)
				t.count(&t.counts.takeovers, 1)
			}
			return true
		}
	}
	a := t.cur.Load()
	var ib *bucket
	at, held := 0, false
	if k.kind == kind4 {
		if ib, at, held = a.lookupIP4(&t.keys, b.Seg, uint32(k.lo)); held && !take {
			return false
		}
	}
	r.b.setMore(r.i, true)
	t.extraForInsert().insert(&t.keys, k, b.MAC)
	if held {
		old := a.at(ib.ref(at))
		ib.clearIP(at)
		a.ip4[old.slot] = 0
		t.count(&t.counts.indexed, -1)
		t.count(&t.counts.takeovers, 1)
	}
	return true
}

// UpsertAll upserts rows in their order, with the cache misses of some of them overlapping: the way to load many.
// It stops at the first error and returns the number of rows done.
func (t *Bindings) UpsertAll(rows []Binding) (int, error) {
	const ahead = 16
	for from := 0; from < len(rows); from += ahead {
		part := rows[from:min(from+ahead, len(rows))]
		for i := range part {
			b := &part[i]
			t.sink += t.TouchMAC(b.Seg, b.MAC)
			if len(b.IP4) > 0 {
				t.sink += t.TouchIP4(b.Seg, b.IP4[0])
			}
		}
		for i := range part {
			if err := t.Upsert(&part[i]); err != nil {
				return from + i, err
			}
		}
	}
	return len(rows), nil
}

// Delete removes (seg, mac) with its addresses and reports whether it was there.
func (t *Bindings) Delete(seg uint32, mac uint64) bool {
	r, ok := t.cur.Load().lookup(t.keys.row(seg, mac), seg, mac)
	if !ok {
		return false
	}
	t.dropAddrs(r, &Binding{Seg: seg, MAC: mac})
	r.b.clearRow(r.i)
	t.count(&t.counts.rows, -1)
	return true
}

// Each calls f with every row, for the writer; it takes some 10 ns a row. f must not change the table.
func (t *Bindings) Each(f func(seg uint32, mac uint64, loc uint32)) {
	a := t.cur.Load()
	for bi := range a.rows {
		b := &a.rows[bi]
		for i := range rowSlots {
			if b.used(i) {
				seg, mac := b.rowKey(i)
				f(seg, mac, b.loc(i))
			}
		}
	}
}

// Get returns the row, for the writer (not for the packet path).
func (t *Bindings) Get(seg uint32, mac uint64) (Binding, bool) {
	var b Binding
	ok := t.GetInto(seg, mac, &b)
	return b, ok
}

// GetInto is Get into *b, whose slices are used again.
func (t *Bindings) GetInto(seg uint32, mac uint64, b *Binding) bool {
	a := t.cur.Load()
	r, ok := a.lookup(t.keys.row(seg, mac), seg, mac)
	if !ok {
		return false
	}
	b.Seg, b.MAC, b.Loc, b.IP4, b.IP6 = seg, mac, r.b.loc(r.i), b.IP4[:0], b.IP6[:0]
	if ip := a.ip4[r.slot]; ip != 0 {
		b.IP4 = append(b.IP4, ip)
	}
	if !r.more() {
		return true
	}
	x := t.extra.Load()
	for i := x.first(&t.keys, seg, mac); i >= 0; i = x.after(i, seg, mac) {
		if k := x.entry(i).key(); k.kind == kind4 {
			b.IP4 = append(b.IP4, uint32(k.lo))
		} else {
			b.IP6 = append(b.IP6, [2]uint64{k.hi, k.lo})
		}
	}
	return true
}
