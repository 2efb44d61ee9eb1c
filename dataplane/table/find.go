package table

import "math/bits"

// The reading side. A reader works on the arrays it found at the start (Grow puts others in their place, it does not
// change these), and on buckets of which the head tells whether they stood still:
//
//   - found: the head of the bucket is the same after the row was read as before;
//   - not found: the heads of both candidate buckets are the same after both were searched, so that there was a
//     moment in which the row was in neither. A row on its way from one bucket to the other is in the new one before
//     it leaves the old one;
//   - found by address: moreover the head of the address bucket is the same after the row was read, so that the slot
//     was still the one of that address.
//
// The writer leaves nothing half-done that a reader would have to wait for: a reader tries again only because the
// writer got on.

// HashMAC hashes the key of a row, for TouchHash and FindMACHash. The hash holds for the life of the table.
func (t *Bindings) HashMAC(seg uint32, mac uint64) uint64 { return t.keys.row(seg, mac) }

// HashIP4 does the same for TouchIP4Hash and FindIP4Hash.
func (t *Bindings) HashIP4(seg, ip uint32) uint64 { return t.keys.ip4(seg, ip) }

// TouchMAC loads the buckets of (seg, mac) so that the cache misses of a batch overlap. Returns a value to be summed
// and kept alive, so that the load is not optimised away.
func (t *Bindings) TouchMAC(seg uint32, mac uint64) uint64 {
	return t.TouchHash(t.keys.row(seg, mac))
}

// TouchHash is TouchMAC for who has the hash at hand.
func (t *Bindings) TouchHash(h uint64) uint64 {
	rows := t.cur.Load().rows
	first, second := pair(h, len(rows))
	return rows[first].head() + rows[second].head()
}

// TouchIP4 does the same for FindIP4.
func (t *Bindings) TouchIP4(seg, ip uint32) uint64 { return t.TouchIP4Hash(t.keys.ip4(seg, ip)) }

// TouchIP4Hash is TouchIP4 for who has the hash at hand.
func (t *Bindings) TouchIP4Hash(h uint64) uint64 {
	ips := t.cur.Load().ips
	first, second := pair(h, len(ips))
	return ips[first].head() + ips[second].head()
}

// FindMAC returns the location of (seg, mac).
func (t *Bindings) FindMAC(seg uint32, mac uint64) (loc uint32, ok bool) {
	return t.cur.Load().findMAC(t.keys.row(seg, mac), seg, mac)
}

// FindMACHash is FindMAC for who has the hash at hand.
func (t *Bindings) FindMACHash(h uint64, seg uint32, mac uint64) (loc uint32, ok bool) {
	return t.cur.Load().findMAC(h, seg, mac)
}

func (a *arrays) findMAC(h uint64, seg uint32, mac uint64) (loc uint32, ok bool) {
	first, second := pair(h, len(a.rows))
	b1, b2 := &a.rows[first], &a.rows[second]
	w, marks := rowWord(seg, mac), mark(h)*eachByte
again:
	h1, h2 := b1.head(), b2.head()
	// The marks of both buckets side by side: bytes 0–3 and 4–7.
	for m := zeroBytes((h1&^noMarks | h2<<32) ^ marks); m != 0; m &= m - 1 {
		i := bits.TrailingZeros64(m) >> 3
		other := -uint64(i >> 2)
		b := &a.rows[first^(first^second)&other]
		if loc = b.loc(i); b.word(i) == w && b.segHigh(i) == seg>>16 {
			if b.head() == h1^(h1^h2)&other {
				return loc, true
			}
			goto again
		}
	}
	if b1.head() != h1 || b2.head() != h2 {
		goto again
	}
	return 0, false
}

// FindIP4 returns MAC and location of the VIF of segment seg that has address ip.
func (t *Bindings) FindIP4(seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return t.FindIP4Hash(t.keys.ip4(seg, ip), seg, ip)
}

// FindIP4Hash is FindIP4 for who has the hash at hand.
func (t *Bindings) FindIP4Hash(h uint64, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	for {
		a := t.cur.Load()
		mac, loc, ok, h1, h2 := a.findIP4(h, seg, ip^t.keys.mask(seg))
		if ok {
			return mac, loc, true
		}
		x := t.extra.Load()
		if x == nil {
			return 0, 0, false
		}
		// An address may change over from one table to the other meanwhile: look until both stood still.
		var found, still bool
		if x.ip4s.Load() != 0 {
			k := extraKey{kind: kind4, seg: seg, lo: uint64(ip)}
			mac, loc, found, still = t.findExtra(a, x, k)
			if !still {
				continue
			}
		}
		if found {
			return mac, loc, true
		}
		first, second := pair(h, len(a.ips))
		if a.ips[first].head() == h1 && a.ips[second].head() == h2 && t.cur.Load() == a && t.extra.Load() == x {
			return 0, 0, false
		}
	}
}

// findIP4 searches the address index; h1 and h2 are the heads under which an address was not found.
func (a *arrays) findIP4(h uint64, seg, tag uint32) (mac uint64, loc uint32, ok bool, h1, h2 uint64) {
	first, second := pair(h, len(a.ips))
	b1, b2 := &a.ips[first], &a.ips[second]
	for {
		h1 = b1.head()
		var still bool
		if mac, loc, ok, still = a.follow(b1, h1, seg, tag); ok {
			return mac, loc, true, 0, 0
		} else if !still {
			continue
		}
		h2 = b2.head()
		if mac, loc, ok, still = a.follow(b2, h2, seg, tag); ok {
			return mac, loc, true, 0, 0
		} else if !still {
			continue
		}
		if b1.head() == h1 {
			return 0, 0, false, h1, h2
		}
	}
}

// follow looks for the tag in b and goes on to the row. still is false if b changed under it.
func (a *arrays) follow(b *bucket, head uint64, seg, tag uint32) (mac uint64, loc uint32, ok, still bool) {
	for m := b.matchTags(tag); m != 0; m &= m - 1 {
		i := tagSlot(m)
		if b.tag(i) != tag || head>>uint(i)&1 == 0 {
			continue
		}
		if mac, loc, ok, still = a.rowOf(b, head, i, seg); ok || !still {
			return mac, loc, ok, still
		}
	}
	return 0, 0, false, b.head() == head
}

// rowOf reads the row that slot i of the address bucket b leads to; ok says that it is of segment seg.
func (a *arrays) rowOf(b *bucket, head uint64, i int, seg uint32) (mac uint64, loc uint32, ok, still bool) {
	ref := b.ref(i)
	r, at := &a.rows[ref/rowSlots], int(ref%rowSlots)
	for {
		rowHead := r.head()
		rowSeg, mac := r.rowKey(at)
		loc = r.loc(at)
		stood := r.head() == rowHead
		if b.head() != head {
			return 0, 0, false, false
		}
		if stood {
			return mac, loc, rowSeg == seg, true
		}
	}
}

// TouchIP6 does for FindIP6 what TouchMAC does for FindMAC.
func (t *Bindings) TouchIP6(seg uint32, hi, lo uint64) uint64 {
	x := t.extra.Load()
	if x == nil {
		return 0
	}
	return x.touch(t.keys.ip6(seg, hi, lo))
}

// FindIP6 returns MAC and location of the VIF of segment seg that has the address of halves hi and lo.
func (t *Bindings) FindIP6(seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	for {
		a, x := t.cur.Load(), t.extra.Load()
		if x == nil {
			return 0, 0, false
		}
		mac, loc, ok, still := t.findExtra(a, x, extraKey{kind: kind6, seg: seg, hi: hi, lo: lo})
		if still {
			return mac, loc, ok
		}
	}
}

// findExtra looks the address up in the extra table, then the row. still is false if a change came between.
func (t *Bindings) findExtra(a *arrays, x *extra, k extraKey) (mac uint64, loc uint32, ok, still bool) {
	i, ok := x.find(t.keys.extra(k), k)
	if !ok {
		return 0, 0, false, true
	}
	e := x.entry(i)
	state, owner := e.state(), e.owner()
	mac = owner >> 16
	loc, ok = a.findMAC(t.keys.row(k.seg, mac), k.seg, mac)
	still = e.state() == state && e.owner() == owner && x.at(i, k) && t.cur.Load() == a && t.extra.Load() == x
	return mac, loc, ok, still
}
